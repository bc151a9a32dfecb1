//! What is known of cameras, pods and changes, by their records. No Kafka, no clock: both are handed in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::{Audit, Base, Camera, CameraState, Placement, Pod, Status};

use crate::audits::Audits;

/// A pod writes every 5 s; one that was silent for so long is dead.
pub(crate) const POD_LIFE: Duration = Duration::from_secs(15);

/// The topics that a view is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Cameras,
    Placements,
    Statuses,
    Pods,
    Audit,
}

/// A record of one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub source: Source,
    pub partition: i32,
    pub offset: i64,
    /// When it was written, or read where it is read at once.
    pub at: Instant,
    pub key: Option<&'a str>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// A value with the offset that names it.
#[derive(Clone, Debug)]
pub(crate) struct Lies<T> {
    pub value: Arc<T>,
    pub offset: i64,
}

/// What is known of one camera.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub camera: Option<Lies<Camera>>,
    pub placement: Option<Lies<Placement>>,
    pub status: Option<Live>,
}

impl Known {
    /// As its newest run says, or `waiting` while nobody ever ran it.
    pub(crate) fn state(&self) -> &'static str {
        self.status.as_ref().map_or("waiting", |live| live.status.state.as_str())
    }

    /// Frames a second that it wants detected.
    pub(crate) fn wanted_fps(&self) -> f64 {
        let video = self.status.as_ref().and_then(|live| live.status.video.as_ref());
        self.camera.as_ref().map_or(0.0, |camera| camera.value.wanted_fps(video))
    }

    /// The pool that runs it, whatever its settings name.
    pub(crate) fn pool(&self) -> Option<&str> {
        match (&self.placement, &self.camera) {
            (Some(placement), Some(_)) => Some(&placement.value.pool),
            (None, Some(camera)) => Some(&camera.value.pool),
            (_, None) => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.camera.is_none() && self.placement.is_none() && self.status.is_none()
    }
}

/// The latest status of a camera's highest epoch.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub status: Arc<Status>,
    pub epoch: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct KnownPod {
    pub pod: Arc<Pod>,
    pub seen: Instant,
}

impl KnownPod {
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < POD_LIFE
    }
}

/// What changed for those who watch.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Status(Arc<Status>),
    Camera(Arc<Camera>),
    Deleted(String),
}

/// What became of a record.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub event: Option<Event>,
    /// Why it can't be read.
    pub unreadable: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub cameras: BTreeMap<String, Known>,
    pub pods: BTreeMap<String, KnownPod>,
    pub audits: Audits,
    /// The ids whose newest record can't be read.
    pub unreadable: BTreeSet<String>,
    /// Mean capacity of a pool's pods, as last known.
    pub capacities: BTreeMap<String, f64>,
    bases: HashMap<i32, u64>,
    /// The offset behind the last record applied.
    reached: HashMap<(Source, i32), i64>,
}

impl State {
    /// Takes one record in.
    pub(crate) fn apply(&mut self, record: &Record<'_>) -> Applied {
        self.reached.insert((record.source, record.partition), record.offset + 1);
        let Some(key) = record.key else {
            return Applied { unreadable: Some("its key is no text".to_owned()), ..Applied::default() };
        };
        let applied = match record.source {
            Source::Cameras => self.apply_camera(key, record),
            Source::Placements => self.apply_placement(key, record),
            Source::Statuses => self.apply_status(key, record),
            Source::Pods => self.apply_pod(key, record),
            Source::Audit => self.apply_audit(record),
        };
        if self.cameras.get(key).is_some_and(Known::is_empty) {
            self.cameras.remove(key);
        }
        applied
    }

    /// Whether the record that lies here was applied.
    pub(crate) fn has_reached(&self, source: Source, partition: i32, offset: i64) -> bool {
        self.reached.get(&(source, partition)).is_some_and(|next| *next > offset)
    }

    /// A registered camera.
    pub(crate) fn camera(&self, id: &str) -> Option<&Known> {
        self.cameras.get(id).filter(|known| known.camera.is_some())
    }

    /// All registered cameras, by id.
    pub(crate) fn registered(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.cameras.iter().filter(|(_, known)| known.camera.is_some())
    }

