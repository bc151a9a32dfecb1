//! How much each pod carries, and which slot a camera should have. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use sightline_schema::slot_of;

use crate::state::{Known, State};

/// A capacity that a pod did not state.
const UNKNOWN_CAPACITY: f64 = 1.0;

/// A live pod and what its slots hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodLoad {
    pub pod: String,
    pub instance: String,
    /// Frames a second.
    pub capacity: f64,
    /// Frames a second that the cameras on its slots want.
    pub wanted: f64,
    /// Cameras by slot; every slot it holds is there.
    pub slots: BTreeMap<u32, usize>,
}

impl PodLoad {
    pub(crate) fn room(&self) -> f64 {
        self.capacity - self.wanted
    }

    /// Its slot with the fewest cameras.
    pub(crate) fn emptiest_slot(&self) -> Option<u32> {
        self.slots.iter().min_by_key(|(slot, cameras)| (**cameras, **slot)).map(|(slot, _)| *slot)
    }
}

/// The live pods of a pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolLoad {
    /// By name.
    pub pods: Vec<PodLoad>,
    holder: HashMap<u32, usize>,
}

/// Who carries how much, pool by pool, as placements say; not as pods say, who speak every 5 s.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loads {
    pools: BTreeMap<String, PoolLoad>,
}

impl Loads {
    /// Of the live pods, without any camera yet.
    pub(crate) fn of_pods(state: &State, now: Instant) -> Self {
        let mut pools = BTreeMap::<String, PoolLoad>::new();
        for pod in state.live_pods(now) {
            let stated = Some(pod.capacity_fps).filter(|fps| fps.is_finite() && *fps > 0.0);
            let pool = pools.entry(pod.pool.clone()).or_default();
            for slot in &pod.slots {
                pool.holder.insert(*slot, pool.pods.len());
            }
            pool.pods.push(PodLoad {
                pod: pod.pod.clone(),
                instance: pod.instance.clone(),
                capacity: stated.unwrap_or(UNKNOWN_CAPACITY),
                wanted: 0.0,
                slots: pod.slots.iter().map(|slot| (*slot, 0)).collect(),
            });
        }
        Self { pools }
    }

    /// Of the live pods, with all cameras. `slots` says how many a pool has.
    pub(crate) fn of(state: &State, now: Instant, slots: impl Fn(&str) -> Option<u32>) -> Self {
        let mut loads = Self::of_pods(state, now);
        for (id, known) in state.registered() {
            if let Some((pool, slot)) = place_of(id, known, &slots) {
                loads.add(&pool, slot, known.wanted_fps());
            }
        }
        loads
    }

    pub(crate) fn pool(&self, pool: &str) -> Option<&PoolLoad> {
        self.pools.get(pool)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = (&String, &PoolLoad)> {
        self.pools.iter()
    }

    pub(crate) fn add(&mut self, pool: &str, slot: u32, wanted: f64) {
        self.change(pool, slot, |pod, cameras| {
            pod.wanted += wanted;
            cameras + 1
        });
    }

    pub(crate) fn remove(&mut self, pool: &str, slot: u32, wanted: f64) {
        self.change(pool, slot, |pod, cameras| {
            pod.wanted = (pod.wanted - wanted).max(0.0);
            cameras.saturating_sub(1)
        });
    }

    fn change(&mut self, pool: &str, slot: u32, change: impl FnOnce(&mut PodLoad, usize) -> usize) {
        let Some(load) = self.pools.get_mut(pool) else { return };
        let Some(pod) = load.holder.get(&slot).and_then(|at| load.pods.get_mut(*at)) else { return };
        let cameras = pod.slots.get(&slot).copied().unwrap_or(0);
        let cameras = change(pod, cameras);
        pod.slots.insert(slot, cameras);
    }

    /// Where a new camera goes: to the pod with the most room. `None` where no pod of the pool holds a slot.
    pub(crate) fn choose(&self, pool: &str) -> Option<u32> {
        let pods = self.pools.get(pool)?.pods.iter().filter(|pod| !pod.slots.is_empty());
        // The first by name where several have the same room.
        let best = pods.reduce(|best, pod| if pod.room() > best.room() { pod } else { best })?;
        best.emptiest_slot()
    }

    /// The slot of this pod that a camera moves to.
    pub(crate) fn choose_on(&self, pool: &str, pod: &str) -> Option<u32> {
        self.pools.get(pool)?.pods.iter().find(|load| load.pod == pod)?.emptiest_slot()
    }
}

impl PoolLoad {
    /// The live pod that holds a slot.
    pub(crate) fn holder(&self, slot: u32) -> Option<&PodLoad> {
        self.pods.get(*self.holder.get(&slot)?)
    }
}

/// Pool and slot of a camera: as its placement says, else by its id.
pub(crate) fn place_of(
    id: &str,
    known: &Known,
    slots: impl Fn(&str) -> Option<u32>,
) -> Option<(String, u32)> {
    if let Some(placement) = &known.placement {
        return Some((placement.value.pool.clone(), placement.value.slot));
    }
    let pool = known.pool()?;
    Some((pool.to_owned(), slot_of(id, slots(pool)?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::sync::Arc;

    use sightline_schema::{ModelFacts, Pod, Timestamp};

    use super::*;
    use crate::state::KnownPod;

    /// A pod that lives.
    pub(crate) fn pod(name: &str, capacity_fps: f64, slots: &[u32]) -> KnownPod {
        let model = ModelFacts {
            name: "m".into(),
            sha256: "0".into(),
            head: "end2end".into(),
            input: [384, 640],
            classes: vec!["person".into(), "car".into()],
        };
        let pod = Pod {
            pod: name.into(),
            instance: "1".into(),
            pool: "default".into(),
            slots: slots.to_vec(),
            device: "cpu".into(),
            capacity_fps,
            wanted_fps: 0.0,
            cameras: 0,
            version: "0".into(),
            since: Timestamp::from_micros(0),
            model,
        };
        KnownPod { pod: Arc::new(pod), seen: Instant::now() }
    }

    #[test]
    fn a_new_camera_goes_to_the_pod_with_the_most_room_and_its_emptiest_slot() {
        let mut state = State::default();
        for known in [pod("a", 40.0, &[0, 3]), pod("b", 60.0, &[1, 4]), pod("c", 50.0, &[])] {
            state.pods.insert(known.pod.pod.clone(), known);
        }
        let mut loads = Loads::of_pods(&state, Instant::now());
        let mut order = Vec::new();
        for _ in 0..6 {
            let slot = loads.choose("default").unwrap();
            loads.add("default", slot, 10.0);
            order.push(slot);
        }
        // b has 60, then 50, then 40 as a has; c holds nothing.
        assert_eq!(order, [1, 4, 0, 1, 3, 4]);
        assert_eq!(loads.choose("gpu"), None);
        assert_eq!(loads.choose_on("default", "a"), Some(0));
        assert_eq!(loads.choose_on("default", "c"), None);
        loads.remove("default", 3, 10.0);
        assert_eq!(loads.choose_on("default", "a"), Some(3));
        assert_eq!(loads.pool("default").unwrap().holder(4).unwrap().pod, "b");
    }
}
