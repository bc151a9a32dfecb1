use super::*;

/// Enabled, by the placement at offset 10; and its newest claim: epoch, placement.
fn known(newest: Option<(u64, i64)>) -> Known {
    let place = Place { pool: "default".into(), slot: 3, offset: 10, read: 10 };
    let newest = newest.map(|(epoch, placement)| Newest { epoch, placement });
    Known { wanted: true, place: Some(place), newest }
}

fn unwanted() -> Known {
    Known { wanted: false, ..known(Some((5, 10))) }
}

fn own(phase: Phase) -> OwnRun {
    OwnRun { epoch: 5, phase, same_source: true, same_settings: true }
}

#[test]
fn without_a_run_the_holder_claims() {
    use Membership::{Holds, HoldsNot, Unsure};
    let cases = [
        (known(None), Holds, Action::Claim),
        (known(None), HoldsNot, Action::Nothing),
        (known(None), Unsure, Action::Nothing),
        // Somebody ran it, and runs it, perhaps, until it is taken over.
        (known(Some((5, 10))), Holds, Action::Claim),
        (known(Some((5, -1))), Holds, Action::Claim),
        // It has moved, and where to was not read yet.
        (known(Some((5, 11))), Holds, Action::Nothing),
        (unwanted(), Holds, Action::Nothing),
        (Known { place: None, ..unwanted() }, Holds, Action::Nothing),
    ];
    for (known, membership, action) in cases {
        assert_eq!(reconcile(&known, None, membership), action, "{known:?}, {membership:?}");
    }
}

#[test]
fn with_a_run_it_depends_on_who_holds_and_who_claimed() {
    use Membership::{Holds, HoldsNot, Unsure};
    use Phase::{Ending, HandingOver, Running};
    let (mine, newer, moved) = (known(Some((5, 10))), known(Some((6, 10))), known(Some((6, 11))));
    let again = Action::ClaimAgain { because_newer: true };
    let cases = [
        (&mine, Running, Holds, Action::Nothing),
        (&mine, Running, HoldsNot, Action::HandOver),
        (&mine, Running, Unsure, Action::Nothing),
        (&mine, HandingOver, Holds, Action::Resume),
        (&mine, HandingOver, HoldsNot, Action::Nothing),
        (&mine, HandingOver, Unsure, Action::Nothing),
        (&newer, Running, Holds, again),
        (&newer, HandingOver, Holds, again),
        (&newer, Running, HoldsNot, Action::HandOver),
        (&newer, HandingOver, HoldsNot, Action::Nothing),
        (&newer, Running, Unsure, Action::Nothing),
        (&moved, Running, Holds, Action::HandOver),
        (&moved, HandingOver, Holds, Action::Nothing),
        (&moved, Running, Unsure, Action::Nothing),
    ];
    for (known, phase, membership, action) in cases {
        let context = format!("{known:?}, {phase:?}, {membership:?}");
        assert_eq!(reconcile(known, Some(own(phase)), membership), action, "{context}");
        assert_eq!(reconcile(known, Some(own(Ending)), membership), Action::Nothing, "{context}");
    }
    for (phase, membership) in [(Running, Holds), (HandingOver, HoldsNot), (Running, Unsure)] {
        assert_eq!(reconcile(&unwanted(), Some(own(phase)), membership), Action::End);
    }
    assert_eq!(reconcile(&unwanted(), Some(own(Ending)), Holds), Action::Nothing);
}

#[test]
fn settings_need_a_claim_where_what_is_read_changed() {
    let changed = OwnRun { same_settings: false, ..own(Phase::Running) };
    let moved = OwnRun { same_source: false, ..changed };
    let mine = known(Some((5, 10)));
    let at = |own, membership| reconcile(&mine, Some(own), membership);
    assert_eq!(at(changed, Membership::Holds), Action::Update);
    assert_eq!(at(moved, Membership::Holds), Action::ClaimAgain { because_newer: false });
    assert_eq!(at(moved, Membership::HoldsNot), Action::HandOver, "whoever takes it over reads the new one");
    assert_eq!(at(moved, Membership::Unsure), Action::Nothing);
    let back = OwnRun { phase: Phase::HandingOver, ..changed };
    assert_eq!(at(back, Membership::Holds), Action::Resume, "the next look brings the update");
}

#[test]
fn a_claim_by_a_placement_that_was_taken_back_since_is_no_newer_one() {
    let mut known = known(Some((5, 10)));
    known.place = Some(Place { pool: "default".into(), slot: 0, offset: -1, read: 12 });
    assert_eq!(reconcile(&known, None, Membership::Holds), Action::Claim);
    assert_eq!(
        reconcile(&known, Some(OwnRun { epoch: 4, ..own(Phase::Running) }), Membership::Holds),
        Action::ClaimAgain { because_newer: true }
    );
}
