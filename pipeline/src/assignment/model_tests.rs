//! A model of how pods share cameras, and a checker that goes through all that can happen in it.
//!
//! What decides is the real thing: `reconcile`, fed by the real `View`, fed with the records that lie in the model's logs.
//! What surrounds it is modelled: logs with transactions, groups with generations, runs with what they hold and publish
//! (`Runs` and `KafkaOutlet` in `follow`, `detect` and `release`), readers, and a camera that counts its frames. Each pod
//! goes at its own pace and reads each topic at its own pace; it may be stopped between any two of its steps.
//!
//! # What is checked
//!
//! | | promise | check |
//! |---|---|---|
//! | 1 | at most one run of a camera counts at any point of the log | `OlderCounted`, `Twice`: a reader that keeps the highest epoch never acts on an older one after a newer, nor on a time twice |
//! | 2 | epochs only grow | `Epoch`: claims in the order of the log have growing epochs by the real `View`, and the pod computes the same |
//! | 3 | the counting run is the one of the newest placement soon after the last move | `DarkOrDouble` |
//! | 4 | every enabled camera is eventually run | `DarkOrDouble` |
//! | 5 | nothing is dark or double after a crash, a pause or an outage | `DarkOrDouble`: from every state that can be reached, the fair course of things without further faults leads to one run of each enabled camera, by the owner of the slot of its newest placement, of the newest epoch, whose results readers accept; and to none of others. `Gap`, where a broker was away and nothing else happened: not a result is missing |
//! | 6 | a zombie claims nothing | `Zombie`: who commits a claim had the camera's slot when its offsets arrived |
//! | 7 | nobody goes back to an older placement | `BackInTime`: nobody claims who has seen a claim by a placement that it has not read |
//! | 8 | a planned move, a stop and a start leave no gap, and give nothing twice | where nothing goes wrong: `Gap`, no result is missing; `NetWasNeeded`, readers have nothing to drop; `Patience`, nobody waits in vain |
//!
//! That the checker can fail is checked, too: each `Flaw` breaks what it should.
//!
//! Of longer courses than `make test` has time for, `MODEL_CHANGES`, `MODEL_FAULTS` and `MODEL_FRAMES` add to what may
//! happen in each scene, `MODEL_STATES` bounds how many states of one are looked at, and `MODEL_THREADS` says by how many.

mod library;
mod pods;
mod steps;
mod world;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::reconcile::Phase;
use library::Library;
use steps::Step;
use world::{Broken, Hold, Left, Life, Registered, Target, World};

/// What is taken out of the protocol, to see that it is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The coordinator does not check the generation.
    Unfenced,
    /// Who holds a camera and sees a newer claim does not claim again.
    NoClaimAgain,
    /// What the group took away because it went on without the pod is given up as if it had been asked for.
    LossIsRevoke,
    /// A claim by a newer placement is not let go.
    NotLetGo,
    /// Readers act on results of any epoch.
    ReaderKeepsAll,
    /// A placement that was taken back is as if it had never been read.
    PlacementForgotten,
    /// Who claims waits for those whose claims it has read, though it has not read its own yet.
    OwnClaimUnread,
    /// A run that is behind the one before it publishes again what that one published.
    BehindTheOther,
}

/// Who is there, and what may happen.
struct Scene {
    name: &'static str,
    /// The pool of each pod.
    pods: Vec<usize>,
    cameras: usize,
    /// Of each pool.
    slots: u32,
    /// Whether the pods run everything when it begins, or have just been started.
    is_warm: bool,
    /// Whether a hand-over has to keep all that it promises.
    is_calm: bool,
    changes: Vec<Step>,
    faults: Vec<Step>,
    left: Left,
    flaw: Option<Flaw>,
    library: Library,
    /// States from which the fair course is known to end well.
    settled: Mutex<HashSet<u64>>,
    hasher: RandomState,
    seen: [AtomicUsize; 6],
}

/// What has to happen somewhere in a scene, if it is to prove anything.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Claimed,
    Refused,
    ClaimedAgain,
    HandedOver,
    Resumed,
    Waited,
}

impl Scene {
    fn new(name: &'static str, left: [u8; 3]) -> Self {
        let more = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(0);
        let [changes, faults, frames] = left;
        let left = Left {
            changes: changes + more("MODEL_CHANGES"),
            faults: faults + more("MODEL_FAULTS"),
            frames: frames + more("MODEL_FRAMES"),
        };
        Self {
            name,
            pods: vec![0, 0],
            cameras: 1,
            slots: 2,
            is_warm: true,
            is_calm: false,
            changes: Vec::new(),
            faults: Vec::new(),
            left,
            flaw: None,
            library: Library::new(2),
            settled: Mutex::default(),
            hasher: RandomState::new(),
            seen: Default::default(),
        }
    }

