#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sightline_schema::Sampling;

use super::*;
use crate::loads::tests::pod;

/// One after another, as the desk decides within a batch.
struct Desk {
    state: State,
    above: BTreeMap<String, Known>,
    sealer: Sealer,
}

impl Desk {
    fn new() -> Self {
        Self { state: State::default(), above: BTreeMap::new(), sealer: Sealer::open(None).unwrap() }
    }

    fn decide(&mut self, wish: &Wish) -> Result<Decision, Refusal> {
        let slots = |pool: &str| (pool != "nowhere").then_some(48);
        let now = Instant::now();
        let loads = Loads::of(&self.state, now, slots);
        let mut draft = Draft {
            state: &self.state,
            above: &mut self.above,
            loads,
            slots: &slots,
            sealer: &self.sealer,
            now,
            at: Timestamp::from_micros(0),
        };
        draft.decide(wish, "ops")
    }

    fn put(&mut self, camera: &Camera, conditions: Conditions) -> Result<Decision, Refusal> {
        self.decide(&Wish::Put { camera: Box::new(camera.clone()), conditions })
    }

    fn move_to(&mut self, to: Destination) -> Result<Decision, Refusal> {
        self.decide(&Wish::Move { id: "gate".into(), to, from: None })
    }
}

fn status(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::Told(problem) => problem.status,
        Refusal::Stale => 0,
    }
}

fn gate() -> Camera {
    Camera::new("gate", "rtsp://10.0.0.5/1")
}

#[test]
fn a_new_camera_has_generation_1_and_a_place() {
    let mut desk = Desk::new();
    let new = || Conditions { must_be_new: true, ..Conditions::default() };
    let decision = desk.put(&Camera { generation: 17, ..gate() }, new()).unwrap();
    assert_eq!(decision.outcome, Outcome::Created);
    assert_eq!(decision.camera.unwrap().unwrap().generation, 1);
    let placement = decision.placement.unwrap().unwrap();
    assert_eq!((placement.pool.as_str(), placement.slot), ("default", slot_of("gate", 48)));
    let audit = decision.audit.unwrap();
    assert_eq!((audit.who.as_str(), audit.action, audit.generation), ("ops", AuditAction::Created, Some(1)));
    assert_eq!(status(desk.put(&gate(), new()).unwrap_err()), 409);
    let nowhere = Camera { pool: "nowhere".into(), ..Camera::new("yard", "x") };
    assert_eq!(status(desk.put(&nowhere, new()).unwrap_err()), 422);
}