    pub(crate) fn live_pods(&self, now: Instant) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values().filter(move |known| known.is_alive(now)).map(|known| &known.pod)
    }

    fn apply_camera(&mut self, key: &str, record: &Record<'_>) -> Applied {
        self.unreadable.remove(key);
        let Some(value) = record.value else {
            let known = self.cameras.get_mut(key).and_then(|known| known.camera.take());
            return Applied { event: known.map(|_| Event::Deleted(key.to_owned())), unreadable: None };
        };
        let read = serde_json::from_slice::<Camera>(value).map_err(|error| error.to_string());
        let checked = read.and_then(|camera| match camera.id == key {
            true => Ok(camera),
            false => Err(format!("its key is {key:?} and its id {:?}", camera.id)),
        });
        match checked {
            Ok(camera) => {
                let camera = Arc::new(camera);
                let known = self.cameras.entry(key.to_owned()).or_default();
                known.camera = Some(Lies { value: camera.clone(), offset: record.offset });
                Applied { event: Some(Event::Camera(camera)), unreadable: None }
            }
            // The settings before it stay: whoever runs the camera goes on with them, too.
            Err(why) => {
                self.unreadable.insert(key.to_owned());
                Applied { event: None, unreadable: Some(why) }
            }
        }
    }

    fn apply_placement(&mut self, key: &str, record: &Record<'_>) -> Applied {
        let Some(value) = record.value else {
            if let Some(known) = self.cameras.get_mut(key) {
                known.placement = None;
            }
            return Applied::default();
        };
        match serde_json::from_slice::<Placement>(value) {
            Ok(placement) if placement.camera == key => {
                let placement = Lies { value: Arc::new(placement), offset: record.offset };
                self.cameras.entry(key.to_owned()).or_default().placement = Some(placement);
                Applied::default()
            }
            Ok(placement) => Applied {
                unreadable: Some(format!("its key is {key:?} and its camera {:?}", placement.camera)),
                ..Applied::default()
            },
            Err(error) => Applied { unreadable: Some(error.to_string()), ..Applied::default() },
        }
    }

    fn apply_status(&mut self, key: &str, record: &Record<'_>) -> Applied {
        if key == Base::KEY {
            let base = record.value.and_then(|value| serde_json::from_slice::<Base>(value).ok());
            self.bases.insert(record.partition, base.map_or(0, |base| base.base));
            return Applied::default();
        }
        let Some(value) = record.value else {
            if let Some(known) = self.cameras.get_mut(key) {
                known.status = None;
            }
            return Applied::default();
        };
        let mut status = match serde_json::from_slice::<Status>(value) {
            Ok(status) if status.camera == key => status,
            Ok(_) => return Applied::default(),
            Err(error) => {
                tracing::debug!(key, %error, "a status can't be read");
                return Applied::default();
            }
        };
        let base = self.bases.get(&record.partition).copied().unwrap_or(0);
        let epoch = status.epoch.unwrap_or_else(|| base.saturating_add(record.offset.unsigned_abs()));
        status.epoch = Some(epoch);
        let known = self.cameras.entry(key.to_owned()).or_default();
        if known.status.as_ref().is_some_and(|live| live.epoch > epoch) {
            return Applied::default();
        }
        let status = Arc::new(status);
        let is_news = known.status.as_ref().is_none_or(|live| differ(&live.status, &status));
        known.status = Some(Live { status: status.clone(), epoch });
        Applied { event: is_news.then_some(Event::Status(status)), unreadable: None }
    }

    fn apply_pod(&mut self, key: &str, record: &Record<'_>) -> Applied {
        let Some(value) = record.value else {
            self.pods.remove(key);
            return Applied::default();
        };
        match serde_json::from_slice::<Pod>(value) {
            Ok(pod) => {
                if pod.capacity_fps.is_finite() && pod.capacity_fps > 0.0 {
                    self.capacities.insert(pod.pool.clone(), pod.capacity_fps);
                }
                self.pods.insert(key.to_owned(), KnownPod { pod: Arc::new(pod), seen: record.at });
            }
            Err(error) => tracing::debug!(key, %error, "a pod's record can't be read"),
        }
        Applied::default()
    }

    fn apply_audit(&mut self, record: &Record<'_>) -> Applied {
        let audit = record.value.and_then(|value| serde_json::from_slice::<Audit>(value).ok());
        if let Some(audit) = audit {
            self.audits.add(audit, record.partition, record.offset);
        }
        Applied::default()
    }
}

/// Whether there is more new than the time: a status is repeated every 30 s.
fn differ(before: &Status, now: &Status) -> bool {
    let told = |status: &Status| {
        let error = status.error.clone();
        (status.epoch, status.generation, status.pod.clone(), status.state, error, status.retry_at)
    };
    told(before) != told(now) || before.video != now.video
}

/// All states that a camera is counted under.
pub(crate) fn states() -> impl Iterator<Item = &'static str> {
    CameraState::ALL.into_iter().map(CameraState::as_str).chain(["waiting"])
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
