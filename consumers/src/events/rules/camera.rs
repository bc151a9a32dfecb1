//! What is known of one camera, and what a record adds to it.

use sightline_schema::{
    CameraState, Event, EventType, Gap, Job, SpecRecord, StreamRecord, StreamState, Tick,
};

use super::emit::Emit;
use super::geometry::{cuts, distance_to_border, distance_to_line, is_inside};
use super::link::{WITHIN, link};
use super::models::Models;
use super::names::Names;
use super::spec::{Spec, counts};
use super::track::{Near, Sight, Track};
use super::visit::{Change, Crossing, FAR, SETTLED, Visit};
use crate::codec::{Reader, StateError, Writer};
use crate::partition::{CameraMemory, Place, QUIET, Taken, Time, is_new};
use crate::seen::{FrameView, Seen, SightView};

/// A track that was not seen for longer is over, in milliseconds.
const OVER: i64 = 2000;
/// A camera without results for as long is down, in milliseconds.
const DOWN: i64 = QUIET;
/// A camera that is taken up so soon after reading began may have had an epoch that was not read, in milliseconds: tracks go on
/// for 2 s, and results may be 10 s old when they are written.
const EARLY: i64 = 12_000;
/// Ages travel in tenths of a second.
const AGE_ERROR: i64 = 100;

/// Since when a camera's frames are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TakenUp {
    /// In the middle of an epoch that was running at this time: tracks that are older are not known from their beginning.
    Running(i64),
    /// At the beginning of an epoch, whose predecessor may have gone unread: the first tracks may be older ones.
    Early,
    /// At the beginning of an epoch.
    Whole,
}

/// What is remembered of a camera.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Camera {
    /// The newest seen.
    epoch: u64,
    /// The last frame taken.
    last: Option<Place>,
    taken_up: Option<TakenUp>,
    /// Frames were passed over before it was taken up.
    has_missed: bool,
    /// The time of the first frame taken.
    first: Option<i64>,
    is_down: bool,
    /// When its stream ended, by the timestamp of the record, in milliseconds.
    ended: Option<i64>,
    names: Names,
    /// A spec was read: without one there is nothing to say events by.
    is_known: bool,
    spec: Spec,
    models: Models,
    /// In the order of their first sights.
    tracks: Vec<Track>,
}

impl Camera {
    fn take_spec(&mut self, id: &str, record: &SpecRecord, out: &mut Vec<Event>) {
        self.is_known = true;
        self.models.forget_before(self.oldest_epoch());
        self.models.learn(record.epoch, &record.model);
        let spec = Spec::of(record, &mut self.names);
        if spec == self.spec {
            return;
        }
        let old = std::mem::replace(&mut self.spec, spec);
        let Self { names, models, spec, tracks, .. } = self;
        let mut emit = Emit { camera: id, names, models, spec, out };
        for track in tracks.iter_mut() {
            let visits = std::mem::take(&mut track.visits);
            for zone in old.zones.iter().filter(|zone| spec.zones.iter().all(|now| now.id != zone.id)) {
                let visit = visits.iter().find(|visit| visit.zone == zone.id);
                if let Some(entered) = visit.and_then(|visit| visit.entered) {
                    emit.vanished(track, zone.id, entered);
                }
            }
            track.visits = visits;
            track.visits.retain(|visit| spec.zones.iter().any(|now| now.id == visit.zone));
            let is_as_it_was = |crossing: &Crossing| {
                let line = |spec: &Spec| spec.lines.iter().find(|line| line.id == crossing.line).cloned();
                line(&old).is_some_and(|was| line(spec).is_some_and(|now| now.ends == was.ends))
            };
            track.crossings.retain(is_as_it_was);
        }
    }

    /// `is_early`: its predecessor may have gone unread. `now` is the newest timestamp of the partition.
    fn take_stream(
        &mut self,
        id: &str,
        record: &StreamRecord,
        is_early: bool,
        now: i64,
        out: &mut Vec<Event>,
    ) {
        let at = record.at.as_micros().div_euclid(1000);
        match record.state {
            StreamState::Started | StreamState::Running => {
                if self.is_known {
                    self.taken_up.get_or_insert(match record.state {
                        StreamState::Running => TakenUp::Running(at),
                        // What came before an attempt at a recording goes on in none of its tracks.
                        _ if self.has_missed || (is_early && !Job::is_id(id)) => TakenUp::Early,
                        _ => TakenUp::Whole,
                    });
                }
                self.pass(id, at, out);
            }
            StreamState::Ended if Job::is_id(id) => {
                self.end_all(id, out);
                if let (Some(last), Some(true)) = (self.last, record.complete) {
                    self.emit(id, out).camera(EventType::JobDone, last, None);
                }
            }
            StreamState::Ended => {
                self.ended.get_or_insert(now);
                if record.complete == Some(true) {
                    self.end_all(id, out);
                } else {
                    self.pass(id, at, out);
                }
            }
        }
    }

