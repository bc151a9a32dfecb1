use super::*;

/// Objects stand in places of their own, far from each other: (frame, id, place).
fn observations(list: &[(u64, u64, u32)]) -> Vec<Observation> {
    let box_at = |place: u32| {
        let x = place as f32 * 0.1;
        Box2d { x_min: x, y_min: 0.1, x_max: x + 0.05, y_max: 0.3 }
    };
    list.iter().map(|&(frame, id, place)| Observation { frame, id, box2d: box_at(place) }).collect()
}

fn compare(truth: &[(u64, u64, u32)], tracked: &[(u64, u64, u32)]) -> Agreement {
    evaluate(&observations(truth), &observations(tracked), IOU_THRESHOLD)
}

#[test]
fn the_same_under_other_names_is_perfect() {
    let truth = [(1, 1, 0), (1, 2, 5), (2, 1, 1), (2, 2, 5), (3, 1, 2)];
    let tracked = [(3, 71, 2), (1, 71, 0), (1, 9, 5), (2, 71, 1), (2, 9, 5)];
    let agreement = compare(&truth, &tracked);
    assert_eq!(agreement, Agreement { truth: 5, tracked: 5, matches: 5, id_switches: 0, id_matches: 5 });
    assert_eq!((agreement.mota(), agreement.idf1()), (1.0, 1.0));
}

#[test]
fn misses_and_false_positives_count() {
    // Truth 4 boxes; one is missed, one box stands where nothing is, one in a frame without truth.
    let agreement = compare(
        &[(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 0)],
        &[(1, 5, 0), (2, 5, 0), (3, 5, 0), (4, 5, 7), (9, 5, 0)],
    );
    assert_eq!((agreement.misses(), agreement.false_positives(), agreement.id_switches), (1, 2, 0));
    assert!((agreement.mota() - (1.0 - 3.0 / 4.0)).abs() < 1e-12);
    assert!((agreement.idf1() - 2.0 * 3.0 / 9.0).abs() < 1e-12);
}

#[test]
fn a_change_of_identity_is_one_switch_and_costs_the_shorter_part() {
    // Track 5 for three frames, then track 6 for two.
    let truth = [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 0), (5, 1, 0)];
    let tracked = [(1, 5, 0), (2, 5, 0), (3, 5, 0), (4, 6, 0), (5, 6, 0)];
    let agreement = compare(&truth, &tracked);
    assert_eq!((agreement.id_switches, agreement.id_matches), (1, 3));
    assert!((agreement.mota() - 0.8).abs() < 1e-12);
    assert!((agreement.idf1() - 0.6).abs() < 1e-12);
}

#[test]
fn a_switch_is_seen_across_a_gap() {
    let truth = [(1, 1, 0), (2, 1, 0), (3, 1, 0)];
    assert_eq!(compare(&truth, &[(1, 5, 0), (3, 6, 0)]).id_switches, 1);
    assert_eq!(compare(&truth, &[(1, 5, 0), (3, 5, 0)]).id_switches, 0);
}

#[test]
fn two_that_swap_are_two_switches() {
    let truth = [(1, 1, 0), (1, 2, 5), (2, 1, 0), (2, 2, 5)];
    let tracked = [(1, 7, 0), (1, 8, 5), (2, 8, 0), (2, 7, 5)];
    let agreement = compare(&truth, &tracked);
    assert_eq!((agreement.id_switches, agreement.id_matches), (2, 2));
}

#[test]
fn a_match_goes_on_though_another_fits_better() {
    let at = |frame, id, x: f32| Observation {
        frame,
        id,
        box2d: Box2d { x_min: x, y_min: 0.0, x_max: x + 0.2, y_max: 0.2 },
    };
    let truth = [at(1, 1, 0.0), at(2, 1, 0.0)];
    // In frame 2 track 5 still covers two thirds of the object; track 6 covers it wholly.
    let tracked = [at(1, 5, 0.0), at(2, 5, 0.04), at(2, 6, 0.0)];
    let agreement = evaluate(&truth, &tracked, IOU_THRESHOLD);
    assert_eq!((agreement.matches, agreement.id_switches, agreement.false_positives()), (2, 0, 1));
}

#[test]
fn as_many_are_matched_as_can_be() {
    let at = |id, x: f32| Observation {
        frame: 1,
        id,
        box2d: Box2d { x_min: x, y_min: 0.0, x_max: x + 0.2, y_max: 0.2 },
    };
    // Track 5 lies wholly on object 1, but only it reaches object 2 as well; track 6 reaches only object 1.
    let truth = [at(1, 0.05), at(2, 0.10)];
    let tracked = [at(5, 0.05), at(6, 0.0)];
    assert_eq!(evaluate(&truth, &tracked, IOU_THRESHOLD).matches, 2);
}

#[test]
fn nothing_against_nothing_is_perfect_and_something_is_not() {
    let agreement = compare(&[], &[]);
    assert_eq!((agreement.mota(), agreement.idf1()), (1.0, 1.0));
    let agreement = compare(&[], &[(1, 1, 0)]);
    assert_eq!((agreement.mota(), agreement.idf1()), (f64::NEG_INFINITY, 0.0));
    let agreement = compare(&[(1, 1, 0)], &[]);
    assert_eq!((agreement.mota(), agreement.idf1()), (0.0, 0.0));
}