    fn changes(self, changes: impl IntoIterator<Item = Step>) -> Self {
        Self { changes: changes.into_iter().collect(), ..self }
    }

    fn faults(self, faults: impl IntoIterator<Item = Step>) -> Self {
        Self { faults: faults.into_iter().collect(), ..self }
    }

    fn cold(self) -> Self {
        Self { is_warm: false, ..self }
    }

    fn saw(&self, seen: Seen) {
        self.seen[seen as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing goes wrong in it.
    fn calm(self) -> Self {
        Self { is_calm: true, ..self }
    }

    /// No result may be missing in it.
    fn is_gapless(&self) -> bool {
        let only_outage = self.faults.iter().all(|fault| *fault == Step::Outage);
        self.is_calm || only_outage && self.changes.is_empty()
    }

    /// Whether the fair course of things, without further faults, ends well.
    fn settles(&self, world: &World) -> bool {
        let mut path = Vec::new();
        let is_well = self.settle(world.clone(), &mut path).0;
        if is_well {
            self.settled.lock().unwrap().extend(path);
        }
        is_well
    }

    /// Whether it ends well, and how. Everybody does what he can, in turn; cameras go on; who waits in vain loses patience at last.
    fn settle(&self, mut world: World, path: &mut Vec<u64>) -> (bool, World) {
        let before = world.broken.clone();
        world.left = Left::default();
        if world.outage {
            for pod in 0..world.pods.len() {
                let mut possible = Vec::new();
                world.of_pod(pod, &mut possible);
                possible
                    .into_iter()
                    .filter(|step| *step == Step::Hear(pod))
                    .for_each(|step| world.take(self, step));
            }
            world.take(self, Step::BrokerBack);
        }
        let (mut shown, mut patience) = (0, 3);
        for _ in 0..100 {
            let print = self.hasher.hash_one(&world);
            if self.settled.lock().unwrap().contains(&print) {
                return (true, world);
            }
            path.push(print);
            let mut steps = Vec::new();
            for pod in 0..world.pods.len() {
                for _ in 0..50 {
                    let mut possible = Vec::new();
                    world.of_pod(pod, &mut possible);
                    world.of_nature(pod, &mut possible);
                    let Some(step) = possible.first() else { break };
                    steps.push(*step);
                    world.take(self, *step);
                }
            }
            if world.broken != before {
                return (false, world);
            }
            if !steps.is_empty() {
                continue;
            }
            if shown >= 2 && world.is_well(self) {
                return (true, world);
            }
            if shown < 4 {
                shown += 1;
                (0..self.cameras).for_each(|camera| world.take(self, Step::Show(camera)));
                continue;
            }
            world.of_time(&mut steps);
            if steps.is_empty() || patience == 0 {
                break;
            }
            (shown, patience) = (2, patience - 1);
            steps.into_iter().for_each(|step| world.take(self, step));
        }
        (false, world)
    }
}

impl World {
    /// Every enabled camera is run once, by the owner of its slot, and heard; no other runs.
    fn is_well(&self, scene: &Scene) -> bool {
        let ends = [self.cameras.len(), self.placements.len(), self.statuses.len()];
        (0..scene.cameras).all(|camera| {
            let facts = scene.library.facts(self, camera, ends);
            let runs: Vec<_> = (0..)
                .zip(&self.pods)
                .filter_map(|(pod, seen)| Some((pod, seen.runs[camera].as_ref()?)))
                .collect();
            let target = facts.target().filter(|_| facts.is_enabled);
            let owner = target.and_then(|target| self.groups[target.pool].owner[target.slot as usize]);
            let Some(owner) = owner else { return runs.is_empty() };
            let [(pod, run)] = runs[..] else { return false };
            let scenery = &self.scenery[camera];
            pod == owner
                && self.pods[pod].life == Life::Up
                && run.phase == Phase::Running
                && run.hold == Hold::Open
                && facts.epochs.iter().all(|epoch| *epoch <= run.epoch)
                && scenery.epoch == run.epoch
                && scenery.accepted == scenery.frames.checked_sub(1)
        })
    }
}

impl Model for Scene {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let world = World::new(self);
        let world = match self.is_warm {
            true => {
                let calm =
                    Scene { pods: self.pods.clone(), cameras: self.cameras, ..Scene::new("", [0; 3]).cold() };
                let (is_well, world) = calm.settle(world, &mut Vec::new());
                assert!(is_well, "no beginning: {world:?}");
                world
            }
            false => world,
        };
        let frames = self.left.frames + world.scenery.iter().map(|camera| camera.frames).max().unwrap_or(0);
        vec![World { left: Left { frames, ..self.left }, ..world }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.possible(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(self, step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn never(name: &'static str, check: fn(&Scene, &World) -> bool) -> Property<Scene> {
            Property::always(name, check)
        }
        vec![
            never("OlderCounted", |_, world| !world.broken.contains(&Broken::OlderCounted)),
            never("Twice", |_, world| !world.broken.contains(&Broken::Twice)),
            never("Epoch", |_, world| !world.broken.contains(&Broken::Epoch)),
            never("Zombie", |_, world| !world.broken.contains(&Broken::Zombie)),
            never("BackInTime", |_, world| !world.broken.contains(&Broken::BackInTime)),
            never("NetWasNeeded", |_, world| !world.broken.contains(&Broken::NetWasNeeded)),
            never("Gap", |_, world| !world.broken.contains(&Broken::Gap)),
            never("DarkOrDouble", |scene, world| !world.broken.is_empty() || scene.settles(world)),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.statuses.len() < 60
    }
}

/// Goes through a scene. The name of the promise that does not hold, with what leads there.
fn explore(scene: Scene) -> Result<[usize; 6], (String, String)> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    let began = Instant::now();
    let checker = scene
        .checker()
        .threads(setting("MODEL_THREADS").unwrap_or(1))
        .finish_when(HasDiscoveries::Any)
        .target_state_count(setting("MODEL_STATES").unwrap_or(300_000))
        .spawn_bfs()
        .join();
    let scene = checker.model();
    let seen = scene.seen.each_ref().map(|seen| seen.load(Ordering::Relaxed));
    println!(
        "{}: {} states of their own, {} looked at, {} steps deep, {:.1} s; claimed, refused, claimed again, handed over, \
         resumed, waited: {seen:?}",
        scene.name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    match checker.discoveries().into_iter().next() {
        None => Ok(seen),
        Some((promise, path)) => {
            let end = path.last_state().clone();
            let mut course: Vec<_> = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
            course.push(format!("{end:?}"));
            let broken = end.broken.first().map(|broken| format!("{broken:?}"));
            let mut promise = broken.unwrap_or_else(|| promise.to_owned());
            if let (false, end) = scene.settle(end, &mut Vec::new()) {
                promise = end.broken.first().map_or(promise, |broken| format!("{broken:?}"));
                course.push(format!("and at last {end:?}"));
            }
            Err((promise, course.join("\n")))
        }
    }
}

fn holds(scene: Scene) -> [usize; 6] {
    let name = scene.name;
    match explore(scene) {
        Ok(seen) => seen,
        Err((promise, course)) => panic!("{name}: {promise}\n{course}"),
    }
}

/// Moves camera 0 within pool 0.
fn moves() -> Vec<Step> {
    (0..2).map(|slot| Step::Place(0, Target { pool: 0, slot })).collect()
}

fn faults_of(pods: usize) -> Vec<Step> {
    let mut faults = vec![Step::Outage];
    faults.extend((0..pods).flat_map(|pod| [Step::Crash(pod), Step::FallAsleep(pod)]));
    faults
}

/// All of them have to happen, or the scene proves nothing.
fn happened(seen: [usize; 6], wanted: &[Seen]) {
    for wanted in wanted {
        assert!(seen[*wanted as usize] > 0, "nobody {wanted:?}");
    }
}

/// The promise that the checker finds broken.
fn broken_by(flaw: Flaw, scene: Scene) -> String {
    explore(Scene { flaw: Some(flaw), ..scene }).map_or_else(|(promise, _)| promise, |_| "nothing".to_owned())
}

fn outage() -> Scene {
    Scene::new("an outage", [0, 1, 2]).faults([Step::Outage])
}

fn fault() -> Scene {
    Scene::new("a fault", [0, 1, 1]).faults(faults_of(2))
}

#[test]
fn a_move_leaves_no_gap() {
    let seen = holds(Scene::new("a move", [1, 0, 3]).calm().changes(moves()));
    happened(seen, &[Seen::Claimed, Seen::HandedOver, Seen::Waited]);
}

#[test]
fn a_move_to_another_pool_leaves_no_gap() {
    let to = |pool, slot| Step::Place(0, Target { pool, slot });
    let scene = Scene { pods: vec![0, 1], ..Scene::new("another pool", [1, 0, 3]) };
    let seen = holds(scene.calm().changes([to(1, 0), to(1, 1)]));
    happened(seen, &[Seen::HandedOver, Seen::Waited]);
}

#[test]
fn a_stop_and_a_start_leave_no_gap() {
    let changes = [0, 1].into_iter().flat_map(|pod| [Step::Leave(pod), Step::Start(pod)]);
    let seen = holds(Scene::new("a stop and a start", [2, 0, 2]).calm().changes(changes));
    happened(seen, &[Seen::Claimed, Seen::Waited]);
}

#[test]
fn who_has_just_come_leaves_no_gap_either() {
    holds(Scene::new("a move at the start", [1, 0, 1]).cold().calm().changes(moves()));
}

#[test]
fn moves_in_a_row_end_where_the_last_says() {
    let seen = holds(Scene::new("three moves", [3, 0, 1]).changes(moves()));
    happened(seen, &[Seen::ClaimedAgain, Seen::Resumed]);
}

#[test]
fn whatever_people_do_to_a_camera_ends_as_they_say() {
    let registered = |enabled, generation| Some(Registered { enabled, generation });
    let mut changes = vec![Step::Unplace(0), Step::Register(0, None)];
    changes.extend([registered(true, 2), registered(false, 3)].map(|to| Step::Register(0, to)));
    holds(Scene::new("changes", [3, 0, 0]).changes(changes.into_iter().chain(moves())));
}

#[test]
fn nothing_is_dark_or_double_after_a_fault() {
    let seen = holds(fault());
    happened(seen, &[Seen::Claimed, Seen::Refused, Seen::ClaimedAgain, Seen::HandedOver]);
    holds(Scene { cameras: 2, ..Scene::new("a fault, two cameras", [0, 1, 0]).faults(faults_of(2)) });
    holds(Scene { pods: vec![0; 3], ..Scene::new("a fault, three pods", [0, 1, 0]).faults(faults_of(3)) });
}

#[test]
fn nothing_is_dark_or_double_after_a_fault_at_the_start() {
    holds(Scene::new("a fault at the start", [0, 1, 0]).cold().faults(faults_of(2)));
}

#[test]
fn nothing_is_dark_or_double_after_a_fault_in_a_move() {
    let seen = holds(Scene::new("a fault in a move", [1, 1, 0]).changes(moves()).faults(faults_of(2)));
    happened(seen, &[Seen::Refused, Seen::ClaimedAgain, Seen::Resumed]);
}

#[test]
fn nothing_is_missing_after_an_outage() {
    let seen = holds(outage());
    happened(seen, &[Seen::HandedOver, Seen::Waited]);
}

#[test]
fn a_claim_that_is_not_fenced_is_found() {
    assert_eq!(broken_by(Flaw::Unfenced, fault()), "Zombie");
}

#[test]
fn an_owner_that_does_not_claim_again_is_found() {
    assert_eq!(
        broken_by(Flaw::NoClaimAgain, Scene::new("two moves", [2, 0, 0]).changes(moves())),
        "DarkOrDouble"
    );
}

#[test]
fn a_loss_that_is_taken_for_a_revoke_is_found() {
    assert_ne!(broken_by(Flaw::LossIsRevoke, outage()), "nothing");
}

#[test]
fn a_newer_placement_that_is_not_let_go_is_found() {
    let scene = Scene::new("a move", [1, 0, 0]).changes(moves());
    assert_eq!(broken_by(Flaw::NotLetGo, scene), "BackInTime");
}

#[test]
fn a_reader_that_keeps_all_epochs_is_found() {
    assert_eq!(broken_by(Flaw::ReaderKeepsAll, fault()), "OlderCounted");
}

#[test]
fn a_placement_that_is_forgotten_is_found() {
    let scene = Scene::new("a placement taken back", [2, 0, 0]).changes([moves()[1], Step::Unplace(0)]);
    assert_eq!(broken_by(Flaw::PlacementForgotten, scene), "DarkOrDouble");
}

#[test]
fn who_does_not_wait_for_its_own_claim_is_found() {
    let scene = Scene::new("a move at the start", [1, 0, 1]).cold().calm().changes(moves());
    assert_eq!(broken_by(Flaw::OwnClaimUnread, scene), "NetWasNeeded");
}

#[test]
fn a_run_that_publishes_what_was_published_is_found() {
    let scene = Scene::new("a move", [1, 0, 3]).calm().changes(moves());
    assert_eq!(broken_by(Flaw::BehindTheOther, scene), "NetWasNeeded");
}
