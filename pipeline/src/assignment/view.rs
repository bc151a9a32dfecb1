//! What is known of all cameras: what they are, where they belong, who runs them, who is alive. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::{
    Base, Camera, CameraState, ErrorCode, GapAfter, Placement, Pod, Status, Timestamp, Topics, slot_of,
};
use sightline_service::kafka::Tailed;

/// A pod that was not heard of for this long is dead.
pub(super) const DEAD: Duration = Duration::from_secs(15);
/// A pod that says something every 5 s and was not heard of for this long may be dead.
const SILENT: Duration = Duration::from_millis(7_500);
/// Of each camera so many runs are remembered: those that may still publish.
const RUNS: usize = 4;

/// Where a camera belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pool: Arc<str>,
    pub(super) slot: u32,
    /// Of the placement; −1 without one.
    pub(super) offset: i64,
    /// Of the last word about it, which may have taken a placement back; −1 without one.
    pub(super) read: i64,
}

/// A run of a camera, as its claim and its statuses tell it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunSeen {
    pub(super) epoch: u64,
    pub(super) pod: Arc<str>,
    /// The placement that its claim acts on.
    pub(super) placement: i64,
    pub(super) state: CameraState,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<GapAfter>,
    pub(super) clock_offset_ms: Option<i64>,
    pub(super) error: Option<ErrorCode>,
    /// Its pod has begun another since. A pod runs a camera once at a time: it ended this one, or died in it.
    pub(super) is_replaced: bool,
}

impl RunSeen {
    /// Whether it will publish nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended() || self.is_replaced
    }

    /// Whether it said that it came to its end.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, CameraState::Ended | CameraState::Stopped | CameraState::Disabled)
    }
}

/// A camera as it was registered, unread but for what decides where it runs: there may be thousands, and a pod runs few.
#[derive(Debug)]
struct Spec {
    /// The record, as it lies in `cameras`.
    raw: Box<[u8]>,
    pool: Arc<str>,
    generation: u64,
    enabled: bool,
}

#[derive(Debug)]
struct Known {
    spec: Option<Spec>,
    placement: Option<(Arc<str>, u32)>,
    /// Offset of the last word about its placement; −1 without one.
    placed: i64,
    /// By epoch, oldest first.
    runs: Vec<RunSeen>,
}

#[derive(Debug)]
struct PodSeen {
    pod: Pod,
    heard: Instant,
}

/// All that a pod knows of the world.
pub(super) struct View {
    topics: [String; 4],
    slots: u32,
    cameras: HashMap<Arc<str>, Known>,
    pods: HashMap<Arc<str>, PodSeen>,
    bases: HashMap<i32, u64>,
    /// Names that many cameras share.
    names: HashSet<Arc<str>>,
    /// Cameras of which something changed since it was asked.
    changed: BTreeSet<Arc<str>>,
}

