//! What is known of one partition of `detections`: its cameras, by whatever rules, and its own time.

use std::collections::{BTreeSet, HashMap};

use sightline_schema::{Job, Timestamp};

use crate::checkpoint::Kept;
use crate::codec::{Reader, StateError, Writer};
use crate::seen::Seen;

/// Under what the partition's own state is kept. No camera has such an id.
pub const PARTITION: &str = "_partition";

/// A stream that ended, and was not followed by another for so long by the partition's time, has come to its end, in
/// milliseconds.
pub(crate) const QUIET: i64 = 10_000;

/// A camera that was not heard of for so long by the partition's time is forgotten, in milliseconds: seven days. Its records are
/// gone from the topic long before, so that no older epoch of it can come.
const FORGOTTEN: i64 = 7 * 24 * 60 * 60 * 1000;

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

/// The time of a partition: that of its records, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Time {
    /// When reading began; `None` where it began at the log's own beginning, or has not yet.
    pub since: Option<i64>,
    /// The newest.
    pub now: i64,
}

/// Epoch, seq and time of a frame, in milliseconds.
pub type Place = (u64, u64, i64);

/// Whether a frame is new, by the reader's rules, to who took `last` before.
pub(crate) fn is_new(last: Option<Place>, frame: Place) -> Taken {
    match last {
        Some((epoch, seq, _)) if epoch == frame.0 && frame.1 <= seq => Taken::Repeat,
        Some((.., at)) if frame.2 <= at => Taken::Backwards,
        _ => Taken::Accepted,
    }
}

/// What is known of one camera, by some rules. Pure: the same records give the same.
pub trait CameraMemory: Default {
    /// What comes of records.
    type Out;

    /// The newest epoch seen.
    fn epoch(&self) -> u64;

    /// A record of a newer epoch than any before follows.
    fn begin(&mut self, epoch: u64);

