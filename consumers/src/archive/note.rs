//! What stands beside a committed offset: the batch that is being written. Whoever comes next makes the very same one.

use std::fmt;
use std::str::FromStr;

/// Goes first. Another rule by which records come into files needs another number.
const FORM: &str = "archive/1";

/// A batch from the committed offset to `last`, announced before the first of its files is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// The committed offset itself; not in the text.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Cameras are spread over so many.
    pub(super) buckets: u32,
}

impl Announced {
    /// What a note beside the offset `first` says. `None` where there is none.
    pub(super) fn read(first: i64, note: &str) -> Result<Option<Self>, UnreadableNote> {
        if note.is_empty() {
            return Ok(None);
        }
        let unreadable = || UnreadableNote { first, note: note.chars().take(80).collect() };
        let fields = note.strip_prefix(FORM).ok_or_else(unreadable)?;
        let (mut last, mut buckets) = (None, None);
        for field in fields.split_ascii_whitespace() {
            match field.split_once('=') {
                Some(("last", value)) => last = i64::from_str(value).ok(),
                Some(("buckets", value)) => buckets = u32::from_str(value).ok(),
                _ => return Err(unreadable()),
            }
        }
        let (Some(last), Some(buckets)) = (last, buckets) else { return Err(unreadable()) };
        if last < first || buckets == 0 { Err(unreadable()) } else { Ok(Some(Self { first, last, buckets })) }
    }
}

impl fmt::Display for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} last={} buckets={}", self.last, self.buckets)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the note {note:?} beside the committed offset {first} can't be read: a later version wrote it, or something else did"
)]
pub(super) struct UnreadableNote {
    first: i64,
    note: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let announced = Announced { first: 17, last: 4711, buckets: 8 };
        assert_eq!(announced.to_string(), "archive/1 last=4711 buckets=8");
        assert_eq!(Announced::read(17, &announced.to_string()), Ok(Some(announced)));
        assert_eq!(Announced::read(17, ""), Ok(None));
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        for note in [
            "archive/2 last=4711 buckets=8",
            "archive/1",
            "archive/1 last=4711",
            "archive/1 last=3 buckets=8",
            "archive/1 last=4711 buckets=0",
            "archive/1 last=4711 buckets=8 more=1",
            "somebody else's",
        ] {
            assert!(Announced::read(17, note).is_err(), "{note}");
        }
    }
}
