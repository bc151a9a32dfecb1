//! Which encoded pictures arrived and what became of them: `seq` and the loss account.
//!
//! Access units are counted where they enter the decoder, frames where they leave it. A decoder gives frames in
//! the order of their pts, so when a frame comes out, every earlier access unit has had its turn: those that
//! were held back before the decoder are `undecoded`, those it swallowed are `corrupt`.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use sightline_schema::{SkipReason, Skipped};

/// What happened to an access unit before the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was sent, and did not reach the decoder's door whole.
    Lost,
    /// It was given to the decoder.
    Decoding,
    /// It was dropped by plan.
    Undecoded,
}

impl Fate {
    fn reason(self) -> SkipReason {
        match self {
            Fate::Lost | Fate::Decoding => SkipReason::Corrupt,
            Fate::Undecoded => SkipReason::Undecoded,
        }
    }
}

/// The account of one camera and epoch. It lives through reconnects.
#[derive(Debug, Default)]
pub struct AccessUnits {
    arrivals: u64,
    next_seq: u64,
    /// Sent, as far as the packets tell, and not at the decoder's door yet; in the order of sending, by pts where a
    /// part arrived.
    sent: VecDeque<Option<u64>>,
    /// By pts, then by arrival, since cameras repeat a pts.
    timed: BTreeMap<(u64, u64), Fate>,
    untimed: VecDeque<Fate>,
    /// Settled without a frame, not yet on a frame's account.
    owed: Skipped,
    /// When those in the decoder came to its door, by pts; `None` where nobody wants to know.
    times: Option<BTreeMap<u64, SystemTime>>,
    /// The same of the frame that came out last.
    arrived_at: Option<SystemTime>,
}

impl AccessUnits {
    /// The packets of an access unit begin to arrive, `lost` others before it did not. Where packets are looked at at
    /// all, this is said of every access unit before it [arrives](AccessUnits::arrived).
    pub fn sent(&mut self, pts: Option<u64>, lost: u32) {
        self.sent.extend((0..lost).map(|_| None));
        self.sent.push_back(pts);
    }

    /// An access unit reached the decoder's door. `pts` is in ns, as the demuxer or depayloader gave it.
    pub fn arrived(&mut self, pts: Option<u64>, fate: Fate) {
        // Packets come in the order of decoding: what was sent before it and did not come will not come any more.
        let same = self.sent.iter().position(|sent| sent.is_some() && *sent == pts);
        // A parser may have put the pts right; then it is the oldest.
        if let Some(at) = same.or_else(|| self.sent.iter().position(Option::is_some)) {
            for lost in self.sent.drain(..=at).take(at).collect::<Vec<_>>() {
                self.take_in(lost.or(pts), Fate::Lost);
            }
        }
        self.take_in(pts, fate);
    }

    /// From now on it is known when access units came to the decoder's door.
    pub fn keep_times(&mut self) {
        self.times.get_or_insert_default();
    }

    /// One came just now.
    pub fn note_time(&mut self, pts: Option<u64>, now: impl FnOnce() -> SystemTime) {
        if let (Some(times), Some(pts)) = (&mut self.times, pts) {
            times.insert(pts, now());
        }
    }

    /// When the one came that the last frame was made of, where that is kept.
    pub fn arrived_at(&self) -> Option<SystemTime> {
        self.arrived_at
    }

    fn take_in(&mut self, pts: Option<u64>, fate: Fate) {
        self.arrivals += 1;
        match pts {
            Some(pts) => {
                self.timed.insert((pts, self.arrivals), fate);
            }
            None => self.untimed.push_back(fate),
        }
    }

    /// A frame came out. Gives its `seq` and what was skipped since the frame before it.
    pub fn decoded(&mut self, pts: Option<u64>) -> (u64, Skipped) {
        self.arrived_at = self.times.as_mut().zip(pts).and_then(|(times, pts)| {
            let later = times.split_off(&pts.saturating_add(1));
            std::mem::replace(times, later).remove(&pts)
        });
        if let Some(pts) = pts {
            while let Some(entry) = self.timed.first_entry() {
                if entry.key().0 > pts {
                    break;
                }
                let exact = entry.key().0 == pts;
                let fate = entry.remove();
                if exact && fate == Fate::Decoding {
                    return self.next();
                }
                self.settle(fate);
            }
        }
        // Without a pts of its own the frame stands for the oldest access unit in the decoder.
        while let Some(fate) = self.untimed.pop_front() {
            if fate == Fate::Decoding {
                break;
            }
            self.settle(fate);
        }
        self.next()
    }

