//! Which model made the results of an epoch.

use sightline_schema::{ModelFacts, ModelRef};

use crate::codec::{Reader, StateError, Writer};

/// The models of a camera's epochs, oldest first: one entry for each time that it was another than before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Models(Vec<(u64, ModelRef)>);

impl Models {
    /// What a spec of an epoch says; none of an older epoch follows.
    pub(super) fn learn(&mut self, epoch: u64, facts: &ModelFacts) {
        let is_as_before =
            |(_, model): &(u64, ModelRef)| model.name == facts.name && model.sha256 == facts.sha256;
        if self.0.last().is_some_and(is_as_before) {
            return;
        }
        self.0.retain(|(known, _)| *known != epoch);
        self.0.push((epoch, ModelRef { name: facts.name.clone(), sha256: facts.sha256.clone() }));
    }

    /// That of an epoch: where its spec was not read, that of the one before it.
    pub(super) fn of(&self, epoch: u64) -> Option<&ModelRef> {
        self.0.iter().rfind(|(since, _)| *since <= epoch).map(|(_, model)| model)
    }

    /// Nothing is dated before this epoch any more.
    pub(super) fn forget_before(&mut self, epoch: u64) {
        let needed = self.0.iter().rposition(|(since, _)| *since <= epoch).unwrap_or(0);
        self.0.drain(..needed);
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.count(self.0.len());
        for (epoch, model) in &self.0 {
            to.number(*epoch);
            to.text(&model.name);
            to.text(&model.sha256);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = from.count()?;
        let model = |from: &mut Reader<'_>| {
            Ok((from.number()?, ModelRef { name: from.text()?, sha256: from.text()? }))
        };
        (0..count).map(|_| model(from)).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str) -> ModelFacts {
        let head = "end2end".to_owned();
        ModelFacts { name: name.into(), sha256: name.repeat(2), head, input: [1, 1], classes: Vec::new() }
    }

    #[test]
    fn an_epoch_has_its_own_model_or_that_of_the_one_before() {
        let mut models = Models::default();
        assert_eq!(models.of(7), None);
        for (epoch, name) in [(3, "a"), (4, "a"), (6, "b"), (7, "a"), (7, "c"), (7, "c")] {
            models.learn(epoch, &facts(name));
        }
        let of = |models: &Models, epoch| models.of(epoch).map(|model| model.name.clone());
        let all = |models: &Models| [2, 3, 4, 5, 6, 7, 9].map(|epoch| of(models, epoch).unwrap_or_default());
        assert_eq!(all(&models), ["", "a", "a", "a", "b", "c", "c"]);
        models.forget_before(5);
        assert_eq!(all(&models), ["", "a", "a", "a", "b", "c", "c"], "5 is that of 3");
        models.forget_before(6);
        assert_eq!(all(&models), ["", "", "", "", "b", "c", "c"]);
        models.forget_before(9);
        assert_eq!((of(&models, 9).as_deref(), models.0.len()), (Some("c"), 1));
    }

    #[test]
    fn an_epoch_whose_second_spec_names_the_model_before_has_that() {
        let mut models = Models::default();
        for (epoch, name) in [(3, "a"), (4, "b"), (4, "a")] {
            models.learn(epoch, &facts(name));
        }
        assert_eq!((models.of(3), models.of(4)), (models.of(4), models.of(3)));
        assert_eq!(models.of(4).map(|model| model.name.as_str()), Some("a"));
    }
}
