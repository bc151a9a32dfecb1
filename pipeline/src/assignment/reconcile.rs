//! What is to be done about one camera: a pure function of what is known.

use super::view::Place;

/// How far a run of this pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// It runs, or tries to.
    Running,
    /// Another pod is to take it over; until then it runs on.
    HandingOver,
    /// It was told to end, and has not yet.
    Ending,
}

/// This pod's run of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnRun {
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    /// The settings it was claimed with are those of now, as far as they need a claim of their own.
    pub(super) same_source: bool,
    /// Nor did others change.
    pub(super) same_settings: bool,
}

/// The newest claim of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) epoch: u64,
    /// Offset of the placement it acts on.
    pub(super) placement: i64,
}

/// What is known of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Registered, and enabled.
    pub(super) wanted: bool,
    /// Where it belongs, if it is registered.
    pub(super) place: Option<Place>,
    pub(super) newest: Option<Newest>,
}

/// What this pod holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is not known to be a member: what it held may be held by another, or by nobody. It claims nothing, and gives
    /// nothing up.
    Unsure,
    /// It holds this camera's slot.
    Holds,
    HoldsNot,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// Write a claim, and run it.
    Claim,
    /// The same, though it runs here: somebody else claimed it, or what it reads changed. `because_newer` says which.
    ClaimAgain {
        because_newer: bool,
    },
    /// Take over settings that need no new run.
    Update,
    /// Keep it running until another has it.
    HandOver,
    /// It came back before another took it: go on.
    Resume,
    /// End it: it is no longer wanted by anybody.
    End,
}

/// Decides. Whoever asks has read at least what it knows of; more may come.
pub(super) fn reconcile(known: &Known, own: Option<OwnRun>, membership: Membership) -> Action {
    let here = known.wanted && membership == Membership::Holds;
    let Some(own) = own else {
        return match membership {
            // A claim by a placement that was not read yet: the camera has moved, and its placement comes.
            Membership::Holds if here && !is_of_a_newer_placement(known) => Action::Claim,
            _ => Action::Nothing,
        };
    };
    if own.phase == Phase::Ending {
        return Action::Nothing;
    }
    if !known.wanted {
        return Action::End;
    }
    let newer = known.newest.is_some_and(|newest| newest.epoch > own.epoch);
    match (membership, own.phase) {
        (Membership::Unsure, _) => Action::Nothing,
        (Membership::HoldsNot, Phase::Running) => Action::HandOver,
        (Membership::HoldsNot, _) => Action::Nothing,
        (Membership::Holds, phase) if newer => match is_of_a_newer_placement(known) {
            true if phase == Phase::Running => Action::HandOver,
            true => Action::Nothing,
            false => Action::ClaimAgain { because_newer: true },
        },
        (Membership::Holds, _) if !own.same_source => Action::ClaimAgain { because_newer: false },
        (Membership::Holds, Phase::HandingOver) => Action::Resume,
        (Membership::Holds, _) if !own.same_settings => Action::Update,
        (Membership::Holds, _) => Action::Nothing,
    }
}

fn is_of_a_newer_placement(known: &Known) -> bool {
    let read = known.place.as_ref().map_or(-1, |place| place.read);
    known.newest.is_some_and(|newest| newest.placement > read)
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
