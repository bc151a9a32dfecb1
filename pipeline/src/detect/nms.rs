//! Non-maximum suppression: of boxes that overlap, the most confident stays.

/// What a head says of one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub class_id: u32,
    /// 0..1.
    pub confidence: f32,
    /// `x_min, y_min, x_max, y_max` in pixels of the model's input (of the original picture for
    /// `Head::Detr`).
    pub xyxy: [f32; 4],
}

/// At most so many candidates, the best, are sorted and looked at; like `max_nms` of Ultralytics. With it the
/// work is bounded whatever a model says: `MOST_CANDIDATES` × the number kept.
const MOST_CANDIDATES: usize = 30_000;

/// Leaves at most `max` candidates, the most confident first. One goes if its IoU with a better one is above
/// `iou`: one of its own class, or any if `agnostic`. Of equally confident ones, the earlier is the better.
/// What has NaN or infinity in it goes first.
pub fn suppress(candidates: &mut Vec<Candidate>, iou: f32, agnostic: bool, max: usize) {
    suppress_counted(candidates, iou, agnostic, max);
}

/// How many pairs of boxes were compared, for the test of the bound.
fn suppress_counted(candidates: &mut Vec<Candidate>, iou: f32, agnostic: bool, max: usize) -> usize {
    keep_best(candidates, MOST_CANDIDATES);
    let mut compared = 0;
    let mut kept = 0;
    // The kept ones move to the front; what is looked at always lies behind them.
    for index in 0..candidates.len() {
        if kept == max {
            break;
        }
        let candidate = candidates[index];
        let covered = candidates[..kept].iter().any(|better| {
            compared += 1;
            (agnostic || better.class_id == candidate.class_id)
                && overlap(&better.xyxy, &candidate.xyxy) > iou
        });
        if !covered {
            candidates[kept] = candidate;
            kept += 1;
        }
    }
    candidates.truncate(kept);
    compared
}

/// Drops what isn't finite, then all but the `max` most confident; these come sorted, best first, earlier
/// first.
pub fn keep_best(candidates: &mut Vec<Candidate>, max: usize) {
    candidates.retain(|candidate| {
        candidate.confidence.is_finite() && candidate.xyxy.iter().all(|value| value.is_finite())
    });
    if candidates.len() > max {
        // Selection is by confidence and place, so that which of equals stay does not depend on the
        // algorithm.
        let mut order: Vec<(f32, u32)> =
            (0_u32..).zip(&*candidates).map(|(at, c)| (c.confidence, at)).collect();
        let better = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if max > 0 {
            order.select_nth_unstable_by(max - 1, better);
        }
        order.truncate(max);
        order.sort_unstable_by(better);
        *candidates = order.into_iter().map(|(_, at)| candidates[at as usize]).collect();
    } else {
        candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    }
}

/// Intersection over union in pixels; 0 where either has no area.
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |b: &[f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let intersection = area(&common);
    let union = area(a) + area(b) - intersection;
    if union > 0.0 { intersection / union } else { 0.0 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