    /// Takes one record of its newest epoch.
    fn take(&mut self, id: &str, record: &Seen<'_>, time: Time, out: &mut Vec<Self::Out>) -> Taken;

    /// When its stream ended, by the timestamp of the record that said so.
    fn ended(&self) -> Option<i64>;

    /// Its stream ended [`QUIET`] ago, and nothing followed.
    fn settle(&mut self, id: &str, out: &mut Vec<Self::Out>);

    /// The last frame taken.
    fn last(&self) -> Option<Place>;

    fn state(&self) -> Vec<u8>;

    fn restore(state: &[u8]) -> Result<Self, StateError>;
}

impl<C: CameraMemory> Default for PartitionState<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// All cameras of a partition, and the partition's own time.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionState<C> {
    begun: bool,
    time: Time,
    /// As it was when changes were asked for last: a record that is late tells it too, and changes no camera.
    kept: Time,
    cameras: HashMap<String, Held<C>>,
    /// Cameras whose stream ended, and when that is settled.
    ending: BTreeSet<(i64, String)>,
    changed: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Held<C> {
    camera: C,
    /// The partition's time at its last record that was not late.
    heard: i64,
}

impl<C: CameraMemory> PartitionState<C> {
    /// Before the first record.
    pub fn new() -> Self {
        let (begun, time) = (false, Time::default());
        Self {
            begun,
            time,
            kept: time,
            cameras: HashMap::new(),
            ending: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Takes one record in; what comes of it goes to `out`. `offset` is where it lies, `timestamp` what Kafka says of it, in
    /// milliseconds.
    pub fn take(&mut self, record: &Seen<'_>, offset: i64, timestamp: i64, out: &mut Vec<C::Out>) -> Taken {
        if !self.begun {
            self.begun = true;
            self.time.since = (offset > 0).then_some(timestamp);
        }
        self.time.now = self.time.now.max(timestamp);
        let taken = self.take_one(record, out);
        self.settle_what_ended(out);
        taken
    }

    fn take_one(&mut self, record: &Seen<'_>, out: &mut Vec<C::Out>) -> Taken {
        let (id, now) = (record.camera(), self.time.now);
        if !self.cameras.contains_key(id) {
            self.cameras.insert(id.to_owned(), Held { camera: C::default(), heard: now });
        }
        let Some(Held { camera, heard }) = self.cameras.get_mut(id) else { return Taken::NotTakenUp };
        if is_forgotten(*heard, now) {
            if let Some(at) = camera.ended() {
                self.ending.remove(&(at + QUIET, id.to_owned()));
                camera.settle(id, out);
            }
            *camera = C::default();
        }
        if record.epoch() < camera.epoch() {
            return Taken::Late;
        }
        *heard = now;
        if !self.changed.contains(id) {
            self.changed.insert(id.to_owned());
        }
        let ended = camera.ended();
        if record.epoch() > camera.epoch() {
            // An attempt at a recording begins where the one before it began: what that one left is of no use to it.
            if Job::is_id(id) {
                *camera = C::default();
            }
            camera.begin(record.epoch());
        }
        let taken = camera.take(id, record, self.time, out);
        let now_ended = camera.ended();
        if now_ended != ended {
            if let Some(at) = ended {
                self.ending.remove(&(at + QUIET, id.to_owned()));
            }
            if let Some(at) = now_ended {
                self.ending.insert((at + QUIET, id.to_owned()));
            }
        }
        taken
    }

    fn settle_what_ended(&mut self, out: &mut Vec<C::Out>) {
        while self.ending.first().is_some_and(|(due, _)| *due <= self.time.now) {
            let Some((_, id)) = self.ending.pop_first() else { return };
            if let Some(held) = self.cameras.get_mut(&id) {
                held.camera.settle(&id, out);
                self.changed.insert(id);
            }
        }
    }

    /// What changed since this was asked last, to be kept: cameras, and the partition's own under [`PARTITION`]. `None` is of one that
    /// is forgotten.
    pub fn changes(&mut self) -> Vec<(String, Option<Kept>)> {
        let now = self.time.now;
        let mut changes: Vec<_> = self
            .cameras
            .extract_if(|_, held| is_forgotten(held.heard, now))
            .map(|(id, _)| (id, None))
            .collect();
        for id in std::mem::take(&mut self.changed) {
            let Some(Held { camera, heard }) = self.cameras.get(&id) else { continue };
            let kept = Kept {
                epoch: camera.epoch(),
                captured_at: camera.last().map(|(.., at)| Timestamp::from_micros(at * 1000)),
                heard_at: Some(Timestamp::from_micros(heard * 1000)),
                state: camera.state(),
            };
            changes.push((id, Some(kept)));
        }
        if !changes.is_empty() || self.kept != self.time {
            self.kept = self.time;
            let mut to = Writer::new();
            to.option(self.time.since, |to, at| to.signed(at));
            to.signed(now);
            let kept = Kept { epoch: 0, captured_at: None, heard_at: None, state: to.finish() };
            changes.push((PARTITION.to_owned(), Some(kept)));
        }
        changes
    }

    /// The other way, before the first record.
    pub fn restore(&mut self, id: &str, kept: &Kept) -> Result<(), StateError> {
        self.begun = true;
        if id == PARTITION {
            let mut from = Reader::new(&kept.state)?;
            self.time.since = from.option(Reader::signed)?;
            self.time.now = from.signed()?;
            self.kept = self.time;
            return from.end();
        }
        let camera = C::restore(&kept.state)?;
        if let Some(at) = camera.ended() {
            self.ending.insert((at + QUIET, id.to_owned()));
        }
        // What was written before this was: it is heard of again, or stays.
        let heard = kept.heard_at.map_or(i64::MAX, |at| at.as_micros().div_euclid(1000));
        self.cameras.insert(id.to_owned(), Held { camera, heard });
        Ok(())
    }

    /// How many cameras it knows.
    pub fn cameras(&self) -> usize {
        self.cameras.len()
    }
}

const fn is_forgotten(heard: i64, now: i64) -> bool {
    now.saturating_sub(heard) > FORGOTTEN
}
