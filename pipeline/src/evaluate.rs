//! How well tracks agree with the truth: MOTA and identity switches by CLEAR MOT (Bernardin and Stiefelhagen,
//! 2008), IDF1 by Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera
//! Tracking" (2016).

use std::collections::{BTreeMap, HashMap};

use sightline_schema::Box2d;

use crate::track::{Pair, assign};

/// The overlap from which a track's box may stand for the true one, as both measures are usually given.
pub const IOU_THRESHOLD: f32 = 0.5;

/// One box of one identity in one frame. Boxes may be in any unit, the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    pub frame: u64,
    /// At most once in a frame.
    pub id: u64,
    pub box2d: Box2d,
}

/// The counts both measures are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Boxes of the truth.
    pub truth: usize,
    /// Boxes of the tracks under test.
    pub tracked: usize,
    /// True boxes with a tracked box.
    pub matches: usize,
    /// Times a true identity was matched with another track than when it was matched last.
    pub id_switches: usize,
    /// Matched boxes under the best one-to-one mapping of whole identities (IDTP).
    pub id_matches: usize,
}

impl Agreement {
    pub fn misses(&self) -> usize {
        self.truth - self.matches
    }

    pub fn false_positives(&self) -> usize {
        self.tracked - self.matches
    }

    /// 1 − (misses + false positives + switches) ÷ true boxes; at most 1, may be negative. 1 where there is
    /// nothing to see and nothing was seen.
    pub fn mota(&self) -> f64 {
        let errors = self.misses() + self.false_positives() + self.id_switches;
        if errors == 0 { 1.0 } else { 1.0 - errors as f64 / self.truth as f64 }
    }

    /// 2 IDTP ÷ (true boxes + tracked boxes), 0..1.
    pub fn idf1(&self) -> f64 {
        let boxes = self.truth + self.tracked;
        if boxes == 0 { 1.0 } else { 2.0 * self.id_matches as f64 / boxes as f64 }
    }
}

/// Compares tracks with the truth; boxes match from `iou_threshold` up. The order of the observations does
/// not matter.
pub fn evaluate(truth: &[Observation], tracked: &[Observation], iou_threshold: f32) -> Agreement {
    let truth_frames = by_frame(truth);
    let tracked_frames = by_frame(tracked);
    let mut agreement = Agreement { truth: truth.len(), tracked: tracked.len(), ..Agreement::default() };
    // Per true identity: the track and the frame of its last match.
    let mut last_match: HashMap<u64, (u64, u64)> = HashMap::new();
    // Frames in which two identities overlap.
    let mut overlaps: HashMap<(u64, u64), usize> = HashMap::new();
    let mut previous_frame = None;

    for (&frame, truth) in &truth_frames {
        let empty = Vec::new();
        let tracked = tracked_frames.get(&frame).unwrap_or(&empty);
        let mut pairs = Vec::new();
        for (row, truth) in truth.iter().enumerate() {
            for (column, tracked) in tracked.iter().enumerate() {
                let iou = truth.box2d.iou(&tracked.box2d);
                if iou >= iou_threshold {
                    *overlaps.entry((truth.id, tracked.id)).or_default() += 1;
                    // Who was matched in the frame before stays matched before anything else counts.
                    let stays = previous_frame
                        .is_some_and(|previous| last_match.get(&truth.id) == Some(&(tracked.id, previous)));
                    let cost = f64::from(1.0 - iou) - if stays { STAYS } else { 0.0 };
                    pairs.push(Pair { row, column, cost });
                }
            }
        }
        for (row, column) in assign(truth.len(), tracked.len(), &pairs, MATCHES).into_iter().enumerate() {
            let Some(column) = column else { continue };
            let (truth, tracked) = (truth[row].id, tracked[column].id);
            agreement.matches += 1;
            if last_match.insert(truth, (tracked, frame)).is_some_and(|(last, _)| last != tracked) {
                agreement.id_switches += 1;
            }
        }
        previous_frame = Some(frame);
    }
    agreement.id_matches = best_identity_mapping(&overlaps);
    agreement
}

/// As large a saving that no sum of (1 − IoU) over a frame outweighs it: continuing a match comes before the
/// number of matches, and that before their overlap.
const STAYS: f64 = 1e9;
const MATCHES: f64 = 1e4;

fn by_frame(observations: &[Observation]) -> BTreeMap<u64, Vec<&Observation>> {
    let mut frames: BTreeMap<u64, Vec<&Observation>> = BTreeMap::new();
    for observation in observations {
        frames.entry(observation.frame).or_default().push(observation);
    }
    frames
}

/// The most overlapping frames that a one-to-one mapping of identities can have. (Mapping identities that
/// never overlap changes nothing, so only overlapping ones are looked at.)
fn best_identity_mapping(overlaps: &HashMap<(u64, u64), usize>) -> usize {
    let mut rows: HashMap<u64, usize> = HashMap::new();
    let mut columns: HashMap<u64, usize> = HashMap::new();
    let mut pairs = Vec::with_capacity(overlaps.len());
    for (&(truth, tracked), &frames) in overlaps {
        let next = rows.len();
        let row = *rows.entry(truth).or_insert(next);
        let next = columns.len();
        let column = *columns.entry(tracked).or_insert(next);
        pairs.push(Pair { row, column, cost: -(frames as f64) });
    }
    let column_of = assign(rows.len(), columns.len(), &pairs, 0.0);
    let mapped = pairs.iter().filter(|pair| column_of[pair.row] == Some(pair.column));
    mapped.map(|pair| -pair.cost).sum::<f64>() as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