#[test]
fn generations_grow_by_one_with_each_change_and_the_same_again_is_none() {
    let mut desk = Desk::new();
    desk.put(&gate(), Conditions::default()).unwrap();
    let named = Camera { name: "Gate".into(), ..gate() };
    let from = |generation| Conditions { made_from: Some(generation), ..Conditions::default() };
    let decision = desk.put(&named, from(1)).unwrap();
    assert_eq!(decision.camera.unwrap().unwrap().generation, 2);
    assert_eq!(decision.audit.unwrap().fields, ["name"]);
    assert!(decision.placement.is_none());
    // The answer got lost, the client says it again.
    assert_eq!(desk.put(&named, from(1)).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(status(desk.put(&gate(), from(1)).unwrap_err()), 412);
    let sampled = Camera { sampling: Sampling::Fps { fps: 5.0 }, ..named };
    assert_eq!(desk.put(&sampled, from(2)).unwrap().camera.unwrap().unwrap().generation, 3);
}

#[test]
fn conditions_hold_or_nothing_is_written() {
    let mut desk = Desk::new();
    let matching = |if_match| Conditions { if_match: Some(if_match), ..Conditions::default() };
    assert_eq!(status(desk.put(&gate(), matching(Match::Any)).unwrap_err()), 412);
    desk.put(&gate(), Conditions::default()).unwrap();
    let named = Camera { name: "Gate".into(), ..gate() };
    assert_eq!(status(desk.put(&named, matching(Match::Generations(vec![2]))).unwrap_err()), 412);
    desk.put(&named, matching(Match::Generations(vec![7, 1]))).unwrap();
    let merged = Conditions { merged_with: Some(1), ..Conditions::default() };
    assert_eq!(desk.put(&gate(), merged).unwrap_err(), Refusal::Stale);
    let delete = |if_match| Wish::Delete { id: "gate".into(), conditions: matching(if_match) };
    assert_eq!(status(desk.decide(&delete(Match::Generations(vec![1]))).unwrap_err()), 412);
    let gone = desk.decide(&delete(Match::Any)).unwrap();
    assert!(matches!((gone.camera, gone.placement), (Some(None), Some(None))));
    assert_eq!(status(desk.decide(&delete(Match::Any)).unwrap_err()), 404);
    assert_eq!(desk.put(&gate(), Conditions::default()).unwrap().outcome, Outcome::Created);
}

#[test]
fn an_unreadable_camera_can_be_deleted() {
    let mut desk = Desk::new();
    desk.state.unreadable.insert("gate".into());
    let wish = Wish::Delete { id: "gate".into(), conditions: Conditions::default() };
    assert_eq!(desk.decide(&wish).unwrap().outcome, Outcome::Deleted);
}

#[test]
fn a_move_is_a_placement_alone() {
    let mut desk = Desk::new();
    for known in [pod("a", 40.0, &[0, 1]), pod("b", 40.0, &[2, 3])] {
        desk.state.pods.insert(known.pod.pod.clone(), known);
    }
    desk.put(&gate(), Conditions::default()).unwrap();
    assert_eq!(desk.above["gate"].placement.as_ref().unwrap().value.slot, 0);
    let decision = desk.move_to(Destination::Pod("b".into())).unwrap();
    assert!(decision.camera.is_none() && decision.outcome == Outcome::Moved);
    assert_eq!(decision.audit.unwrap().placement.unwrap().slot, 2);
    assert_eq!(desk.move_to(Destination::Pod("b".into())).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(status(desk.move_to(Destination::Pod("c".into())).unwrap_err()), 422);
    assert_eq!(status(desk.move_to(Destination::Pool("nowhere".into())).unwrap_err()), 422);
    assert_eq!(
        desk.move_to(Destination::Pool("gpu".into())).unwrap().placement.unwrap().unwrap().pool,
        "gpu"
    );
    let out_of = |from: &str| Wish::Move {
        id: "gate".into(),
        to: Destination::Pool("default".into()),
        from: Some(from.into()),
    };
    assert_eq!(status(desk.decide(&out_of("default")).unwrap_err()), 412, "it is in gpu");
    assert_eq!(desk.decide(&out_of("gpu")).unwrap().outcome, Outcome::Moved);
    desk.move_to(Destination::Pool("gpu".into())).unwrap();
    let even = Destination::Slot { pool: "default".into(), slot: 1 };
    assert_eq!(desk.move_to(even).unwrap_err(), Refusal::Stale, "it left the pool meanwhile");
    // Settings that name another pool move it there; others leave it where it was moved to.
    let named = Camera { name: "Gate".into(), ..gate() };
    assert!(desk.put(&named, Conditions::default()).unwrap().placement.is_none());
    let other = Camera { pool: "night".into(), ..gate() };
    assert_eq!(desk.put(&other, Conditions::default()).unwrap().placement.unwrap().unwrap().pool, "night");
}

#[test]
fn a_batch_is_spread_over_the_pods() {
    let mut desk = Desk::new();
    for known in [pod("a", 40.0, &[0, 1]), pod("b", 40.0, &[2, 3]), pod("c", 40.0, &[4, 5])] {
        desk.state.pods.insert(known.pod.pod.clone(), known);
    }
    let slots = |_: &str| Some(6);
    let now = Instant::now();
    let mut draft = Draft {
        state: &desk.state,
        above: &mut desk.above,
        loads: Loads::of(&desk.state, now, slots),
        slots: &slots,
        sealer: &desk.sealer,
        now,
        at: Timestamp::from_micros(0),
    };
    for n in 0..24 {
        let camera = Box::new(Camera::new(format!("camera-{n}"), "rtsp://10.0.0.5/1"));
        draft.decide(&Wish::Put { camera, conditions: Conditions::default() }, "ops").unwrap();
    }
    let counts: Vec<usize> =
        draft.loads.pool("default").unwrap().pods.iter().map(|pod| pod.slots.values().sum()).collect();
    assert_eq!(counts, [8, 8, 8]);
}