    fn take_gap(&mut self, id: &str, gap: &Gap, out: &mut Vec<Event>) {
        let Some(before) = gap.before else { return };
        let at = before.captured_at.as_micros().div_euclid(1000);
        self.pass(id, at, out);
        if self.last.is_some_and(|(.., last)| at - last > DOWN) {
            self.go_down(id, None, out);
        }
    }

    fn take_tick(&mut self, id: &str, tick: &Tick, out: &mut Vec<Event>) {
        let at = tick.at.as_micros().div_euclid(1000);
        self.pass(id, at, out);
        let is_dark = self.last.is_some_and(|(.., last)| at - last >= DOWN);
        if is_dark && tick.state != CameraState::Running {
            self.go_down(id, tick.error, out);
        }
    }

    /// Dated at the last frame, once.
    fn go_down(&mut self, id: &str, error: Option<sightline_schema::ErrorCode>, out: &mut Vec<Event>) {
        self.ended = None;
        let Some(last) = self.last else { return };
        // A recording is neither up nor down.
        if !self.is_down && !Job::is_id(id) {
            self.end_all(id, out);
            self.is_down = true;
            self.emit(id, out).camera(EventType::CameraDown, last, error);
        }
    }

    fn take_frame(&mut self, id: &str, frame: &FrameView<'_>, out: &mut Vec<Event>) -> Taken {
        let place = (frame.epoch, frame.seq, frame.at);
        let taken = is_new(self.last, place);
        if taken != Taken::Accepted {
            return taken;
        }
        let Some(taken_up) = self.taken_up else {
            self.has_missed = true;
            return Taken::NotTakenUp;
        };
        self.pass(id, frame.at, out);
        if std::mem::take(&mut self.is_down) {
            self.emit(id, out).camera(EventType::CameraUp, place, None);
        }
        self.last = Some(place);
        let first = *self.first.get_or_insert(frame.at);
        let is_old = |sight: &SightView<'_>| match taken_up {
            TakenUp::Running(since) => frame.at - sight.age - AGE_ERROR <= since,
            TakenUp::Early => frame.at - first <= WITHIN,
            TakenUp::Whole => false,
        };
        let known = self.places(frame);
        for (view, place) in frame.sights.iter().zip(known) {
            self.see(id, frame, view, place, is_old(view), out);
        }
        Taken::Accepted
    }

    /// Which track each sight of a frame is, by place in `tracks`: those known, and those linked.
    fn places(&mut self, frame: &FrameView<'_>) -> Vec<Option<usize>> {
        let known = |view: &SightView<'_>| {
            self.tracks
                .iter()
                .position(|track| track.last.epoch == frame.epoch && track.last.track == view.track)
        };
        let mut places: Vec<_> = frame.sights.iter().map(known).collect();
        let may_link = self.tracks.iter().any(|track| track.last.epoch < frame.epoch);
        if may_link && places.contains(&None) {
            let new: Vec<usize> = (0..places.len()).filter(|&n| places[n].is_none()).collect();
            let sights: Vec<_> =
                new.iter().map(|&n| sight(&mut self.names, frame, &frame.sights[n])).collect();
            for (n, linked) in new.into_iter().zip(link(&self.tracks, &sights)) {
                places[n] = linked;
            }
        }
        places
    }

    fn see(
        &mut self,
        id: &str,
        frame: &FrameView<'_>,
        view: &SightView<'_>,
        place: Option<usize>,
        is_old: bool,
        out: &mut Vec<Event>,
    ) {
        let sight = sight(&mut self.names, frame, view);
        let Self { names, models, spec, tracks, .. } = self;
        let mut emit = Emit { camera: id, names, models, spec, out };
        let anchor = sight.anchor(spec.anchor);
        let (track, before) = match place.and_then(|at| tracks.get_mut(at)) {
            Some(track) => {
                let before = track.see(sight, anchor);
                (track, Some(before))
            }
            None => {
                tracks.push(Track::first(sight, anchor, is_old));
                let Some(track) = tracks.last_mut() else { return };
                emit.started(track);
                (track, None)
            }
        };
        if let Some(before) = before {
            look_at_lines(track, &before, &sight, frame.aspect, &mut emit);
        }
        look_at_zones(track, &sight, frame.aspect, &mut emit);
    }

    /// Time goes on: tracks that were not seen for long are over.
    fn pass(&mut self, id: &str, now: i64, out: &mut Vec<Event>) {
        if self.tracks.iter().any(|track| now - track.last.at > OVER) {
            self.end(id, |track| now - track.last.at > OVER, out);
        }
    }

    fn end_all(&mut self, id: &str, out: &mut Vec<Event>) {
        self.end(id, |_| true, out);
    }

    fn end(&mut self, id: &str, is_over: impl Fn(&Track) -> bool, out: &mut Vec<Event>) {
        let Self { names, models, spec, tracks, .. } = self;
        let mut emit = Emit { camera: id, names, models, spec, out };
        tracks.retain(|track| {
            if !is_over(track) {
                return true;
            }
            for zone in &spec.zones {
                let visit = track.visits.iter().find(|visit| visit.zone == zone.id);
                if let Some(entered) = visit.and_then(|visit| visit.entered) {
                    emit.vanished(track, zone.id, entered);
                }
            }
            emit.ended(track);
            false
        });
    }

    /// The oldest at which an event may still be dated.
    fn oldest_epoch(&self) -> u64 {
        let tracks = self.tracks.iter().map(Track::oldest_epoch);
        tracks.chain(self.last.map(|(epoch, ..)| epoch)).min().unwrap_or(self.epoch)
    }

    fn emit<'a>(&'a self, id: &'a str, out: &'a mut Vec<Event>) -> Emit<'a> {
        Emit { camera: id, names: &self.names, models: &self.models, spec: &self.spec, out }
    }

    fn near(&self) -> Near {
        let (epoch, seq, at) = self.last.unwrap_or_default();
        Near { epoch, seq, at, track: 0 }
    }
}

