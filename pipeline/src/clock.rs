//! The two clocks of a stream: `pts_us` that strictly rises, and `captured_at` that never goes back.

use sightline_schema::{Clock, Timestamp};

/// Maps what sources call pts to the `pts_us` of an epoch: it strictly rises, over reconnects and repeats too.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Added to the source's pts.
    offset_us: Option<i64>,
    last_us: Option<i64>,
    /// Distance of the last two frames: what is assumed where a source gives no pts.
    interval_us: i64,
}

impl Timeline {
    /// The source was opened anew, `since_last_us` after the last frame came.
    pub fn reopened(&mut self, since_last_us: i64) {
        self.offset_us = None;
        if let Some(last) = self.last_us {
            self.last_us = Some(last + (since_last_us - self.interval_us).max(0));
        }
    }

    /// The `pts_us` of a frame. The first frame of a live stream stands at 0: its camera's own count means
    /// nothing to anybody. `recorded` keeps a file's own.
    pub fn pts_us(&mut self, source_us: Option<i64>, recorded: bool) -> i64 {
        let next = self.last_us.map_or(0, |last| last + self.interval_us.max(1));
        let pts = match (source_us, self.offset_us) {
            (None, _) => next,
            (Some(source), Some(offset)) => source + offset,
            (Some(source), None) => {
                let start = if recorded && self.last_us.is_none() { source.max(0) } else { next };
                self.offset_us = Some(start - source);
                start
            }
        };
        let pts = self.last_us.map_or(pts.max(0), |last| pts.max(last + 1));
        if let Some(last) = self.last_us {
            self.interval_us = pts - last;
        }
        self.last_us = Some(pts);
        pts
    }
}

/// A clock is moved by at most this share of the time that passes: 500 ppm.
const SLEW: i64 = 2_000;
/// Arrivals are looked at over this much of the stream, µs: one of them will have come without delay.
const WINDOW_US: i64 = 10_000_000;

/// Turns pts into wall time for one epoch.
#[derive(Debug)]
pub struct CaptureClock {
    kind: Clock,
    /// Wall time minus pts, µs.
    offset_us: Option<i64>,
    last: Timestamp,
    last_pts_us: i64,
    window: Window,
    /// How far a live clock is behind the quickest arrivals: moved up little by little.
    behind_us: i64,
}

/// The quickest arrival since a pts.
#[derive(Debug)]
struct Window {
    since_us: i64,
    least_us: i64,
}

impl CaptureClock {
    pub fn new(kind: Clock) -> Self {
        Self {
            kind,
            offset_us: None,
            last: Timestamp::from_micros(i64::MIN),
            last_pts_us: 0,
            window: Window { since_us: 0, least_us: i64::MAX },
            behind_us: 0,
        }
    }

    pub fn kind(&self) -> Clock {
        self.kind
    }

    /// The wall time of a frame that arrived `now`. The first frame anchors the clock, the others follow their pts.
    pub fn captured_at(&mut self, pts_us: i64, now: Timestamp) -> Timestamp {
        let offset = *self.offset_us.get_or_insert_with(|| now.as_micros().saturating_sub(pts_us));
        let offset =
            if self.kind == Clock::Arrival { self.follow_arrivals(offset, pts_us, now) } else { offset };
        self.offset_us = Some(offset);
        self.last = self.last.max(Timestamp::from_micros(offset.saturating_add(pts_us)));
        self.last
    }

    /// The offset after this arrival: a camera's clock runs a little faster or slower than ours.
    fn follow_arrivals(&mut self, offset: i64, pts_us: i64, now: Timestamp) -> i64 {
        let step = (pts_us.saturating_sub(self.last_pts_us) / SLEW).clamp(0, self.behind_us);
        self.last_pts_us = pts_us;
        self.behind_us -= step;
        let offset = offset.saturating_add(step);
        let late = now.as_micros().saturating_sub(pts_us).saturating_sub(offset);
        if late < 0 {
            // Pictures can't be from the future: the anchor was late, and moves back.
            self.behind_us = 0;
            self.window = Window { since_us: pts_us, least_us: 0 };
            return offset.saturating_add(late);
        }
        self.window.least_us = self.window.least_us.min(late);
        if pts_us.saturating_sub(self.window.since_us) >= WINDOW_US {
            self.behind_us = self.window.least_us;
            self.window = Window { since_us: pts_us, least_us: i64::MAX };
        }
        offset
    }