impl View {
    /// `slots`: how many the pool has.
    pub(super) fn new(topics: &Topics, slots: u32) -> Self {
        Self {
            topics: [topics.cameras(), topics.placements(), topics.camera_status(), topics.pods()],
            slots,
            cameras: HashMap::new(),
            pods: HashMap::new(),
            bases: HashMap::new(),
            names: HashSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Takes a record in. `now` and `wall` are when it was read.
    pub(super) fn take(&mut self, record: &Tailed<'_>, now: Instant, wall: Timestamp) {
        let Some(id) = record.id() else { return };
        let [cameras, placements, statuses, pods] = &self.topics;
        if record.topic == cameras {
            self.camera(id, record.value);
        } else if record.topic == placements {
            self.placement(id, record);
        } else if record.topic == statuses {
            self.status(id, record);
        } else if record.topic == pods {
            self.pod(id, record, now, wall);
        }
    }

    fn camera(&mut self, id: &str, value: Option<&[u8]>) {
        let spec = value.and_then(|value| match serde_json::from_slice::<Camera>(value) {
            Ok(camera) if camera.id == id => Some(Spec {
                raw: value.into(),
                pool: self.name(&camera.pool),
                generation: camera.generation,
                enabled: camera.enabled,
            }),
            Ok(camera) => {
                tracing::error!(camera = id, "its record is of camera {:?}; it is passed over", camera.id);
                None
            }
            Err(error) => {
                tracing::error!(camera = id, "its record can't be read, and it does not run: {error}");
                None
            }
        });
        self.touch(id).spec = spec;
    }

    fn placement(&mut self, id: &str, record: &Tailed<'_>) {
        let placement = match record.value.map(serde_json::from_slice::<Placement>) {
            None => None,
            Some(Ok(placement)) => Some((self.name(&placement.pool), placement.slot)),
            Some(Err(error)) => {
                tracing::error!(camera = id, "its placement can't be read, and is passed over: {error}");
                return;
            }
        };
        let known = self.touch(id);
        (known.placement, known.placed) = (placement, record.offset);
    }

    fn status(&mut self, id: &str, record: &Tailed<'_>) {
        let Some(value) = record.value else {
            self.touch(id).runs.clear();
            return;
        };
        if id == Base::KEY {
            if let Ok(base) = serde_json::from_slice::<Base>(value) {
                self.bases.insert(record.partition, base.base);
            }
            return;
        }
        let Ok(status) = serde_json::from_slice::<Status>(value) else { return };
        let epoch = match (status.epoch, status.state) {
            (Some(epoch), _) => epoch,
            (None, CameraState::Claimed) => self.epoch(record.partition, record.offset),
            // Of a camera that nobody runs.
            (None, _) => return,
        };
        let pod = self.name(&status.pod);
        let runs = &mut self.touch(id).runs;
        let at = match runs.binary_search_by_key(&epoch, |run| run.epoch) {
            Ok(at) => at,
            // Older than all that are remembered.
            Err(0) if runs.len() >= RUNS => return,
            Err(mut at) => {
                if runs.len() >= RUNS {
                    // Before the other comes: a list that never grows beyond is half as long in memory.
                    runs.remove(0);
                    at -= 1;
                }
                let placement = status.placement.unwrap_or(-1);
                let state = status.state;
                let new = RunSeen {
                    epoch,
                    pod: pod.clone(),
                    placement,
                    state,
                    first: None,
                    last: None,
                    clock_offset_ms: None,
                    error: None,
                    is_replaced: runs[at..].iter().any(|run| run.pod == pod),
                };
                runs[..at].iter_mut().filter(|run| run.pod == new.pod).for_each(|run| run.is_replaced = true);
                runs.insert(at, new);
                at
            }
        };
        let run = &mut runs[at];
        run.pod = pod;
        run.state = status.state;
        run.placement = status.placement.unwrap_or(run.placement);
        run.first = status.first.or(run.first);
        run.error = status.error.map(|error| error.code);
        run.clock_offset_ms = status.clock_offset_ms.or(run.clock_offset_ms);
        if let Some(last) = status.last {
            run.last = Some(GapAfter { epoch, seq: last.seq, captured_at: last.captured_at });
        }
    }

    fn pod(&mut self, name: &str, record: &Tailed<'_>, now: Instant, wall: Timestamp) {
        let name = self.name(name);
        let Some(Ok(pod)) = record.value.map(serde_json::from_slice::<Pod>) else {
            self.pods.remove(&name);
            return;
        };
        // What lay there already is as old as it says.
        let written = record.timestamp_ms.unwrap_or(0).saturating_mul(1_000);
        let age = u64::try_from(wall.as_micros().saturating_sub(written)).unwrap_or(0);
        let heard = now.checked_sub(Duration::from_micros(age)).unwrap_or(now);
        self.pods.insert(name, PodSeen { pod, heard });
    }

    /// The epoch of the claim that lies at an offset of `camera-status`.
    pub(super) fn epoch(&self, partition: i32, offset: i64) -> u64 {
        self.bases.get(&partition).copied().unwrap_or(0) + u64::try_from(offset).unwrap_or(0)
    }

    /// Cameras of which something changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// The cameras that belong to this pool.
    pub(super) fn of_pool<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = (&'a Arc<str>, Place)> {
        self.cameras
            .keys()
            .filter_map(move |id| Some((id, self.place(id)?)))
            .filter(move |(_, place)| &*place.pool == pool)
    }

    /// Where a registered camera belongs, as far as is known: by its placement, else by its id.
    pub(super) fn place(&self, id: &str) -> Option<Place> {
        let known = self.cameras.get(id)?;
        let spec = known.spec.as_ref()?;
        let read = known.placed;
        Some(match &known.placement {
            Some((pool, slot)) => Place { pool: pool.clone(), slot: *slot, offset: read, read },
            None => Place { pool: spec.pool.clone(), slot: slot_of(id, self.slots), offset: -1, read },
        })
    }

    pub(super) fn is_registered(&self, id: &str) -> bool {
        self.cameras.get(id).is_some_and(|known| known.spec.is_some())
    }

    pub(super) fn is_enabled(&self, id: &str) -> bool {
        self.cameras.get(id).and_then(|known| known.spec.as_ref()).is_some_and(|spec| spec.enabled)
    }

    pub(super) fn generation(&self, id: &str) -> Option<u64> {
        Some(self.cameras.get(id)?.spec.as_ref()?.generation)
    }

    /// The camera's settings.
    pub(super) fn read(&self, id: &str) -> Option<Camera> {
        serde_json::from_slice(&self.cameras.get(id)?.spec.as_ref()?.raw).ok()
    }

    /// The newest run.
    pub(super) fn newest(&self, id: &str) -> Option<&RunSeen> {
        self.cameras.get(id)?.runs.last()
    }

    /// A run by its epoch.
    pub(super) fn run(&self, id: &str, epoch: u64) -> Option<&RunSeen> {
        self.cameras.get(id)?.runs.iter().find(|run| run.epoch == epoch)
    }

    /// Runs that began before `epoch`.
    pub(super) fn before(&self, id: &str, epoch: u64) -> impl Iterator<Item = &RunSeen> {
        let runs = self.cameras.get(id).map(|known| &known.runs[..]).unwrap_or_default();
        runs.iter().filter(move |run| run.epoch < epoch)
    }

    /// Whether a pod was heard of lately.
    pub(super) fn is_heard(&self, pod: &str, now: Instant) -> bool {
        self.pods.get(pod).is_some_and(|seen| now.saturating_duration_since(seen.heard) < SILENT)
    }

    /// Whether another pod of the pool is alive.
    pub(super) fn has_others(&self, pool: &str, own: &str, now: Instant) -> bool {
        self.pods.values().any(|PodSeen { pod, heard }| {
            pod.pool == pool && pod.pod != own && now.saturating_duration_since(*heard) < DEAD
        })
    }

    /// Another process under this pod's name, that began after it.
    pub(super) fn namesake(&self, own: &Pod) -> Option<&Pod> {
        let seen = &self.pods.get(own.pod.as_str())?.pod;
        (seen.instance != own.instance && seen.since > own.since).then_some(seen)
    }

    fn touch(&mut self, id: &str) -> &mut Known {
        let id = match self.cameras.get_key_value(id) {
            Some((known, _)) => known.clone(),
            None => Arc::from(id),
        };
        self.changed.insert(id.clone());
        let new = || Known { spec: None, placement: None, placed: -1, runs: Vec::new() };
        self.cameras.entry(id).or_insert_with(new)
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
