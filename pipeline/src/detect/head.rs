//! Decoding a model's output, layout by layout.
//!
//! All layouts are row-major `f32` without the batch axis; `c` is the number of classes, `A` that of anchors:
//!
//! | head | shape | an anchor's values |
//! |---|---|---|
//! | `yolov8` (v8…v12, v26 one-to-many) | `[4+c, A]` or transposed | cx cy w h, class scores |
//! | `yolov5` (v5, v7) | `[A, 5+c]` | cx cy w h, objectness, class scores |
//! | `yolox` | `[A, 5+c]` | x y w h in grid cells, w and h as logarithms; objectness, class scores |
//! | `end2end` (v10, v26) | `[D, 6]` | x_min y_min x_max y_max, confidence, class: final, no suppression |
//! | `detr` (RT-DETR, D-FINE, DEIM) | `[D]`, `[D, 4]`, `[D]` | label, corners, score: final, no suppression |
//!
//! Boxes are in pixels of the input, those of `detr` in pixels of what was given as `orig_target_sizes`.
//! Scores are probabilities already. As with Ultralytics' `predict`, an anchor stands for its best class
//! alone, and counts when its confidence exceeds the threshold.

mod anchors;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use self::anchors::GridLevels;
use super::nms::Candidate;
use crate::letterbox::{ChannelOrder, Fit, InputSize, Preprocess};

/// The layout of a model's output; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Head {
    Yolov8,
    Yolov5,
    Yolox,
    End2end,
    Detr,
}

impl Head {
    pub const ALL: [Self; 5] = [Self::Yolov8, Self::Yolov5, Self::Yolox, Self::End2end, Self::Detr];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yolov8 => "yolov8",
            Self::Yolov5 => "yolov5",
            Self::Yolox => "yolox",
            Self::End2end => "end2end",
            Self::Detr => "detr",
        }
    }

    /// Whether its boxes overlap, so that suppression is due.
    pub fn needs_suppression(self) -> bool {
        matches!(self, Self::Yolov8 | Self::Yolov5 | Self::Yolox)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str);
        Self::ALL
            .into_iter()
            .find(|head| head.as_str() == given)
            .ok_or_else(|| format!("no head {given}; there are {}", known.join(", ")))
    }
}

/// What models with such a head were trained on.
pub fn preprocess(head: Head) -> Preprocess {
    match head {
        Head::Yolov8 | Head::Yolov5 | Head::End2end => {
            Preprocess { fit: Fit::Centred, order: ChannelOrder::Rgb, unit: true, pad: 114.0 }
        }
        Head::Yolox => Preprocess { fit: Fit::TopLeft, order: ChannelOrder::Bgr, unit: false, pad: 114.0 },
        Head::Detr => Preprocess { fit: Fit::Stretch, order: ChannelOrder::Rgb, unit: true, pad: 114.0 },
    }
}

/// Why an output could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error(
        "the model's output {shape:?} is no {head} output of {classes} classes; name another with --head"
    )]
    Shape { head: Head, shape: Vec<usize>, classes: usize },
    #[error("the model's output holds {have} values, its shape {shape:?} says {need}")]
    Length { shape: Vec<usize>, have: usize, need: usize },
    #[error("{anchors} anchors are no yolox grid for an input of {input}")]
    Grid { anchors: usize, input: InputSize },
    #[error("the model gave {labels} labels, {boxes} box coordinates and {scores} scores")]
    Unequal { labels: usize, boxes: usize, scores: usize },
}

/// Adds to `out` what one picture's output says with a confidence above `threshold`, in the order of the
/// anchors. `shape` comes without the batch axis. `Head::Detr` has three outputs and goes through
/// `decode_detr`.
pub fn decode(
    head: Head,
    output: &[f32],
    shape: &[usize],
    classes: usize,
    input: InputSize,
    threshold: f32,
    out: &mut Vec<Candidate>,
) -> Result<(), HeadError> {
    let wrong_shape = || HeadError::Shape { head, shape: shape.to_vec(), classes };
    let &[first, second] = shape else { return Err(wrong_shape()) };
    let need = first.saturating_mul(second);
    if output.len() != need {
        return Err(HeadError::Length { shape: shape.to_vec(), have: output.len(), need });
    }
    if need == 0 {
        return Ok(());
    }
    match head {
        Head::Yolov8 if first == 4 + classes => class_rows(output, second, threshold, out),
        Head::Yolov8 if second == 4 + classes => {
            let rows = output.chunks_exact(second);
            out.extend(rows.filter_map(|row| centred(row, best(&row[4..])?, threshold)));
        }
        Head::Yolov5 if second == 5 + classes => {
            let rows = output.chunks_exact(second);
            out.extend(
                rows.filter_map(|row| centred(row, objectness_times_class(row, threshold)?, threshold)),
            );
        }
        Head::Yolox if second == 5 + classes => {
            let levels =
                GridLevels::of_yolox(input, first).ok_or(HeadError::Grid { anchors: first, input })?;
            let rows = output.chunks_exact(second).zip(levels.cells());
            out.extend(rows.filter_map(|(row, (x, y, stride))| {
                let score = objectness_times_class(row, threshold)?;
                let centre = [(row[0] + x as f32) * stride as f32, (row[1] + y as f32) * stride as f32];
                let size = [row[2].exp() * stride as f32, row[3].exp() * stride as f32];
                centred(&[centre[0], centre[1], size[0], size[1]], score, threshold)
            }));
        }
        Head::End2end if second == 6 => {
            let rows = output.as_chunks::<6>().0;
            out.extend(rows.iter().filter_map(|&[x_min, y_min, x_max, y_max, confidence, class]| {
                // A class is a whole number; anything else in its place is no class of ours.
                let known = class > -0.5 && class.round() < classes as f32;
                let class = known.then(|| class.round() as u32)?;
                candidate(class, confidence, [x_min, y_min, x_max, y_max], threshold)
            }));
        }
        _ => return Err(wrong_shape()),
    }
    Ok(())
}

