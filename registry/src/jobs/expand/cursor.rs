//! Where the next page begins.

/// A place in what was given: which of the list, behind which name in it, and whether that gave any file yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(super) index: usize,
    pub(super) after: String,
    pub(super) gave: bool,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let after = sightline_service::percent::encoded(&self.after);
        write!(f, "{}.{}.{after}", self.index, u8::from(self.gave))
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(());
        let (index, gave, after) = (part()?, part()?, part()?);
        let gave = match gave {
            "0" => false,
            "1" => true,
            _ => return Err(()),
        };
        let index = index.parse().map_err(drop)?;
        Ok(Self { index, gave, after: sightline_service::percent::decoded(after) })
    }
}
