//! Evening-out: which cameras move when the pods of a pool carry unevenly. Pure: the clock is handed in.
//!
//! Membership has to stand still for 10 s first. Then some cameras move, a few at a time, until no pod would be better
//! off by giving one away; no camera moves twice while membership stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::loads::{Loads, PodLoad};

/// Membership changes in bursts: a rollout is left alone until it is over.
pub(crate) const STABLE: Duration = Duration::from_secs(10);
/// Cameras that move at a time: each costs its camera a second session for a moment.
pub(crate) const ROUND: usize = 5;
/// A camera that does not run at its new place by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// A camera as evening-out sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weight {
    pub id: String,
    pub slot: u32,
    /// Frames a second.
    pub wanted: f64,
    /// The pod whose status is the latest, if it has settled: it runs, or says why it can't.
    pub settled_on: Option<String>,
}

/// A camera's way to another slot of its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub camera: String,
    pub slot: u32,
    pub pod: String,
}

/// What is remembered between two looks at a pool.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    membership: Option<Vec<(String, String, Vec<u32>)>>,
    since: Option<Instant>,
    moved: BTreeSet<String>,
    /// Where the cameras of the last round should run, and since when that is waited for.
    underway: BTreeMap<String, String>,
    asked: Option<Instant>,
}

impl Balancer {
    /// What should move now. `slots` is how many the pool has; `cameras` are all of the pool that are enabled.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        pods: &[PodLoad],
        slots: u32,
        cameras: &[Weight],
    ) -> Vec<Move> {
        let membership: Vec<_> = pods
            .iter()
            .map(|pod| (pod.pod.clone(), pod.instance.clone(), pod.slots.keys().copied().collect()))
            .collect();
        if self.membership.as_ref() != Some(&membership) {
            *self = Self { membership: Some(membership), since: Some(now), ..Self::default() };
        }
        let stable = self.since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE);
        let held: usize = pods.iter().map(|pod| pod.slots.len()).sum();
        // A slot that nobody holds, or that two name, is a membership on its way.
        if !stable || held as u64 != u64::from(slots) || self.waits(now, cameras) {
            return Vec::new();
        }
        let moves = plan(pods, cameras, &self.moved);
        self.underway = moves.iter().map(|step| (step.camera.clone(), step.pod.clone())).collect();
        self.asked = Some(now);
        self.moved.extend(moves.iter().map(|step| step.camera.clone()));
        moves
    }

    /// A move that was not written: it may be tried again.
    pub(crate) fn refused(&mut self, camera: &str) {
        self.moved.remove(camera);
        self.underway.remove(camera);
    }

    fn waits(&mut self, now: Instant, cameras: &[Weight]) -> bool {
        if self.asked.is_some_and(|asked| now.saturating_duration_since(asked) >= PATIENCE) {
            self.underway.clear();
        }
        for camera in cameras {
            let there =
                self.underway.get(&camera.id).is_some_and(|pod| camera.settled_on.as_ref() == Some(pod));
            if there {
                self.underway.remove(&camera.id);
            }
        }
        self.underway.retain(|id, _| cameras.iter().any(|camera| camera.id == *id));
        !self.underway.is_empty()
    }
}

/// Up to a round of moves, each from the fullest pod to the emptiest, as long as the receiver stays below what the giver
/// had. First of all those whose slot nobody holds.
fn plan(pods: &[PodLoad], cameras: &[Weight], moved: &BTreeSet<String>) -> Vec<Move> {
    let mut pods: Vec<PodLoad> = pods.iter().filter(|pod| !pod.slots.is_empty()).cloned().collect();
    let holder = |slot: u32| pods.iter().position(|pod| pod.slots.contains_key(&slot));
    let mut on: Vec<Vec<&Weight>> = vec![Vec::new(); pods.len()];
    let mut lost = Vec::new();
    for camera in cameras {
        match holder(camera.slot) {
            Some(at) => on[at].push(camera),
            None => lost.push(camera),
        }
    }
    let mut moves = Vec::new();
    let give = |pods: &mut Vec<PodLoad>, to: usize, camera: &Weight| -> Option<Move> {
        let pod = &mut pods[to];
        let slot = pod.emptiest_slot()?;
        *pod.slots.entry(slot).or_default() += 1;
        pod.wanted += camera.wanted;
        Some(Move { camera: camera.id.clone(), slot, pod: pod.pod.clone() })
    };
    for camera in lost.into_iter().take(ROUND) {
        let Some(to) = lowest(&pods) else { break };
        moves.extend(give(&mut pods, to, camera));
    }
    while moves.len() < ROUND {
        let (Some(from), Some(to)) = (highest(&pods), lowest(&pods)) else { break };
        let (giver, taker) = (fill(&pods[from]), &pods[to]);
        let fits = |camera: &&&Weight| {
            let after = (taker.wanted + camera.wanted) / taker.capacity;
            camera.wanted > 0.0 && !moved.contains(&camera.id) && after < giver - 1e-9
        };
        // The largest that fits evens out quickest; by name where several do, so that a look twice sees the same.
        let best = on[from]
            .iter()
            .filter(fits)
            .min_by(|a, b| b.wanted.total_cmp(&a.wanted).then_with(|| a.id.cmp(&b.id)))
            .copied();
        let Some(camera) = best else { break };
        on[from].retain(|other| other.id != camera.id);
        pods[from].wanted -= camera.wanted;
        if let Some(cameras) = pods[from].slots.get_mut(&camera.slot) {
            *cameras = cameras.saturating_sub(1);
        }
        moves.extend(give(&mut pods, to, camera));
    }
    moves
}

/// The share of its capacity that a pod's cameras want.
fn fill(pod: &PodLoad) -> f64 {
    pod.wanted / pod.capacity
}

fn highest(pods: &[PodLoad]) -> Option<usize> {
    (0..pods.len()).reduce(|best, at| if fill(&pods[at]) > fill(&pods[best]) { at } else { best })
}

fn lowest(pods: &[PodLoad]) -> Option<usize> {
    (0..pods.len()).reduce(|best, at| if fill(&pods[at]) < fill(&pods[best]) { at } else { best })
}

/// A balancer for each pool that has pods.
#[derive(Debug, Default)]
pub(crate) struct Balancers {
    pools: BTreeMap<String, Balancer>,
}

impl Balancers {
    /// What should move now, pool by pool.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        loads: &Loads,
        slots: impl Fn(&str) -> Option<u32>,
        mut cameras: BTreeMap<String, Vec<Weight>>,
    ) -> Vec<(String, Move)> {
        self.pools.retain(|pool, _| loads.pool(pool).is_some());
        let mut moves = Vec::new();
        for (pool, load) in loads.pools() {
            let Some(slots) = slots(pool) else { continue };
            let cameras = cameras.remove(pool).unwrap_or_default();
            let of_pool = self.pools.entry(pool.clone()).or_default();
            let found = of_pool.look(now, &load.pods, slots, &cameras);
            moves.extend(found.into_iter().map(|step| (pool.clone(), step)));
        }
        moves
    }

    pub(crate) fn refused(&mut self, pool: &str, camera: &str) {
        if let Some(of_pool) = self.pools.get_mut(pool) {
            of_pool.refused(camera);
        }
    }
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
