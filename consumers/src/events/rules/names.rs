//! Labels and ids of zones and lines, each kept once for a camera.

use crate::codec::{Reader, StateError, Writer};

/// Of a name in its camera's table.
pub(super) type Name = u32;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Few: labels of a model, zones, lines.
    pub(super) fn of(&mut self, text: &str) -> Name {
        match self.find(text) {
            Some(name) => name,
            None => {
                self.0.push(text.to_owned());
                self.0.len() as Name - 1
            }
        }
    }

    pub(super) fn find(&self, text: &str) -> Option<Name> {
        self.0.iter().position(|known| known == text).map(|at| at as Name)
    }

    pub(super) fn text(&self, name: Name) -> &str {
        self.0.get(name as usize).map_or("", String::as_str)
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.count(self.0.len());
        self.0.iter().for_each(|name| to.text(name));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = from.count()?;
        (0..count).map(|_| from.text()).collect::<Result<_, _>>().map(Self)
    }
}