impl CameraMemory for Camera {
    type Out = Event;

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.ended = None;
    }

    fn take(&mut self, id: &str, record: &Seen<'_>, time: Time, out: &mut Vec<Event>) -> Taken {
        match record {
            Seen::Frame(frame) => return self.take_frame(id, frame, out),
            Seen::Spec(spec) => self.take_spec(id, spec, out),
            Seen::Stream(stream) => {
                let is_early = time.since.is_some_and(|since| time.now - since < EARLY);
                self.take_stream(id, stream, is_early, time.now, out);
            }
            Seen::Gap(gap) => self.take_gap(id, gap, out),
            Seen::Tick(tick) => self.take_tick(id, tick, out),
        }
        Taken::Accepted
    }

    fn ended(&self) -> Option<i64> {
        self.ended
    }

    fn settle(&mut self, id: &str, out: &mut Vec<Event>) {
        self.go_down(id, None, out);
    }

    fn last(&self) -> Option<Place> {
        self.last
    }

    fn state(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.number(self.epoch);
        to.option(self.last, |to, (epoch, seq, at)| {
            to.number(epoch);
            to.number(seq);
            to.signed(at);
        });
        match self.taken_up {
            None => to.number(0),
            Some(TakenUp::Whole) => to.number(1),
            Some(TakenUp::Running(at)) => {
                to.number(2);
                to.signed(at);
            }
            Some(TakenUp::Early) => to.number(3),
        }
        to.flag(self.has_missed);
        to.option(self.first, |to, at| to.signed(at));
        to.flag(self.is_down);
        to.option(self.ended, |to, at| to.signed(at));
        to.flag(self.is_known);
        self.names.write(&mut to);
        self.spec.write(&mut to);
        self.models.write(&mut to);
        let near = self.near();
        to.count(self.tracks.len());
        self.tracks.iter().for_each(|track| track.write(&mut to, &near));
        to.finish()
    }

    fn restore(state: &[u8]) -> Result<Self, StateError> {
        let mut from = Reader::new(state)?;
        let epoch = from.number()?;
        let last = from.option(|from| Ok((from.number()?, from.number()?, from.signed()?)))?;
        let taken_up = match from.number()? {
            0 => None,
            1 => Some(TakenUp::Whole),
            2 => Some(TakenUp::Running(from.signed()?)),
            3 => Some(TakenUp::Early),
            _ => return Err(StateError::Torn),
        };
        let has_missed = from.flag()?;
        let first = from.option(Reader::signed)?;
        let is_down = from.flag()?;
        let ended = from.option(Reader::signed)?;
        let (is_known, names, spec) = (from.flag()?, Names::read(&mut from)?, Spec::read(&mut from)?);
        // States of version 2 knew of none: events have none until the next spec.
        let models = if from.version() < 3 { Models::default() } else { Models::read(&mut from)? };
        let mut camera = Self {
            epoch,
            last,
            taken_up,
            has_missed,
            first,
            is_down,
            ended,
            names,
            is_known,
            spec,
            models,
            tracks: Vec::new(),
        };
        let near = camera.near();
        let count = from.count()?;
        camera.tracks = (0..count).map(|_| Track::read(&mut from, &near)).collect::<Result<_, _>>()?;
        from.end()?;
        Ok(camera)
    }
}

