//! A track and a zone, a track and a line: what is settled, and what is pending.

use super::names::Name;
use super::track::{Near, Sight};
use crate::codec::{Reader, StateError, Writer};

/// A change counts once it is 0.005 from the border, in hundred-thousandths of the frame's height, but for what rounding may take…
pub(super) const FAR: f64 = 500.0 - 1e-4;
/// … or so old, in milliseconds.
pub(super) const SETTLED: i64 = 1000;

/// A track that a zone has seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Visit {
    pub(super) zone: Name,
    /// Since when it is inside, as it is settled; `None` outside.
    pub(super) entered: Option<i64>,
    pub(super) dwelled: bool,
    /// The sight at which it was first on the other side.
    pub(super) pending: Option<Sight>,
}

/// A line that was cut, which does not count yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Crossing {
    pub(super) line: Name,
    pub(super) is_forward: bool,
    pub(super) sight: Sight,
}

/// What came of a look at a zone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Entered {
        sight: Sight,
        appeared: bool,
    },
    /// Milliseconds inside.
    Left {
        sight: Sight,
        after: i64,
    },
    Dwelled {
        after: i64,
    },
}

impl Visit {
    pub(super) fn outside(zone: Name) -> Self {
        Self { zone, entered: None, dwelled: false, pending: None }
    }

    /// Inside at first sight.
    pub(super) fn inside(zone: Name, sight: &Sight) -> Self {
        Self { zone, entered: Some(sight.at), dwelled: false, pending: None }
    }

    /// A further sight. `counts`: the zone is for its label. `is_far` is asked when it matters.
    pub(super) fn see(
        &mut self,
        sight: Sight,
        is_inside: bool,
        counts: bool,
        is_far: impl FnOnce() -> bool,
    ) -> Option<Change> {
        if is_inside == self.entered.is_some() {
            self.pending = None;
            return None;
        }
        let pending = match self.pending {
            Some(pending) => pending,
            None if self.entered.is_some() || counts => sight,
            None => return None,
        };
        if sight.at - pending.at < SETTLED && !is_far() {
            self.pending = Some(pending);
            return None;
        }
        self.pending = None;
        match self.entered.take() {
            Some(entered) => Some(Change::Left { sight: pending, after: pending.at - entered }),
            None => {
                self.entered = Some(pending.at);
                self.dwelled = false;
                Some(Change::Entered { sight: pending, appeared: false })
            }
        }
    }

    /// Once a visit, at a sight inside.
    pub(super) fn dwell(&mut self, sight: &Sight, dwell: i64) -> Option<Change> {
        let after = sight.at - self.entered?;
        if self.dwelled || self.pending.is_some() || after < dwell {
            return None;
        }
        self.dwelled = true;
        Some(Change::Dwelled { after })
    }

    /// Three flags in a byte: a camera may have thousands of visits.
    pub(super) fn write(&self, to: &mut Writer, near: &Near) {
        to.number(self.zone.into());
        let flags = [self.entered.is_some(), self.dwelled, self.pending.is_some()];
        to.number(flags.iter().rev().fold(0, |all, flag| all << 1 | u64::from(*flag)));
        if let Some(entered) = self.entered {
            to.signed(near.at - entered);
        }
        if let Some(pending) = &self.pending {
            pending.write(to, near);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>, near: &Near) -> Result<Self, StateError> {
        let zone = from.small()?;
        let flags = from.number()?;
        if flags > 7 {
            return Err(StateError::Torn);
        }
        let entered = match flags & 1 {
            0 => None,
            _ => Some(near.at.checked_sub(from.signed()?).ok_or(StateError::Torn)?),
        };
        let pending = if flags & 4 == 0 { None } else { Some(Sight::read(from, near)?) };
        Ok(Self { zone, entered, dwelled: flags & 2 != 0, pending })
    }
}

impl Crossing {
    pub(super) fn write(&self, to: &mut Writer, near: &Near) {
        to.number(self.line.into());
        to.flag(self.is_forward);
        self.sight.write(to, near);
    }

    pub(super) fn read(from: &mut Reader<'_>, near: &Near) -> Result<Self, StateError> {
        Ok(Self { line: from.small()?, is_forward: from.flag()?, sight: Sight::read(from, near)? })
    }
}