/// The same for the three outputs of a DETR head, of one picture: `boxes` holds four corners a detection, in
/// pixels of the size that was given as `orig_target_sizes`; that is the original picture's, so these
/// candidates are in source pixels and need no way back through the letterbox. Labels that aren't below
/// `classes` are dropped.
pub fn decode_detr(
    labels: &[i64],
    boxes: &[f32],
    scores: &[f32],
    classes: usize,
    threshold: f32,
    out: &mut Vec<Candidate>,
) -> Result<(), HeadError> {
    let (corners, rest) = boxes.as_chunks::<4>();
    if labels.len() != scores.len() || labels.len() != corners.len() || !rest.is_empty() {
        let (labels, boxes, scores) = (labels.len(), boxes.len(), scores.len());
        return Err(HeadError::Unequal { labels, boxes, scores });
    }
    out.extend(labels.iter().zip(corners).zip(scores).filter_map(|((&label, &corners), &score)| {
        let class = u32::try_from(label).ok().filter(|&class| (class as usize) < classes)?;
        candidate(class, score, corners, threshold)
    }));
    Ok(())
}

/// A class and its confidence.
type Score = (u32, f32);

/// The layout with a row per class: `[4+c, anchors]`. Rows are walked in blocks that stay in the cache,
/// keeping the best score of each anchor, so that the inner loop runs over neighbours and vectorises. Which
/// class it was is looked up for the few that count.
fn class_rows(output: &[f32], anchors: usize, threshold: f32, out: &mut Vec<Candidate>) {
    const BLOCK: usize = 1024;
    let mut block = [0.0_f32; BLOCK];
    let (boxes, scores) = output.split_at(4 * anchors);
    for start in (0..anchors).step_by(BLOCK) {
        let best = &mut block[..BLOCK.min(anchors - start)];
        best.fill(f32::NEG_INFINITY);
        for row in scores.chunks_exact(anchors) {
            for (best, &score) in best.iter_mut().zip(&row[start..]) {
                // NaN is never better.
                *best = if score > *best { score } else { *best };
            }
        }
        for (anchor, &confidence) in (start..).zip(&*best).filter(|&(_, &confidence)| confidence > threshold)
        {
            let mut rows = (0_u32..).zip(scores.chunks_exact(anchors));
            let class = rows.find(|(_, row)| row[anchor] == confidence).map_or(0, |(class, _)| class);
            let row = [0, 1, 2, 3].map(|value| boxes[value * anchors + anchor]);
            out.extend(centred(&row, (class, confidence), threshold));
        }
    }
}

/// The first of the best; none where all are NaN.
fn best(scores: &[f32]) -> Option<Score> {
    let mut best = None;
    for (class, &score) in (0_u32..).zip(scores) {
        if score > best.map_or(f32::NEG_INFINITY, |(_, best)| best) {
            best = Some((class, score));
        }
    }
    best
}

/// Objectness has to exceed the threshold by itself, as in the yolov5 repository.
fn objectness_times_class(row: &[f32], threshold: f32) -> Option<Score> {
    let objectness = row[4];
    if objectness > threshold {
        let (class, score) = best(&row[5..])?;
        Some((class, objectness * score))
    } else {
        None
    }
}

/// From the first four values of `row`, cx cy w h.
fn centred(row: &[f32], (class, confidence): Score, threshold: f32) -> Option<Candidate> {
    let (x, y, half_width, half_height) = (row[0], row[1], row[2] / 2.0, row[3] / 2.0);
    candidate(
        class,
        confidence,
        [x - half_width, y - half_height, x + half_width, y + half_height],
        threshold,
    )
}

/// None below the threshold, and none whose numbers aren't any. Half precision can round a confidence above
/// 1.
fn candidate(class_id: u32, confidence: f32, xyxy: [f32; 4], threshold: f32) -> Option<Candidate> {
    let counts = confidence > threshold && confidence.is_finite() && xyxy.iter().all(|v| v.is_finite());
    counts.then(|| Candidate { class_id, confidence: confidence.min(1.0), xyxy })
}
