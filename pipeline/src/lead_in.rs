//! Who joins a live stream between two keyframes can't decode what comes before the next one. Pure: time is passed in.
//!
//! Decoders try all the same: libav's paints what changes on grey, marks nothing as wrong where GStreamer asks it to give
//! out what is broken, and detections in such pictures are of nothing.

use std::time::{Duration, Instant};

/// So long a keyframe is waited for. There are streams without any, whose pictures become whole bit by bit (periodic intra
/// refresh); it is also well below the time after which a stream without pictures is given up.
const LONGEST: Duration = Duration::from_secs(10);

/// The pictures of a live stream that come before its first keyframe.
#[derive(Debug, Default)]
pub enum LeadIn {
    #[default]
    Begins,
    Since(Instant),
    Over,
}

impl LeadIn {
    /// Whether this access unit, which comes `now`, is one of them. Asked of each in turn.
    pub fn holds(&mut self, keyframe: bool, now: Instant) -> bool {
        let since = match self {
            Self::Over => return false,
            Self::Begins => now,
            Self::Since(since) => *since,
        };
        let over = keyframe || now.saturating_duration_since(since) >= LONGEST;
        *self = if over { Self::Over } else { Self::Since(since) };
        !over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_first_keyframe_is_held_back() {
        let (mut lead_in, now) = (LeadIn::default(), Instant::now());
        let units = [false, false, true, false, true, false];
        let held = units.map(|keyframe| lead_in.holds(keyframe, now));
        assert_eq!(held, [true, true, false, false, false, false]);
    }

    #[test]
    fn a_stream_that_begins_with_a_keyframe_loses_nothing() {
        let mut lead_in = LeadIn::default();
        assert!(!lead_in.holds(true, Instant::now()));
        assert!(!lead_in.holds(false, Instant::now()));
    }

    #[test]
    fn a_stream_without_keyframes_is_decoded_in_the_end() {
        let (mut lead_in, begun) = (LeadIn::default(), Instant::now());
        let held = [0, 5, 9, 10, 11].map(|s| lead_in.holds(false, begun + Duration::from_secs(s)));
        assert_eq!(held, [true, true, true, false, false]);
    }
}
