//! What is known of one partition of `detections`.

use std::collections::{BTreeSet, HashMap};

use sightline_schema::Event;

use super::camera::{Camera, DOWN};
use super::codec::{Reader, StateError, Writer};
use super::frame::Seen;
use crate::checkpoint::Kept;

/// Under what the partition's own state is kept. No camera has such an id.
pub const PARTITION: &str = "_partition";

/// A camera that is taken up so soon after reading began may have had an epoch that was not read, in milliseconds: tracks go on
/// for 2 s, and results may be 10 s old when they are written.
const EARLY: i64 = 12_000;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Accepted,
    /// Of an epoch below the newest.
    Late,
    Repeat,
    Backwards,
    NotTakenUp,
}

/// All cameras of a partition, and the partition's own time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionState {
    /// When reading began, by the first record's timestamp; `None` where it began at the log's own beginning, or has not yet.
    since: Option<i64>,
    begun: bool,
    /// The newest timestamp.
    now: i64,
    cameras: HashMap<String, Camera>,
    /// Cameras whose stream ended, and when they are down.
    ending: BTreeSet<(i64, String)>,
    changed: BTreeSet<String>,
}

impl PartitionState {
    /// Takes one record in; its events go to `out`. `offset` is where it lies, `timestamp` what Kafka says of it, in
    /// milliseconds.
    pub fn take(&mut self, record: &Seen<'_>, offset: i64, timestamp: i64, out: &mut Vec<Event>) -> Taken {
        if !self.begun {
            self.begun = true;
            self.since = (offset > 0).then_some(timestamp);
        }
        self.now = self.now.max(timestamp);
        let taken = self.take_one(record, out);
        self.end_what_ended(out);
        taken
    }

    fn take_one(&mut self, record: &Seen<'_>, out: &mut Vec<Event>) -> Taken {
        let id = record.camera();
        if !self.cameras.contains_key(id) {
            self.cameras.insert(id.to_owned(), Camera::default());
        }
        let Some(camera) = self.cameras.get_mut(id) else { return Taken::NotTakenUp };
        if record.epoch() < camera.epoch {
            return Taken::Late;
        }
        if !self.changed.contains(id) {
            self.changed.insert(id.to_owned());
        }
        let ended = camera.ended;
        if record.epoch() > camera.epoch {
            camera.begin(record.epoch());
        }
        let taken = match record {
            Seen::Frame(frame) => camera.take_frame(id, frame, out),
            Seen::Spec(spec) => {
                camera.take_spec(id, spec, out);
                Taken::Accepted
            }
            Seen::Stream(stream) => {
                let is_early = self.since.is_some_and(|since| self.now - since < EARLY);
                camera.take_stream(id, stream, is_early, self.now, out);
                Taken::Accepted
            }
            Seen::Gap(gap) => {
                camera.take_gap(id, gap, out);
                Taken::Accepted
            }
            Seen::Tick(tick) => {
                camera.take_tick(id, tick, out);
                Taken::Accepted
            }
        };
        if camera.ended != ended {
            if let Some(at) = ended {
                self.ending.remove(&(at + DOWN, id.to_owned()));
            }
            if let Some(at) = camera.ended {
                self.ending.insert((at + DOWN, id.to_owned()));
            }
        }
        taken
    }

    fn end_what_ended(&mut self, out: &mut Vec<Event>) {
        while self.ending.first().is_some_and(|(due, _)| *due <= self.now) {
            let Some((_, id)) = self.ending.pop_first() else { return };
            if let Some(camera) = self.cameras.get_mut(&id) {
                camera.go_down(&id, None, out);
                self.changed.insert(id);
            }
        }
    }

    /// What changed since this was asked last, to be kept: cameras, and the partition's own under [`PARTITION`].
    pub fn changes(&mut self) -> Vec<(String, Kept)> {
        let mut changes = Vec::with_capacity(self.changed.len() + 1);
        for id in std::mem::take(&mut self.changed) {
            let Some(camera) = self.cameras.get(&id) else { continue };
            let captured_at = camera.last.map(|(.., at)| sightline_schema::Timestamp::from_micros(at * 1000));
            let kept = Kept { epoch: camera.epoch, captured_at, state: camera.state() };
            changes.push((id, kept));
        }
        if !changes.is_empty() {
            let mut to = Writer::new();
            to.option(self.since, |to, at| to.signed(at));
            to.signed(self.now);
            changes.push((PARTITION.to_owned(), Kept { epoch: 0, captured_at: None, state: to.finish() }));
        }
        changes
    }

    /// The other way, before the first record.
    pub fn restore(&mut self, id: &str, state: &[u8]) -> Result<(), StateError> {
        self.begun = true;
        if id == PARTITION {
            let mut from = Reader::new(state)?;
            self.since = from.option(Reader::signed)?;
            self.now = from.signed()?;
            return from.end();
        }
        let camera = Camera::restore(state)?;
        if let Some(at) = camera.ended {
            self.ending.insert((at + DOWN, id.to_owned()));
        }
        self.cameras.insert(id.to_owned(), camera);
        Ok(())
    }

    /// How many cameras it knows.
    pub fn cameras(&self) -> usize {
        self.cameras.len()
    }
}
