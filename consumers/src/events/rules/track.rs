//! One object, as it was seen.

use sightline_schema::Anchor;

use super::geometry::P;
use super::names::Name;
use super::visit::{Crossing, Visit};
use crate::codec::{Reader, StateError, Writer};
use crate::seen::BoxUnits;

/// Points of a path.
const POINTS: usize = 8;
/// Half of a velocity's weight goes to what is older than this, in milliseconds.
const MEMORY: i64 = 500;
/// A [`UNIT`](crate::seen::UNIT) in ten-millionths of the frame: what a velocity moves something by in a millisecond.
const FINE: i64 = 100;

/// A track in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sight {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// Its id in this epoch.
    pub(super) track: u64,
    pub(super) class_id: u32,
    pub(super) label: Name,
    pub(super) confidence: u16,
    pub(super) units: BoxUnits,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track {
    /// Of its first epoch: what it is called for ever.
    pub(super) key: (u64, u64),
    /// It was there before its camera was taken up: it gives no events.
    pub(super) muted: bool,
    pub(super) first_seen: i64,
    pub(super) last: Sight,
    pub(super) best: Sight,
    /// Of the box's middle, in 1/10,000 of the frame a second: ten-millionths a millisecond.
    pub(super) velocity: [i32; 2],
    path: Path,
    pub(super) visits: Vec<Visit>,
    pub(super) crossings: Vec<Crossing>,
}

/// Points spread evenly over a track's sights: when there are too many, every other one goes.
#[derive(Clone, Debug, PartialEq)]
struct Path {
    stride: u64,
    sights: u64,
    /// 1/10,000 of the frame.
    points: Vec<[u16; 2]>,
}

impl Sight {
    pub(super) fn anchor(&self, anchor: Anchor) -> P {
        let [x_min, y_min, x_max, y_max] = self.units.map(f64::from);
        let y = match anchor {
            Anchor::BottomCenter => y_max,
            Anchor::Center => (y_min + y_max) / 2.0,
        };
        P { x: (x_min + x_max) / 2.0, y }
    }

    /// Its box in ten-millionths of the frame.
    pub(super) fn fine(&self) -> [f64; 4] {
        self.units.map(|units| (i64::from(units) * FINE) as f64)
    }

    /// Twice the middle of its box.
    fn doubled_middle(&self) -> [i64; 2] {
        let [x_min, y_min, x_max, y_max] = self.units.map(i64::from);
        [x_min + x_max, y_min + y_max]
    }

    pub(super) fn write(&self, to: &mut Writer, near: &Near) {
        to.signed(near.epoch as i64 - self.epoch as i64);
        to.signed((near.seq as i64).wrapping_sub(self.seq as i64));
        to.signed(near.at - self.at);
        to.signed((near.track as i64).wrapping_sub(self.track as i64));
        to.number(self.class_id.into());
        to.number(self.label.into());
        to.number(self.confidence.into());
        let [x_min, y_min, x_max, y_max] = self.units;
        [x_min, y_min, x_max - x_min, y_max - y_min].into_iter().for_each(|units| to.signed(units.into()));
    }

    pub(super) fn read(from: &mut Reader<'_>, near: &Near) -> Result<Self, StateError> {
        let epoch = (near.epoch as i64).checked_sub(from.signed()?).ok_or(StateError::Torn)?;
        let seq = (near.seq as i64).wrapping_sub(from.signed()?);
        let at = near.at.checked_sub(from.signed()?).ok_or(StateError::Torn)?;
        let track = (near.track as i64).wrapping_sub(from.signed()?) as u64;
        let (class_id, label, confidence) = (from.small()?, from.small()?, from.small()?);
        let [x, y, w, h] =
            [from.small_signed()?, from.small_signed()?, from.small_signed()?, from.small_signed()?];
        let end = |start: i32, size: i32| start.checked_add(size).ok_or(StateError::Torn);
        let units = [x, y, end(x, w)?, end(y, h)?];
        let epoch = u64::try_from(epoch).map_err(|_| StateError::Torn)?;
        Ok(Self { epoch, seq: seq as u64, at, track, class_id, label, confidence, units })
    }
}

/// What numbers are written relative to: most of a track is of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) track: u64,
}

impl Near {
    /// What belongs to a track is near its last sight.
    fn of(sight: &Sight) -> Self {
        Self { epoch: sight.epoch, seq: sight.seq, at: sight.at, track: sight.track }
    }
}

impl Track {
    pub(super) fn first(sight: Sight, anchor: P, muted: bool) -> Self {
        let mut path = Path { stride: 1, sights: 0, points: Vec::new() };
        path.push(anchor);
        Self {
            key: (sight.epoch, sight.track),
            muted,
            first_seen: sight.at,
            last: sight,
            best: sight,
            velocity: [0; 2],
            path,
            visits: Vec::new(),
            crossings: Vec::new(),
        }
    }

