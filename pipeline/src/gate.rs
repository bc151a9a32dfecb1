//! Which frames are worth detecting.

use sightline_schema::Sampling;

/// Decides for each frame, in order, whether it goes on. Pure: knows the pts alone.
#[derive(Debug)]
pub struct Gate {
    /// µs between wanted frames; `None` passes all.
    interval_us: Option<f64>,
    due_us: Option<f64>,
}

impl Gate {
    pub fn new(sampling: &Sampling) -> Self {
        let interval_us = match sampling {
            Sampling::Fps { fps } => Some(1e6 / *fps),
            // Keyframes are picked before the decoder.
            Sampling::EveryFrame | Sampling::Keyframes | Sampling::Adaptive { .. } => None,
        };
        Self { interval_us, due_us: None }
    }

    /// µs between wanted frames, where a rate is wanted.
    pub fn interval_us(&self) -> Option<i64> {
        self.interval_us.map(|interval| interval as i64)
    }

    /// Whether the frame at `pts_us` goes on; if not, it is skipped for `sampling`.
    ///
    /// Due times stand on a grid from the first frame, so that 5 fps of 12.5 are 5 on average, and half a
    /// millisecond of jitter does not cost a frame. After a gap the grid starts anew.
    pub fn passes(&mut self, pts_us: i64) -> bool {
        const JITTER_US: f64 = 500.0;
        let Some(interval) = self.interval_us else { return true };
        let pts = pts_us as f64;
        let Some(due) = self.due_us else {
            self.due_us = Some(pts + interval);
            return true;
        };
        if pts + JITTER_US < due {
            return false;
        }
        let next = due + interval;
        self.due_us = Some(if next + JITTER_US < pts { pts + interval } else { next });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(fps: f64, of: f64, frames: usize) -> usize {
        let mut gate = Gate::new(&Sampling::Fps { fps });
        (0..frames).filter(|i| gate.passes((*i as f64 * 1e6 / of) as i64)).count()
    }

    #[test]
    fn the_wanted_rate_holds_on_average() {
        assert_eq!(passed(5.0, 25.0, 250), 50);
        assert_eq!(passed(5.0, 12.5, 125), 50);
        assert_eq!(passed(10.0, 30.0, 300), 100);
        assert_eq!(passed(7.0, 30.0, 300), 70);
        assert_eq!(passed(60.0, 25.0, 250), 250);
    }

    #[test]
    fn after_a_gap_frames_do_not_burst() {
        let mut gate = Gate::new(&Sampling::Fps { fps: 1.0 });
        assert!(gate.passes(0));
        assert!(gate.passes(10_000_000));
        assert!(!gate.passes(10_040_000));
        assert!(gate.passes(11_000_000));
    }
}
