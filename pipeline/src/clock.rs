//! The wall clock of a stream: `captured_at` that never goes back.
//!
//! A camera says what time it is by RTCP sender reports (RFC 3550 §6.4.1). An epoch's clock is anchored on the first of
//! them, or on the arrival of its frames, then follows the pts, and is moved little by little towards what later reports
//! or arrivals say.

use sightline_schema::{Clock, Timestamp};

/// A clock is moved by at most this share of the time that passes: 500 ppm.
const SLEW: i64 = 2_000;
/// A camera's clock that moved by more than this was set; less is drift and jitter.
const STEP_US: i64 = 1_000_000;
/// A report further than this from the arrival is not believed.
const BELIEVED_US: i64 = 10_000_000;
/// The first report within this time anchors the clock; a later one moves it little by little.
const ANCHOR_US: i64 = 5_000_000;
/// The quickest of the arrivals of so much of a stream is taken for sure enough where a run waits for that.
const SURE_US: i64 = 1_500_000;
/// Arrivals are looked at over this much of the stream: one of them will have come without delay.
const WINDOW_US: i64 = 10_000_000;
/// A frame may be on its way for this long: what is promised while none comes stays so far behind.
const ON_ITS_WAY_US: i64 = 2_000_000;

/// Turns pts into wall time for one epoch. Pure: time is passed in.
#[derive(Debug)]
pub struct CaptureClock {
    kind: Clock,
    /// The predecessor's clock against ours, µs: how arrivals are read until the camera reports.
    assumed_us: i64,
    /// Wall time minus pts, µs.
    offset_us: Option<i64>,
    first_pts_us: i64,
    last_pts_us: i64,
    last: Timestamp,
    /// The one before it.
    before: Timestamp,
    arrivals: Arrivals,
    /// What the camera's latest report said, µs.
    reported: Option<Reported>,
    anchored: bool,
}

/// The camera's clock, by its latest report.
#[derive(Clone, Copy, Debug)]
struct Reported {
    /// Its wall time minus pts, µs.
    offset_us: i64,
    /// Its wall time minus ours, µs.
    against_ours_us: i64,
}

/// A frame's wall time, and what became of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub captured_at: Timestamp,
    pub change: Option<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The camera's clock was set by more than a second.
    Stepped,
    /// Where `captured_at` comes from is another than before.
    Kind,
}

impl CaptureClock {
    /// `assumed_ms`: how far the camera's clock was from ours when it was last heard of.
    pub fn new(kind: Clock, assumed_ms: i64) -> Self {
        Self {
            kind,
            assumed_us: assumed_ms.saturating_mul(1_000),
            offset_us: None,
            first_pts_us: 0,
            last_pts_us: 0,
            last: Timestamp::from_micros(i64::MIN),
            before: Timestamp::from_micros(i64::MIN),
            arrivals: Arrivals::default(),
            reported: None,
            anchored: false,
        }
    }

    /// Of a recording whose first picture was taken at `start`: the same times, however often it is read.
    pub fn recorded(start: Timestamp) -> Self {
        Self { offset_us: Some(start.as_micros()), last: start, ..Self::new(Clock::File, 0) }
    }

    pub fn kind(&self) -> Clock {
        self.kind
    }

    /// How far the camera's clock is ahead of ours, once it reported.
    pub fn offset_ms(&self) -> Option<i64> {
        self.reported.map(|reported| reported.against_ours_us / 1_000)
    }

    /// Whether its times are more than the arrival of a stream's first pictures, which may be late: the camera has
    /// reported, or enough has arrived.
    pub fn is_sure(&self) -> bool {
        let passed_us = self.last_pts_us.saturating_sub(self.first_pts_us);
        self.kind == Clock::File || self.anchored || passed_us >= SURE_US
    }

    /// Nobody got the last time that was given: the next may be before it.
    pub fn take_back(&mut self) {
        self.last = self.before;
    }

    /// The wall time of a frame that arrived `now`; `camera` is its wall time by the camera's reports, if there were
    /// any.
    pub fn stamp(&mut self, pts_us: i64, now: Timestamp, camera: Option<Timestamp>) -> Stamp {
        let arrived_us = now.as_micros().saturating_sub(pts_us);
        if self.offset_us.is_none() {
            self.offset_us = Some(arrived_us.saturating_add(self.assumed_us));
            (self.first_pts_us, self.last_pts_us) = (pts_us, pts_us);
        }
        let passed_us = pts_us.saturating_sub(self.last_pts_us).max(0);
        self.last_pts_us = pts_us;
        let mut change = None;
        if self.kind != Clock::File {
            self.arrivals.add(pts_us, arrived_us);
            change = match camera {
                Some(camera) => self.report(camera.as_micros().saturating_sub(pts_us), arrived_us, passed_us),
                None => None,
            };
            if self.kind == Clock::Arrival {
                self.follow_arrivals(arrived_us, passed_us);
            }
        }
        let wall_us = self.offset_us.unwrap_or(arrived_us).saturating_add(pts_us);
        // Where the clock has to go back it goes at half its speed until the time has come.
        let least_us = self.last.as_micros().saturating_add(passed_us / 2);
        self.before = std::mem::replace(&mut self.last, Timestamp::from_micros(wall_us.max(least_us)));
        Stamp { captured_at: self.last, change }
    }

