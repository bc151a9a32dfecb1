//! The sample clip with the sample model, as `sightline detect` runs them: against what is truly in the clip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/frames.rs"]
mod frames;
#[path = "support/sightline.rs"]
mod sightline;

use std::path::PathBuf;

use frames::{Frame, Rect, iou};
use serde::Deserialize;
use sightline_pipeline::evaluate::{IOU_THRESHOLD, Observation, evaluate};
use sightline_schema::Box2d;

/// Objects of which less can be seen are left out, and so is what was detected on them.
const VISIBLE: f64 = 0.5;

/// Identity, class, box, visible share.
type TruthRow = (u64, u32, f64, f64, f64, f64, f64);

#[derive(Deserialize)]
struct Truth {
    frame_count: usize,
    /// Rows: id, class_id, x_min, y_min, x_max, y_max, visible.
    frames: Vec<Vec<TruthRow>>,
}

#[derive(Clone, Copy)]
struct Object {
    id: u64,
    class_id: u32,
    rect: Rect,
    visible: bool,
}

impl Truth {
    fn objects(&self, frame: usize) -> Vec<Object> {
        let object = |&(id, class_id, x_min, y_min, x_max, y_max, visible)| Object {
            id,
            class_id,
            rect: [x_min, y_min, x_max, y_max],
            visible: visible >= VISIBLE,
        };
        self.frames[frame].iter().map(object).collect()
    }
}

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

/// A detection that is on no object to be found, but on one that is left out.
fn on_ignored(found: &frames::Detection, objects: &[Object]) -> bool {
    let best = |visible: bool| {
        let of =
            objects.iter().filter(|object| object.visible == visible && object.class_id == found.class_id);
        of.map(|object| iou(object.rect, found.fractions)).fold(0.0, f64::max)
    };
    best(true) < f64::from(IOU_THRESHOLD) && best(false) >= f64::from(IOU_THRESHOLD)
}

fn observation(frame: u64, id: u64, rect: Rect) -> Observation {
    let [x_min, y_min, x_max, y_max] = rect.map(|value| value as f32);
    Observation { frame, id, box2d: Box2d { x_min, y_min, x_max, y_max } }
}

/// Average precision at IoU 0.5 of a class: area under the precision-recall curve, precision made to fall.
fn average_precision(lines: &[Frame], truth: &Truth, class_id: u32) -> f64 {
    let mut found: Vec<_> = lines
        .iter()
        .flat_map(|line| line.detections.iter().map(move |detection| (line.seq as usize, detection)))
        .filter(|(_, detection)| detection.class_id == class_id)
        .collect();
    found.sort_by(|a, b| b.1.confidence.total_cmp(&a.1.confidence));
    let objects: Vec<Vec<Object>> = (0..truth.frame_count).map(|frame| truth.objects(frame)).collect();
    let mut taken: Vec<Vec<bool>> = objects.iter().map(|objects| vec![false; objects.len()]).collect();
    let all = objects.iter().flatten().filter(|object| object.visible && object.class_id == class_id).count();
    let (mut right, mut wrong, mut curve) = (0usize, 0usize, Vec::new());
    for (frame, detection) in found {
        let fits = objects[frame]
            .iter()
            .enumerate()
            .filter(|(index, object)| object.visible && object.class_id == class_id && !taken[frame][*index]);
        let best = fits
            .map(|(index, object)| (index, iou(object.rect, detection.fractions)))
            .filter(|(_, iou)| *iou >= 0.5)
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match best {
            Some((index, _)) => {
                taken[frame][index] = true;
                right += 1;
            }
            None if on_ignored(detection, &objects[frame]) => continue,
            None => wrong += 1,
        }
        curve.push((right as f64 / all as f64, right as f64 / (right + wrong) as f64));
    }
    let (mut area, mut best, mut after) = (0.0, 0.0f64, curve.last().map_or(0.0, |point| point.0));
    for (recall, precision) in curve.into_iter().rev() {
        area += (after - recall) * best;
        best = best.max(precision);
        after = recall;
    }
    area + after * best
}

#[test]
fn the_sample_is_detected_and_tracked() {
    let truth: Truth =
        serde_json::from_slice(&std::fs::read(sample("junction.truth.json")).unwrap()).unwrap();
    let (clip, model) = (sample("junction.mp4"), sample("junction.onnx"));
    let run = |more: &[&str]| {
        let args = ["detect", clip.to_str().unwrap(), "-m", model.to_str().unwrap(), "--out", "-"];
        let output = sightline::output(&[&args[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = frames::parse(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(frames::check_order(&lines), truth.frame_count as u64);
        assert_eq!(lines.len(), truth.frame_count);
        lines
    };

    let lines = run(&[]);
    let (mut there, mut tracked) = (Vec::new(), Vec::new());
    for line in &lines {
        let objects = truth.objects(line.seq as usize);
        let visible = objects.iter().filter(|object| object.visible);
        there.extend(visible.map(|object| observation(line.seq, object.id, object.rect)));
        let confirmed = line.detections.iter().filter_map(|detection| {
            let track = detection.track.as_ref().filter(|track| track.state == "confirmed")?;
            (!on_ignored(detection, &objects)).then(|| observation(line.seq, track.id, detection.fractions))
        });
        tracked.extend(confirmed);
    }
    let agreement = evaluate(&there, &tracked, IOU_THRESHOLD);
    println!("MOTA {:.4}, IDF1 {:.4}, {agreement:?}", agreement.mota(), agreement.idf1());
    assert!(there.len() > 1000, "{} objects", there.len());
    assert!(agreement.mota() >= 0.95, "MOTA {:.4}: {agreement:?}", agreement.mota());
    assert!(agreement.id_switches <= 2, "{agreement:?}");

    // The tracker's input: everything down to where it looks.
    let weak = run(&["--no-track", "--confidence", "0.05"]);
    let classes: std::collections::BTreeSet<u32> = truth.frames.iter().flatten().map(|row| row.1).collect();
    let precisions: Vec<f64> =
        classes.iter().map(|class_id| average_precision(&weak, &truth, *class_id)).collect();
    let mean = precisions.iter().sum::<f64>() / precisions.len() as f64;
    println!("mAP50 {mean:.4}: {precisions:.4?}");
    assert!(mean >= 0.95, "mAP50 {mean:.4}: {precisions:.4?}");
}
