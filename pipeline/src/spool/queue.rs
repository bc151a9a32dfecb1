//! The one order of records between lanes and Kafka: what is sent next, what is written next, what has arrived.
//!
//! Pure but for the log it is given: no thread, no clock, no Kafka. A record is *accepted*, *handed* to Kafka's client,
//! *passed* by the log's writer (written, or not worth it), and has *arrived* when Kafka acknowledged it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::{Gap, GapReason, Timestamp};

use super::continuity::{self, Continuity};
use super::entry::{Due, Entry, Full, Given, Limits, Load, Outgoing, Place, Refusal, Reported, Step, Traced};
use super::log::{Item, Log};
use super::record::{FrameAt, Header, Kind};

/// What is not acknowledged for this long goes to disk.
const PATIENCE: Duration = Duration::from_secs(1);
/// Written or read at one go.
const BATCH: usize = 1 << 20;
/// Records that are as large as one that Kafka refused are not tried for this long.
const TOO_LARGE_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    window_limits: Limits,
    spooled: bool,
    /// Accepted and not both passed and arrived; without those that are on disk alone.
    entries: BTreeMap<Place, Entry>,
    /// The number of the next record accepted.
    newest: u64,
    next: Place,
    /// Records below this were handed or loaded at some time.
    taken_to: u64,
    /// Records below this were passed.
    passed_to: u64,
    /// Records below this are an earlier process's.
    replayed_to: u64,
    /// Held in memory alone.
    unwritten: Load,
    window: Load,
    /// Records on disk that arrived since the log heard of it.
    arrived: Vec<u64>,
    continuity: Continuity,
    /// Cameras of which this client has a record under way, and none acknowledged yet (false), or one acknowledged. A
    /// broker that does not know a client takes its first batch whatever number it has: were a camera's first one refused,
    /// its second could be taken, and stand before what has to be sent again.
    known: BTreeMap<Arc<str>, bool>,
    /// Up to here records are sent one by one, to find the one that is refused.
    careful_to: u64,
    /// The record under way was sent alone; none joins it.
    is_alone: bool,
    too_large: Option<(usize, Instant)>,
    given_up: u64,
}

impl Queue {
    /// `next` is the first number to give; below it lies what a log holds from before.
    pub(super) fn new(limits: Limits, window_limits: Limits, log: Option<&Log>) -> Self {
        let next = log.map_or(1, Log::next);
        let start = log.and_then(Log::first).unwrap_or(next);
        Self {
            limits,
            window_limits,
            spooled: log.is_some(),
            entries: BTreeMap::new(),
            newest: next,
            next: Place::start(start),
            taken_to: start,
            passed_to: next,
            replayed_to: next,
            unwritten: Load::default(),
            window: Load::default(),
            arrived: Vec::new(),
            known: BTreeMap::new(),
            continuity: Continuity::default(),
            careful_to: 0,
            is_alone: false,
            too_large: None,
            given_up: 0,
        }
    }

    /// Takes a record, if there is room, or if it is let through.
    pub(super) fn accept(
        &mut self,
        given: Given,
        now: Instant,
        wall: Timestamp,
        let_through: bool,
    ) -> Result<(), Full> {
        let bytes = given.payload.len();
        if !let_through && !self.unwritten.has_room(bytes, self.limits) {
            return Err(Full);
        }
        self.unwritten.add(bytes);
        let Given { kind, camera, epoch, frame, payload, live } = given;
        let header = Header { number: self.newest, accepted_at: wall, kind, camera, epoch, frame };
        let entry = Entry {
            header,
            payload: Some(payload),
            bytes,
            accepted: now,
            live,
            handed: false,
            arrived: false,
            passed: false,
            held: false,
            alone: false,
            only_here: false,
            checked: None,
        };
        self.entries.insert(Place::of_record(self.newest), entry);
        self.newest += 1;
        Ok(())
    }

    /// The writer should not wait for records to grow old.
    pub(super) fn is_pressed(&self) -> bool {
        self.unwritten.bytes > self.limits.bytes / 2 || self.unwritten.records > self.limits.records / 2
    }

    /// There is hardly room for another record.
    pub(super) fn is_full(&self) -> bool {
        let Load { bytes, records } = self.unwritten;
        records >= self.limits.records || bytes >= self.limits.bytes - self.limits.bytes / 8
    }

    /// Everything accepted has arrived.
    pub(super) fn is_settled(&self) -> bool {
        self.taken_to == self.newest && self.entries.values().all(|entry| entry.arrived)
    }

