#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sightline_schema::slot_of;

use super::*;

/// A pool that does what it is told: a camera runs at its new place after `delay`.
struct World {
    slots: u32,
    pods: Vec<(String, f64, Vec<u32>)>,
    cameras: Vec<Weight>,
    arrivals: Vec<(Instant, String, String)>,
    moves: BTreeMap<String, usize>,
    now: Instant,
}

impl World {
    fn new(slots: u32, pods: usize, cameras: impl IntoIterator<Item = (String, u32, f64)>) -> Self {
        let shares = |pod: usize| (0..slots).filter(|slot| *slot as usize % pods == pod).collect();
        let pods: Vec<_> = (0..pods).map(|pod| (format!("pod-{pod}"), 50.0, shares(pod))).collect();
        let cameras =
            cameras.into_iter().map(|(id, slot, wanted)| Weight { id, slot, wanted, settled_on: None });
        Self {
            slots,
            pods,
            cameras: cameras.collect(),
            arrivals: Vec::new(),
            moves: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    fn loads(&self) -> Vec<PodLoad> {
        let load = |(pod, capacity, slots): &(String, f64, Vec<u32>)| {
            let on = |slot: u32| self.cameras.iter().filter(move |camera| camera.slot == slot);
            PodLoad {
                pod: pod.clone(),
                instance: "1".into(),
                capacity: *capacity,
                wanted: slots.iter().flat_map(|slot| on(*slot)).map(|camera| camera.wanted).sum(),
                slots: slots.iter().map(|slot| (*slot, on(*slot).count())).collect(),
            }
        };
        self.pods.iter().map(load).collect()
    }

    /// Lets a second pass. What moved.
    fn tick(&mut self, balancer: &mut Balancer, delay: Duration) -> Vec<Move> {
        self.now += Duration::from_secs(1);
        let (due, later) =
            std::mem::take(&mut self.arrivals).into_iter().partition(|(at, ..)| *at <= self.now);
        self.arrivals = later;
        for (_, id, pod) in due {
            self.cameras.iter_mut().find(|camera| camera.id == id).unwrap().settled_on = Some(pod);
        }
        let moves = balancer.look(self.now, &self.loads(), self.slots, &self.cameras);
        assert!(moves.len() <= ROUND);
        for step in &moves {
            let holder = self.pods.iter().find(|(pod, ..)| *pod == step.pod).unwrap();
            assert!(holder.2.contains(&step.slot), "{step:?}");
            self.cameras.iter_mut().find(|camera| camera.id == step.camera).unwrap().slot = step.slot;
            self.arrivals.push((self.now + delay, step.camera.clone(), step.pod.clone()));
            *self.moves.entry(step.camera.clone()).or_default() += 1;
        }
        moves
    }

    /// The difference between the fullest and the emptiest pod.
    fn spread(&self) -> f64 {
        let wanted: Vec<_> = self.loads().iter().map(|pod| pod.wanted).collect();
        wanted.iter().copied().fold(0.0, f64::max) - wanted.iter().copied().fold(f64::MAX, f64::min)
    }
}

fn by_id(count: usize, slots: u32, wanted: f64) -> Vec<(String, u32, f64)> {
    let camera = |n: usize| (format!("camera-{n}"), slot_of(&format!("camera-{n}"), slots), wanted);
    (0..count).map(camera).collect()
}

#[test]
fn twenty_four_cameras_on_three_pods_are_even_within_30_seconds_and_move_once() {
    let mut world = World::new(48, 3, by_id(24, 48, 2.0));
    let mut balancer = Balancer::default();
    for second in 1..=30 {
        let moves = world.tick(&mut balancer, Duration::from_secs(3));
        assert!(moves.is_empty() || second > 10, "before membership was stable");
    }
    assert!(world.spread() <= 2.0, "{}", world.spread());
    assert!(world.moves.values().all(|moves| *moves == 1), "{:?}", world.moves);
}

#[test]
fn even_the_worst_start_is_even_within_30_seconds() {
    // All on the slots of one pod: 16 have to go, in four rounds.
    let cameras = (0..24).map(|n| (format!("camera-{n}"), (n % 16) * 3, 2.0));
    let mut world = World::new(48, 3, cameras);
    let mut balancer = Balancer::default();
    for _ in 1..=30 {
        world.tick(&mut balancer, Duration::from_secs(3));
    }
    assert!(world.spread() <= 2.0, "{}", world.spread());
    assert!(world.moves.len() == 16 && world.moves.values().all(|moves| *moves == 1), "{:?}", world.moves);
}

#[test]
fn any_pool_comes_to_rest_within_one_camera_of_even_and_nothing_moves_twice() {
    let mut random = StdRng::seed_from_u64(7);
    for case in 0..300 {
        let slots = random.random_range(1..64);
        let pods = random.random_range(1..=slots.min(8)) as usize;
        let count = random.random_range(0..80);
        let alike = random.random_bool(0.5);
        let mut largest: f64 = 0.0;
        let cameras: Vec<_> = (0..count)
            .map(|n| {
                let wanted = if alike { 5.0 } else { f64::from(random.random_range(1..30)) };
                largest = largest.max(wanted);
                (format!("camera-{n}"), random.random_range(0..slots), wanted)
            })
            .collect();
        let mut world = World::new(slots, pods, cameras);
        let mut balancer = Balancer::default();
        for _ in 0..400 {
            world.tick(&mut balancer, Duration::from_secs(2));
        }
        assert!(world.spread() <= largest + 1e-6, "case {case}: {} with {pods} pods", world.spread());
        assert!(world.moves.values().all(|moves| *moves == 1), "case {case}: {:?}", world.moves);
        assert!(world.tick(&mut balancer, Duration::ZERO).is_empty(), "case {case}: it rests");
    }
}

#[test]
fn a_pod_with_twice_the_capacity_carries_twice_as_much() {
    let mut world = World::new(12, 2, by_id(30, 12, 2.0));
    world.pods[1].1 = 100.0;
    let mut balancer = Balancer::default();
    for _ in 0..120 {
        world.tick(&mut balancer, Duration::from_secs(1));
    }
    let wanted: Vec<_> = world.loads().iter().map(|pod| pod.wanted).collect();
    assert!((wanted[0] - 20.0).abs() <= 2.0 && (wanted[1] - 40.0).abs() <= 2.0, "{wanted:?}");
}

#[test]
fn nothing_moves_while_membership_changes_or_a_round_is_underway() {
    let cameras = (0..24).map(|n| (format!("camera-{n}"), (n % 16) * 3, 2.0));
    let mut world = World::new(48, 3, cameras);
    let mut balancer = Balancer::default();
    for second in 0..40 {
        // A pod comes back every 5 s as another instance.
        world.pods[2].0 = format!("pod-2-{}", second / 5);
        assert!(world.tick(&mut balancer, Duration::ZERO).is_empty());
    }
    world.pods[2].0 = "pod-2".into();
    for _ in 0..10 {
        assert!(world.tick(&mut balancer, Duration::ZERO).is_empty());
    }
    // Never arrives: the next round comes when nobody waits any more.
    assert_eq!(world.tick(&mut balancer, Duration::from_secs(1000)).len(), ROUND);
    let quiet =
        (0..40).take_while(|_| world.tick(&mut balancer, Duration::from_secs(1000)).is_empty()).count();
    assert_eq!(quiet as u64, PATIENCE.as_secs() - 1);

    // A slot that nobody holds.
    let mut world = World::new(48, 3, by_id(24, 48, 2.0));
    world.pods[0].2.pop();
    let mut balancer = Balancer::default();
    for _ in 0..30 {
        assert!(world.tick(&mut balancer, Duration::ZERO).is_empty());
    }
}

#[test]
fn cameras_on_slots_that_are_no_more_are_brought_home_first() {
    let mut cameras = by_id(6, 6, 2.0);
    cameras.push(("lost".into(), 47, 2.0));
    let mut world = World::new(6, 2, cameras);
    let mut balancer = Balancer::default();
    let moves =
        (0..20).find_map(|_| Some(world.tick(&mut balancer, Duration::ZERO)).filter(|m| !m.is_empty()));
    assert_eq!(moves.unwrap()[0].camera, "lost");
}

#[test]
fn a_move_that_was_refused_may_be_tried_again() {
    let cameras = [("a".to_owned(), 0, 2.0), ("b".to_owned(), 0, 2.0)];
    let mut world = World::new(2, 2, cameras);
    let mut balancer = Balancer::default();
    let first = (0..20)
        .find_map(|_| Some(world.tick(&mut balancer, Duration::ZERO)).filter(|m| !m.is_empty()))
        .unwrap();
    assert_eq!(first.len(), 1);
    // It was not written.
    world.cameras.iter_mut().find(|camera| camera.id == "a").unwrap().slot = 0;
    balancer.refused("a");
    assert_eq!(world.tick(&mut balancer, Duration::ZERO), first);
}
