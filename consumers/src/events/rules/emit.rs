//! Events, as they are written.

use sightline_schema::{BestSight, Box2d, Direction, ErrorCode, Event, EventType, Point, Timestamp};

use super::models::Models;
use super::names::{Name, Names};
use super::spec::Spec;
use super::track::{Sight, Track};
use super::visit::Change;
use crate::partition::Place;
use crate::seen::{BoxUnits, UNIT};

/// Where events of one camera go, with what all of them bear.
pub(super) struct Emit<'a> {
    pub(super) camera: &'a str,
    pub(super) names: &'a Names,
    pub(super) models: &'a Models,
    pub(super) spec: &'a Spec,
    pub(super) out: &'a mut Vec<Event>,
}

impl Emit<'_> {
    pub(super) fn started(&mut self, track: &Track) {
        self.of_track(track, EventType::TrackStarted, &track.last, None, |_| {});
    }

    pub(super) fn ended(&mut self, track: &Track) {
        let best = &track.best;
        let best = BestSight {
            epoch: best.epoch,
            seq: best.seq,
            at: time(best.at),
            confidence: confidence(best),
            box2d: box2d(best.units),
        };
        let path = track.path().map(|[x, y]| Point { x, y }).collect();
        self.of_track(track, EventType::TrackEnded, &track.last, None, |event| {
            event.first_seen = Some(time(track.first_seen));
            event.last_seen = Some(time(track.last.at));
            event.path = path;
            event.best = Some(best);
        });
    }

    pub(super) fn crossed(&mut self, track: &Track, line: Name, is_forward: bool, sight: &Sight) {
        let id = self.names.text(line).to_owned();
        self.of_track(track, EventType::LineCrossed, sight, Some(line), |event| {
            event.line = Some(id);
            event.direction = Some(if is_forward { Direction::Forward } else { Direction::Backward });
        });
    }

    pub(super) fn changed(&mut self, track: &Track, zone: Name, change: &Change) {
        let id = self.names.text(zone).to_owned();
        let (kind, sight, after, appeared) = match change {
            Change::Entered { sight, appeared } => (EventType::ZoneEntered, sight, None, *appeared),
            Change::Left { sight, after } => (EventType::ZoneLeft, sight, Some(*after), false),
            Change::Dwelled { after } => (EventType::Dwelled, &track.last, Some(*after), false),
        };
        self.of_track(track, kind, sight, Some(zone), |event| {
            event.zone = Some(id);
            event.duration_s = after.map(seconds);
            event.appeared = appeared;
        });
    }

    /// It was inside when it was last seen, or the zone is gone.
    pub(super) fn vanished(&mut self, track: &Track, zone: Name, entered: i64) {
        let id = self.names.text(zone).to_owned();
        self.of_track(track, EventType::ZoneLeft, &track.last, Some(zone), |event| {
            event.zone = Some(id);
            event.duration_s = Some(seconds(track.last.at - entered));
            event.vanished = true;
        });
    }

    pub(super) fn camera(&mut self, kind: EventType, (epoch, seq, at): Place, error: Option<ErrorCode>) {
        let id = format!("{}/{epoch}/{seq}/{kind}", self.camera);
        let event = Event { error, ..self.bare(id, kind, (epoch, seq, at)) };
        self.out.push(event);
    }

    fn of_track(
        &mut self,
        track: &Track,
        kind: EventType,
        sight: &Sight,
        about: Option<Name>,
        rest: impl FnOnce(&mut Event),
    ) {
        if track.muted {
            return;
        }
        let camera = self.camera;
        let mut name = format!("{camera}/{}/{}/{}/{kind}", sight.epoch, sight.seq, sight.track);
        if let Some(about) = about {
            name.push('/');
            name.push_str(self.names.text(about));
        }
        let mut event = self.bare(name, kind, (sight.epoch, sight.seq, sight.at));
        event.track_key = Some(format!("{camera}/{}/{}", track.key.0, track.key.1));
        event.class_id = Some(sight.class_id);
        event.label = Some(self.names.text(sight.label).to_owned());
        event.confidence = Some(confidence(sight));
        event.box2d = Some(box2d(sight.units));
        rest(&mut event);
        self.out.push(event);
    }

    fn bare(&self, id: String, kind: EventType, (epoch, seq, at): Place) -> Event {
        Event {
            id,
            kind,
            camera: self.camera.to_owned(),
            epoch,
            seq,
            generation: self.spec.generation,
            at: time(at),
            track_key: None,
            class_id: None,
            label: None,
            confidence: None,
            line: None,
            direction: None,
            zone: None,
            duration_s: None,
            appeared: false,
            vanished: false,
            box2d: None,
            first_seen: None,
            last_seen: None,
            path: Vec::new(),
            best: None,
            error: None,
            model: self.models.of(epoch).cloned(),
            labels: self.spec.labels.clone(),
            snapshot: None,
        }
    }
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}

fn confidence(sight: &Sight) -> f32 {
    f32::from(sight.confidence) / 1e4
}

fn box2d(units: BoxUnits) -> Box2d {
    let [x_min, y_min, x_max, y_max] = units.map(|units| (f64::from(units) / UNIT) as f32);
    Box2d { x_min, y_min, x_max, y_max }
}