    /// Seen again. Gives where it was.
    pub(super) fn see(&mut self, sight: Sight, anchor: P) -> Sight {
        let before = self.last;
        let after = sight.at - before.at;
        if after > 0 {
            let (was, is) = (before.doubled_middle(), sight.doubled_middle());
            for axis in 0..2 {
                // old + (moved ÷ after − old) · after ÷ (after + MEMORY), on one denominator: it is rounded once, and exactly.
                let moved = (is[axis] - was[axis]) * FINE / 2;
                let sum = i64::from(self.velocity[axis]) * MEMORY + moved;
                self.velocity[axis] = rounded(sum, after + MEMORY) as i32;
            }
        }
        if sight.confidence > self.best.confidence {
            self.best = sight;
        }
        self.path.push(anchor);
        self.last = sight;
        before
    }

    /// Where its box would be by now, in ten-millionths of the frame: whole numbers.
    pub(super) fn expected(&self, at: i64) -> [f64; 4] {
        let [dx, dy] = self.velocity.map(|velocity| (i64::from(velocity) * (at - self.last.at)) as f64);
        let [x_min, y_min, x_max, y_max] = self.last.fine();
        [x_min + dx, y_min + dy, x_max + dx, y_max + dy]
    }

    /// Of the sights at which an event of it may still be dated.
    pub(super) fn oldest_epoch(&self) -> u64 {
        let crossings = self.crossings.iter().map(|crossing| crossing.sight.epoch);
        let changes = self.visits.iter().filter_map(|visit| Some(visit.pending?.epoch));
        crossings.chain(changes).fold(self.last.epoch, u64::min)
    }

    pub(super) fn path(&self) -> impl Iterator<Item = [f32; 2]> {
        self.path.points.iter().map(|point| point.map(|value| (f64::from(value) / 1e4) as f32))
    }

    pub(super) fn write(&self, to: &mut Writer, near: &Near) {
        to.signed(near.epoch as i64 - self.key.0 as i64);
        to.number(self.key.1);
        to.flag(self.muted);
        to.signed(near.at - self.first_seen);
        let key = Near { track: self.key.1, ..*near };
        self.last.write(to, &key);
        let near = &Near::of(&self.last);
        self.best.write(to, near);
        self.velocity.into_iter().for_each(|velocity| to.signed(velocity.into()));
        to.number(self.path.stride);
        to.number(self.path.sights);
        to.count(self.path.points.len());
        self.path.points.iter().flatten().for_each(|value| to.number((*value).into()));
        to.count(self.visits.len());
        self.visits.iter().for_each(|visit| visit.write(to, near));
        to.count(self.crossings.len());
        self.crossings.iter().for_each(|crossing| crossing.write(to, near));
    }

    pub(super) fn read(from: &mut Reader<'_>, near: &Near) -> Result<Self, StateError> {
        let epoch = (near.epoch as i64).checked_sub(from.signed()?).ok_or(StateError::Torn)?;
        let key = (u64::try_from(epoch).map_err(|_| StateError::Torn)?, from.number()?);
        let muted = from.flag()?;
        let first_seen = near.at.checked_sub(from.signed()?).ok_or(StateError::Torn)?;
        let last = Sight::read(from, &Near { track: key.1, ..*near })?;
        let near = &Near::of(&last);
        let best = Sight::read(from, near)?;
        let velocity = [from.small_signed()?, from.small_signed()?];
        let (stride, sights) = (from.number()?, from.number()?);
        let count = from.count()?;
        let points =
            (0..count).map(|_| Ok([from.small()?, from.small()?])).collect::<Result<_, StateError>>()?;
        let count = from.count()?;
        let visits = (0..count).map(|_| Visit::read(from, near)).collect::<Result<_, _>>()?;
        let count = from.count()?;
        let crossings = (0..count).map(|_| Crossing::read(from, near)).collect::<Result<_, _>>()?;
        let path = Path { stride: stride.max(1), sights, points };
        Ok(Self { key, muted, first_seen, last, best, velocity, path, visits, crossings })
    }
}

impl Path {
    fn push(&mut self, p: P) {
        if self.sights.is_multiple_of(self.stride) {
            if self.points.len() == POINTS {
                let mut keep = false;
                self.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.stride *= 2;
            }
            if self.sights.is_multiple_of(self.stride) {
                self.points.push([p.x, p.y].map(|units| (units / 10.0).round().clamp(0.0, 1e4) as u16));
            }
        }
        self.sights += 1;
    }
}

/// `over / under`, half away from zero.
const fn rounded(over: i64, under: i64) -> i64 {
    over.signum() * ((2 * over.abs() + under) / (2 * under))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(at: i64, x_min: i32) -> Sight {
        let units = [x_min, 0, x_min + 5000, 5000];
        Sight { epoch: 1, seq: 0, at, track: 1, class_id: 0, label: 0, confidence: 9000, units }
    }

    #[test]
    fn a_velocity_is_rounded_half_away_from_zero() {
        let nowhere = P { x: 0.0, y: 0.0 };
        // (-77 · 500 + 100 · (52058 - 94228)) ÷ (500 + 500) = -4255.5, which is a little less in floating point.
        let mut track = Track::first(sight(0, 94_228), nowhere, false);
        track.velocity = [-77, 0];
        track.see(sight(500, 52_058), nowhere);
        assert_eq!(track.velocity, [-4256, 0]);
        let mut track = Track::first(sight(0, 52_058), nowhere, false);
        track.velocity = [77, 0];
        track.see(sight(500, 94_228), nowhere);
        assert_eq!(track.velocity, [4256, 0]);
    }
}
