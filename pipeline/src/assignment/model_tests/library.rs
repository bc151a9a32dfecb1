//! What a pod knows: the answers of the real `View` to whoever has read so much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;
use sightline_schema::{Timestamp, Topics};
use sightline_service::kafka::Tailed;

use super::super::view::{Place, RunSeen, View};
use super::world::*;

/// What every epoch is above: the `_base` record of the one partition of `camera-status`.
const BASE: u64 = 100;

/// What a pod knows of one camera: the answers of the real `View`.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) is_registered: bool,
    pub(super) is_enabled: bool,
    pub(super) generation: Option<u64>,
    pub(super) place: Option<Place>,
    /// Offset of the last word about its placement, a tombstone included; −1 without one.
    pub(super) placed: i64,
    /// By epoch.
    pub(super) runs: Vec<RunSeen>,
    /// The epochs of its claims, in the order in which they lie in the log.
    pub(super) epochs: Vec<u64>,
}

impl Facts {
    pub(super) fn newest(&self) -> Option<&RunSeen> {
        self.runs.last()
    }

    pub(super) fn run(&self, epoch: u64) -> Option<&RunSeen> {
        self.runs.iter().find(|run| run.epoch == epoch)
    }

    pub(super) fn before(&self, epoch: u64) -> impl Iterator<Item = &RunSeen> {
        self.runs.iter().filter(move |run| run.epoch < epoch)
    }

    pub(super) fn target(&self) -> Option<Target> {
        let place = self.place.as_ref()?;
        let pool = POOLS.iter().position(|pool| **pool == *place.pool)?;
        Some(Target { pool, slot: place.slot })
    }
}

/// What was read of one camera, by which `Facts` are found again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ReadOf {
    camera: usize,
    registered: Option<Registered>,
    placements: Vec<(usize, Option<Target>)>,
    statuses: Vec<(usize, usize, Word)>,
}

/// Feeds the real `View`, and remembers its answers: most of what pods read in one state they have read in others.
pub(super) struct Library {
    slots: u32,
    known: Mutex<HashMap<ReadOf, Arc<Facts>>>,
}

impl Library {
    pub(super) fn new(slots: u32) -> Self {
        Self { slots, known: Mutex::default() }
    }

    /// What is known of a camera to whoever has read so much of each topic.
    pub(super) fn facts(&self, world: &World, camera: usize, read: [usize; 3]) -> Arc<Facts> {
        let of = |found: usize| found == camera;
        let read = ReadOf {
            camera,
            registered: world.cameras[..read[0]]
                .iter()
                .rev()
                .find(|(of_, _)| of(*of_))
                .and_then(|(_, last)| *last),
            placements: (0..)
                .zip(&world.placements[..read[1]])
                .filter(|(_, (of_, _))| of(*of_))
                .map(|(at, (_, target))| (at, *target))
                .collect(),
            statuses: (0..)
                .zip(&world.statuses[..read[2]])
                .filter(|(_, written)| of(written.camera) && written.seal == Seal::Committed)
                .map(|(at, written)| (at, written.pod, written.word.clone()))
                .collect(),
        };
        let mut known = self.known.lock().unwrap();
        if let Some(facts) = known.get(&read) {
            return facts.clone();
        }
        let facts = Arc::new(self.read(&read));
        known.insert(read, facts.clone());
        facts
    }

    fn read(&self, read: &ReadOf) -> Facts {
        let topics = Topics::default();
        let [cameras, placements, statuses] = [topics.cameras(), topics.placements(), topics.camera_status()];
        let mut view = View::new(&topics, self.slots);
        let id = CAMERAS[read.camera];
        let (now, wall) = (Instant::now(), at(0));
        let mut take = |topic: &str, key: &str, offset: usize, value: Option<serde_json::Value>| {
            let value = value.map(|value| value.to_string().into_bytes());
            let offset = i64::try_from(offset).unwrap();
            let (key, value) = (Some(key.as_bytes()), value.as_deref());
            view.take(&Tailed::bare(topic, (0, offset), None, key, value), now, wall);
        };
        if let Some(Registered { enabled, generation }) = read.registered {
            let source = "rtsp://10.0.0.5/1";
            let camera = json!({
                "id": id, "source": source, "pool": POOLS[0], "enabled": enabled, "generation": generation,
            });
            take(&cameras, id, 0, Some(camera));
        }
        for (offset, target) in &read.placements {
            let placement = target.map(|Target { pool, slot }| {
                json!({"schema": "placement/1", "camera": id, "pool": POOLS[pool], "slot": slot})
            });
            take(&placements, id, *offset, placement);
        }
        take(&statuses, "_base", 0, Some(json!({"schema": "base/1", "base": BASE})));
        for (offset, pod, word) in &read.statuses {
            take(&statuses, id, offset + 1, status(id, *pod, word));
        }
        let claims = read.statuses.iter().filter(|(_, _, word)| matches!(word, Word::Claim { .. }));
        let epochs = claims.map(|(offset, ..)| view.epoch(0, i64::try_from(offset + 1).unwrap())).collect();
        Facts {
            is_registered: view.is_registered(id),
            is_enabled: view.is_enabled(id),
            generation: view.generation(id),
            place: view.place(id),
            placed: read.placements.last().map_or(-1, |(at, _)| i64::try_from(*at).unwrap()),
            runs: view.before(id, u64::MAX).cloned().collect(),
            epochs,
        }
    }
}

/// The epoch that a pod gives the claim that it wrote there: base and offset.
pub(super) fn epoch_at(offset: usize) -> u64 {
    BASE + 1 + u64::try_from(offset).unwrap()
}

fn status(id: &str, pod: usize, word: &Word) -> Option<serde_json::Value> {
    let seen = |frame: &Option<u8>| frame.map(|frame| json!({"seq": frame, "captured_at": at(frame)}));
    let mut status = json!({
        "schema": "status/1", "camera": id, "generation": 1, "pod": PODS[pod], "since": at(0),
    });
    let fields = status.as_object_mut().unwrap();
    let mut more = |fields_of: serde_json::Value| fields.extend(fields_of.as_object().unwrap().clone());
    match word {
        Word::Claim { slot, placement } => {
            more(json!({"state": "claimed", "slot": slot, "placement": placement}));
        }
        Word::Status { epoch, placement, state, first, last } => more(json!({
            "state": state, "epoch": epoch, "placement": placement, "first": first.map(at), "last": seen(last),
        })),
        Word::Forget => return None,
    }
    Some(status)
}

/// When a camera showed a frame.
pub(super) fn at(frame: u8) -> Timestamp {
    Timestamp::from_micros(i64::from(frame) * 1_000_000)
}

/// Which frame it was.
pub(super) fn frame_of(at: Timestamp) -> u8 {
    u8::try_from(at.as_micros() / 1_000_000).unwrap()
}
