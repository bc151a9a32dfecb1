//! How long decoding takes: from an access unit at the decoder's door to its frame behind it. A picture that waits for
//! others, which come later and are shown earlier, waits in that time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More than any decoder holds; what it swallows stays no longer.
const MOST: usize = 64;

/// The pictures of one decoder, by pts in ns. Those without a pts are not measured.
#[derive(Default)]
pub(super) struct DecodeTimes {
    entered: VecDeque<(u64, Instant)>,
    took: VecDeque<(u64, Duration)>,
}

impl DecodeTimes {
    pub(super) fn entered(&mut self, pts: Option<u64>, at: Instant) {
        let Some(pts) = pts else { return };
        if self.entered.len() == MOST {
            self.entered.pop_front();
        }
        self.entered.push_back((pts, at));
    }

    pub(super) fn left(&mut self, pts: Option<u64>, at: Instant) {
        let found = self.entered.iter().position(|(entered, _)| Some(*entered) == pts);
        let Some((pts, entered)) = found.and_then(|index| self.entered.remove(index)) else { return };
        if self.took.len() == MOST {
            self.took.pop_front();
        }
        self.took.push_back((pts, at.saturating_duration_since(entered)));
    }

    /// Of the frame that is taken up now; frames are taken in the order in which they left.
    pub(super) fn take(&mut self, pts: Option<u64>) -> Option<Duration> {
        let index = self.took.iter().position(|(left, _)| Some(*left) == pts)?;
        self.took.drain(..=index).next_back().map(|(_, took)| took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_its_own_time_whatever_the_order() {
        let (begun, ms) = (Instant::now(), Duration::from_millis);
        let mut times = DecodeTimes::default();
        for (pts, at) in [(0, 0), (3, 1), (1, 2), (2, 3)] {
            times.entered(Some(pts), begun + ms(at));
        }
        for (pts, at) in [(0, 4), (1, 5), (2, 6), (3, 7)] {
            times.left(Some(pts), begun + ms(at));
        }
        assert_eq!(times.take(Some(0)), Some(ms(4)));
        assert_eq!(times.take(Some(2)), Some(ms(3)), "the one before it was never taken up");
        assert_eq!(times.take(Some(1)), None);
        assert_eq!(times.take(Some(3)), Some(ms(6)));
        assert_eq!(times.take(None), None);
    }

    #[test]
    fn what_a_decoder_swallows_is_forgotten() {
        let begun = Instant::now();
        let mut times = DecodeTimes::default();
        for pts in 0..1000 {
            times.entered(Some(pts), begun);
        }
        assert_eq!(times.entered.len(), MOST);
        times.left(Some(0), begun);
        assert_eq!(times.take(Some(0)), None);
        times.left(Some(999), begun);
        assert_eq!(times.take(Some(999)), Some(Duration::ZERO));
    }
}
