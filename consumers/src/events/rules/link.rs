//! Tracks of an epoch that are those of the one before it.

use super::geometry::iou;
use super::track::{Sight, Track};

/// How long before its first sight in a new epoch a track may have been seen, in milliseconds.
pub(super) const WITHIN: i64 = 2000;
const OVERLAP: f64 = 0.3;

/// Which of `tracks` each of `new` is, by place: the best pairs first, then the lower old id, then the lower new one. `new` are
/// the first sights of one frame.
pub(super) fn link(tracks: &[Track], new: &[Sight]) -> Vec<Option<usize>> {
    let mut pairs = Vec::new();
    for (n, sight) in new.iter().enumerate() {
        for (t, track) in tracks.iter().enumerate() {
            let is_before = track.last.epoch < sight.epoch && sight.at - track.last.at <= WITHIN;
            if is_before && track.last.label == sight.label {
                let overlap = iou(track.expected(sight.at), sight.fine());
                if overlap >= OVERLAP {
                    pairs.push((overlap, track.last.track, sight.track, t, n));
                }
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut linked = vec![None; new.len()];
    let mut taken = vec![false; tracks.len()];
    for (_, _, _, t, n) in pairs {
        if let (None, false) = (linked[n], taken[t]) {
            linked[n] = Some(t);
            taken[t] = true;
        }
    }
    linked
}
