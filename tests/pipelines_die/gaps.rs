//! Which stretches of a camera's time nobody saw, by what is in `detections`.

use crate::accepted::{Accepted, at};

/// A stretch without results that is longer than this is a gap: several times the distance of two results, and still far
/// less than the 2 s that the rules allow a track to be out of sight.
const LONG: i64 = 500_000;

/// From the last result before it to the first behind it, µs. A `gap/1` may say that it began earlier, at the last result
/// that its writer knew of; what it means is between accepted results (docs/MESSAGES.md), so they are what counts.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody watched yet, or any more.
    Edge,
    /// Reasons of its `gap/1` records.
    Said(Vec<String>),
    /// Frames that the machine had no time for, counted.
    Overload(u64),
    Unsaid,
}

/// In the order of time, with what lies before the first result and behind the last one.
pub(crate) fn of(accepted: &Accepted) -> Vec<Gap> {
    let (Some(first), Some(last)) = (accepted.results.first(), accepted.results.last()) else {
        return vec![Gap { from: i64::MIN, to: i64::MAX, why: Why::Edge }];
    };
    let mut gaps = vec![Gap { from: i64::MIN, to: first.captured_at, why: Why::Edge }];
    for pair in accepted.results.windows(2) {
        let (from, to) = (pair[0].captured_at, pair[1].captured_at);
        // One without a result behind it is at an edge.
        let ends_here = |before: &serde_json::Value| !before.is_null() && at(&before["captured_at"]) == to;
        let said = accepted.gaps.iter().filter(|gap| ends_here(&gap["before"]));
        let said: Vec<_> = said.map(|gap| gap["reason"].as_str().unwrap().to_owned()).collect();
        let why = match pair[1].overload {
            _ if !said.is_empty() => Why::Said(said),
            _ if to - from <= LONG => continue,
            0 => Why::Unsaid,
            dropped => Why::Overload(dropped),
        };
        gaps.push(Gap { from, to, why });
    }
    gaps.push(Gap { from: last.captured_at, to: i64::MAX, why: Why::Edge });
    gaps
}