    /// The number of the next record accepted.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether what a camera gave before the record of this number has arrived.
    pub(super) fn has_arrived(&self, camera: &str, to: u64) -> bool {
        let mut before = self.entries.range(..Place::start(to)).map(|(_, entry)| entry);
        // Of those on disk alone nobody knows whose they are.
        self.taken_to >= to.min(self.passed_to)
            && before.all(|entry| entry.arrived || &*entry.header.camera != camera)
    }

    /// How many records have not arrived. Of those on disk alone, those that an earlier process saw arrive count, too.
    pub(super) fn left(&self) -> u64 {
        let waiting = self.entries.iter().filter(|(place, entry)| place.is_record() && !entry.arrived);
        let tail = self.passed_to.saturating_sub(self.taken_to);
        waiting.count() as u64 + tail
    }

    /// How many were given up since this was asked last.
    pub(super) fn take_given_up(&mut self) -> u64 {
        std::mem::take(&mut self.given_up)
    }

    /// How many of them are in memory alone.
    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.records as u64
    }

    /// What to do next. Ask again after each step.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        loop {
            if self.window.records > 0 && (self.is_alone || self.next.number < self.careful_to) {
                return Step::Wait;
            }
            let number = self.next.number;
            let first = self.entries.range(self.next..).next().map(|(place, _)| *place);
            let Some(place) = first.filter(|first| first.number == number) else {
                if number < self.taken_to {
                    let to = Place::start(self.taken_to);
                    self.next = first.map_or(to, |first| first.min(to));
                    continue;
                }
                return if number < self.passed_to { Step::Load } else { Step::Wait };
            };
            let Some(entry) = self.entries.get(&place) else { return Step::Wait };
            if entry.arrived || entry.handed {
                self.next = place.next();
                continue;
            }
            if !self.window.has_room(entry.bytes, self.window_limits) {
                return Step::Wait;
            }
            if entry.checked.is_none() {
                self.check(place);
                continue;
            }
            if self.known.get(&entry.header.camera) == Some(&false) {
                return Step::Wait;
            }
            let Some(payload) = entry.payload.clone() else { return Step::Reload };
            let as_large = |(bytes, until): (usize, Instant)| entry.bytes >= bytes && now < until;
            if entry.header.kind != Kind::Gap && self.too_large.is_some_and(as_large) {
                self.give_up(place, GapReason::Refused);
                continue;
            }
            return Step::Send(Outgoing {
                place,
                kind: entry.header.kind,
                camera: entry.header.camera.clone(),
                payload,
                replayed: number < self.replayed_to,
                traced: Traced::of(&entry.header),
            });
        }
    }

    /// Looks, once, what is missing before a record that is in memory, and puts a gap there.
    fn check(&mut self, place: Place) {
        let Some(entry) = self.entries.get_mut(&place) else { return };
        let (before, gap) = self.continuity.pass(&entry.header);
        entry.checked = Some(before);
        // From here on it is not read from disk as if it were new.
        self.taken_to = self.taken_to.max(place.number + 1);
        if let Some(gap) = gap {
            let accepted = entry.accepted;
            self.insert_gap(place.number, 0, &gap, accepted, false);
            self.next = Place::start(place.number);
        }
    }

    fn insert_gap(&mut self, number: u64, part: u32, gap: &Gap, accepted: Instant, held: bool) {
        let Ok(payload) = serde_json::to_vec(gap) else { return };
        let header = Header {
            number,
            accepted_at: Timestamp::from_micros(0),
            kind: Kind::Gap,
            camera: gap.camera.as_str().into(),
            epoch: gap.epoch,
            frame: None,
        };
        let entry = Entry {
            header,
            bytes: payload.len(),
            payload: Some(payload.into()),
            accepted,
            live: false,
            handed: false,
            arrived: false,
            passed: true,
            held,
            alone: false,
            only_here: true,
            checked: Some(None),
        };
        self.entries.insert(Place { number, part }, entry);
    }

    /// The record of a `Step::Send` is given to Kafka's client now.
    pub(super) fn handed(&mut self, place: Place) {
        let Some(entry) = self.entries.get_mut(&place) else { return };
        entry.handed = true;
        self.known.entry(entry.header.camera.clone()).or_insert(false);
        entry.alone = self.window.records == 0 && place.number < self.careful_to;
        self.is_alone = entry.alone;
        self.window.add(entry.bytes);
        if entry.passed && !entry.only_here {
            entry.payload = None;
        }
        self.next = place.next();
        if place.is_record() {
            self.taken_to = self.taken_to.max(place.number + 1);
        }
    }

    /// Kafka's client did not take it: it is the next again.
    pub(super) fn taken_back(&mut self, outgoing: Outgoing) {
        let Some(entry) = self.entries.get_mut(&outgoing.place) else { return };
        if std::mem::take(&mut entry.handed) {
            self.window.remove(entry.bytes);
            if self.known.get(&entry.header.camera) == Some(&false) {
                self.known.remove(&entry.header.camera);
            }
            entry.payload.get_or_insert(outgoing.payload);
            self.next = self.next.min(outgoing.place);
        }
    }

    /// What Kafka said of a record that was handed.
    pub(super) fn reported(&mut self, place: Place, outcome: Result<(), Refusal>, now: Instant) -> Reported {
        let Some(entry) = self.entries.get_mut(&place).filter(|entry| entry.handed) else {
            return Reported::default();
        };
        entry.handed = false;
        self.window.remove(entry.bytes);
        if outcome.is_ok() {
            self.known.insert(entry.header.camera.clone(), true);
        } else if self.known.get(&entry.header.camera) == Some(&false) {
            self.known.remove(&entry.header.camera);
        }
        let mut reported = Reported { known: true, ..Reported::default() };
        match outcome {
            Ok(()) => {
                let frame = entry.header.frame.filter(|_| entry.live);
                reported.captured_at = frame.map(|frame| frame.captured_at);
                self.arrive(place);
            }
            Err(Refusal::ForGood) => reported.given_up = true,
            Err(refusal @ (Refusal::OfRecord | Refusal::TooLarge)) if entry.alone => {
                if refusal == Refusal::TooLarge {
                    self.too_large = Some((entry.bytes, now + TOO_LARGE_FOR));
                }
                reported.given_up = true;
            }
            // Which one of those that were sent together it is shows when each is sent alone.
            Err(Refusal::OfRecord | Refusal::TooLarge) => {
                self.careful_to = self.careful_to.max(self.taken_to);
            }
            Err(Refusal::Passing) => {}
        }
        if reported.given_up {
            self.next = self.next.min(place);
            self.give_up(place, GapReason::Refused);
        }
        reported
    }

    fn arrive(&mut self, place: Place) {
        let Some(entry) = self.entries.get_mut(&place) else { return };
        entry.arrived = true;
        let payload = entry.payload.take();
        if !entry.passed {
            if payload.is_some() {
                self.unwritten.remove(entry.bytes);
            }
            if self.spooled {
                // The writer goes past it yet.
                return;
            }
        }
        if entry.held {
            self.arrived.push(place.number);
        }
        self.entries.remove(&place);
    }

    /// A record that will never arrive: what it was goes into a gap in its place. A gap, or what is no frame, just goes.
    fn give_up(&mut self, place: Place, reason: GapReason) {
        let Some(entry) = self.entries.get_mut(&place) else { return };
        let is_gap = entry.header.kind == Kind::Gap;
        self.given_up += 1;
        let gap = entry.header.frame.filter(|_| !is_gap).map(|frame| {
            let after = entry.checked.flatten();
            let frames = frame.skipped.saturating_add(1);
            continuity::gap(&entry.header.camera, entry.header.epoch, after, None, Some(frames), reason)
        });
        let Some(Ok(payload)) = gap.map(|gap| serde_json::to_vec(&gap)) else {
            return self.arrive(place);
        };
        if !entry.passed && entry.payload.is_some() {
            self.unwritten.remove(entry.bytes);
            self.unwritten.add(payload.len());
        }
        entry.bytes = payload.len();
        entry.payload = Some(payload.into());
        entry.header.kind = Kind::Gap;
        entry.only_here = entry.passed;
        entry.live = false;
    }

    /// A new client: everything that has not arrived goes out once more, in order. Nothing is handed any more.
    pub(super) fn rewind(&mut self, log: Option<&mut Log>) {
        for entry in self.entries.values_mut() {
            entry.handed = false;
        }
        self.window = Load::default();
        self.known.clear();
        let first = self.entries.iter().find(|(_, entry)| !entry.arrived).map(|(place, _)| *place);
        self.next = first.map_or(self.next, |first| self.next.min(first));
        if let Some(log) = log {
            log.rewind();
        }
    }

    /// Takes in what lies on disk alone.
    pub(super) fn load(&mut self, log: &mut Log, now: Instant) {
        log.taken(self.taken_to);
        let (items, to) = log.read_tail(BATCH);
        let mut part = BTreeMap::<u64, u32>::new();
        for (at, item) in items.iter().enumerate() {
            match item {
                Item::Damaged => self.continuity.damaged(),
                Item::Arrived(header) => {
                    // It arrived: what is missing before it was told then.
                    let _ = self.continuity.pass(header);
                }
                Item::Directory(number, directory) => {
                    let first = |camera: &str, epoch| first_frame(&items[at..], camera, epoch);
                    for gap in self.continuity.directory(directory, first) {
                        let part = part.entry(*number).or_default();
                        self.insert_gap(*number, *part, &gap, now, true);
                        *part += 1;
                        log.hold(*number);
                    }
                }
                Item::Message(header, payload) => {
                    let number = header.number;
                    let (before, gap) = self.continuity.pass(header);
                    if let Some(gap) = gap {
                        let part = part.entry(number).or_default();
                        self.insert_gap(number, *part, &gap, now, true);
                        *part += 1;
                        log.hold(number);
                    }
                    let entry = Entry {
                        header: header.clone(),
                        payload: Some(payload.clone()),
                        bytes: payload.len(),
                        accepted: now,
                        live: false,
                        handed: false,
                        arrived: false,
                        passed: true,
                        held: true,
                        alone: false,
                        only_here: false,
                        checked: Some(before),
                    };
                    self.entries.insert(Place::of_record(number), entry);
                }
            }
        }
        // Without progress the rest is lost; what follows shows how much that is.
        let to = if to > self.next.number { to } else { self.passed_to };
        self.taken_to = self.taken_to.max(to.min(self.passed_to));
    }

    /// Takes in once more what was handed, was written, and has to be sent again.
    pub(super) fn reload(&mut self, log: &mut Log) {
        let wanted = |entry: &Entry| entry.payload.is_none() && !entry.arrived && !entry.handed;
        let from = self.next.number;
        let is_wanted = |number| self.entries.get(&Place::of_record(number)).is_some_and(wanted);
        let (items, is_all) = log.read_again(from, BATCH, is_wanted);
        for item in items {
            if let Item::Message(header, payload) = item
                && let Some(entry) = self.entries.get_mut(&Place::of_record(header.number))
            {
                entry.payload = Some(payload);
            }
        }
        if is_all {
            log.rewind();
            let lost: Vec<_> = self
                .entries
                .range(self.next..)
                .filter(|(_, entry)| wanted(entry))
                .map(|(place, _)| *place)
                .collect();
            for place in lost {
                self.give_up(place, GapReason::Corrupt);
            }
        }
    }

    /// What the writer should write now, in this order; without a payload what has arrived. `all` leaves nothing in
    /// memory alone.
    pub(super) fn due(&self, now: Instant, all: bool) -> Vec<Due> {
        let urgent = all || self.is_pressed();
        let (mut due, mut size) = (Vec::new(), 0);
        for (place, entry) in self.entries.range(Place::start(self.passed_to)..) {
            let is_due = urgent || now.saturating_duration_since(entry.accepted) >= PATIENCE;
            if size >= BATCH || !entry.arrived && !is_due {
                break;
            }
            if place.is_record() {
                size += entry.bytes;
                let payload = entry.payload.clone().filter(|_| !entry.arrived);
                due.push(Due { header: entry.header.clone(), payload });
            }
        }
        due
    }

    /// This was appended to the log.
    pub(super) fn wrote(&mut self, log: &mut Log, written: &[Due]) {
        for due in written {
            let place = Place::of_record(due.header.number);
            self.passed_to = self.passed_to.max(place.number + 1);
            let Some(entry) = self.entries.get_mut(&place) else { continue };
            entry.passed = true;
            if entry.arrived {
                self.entries.remove(&place);
                continue;
            }
            self.unwritten.remove(entry.bytes);
            if place.number >= self.taken_to {
                self.entries.remove(&place);
                continue;
            }
            log.hold(place.number);
            entry.held = true;
            // Given up while it was written: the disk holds what it was before.
            entry.only_here = entry.header.kind != due.header.kind;
            if entry.handed && !entry.only_here {
                entry.payload = None;
            }
        }
        self.settle(log);
    }

    /// Tells the log what was taken and what has arrived, and lets it remove what is done.
    pub(super) fn settle(&mut self, log: &mut Log) {
        for number in self.arrived.drain(..) {
            log.arrived(number);
        }
        log.taken(self.taken_to);
        log.tidy();
    }
}

fn first_frame(items: &[Item], camera: &str, epoch: u64) -> Option<FrameAt> {
    items.iter().find_map(|item| match item {
        Item::Message(header, _) if &*header.camera == camera && header.epoch == epoch => header.frame,
        _ => None,
    })
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