    /// Takes what the camera says: `offset_us` is its wall time minus pts.
    fn report(&mut self, offset_us: i64, arrived_us: i64, passed_us: i64) -> Option<Change> {
        let against_ours_us = offset_us.saturating_sub(self.arrivals.quickest_us().unwrap_or(arrived_us));
        let before = self.reported.replace(Reported { offset_us, against_ours_us });
        let set = before.is_some_and(|before| before.offset_us.abs_diff(offset_us) > STEP_US.unsigned_abs());
        let stepped = set.then_some(Change::Stepped);
        if offset_us.abs_diff(arrived_us) > BELIEVED_US.unsigned_abs() {
            return stepped.or(self.becomes(Clock::Arrival));
        }
        let kind = self.becomes(Clock::Ntp);
        let ours = self.offset_us.get_or_insert(offset_us);
        if !self.anchored {
            self.anchored = true;
            if self.last_pts_us.saturating_sub(self.first_pts_us) <= ANCHOR_US {
                *ours = offset_us;
                return kind;
            }
        }
        let ahead_us = offset_us.saturating_sub(*ours);
        if ahead_us > STEP_US {
            *ours = offset_us;
            return Some(Change::Stepped);
        }
        if ahead_us >= -STEP_US {
            *ours = ours.saturating_add(slewed(ahead_us, passed_us));
        }
        stepped.or(kind)
    }

    fn becomes(&mut self, kind: Clock) -> Option<Change> {
        (std::mem::replace(&mut self.kind, kind) != kind).then_some(Change::Kind)
    }

    /// A camera's clock runs a little faster or slower than ours.
    fn follow_arrivals(&mut self, arrived_us: i64, passed_us: i64) {
        let (assumed_us, settled) = (self.assumed_us, self.anchored || self.arrivals.is_settled());
        let Some(ours) = &mut self.offset_us else { return };
        if !settled && arrived_us.saturating_add(assumed_us) < *ours {
            // Pictures can't be from the future: the first ones were late.
            *ours = arrived_us.saturating_add(assumed_us);
        } else if let Some(quickest_us) = self.arrivals.quickest_us() {
            let ahead_us = quickest_us.saturating_add(assumed_us).saturating_sub(*ours);
            *ours = ours.saturating_add(slewed(ahead_us, passed_us));
        }
    }

    /// The pts went on by so much more than time did: between two rounds of a file.
    pub fn pts_moved(&mut self, by_us: i64) {
        let moved = |offset: &mut Option<i64>| *offset = offset.map(|offset| offset.saturating_sub(by_us));
        moved(&mut self.offset_us);
        moved(&mut self.arrivals.least_us);
        moved(&mut self.arrivals.settled_us);
        self.last_pts_us = self.last_pts_us.saturating_add(by_us);
        self.reported = None;
    }

    /// A promise: no frame gets an earlier time after this.
    pub fn promise(&mut self, now: Timestamp) -> Timestamp {
        // A file's frames may stand anywhere against the wall: only what was given can be promised.
        if self.kind != Clock::File || self.last.as_micros() == i64::MIN {
            let against_ours_us = match (self.kind, self.reported) {
                (Clock::Ntp, Some(reported)) => reported.against_ours_us,
                _ => self.assumed_us,
            };
            let sure_us = now.as_micros().saturating_add(against_ours_us).saturating_sub(ON_ITS_WAY_US);
            self.last = self.last.max(Timestamp::from_micros(sure_us));
        }
        self.last
    }
}

/// How much of `wanted_us` a clock may be moved in this time.
fn slewed(wanted_us: i64, passed_us: i64) -> i64 {
    let most = passed_us / SLEW;
    wanted_us.clamp(-most, most)
}

/// The quickest arrivals, window by window.
#[derive(Debug, Default)]
struct Arrivals {
    since_pts_us: Option<i64>,
    least_us: Option<i64>,
    /// Of the last whole window.
    settled_us: Option<i64>,
}

impl Arrivals {
    /// `arrived_us`: our wall time at the arrival minus pts.
    fn add(&mut self, pts_us: i64, arrived_us: i64) {
        let since = *self.since_pts_us.get_or_insert(pts_us);
        self.least_us = Some(self.least_us.map_or(arrived_us, |least| least.min(arrived_us)));
        if pts_us.saturating_sub(since) >= WINDOW_US {
            self.settled_us = self.least_us.take();
            self.since_pts_us = Some(pts_us);
        }
    }

    fn is_settled(&self) -> bool {
        self.settled_us.is_some()
    }

    /// Of the last whole window, or of the first as far as it is.
    fn quickest_us(&self) -> Option<i64> {
        self.settled_us.or(self.least_us)
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
