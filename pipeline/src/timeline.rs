//! A stream's own clock: `pts_us` that strictly rises, over reconnects and repeats too.

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

    /// Distance of the last two frames, once there were two.
    pub fn interval_us(&self) -> Option<i64> {
        (self.interval_us > 0).then_some(self.interval_us)
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
}