    /// A frame that no decoder gave: raw video, test patterns.
    pub fn raw(&mut self) -> (u64, Skipped) {
        self.arrivals += 1;
        self.next()
    }

    /// The decoder is gone: what it still held will not come out.
    pub fn abandon(&mut self) {
        self.times.iter_mut().for_each(BTreeMap::clear);
        for pts in std::mem::take(&mut self.sent) {
            self.take_in(pts, Fate::Lost);
        }
        for fate in std::mem::take(&mut self.timed).into_values() {
            self.settle(fate);
        }
        for fate in std::mem::take(&mut self.untimed) {
            self.settle(fate);
        }
    }

    /// What is on nobody's account yet; after [`AccessUnits::abandon`], everything since the last frame.
    pub fn take_owed(&mut self) -> Skipped {
        std::mem::take(&mut self.owed)
    }

    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    fn settle(&mut self, fate: Fate) {
        self.owed.add(fate.reason(), 1);
        self.next_seq += 1;
    }

    fn next(&mut self) -> (u64, Skipped) {
        let seq = self.next_seq;
        self.next_seq += 1;
        (seq, self.take_owed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupt(n: u64) -> Skipped {
        Skipped { corrupt: n, ..Skipped::default() }
    }

    #[test]
    fn reordered_pictures_are_counted_in_the_order_they_are_shown() {
        let mut units = AccessUnits::default();
        for pts in [0, 3, 1, 2] {
            units.arrived(Some(pts), Fate::Decoding);
        }
        let seqs: Vec<_> = (0..4).map(|pts| units.decoded(Some(pts))).collect();
        assert_eq!(seqs, (0..4).map(|seq| (seq, Skipped::default())).collect::<Vec<_>>());
    }

    #[test]
    fn what_the_decoder_swallows_is_corrupt_and_the_sum_closes() {
        let mut units = AccessUnits::default();
        for pts in 0..6 {
            units.arrived(Some(pts), Fate::Decoding);
        }
        assert_eq!(units.decoded(Some(0)), (0, Skipped::default()));
        assert_eq!(units.decoded(Some(3)), (3, corrupt(2)));
        units.abandon();
        assert_eq!(units.take_owed(), corrupt(2));
        assert_eq!(units.arrivals(), 6);
    }

    #[test]
    fn what_was_sent_and_did_not_arrive_is_corrupt() {
        let mut units = AccessUnits::default();
        // The third lost a packet, and two were lost whole behind the fourth.
        for (pts, lost) in [(0, 0), (1, 0), (2, 0), (3, 0), (6, 2), (7, 0)] {
            units.sent(Some(pts), lost);
        }
        for pts in [0, 1, 3, 6] {
            units.arrived(Some(pts), Fate::Decoding);
        }
        let out: Vec<_> = [0, 1, 3, 6].map(|pts| units.decoded(Some(pts))).into();
        assert_eq!(out, [(0, corrupt(0)), (1, corrupt(0)), (3, corrupt(1)), (6, corrupt(2))]);
        units.abandon();
        assert_eq!(units.take_owed(), corrupt(1), "the last was still on its way");
    }

    #[test]
    fn what_is_held_back_is_undecoded() {
        let mut units = AccessUnits::default();
        units.arrived(Some(0), Fate::Decoding);
        units.arrived(Some(1), Fate::Undecoded);
        units.arrived(Some(2), Fate::Undecoded);
        units.arrived(Some(3), Fate::Decoding);
        assert_eq!(units.decoded(Some(0)).0, 0);
        assert_eq!(units.decoded(Some(3)), (3, Skipped { undecoded: 2, ..Skipped::default() }));
    }

    #[test]
    fn a_repeated_pts_is_two_pictures() {
        let mut units = AccessUnits::default();
        units.arrived(Some(5), Fate::Decoding);
        units.arrived(Some(5), Fate::Decoding);
        assert_eq!(units.decoded(Some(5)).0, 0);
        assert_eq!(units.decoded(Some(5)), (1, Skipped::default()));
    }

    #[test]
    fn pictures_without_pts_are_counted_in_order() {
        let mut units = AccessUnits::default();
        units.arrived(None, Fate::Decoding);
        units.arrived(None, Fate::Undecoded);
        units.arrived(None, Fate::Decoding);
        assert_eq!(units.decoded(Some(40)).0, 0);
        assert_eq!(units.decoded(None), (2, Skipped { undecoded: 1, ..Skipped::default() }));
    }
}