    /// A promise: no frame gets an earlier time after this.
    pub fn promise(&mut self, now: Timestamp) -> Timestamp {
        // A file's frames may stand anywhere against the wall: only what was given can be promised.
        if self.kind != Clock::File || self.last.as_micros() == i64::MIN {
            self.last = self.last.max(now);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_pts_and_a_live_stream_starts_at_zero() {
        let mut file = Timeline::default();
        assert_eq!([80_000, 120_000].map(|pts| file.pts_us(Some(pts), true)), [80_000, 120_000]);
        let mut live = Timeline::default();
        assert_eq!([913_000, 953_000].map(|pts| live.pts_us(Some(pts), false)), [0, 40_000]);
    }

    #[test]
    fn pts_strictly_rises_whatever_comes() {
        let mut timeline = Timeline::default();
        let given = [Some(0), Some(40_000), Some(40_000), Some(10_000), None, Some(200_000)];
        let pts: Vec<_> = given.into_iter().map(|pts| timeline.pts_us(pts, true)).collect();
        assert!(pts.is_sorted_by(|a, b| a < b), "{pts:?}");
        assert_eq!(pts.last(), Some(&200_000));
    }

    #[test]
    fn a_reconnect_goes_on_by_the_time_that_passed() {
        let mut timeline = Timeline::default();
        for pts in [0, 40_000, 80_000] {
            timeline.pts_us(Some(pts), false);
        }
        timeline.reopened(5_000_000);
        assert_eq!(timeline.pts_us(Some(7), false), 5_080_000);
        assert_eq!(timeline.pts_us(Some(40_007), false), 5_120_000);
    }

    #[test]
    fn captured_at_follows_the_pts_and_never_goes_back() {
        let at = Timestamp::from_micros;
        let mut clock = CaptureClock::new(Clock::Arrival);
        assert_eq!(clock.captured_at(0, at(1_000_000)), at(1_000_000));
        assert_eq!(clock.captured_at(40_000, at(1_090_000)), at(1_040_000));
        assert_eq!(clock.promise(at(1_500_000)), at(1_500_000));
        assert_eq!(clock.captured_at(80_000, at(1_500_100)), at(1_500_000));
        assert_eq!(clock.captured_at(900_000, at(1_600_000)), at(1_600_000));
    }

    #[test]
    fn a_file_counts_from_where_it_was_opened() {
        let at = Timestamp::from_micros;
        let mut clock = CaptureClock::new(Clock::File);
        assert_eq!(clock.captured_at(0, at(1_000_000)), at(1_000_000));
        assert_eq!(clock.captured_at(900_000, at(1_000_010)), at(1_900_000));
        assert_eq!(clock.promise(at(1_000_020)), at(1_900_000));
    }

    #[test]
    fn a_camera_whose_clock_is_slow_or_fast_is_followed() {
        for (name, ppm) in [("slow", -300), ("right", 0), ("fast", 300)] {
            let mut clock = CaptureClock::new(Clock::Arrival);
            let (mut furthest, mut steepest, mut last) = (0, 0, None);
            // Two hours at 10 frames a second; every third picture is up to 80 ms late.
            for n in 0..72_000_i64 {
                let taken = n * 100_000;
                let pts = taken + taken * ppm / 1_000_000;
                let delay = if n % 3 == 0 { 20_000 + (n * 7_919) % 60_000 } else { 20_000 };
                let at = clock.captured_at(pts, Timestamp::from_micros(taken + delay)).as_micros();
                furthest = furthest.max((at - taken - 20_000).abs());
                steepest = steepest.max(last.map_or(0, |last| at - last));
                last = Some(at);
            }
            assert!(furthest < 30_000, "{name}: {furthest} µs from the truth");
            assert!(steepest <= 100_000 + 100, "{name}: {steepest} µs between two frames");
        }
    }
}
