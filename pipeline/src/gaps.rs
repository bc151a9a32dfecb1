//! What was not seen, between two results of a camera: `gap/1`.

use sightline_schema::{Gap, GapAfter, GapBefore, GapReason, Timestamp};

/// Where the results of one epoch have gaps in time. Pure.
#[derive(Debug)]
pub struct Gaps {
    camera: String,
    epoch: u64,
    /// The last result, which may be a predecessor's.
    last: Option<GapAfter>,
    /// There was a predecessor, of whatever results.
    succeeds: bool,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    reason: GapReason,
    interval_us: i64,
}

impl Gaps {
    /// `predecessor`: the camera's last result of an older epoch, as far as it is known. `succeeds`: there was an older
    /// epoch.
    pub fn new(camera: impl Into<String>, epoch: u64, predecessor: Option<GapAfter>, succeeds: bool) -> Self {
        Self { camera: camera.into(), epoch, last: predecessor, succeeds, pending: None }
    }

    /// The run before has ended, with this result as its last: told before the first result of this one.
    pub fn predecessor(&mut self, last: GapAfter) {
        self.last = Some(last);
        self.succeeds = true;
    }

    /// Something may be missing before the next result. `interval_us` is the usual distance of two.
    pub fn lost(&mut self, reason: GapReason, interval_us: i64) {
        self.pending = Some(Pending { reason, interval_us });
    }

    /// The gap that ends with this result, to be written immediately before it: where more than twice the usual
    /// distance lies in between. Nothing is missing before the first result ever.
    pub fn before(&self, seq: u64, captured_at: Timestamp) -> Option<Gap> {
        let Pending { reason, interval_us } = self.pending?;
        let is_gap = match self.last {
            Some(after) => {
                let missing_us = captured_at.as_micros().saturating_sub(after.captured_at.as_micros());
                missing_us > interval_us.saturating_mul(2)
            }
            // A predecessor died before it could tell how far it was.
            None => self.succeeds,
        };
        is_gap.then(|| Gap {
            camera: self.camera.clone(),
            epoch: self.epoch,
            after: self.last,
            before: Some(GapBefore { seq, captured_at }),
            // What was not seen was not counted.
            frames: None,
            reason,
        })
    }

    /// A result got out.
    pub fn result(&mut self, seq: u64, captured_at: Timestamp) {
        self.pending = None;
        self.last = Some(GapAfter { epoch: self.epoch, seq, captured_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    #[test]
    fn a_reconnect_is_a_gap_where_results_are_missing() {
        let mut gaps = Gaps::new("gate", 7, None, false);
        gaps.lost(GapReason::PodLost, SECOND);
        assert_eq!(gaps.before(0, at(100)), None, "nothing came before the first");
        gaps.result(0, at(100));
        assert_eq!(gaps.before(1, at(500)), None, "nobody said that something is missing");
        gaps.result(1, at(101));
        gaps.lost(GapReason::Disconnected, SECOND);
        assert_eq!(gaps.before(2, at(103)), None, "one result, perhaps");
        let gap = gaps.before(2, at(104)).map(|gap| (gap.after, gap.before, gap.frames, gap.reason));
        let after = GapAfter { epoch: 7, seq: 1, captured_at: at(101) };
        let before = GapBefore { seq: 2, captured_at: at(104) };
        assert_eq!(gap, Some((Some(after), Some(before), None, GapReason::Disconnected)));
        gaps.result(2, at(104));
        assert_eq!(gaps.before(3, at(200)), None);
    }

    #[test]
    fn a_successor_says_what_nobody_saw() {
        let predecessor = GapAfter { epoch: 3, seq: 812, captured_at: at(10) };
        let mut gaps = Gaps::new("gate", 7, Some(predecessor), true);
        gaps.lost(GapReason::PodLost, SECOND);
        assert_eq!(gaps.before(0, at(11)), None, "taken over without a gap");
        let gap = gaps.before(0, at(40)).map(|gap| (gap.epoch, gap.after, gap.reason));
        assert_eq!(gap, Some((7, Some(predecessor), GapReason::PodLost)));

        let mut gaps = Gaps::new("gate", 9, None, true);
        gaps.lost(GapReason::PodLost, SECOND);
        let gap = gaps.before(0, at(40)).map(|gap| (gap.after, gap.before.map(|before| before.seq)));
        assert_eq!(gap, Some((None, Some(0))), "it died before it could tell how far it was");
        gaps.result(0, at(40));
        assert_eq!(gaps.before(1, at(80)), None);
    }
}