fn sight(names: &mut Names, frame: &FrameView<'_>, view: &SightView<'_>) -> Sight {
    Sight {
        epoch: frame.epoch,
        seq: frame.seq,
        at: frame.at,
        track: view.track,
        class_id: view.class_id,
        label: names.of(&view.label),
        confidence: view.confidence,
        units: view.units,
    }
}

fn look_at_lines(track: &mut Track, before: &Sight, sight: &Sight, aspect: f64, emit: &mut Emit<'_>) {
    let spec = emit.spec;
    let (was, now) = (before.anchor(spec.anchor), sight.anchor(spec.anchor));
    for line in &spec.lines {
        let pending = track.crossings.iter().position(|crossing| crossing.line == line.id);
        if let Some(is_forward) = cuts(line.ends, was, now) {
            let pending = pending.map(|at| track.crossings.swap_remove(at));
            let is_taken_back = pending.as_ref().is_some_and(|first| first.is_forward != is_forward);
            if let Some(first) = pending.filter(|_| !is_taken_back) {
                emit.crossed(track, first.line, first.is_forward, &first.sight);
            }
            if !is_taken_back && counts(&line.classes, sight.label) {
                track.crossings.push(Crossing { line: line.id, is_forward, sight: *sight });
            }
        }
        let Some(at) = track.crossings.iter().position(|crossing| crossing.line == line.id) else { continue };
        let is_settled = sight.at - track.crossings[at].sight.at >= SETTLED;
        if is_settled || distance_to_line(line.ends, now, aspect) >= FAR {
            let crossing = track.crossings.swap_remove(at);
            emit.crossed(track, crossing.line, crossing.is_forward, &crossing.sight);
        }
    }
}

fn look_at_zones(track: &mut Track, sight: &Sight, aspect: f64, emit: &mut Emit<'_>) {
    let spec = emit.spec;
    let now = sight.anchor(spec.anchor);
    for zone in &spec.zones {
        let counts = counts(&zone.classes, sight.label);
        let is_inside = is_inside(&zone.polygon, now);
        let at = track.visits.iter().position(|visit| visit.zone == zone.id);
        let at = match at {
            None if counts && is_inside => {
                track.visits.push(Visit::inside(zone.id, sight));
                emit.changed(track, zone.id, &Change::Entered { sight: *sight, appeared: true });
                track.visits.len() - 1
            }
            None if counts => {
                track.visits.push(Visit::outside(zone.id));
                continue;
            }
            None => continue,
            Some(at) => {
                let is_far = || distance_to_border(&zone.polygon, now, aspect) >= FAR;
                if let Some(change) = track.visits[at].see(*sight, is_inside, counts, is_far) {
                    emit.changed(track, zone.id, &change);
                }
                let visit = &track.visits[at];
                if visit.entered.is_none() && visit.pending.is_none() && !counts {
                    track.visits.swap_remove(at);
                    continue;
                }
                at
            }
        };
        let dwelled = zone.dwell.filter(|_| is_inside).and_then(|dwell| track.visits[at].dwell(sight, dwell));
        if let Some(change) = dwelled {
            emit.changed(track, zone.id, &change);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_before_models_were_kept_is_read() {
        let camera = Camera { epoch: 7, last: Some((7, 1, 2)), first: Some(1), ..Camera::default() };
        let mut state = camera.state();
        assert_eq!((state[0], Camera::restore(&state).as_ref()), (3, Ok(&camera)));
        // Version 2 ended with the tracks, as this one does, and had no models before them: here none of both.
        state[0] = 2;
        assert_eq!(state.pop(), Some(0));
        assert_eq!(Camera::restore(&state), Ok(camera));
    }
}
