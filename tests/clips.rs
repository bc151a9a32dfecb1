//! Every real clip, whole: exactly its frames, and on each frame what the model's authors' code finds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/frames.rs"]
mod frames;
#[path = "support/sightline.rs"]
mod sightline;

use std::collections::BTreeMap;

use frames::{Frame, Rect, iou};
use sightline::data;

/// A reference detection from here up has to be found, and the other way round …
const SURE: f64 = 0.5;
/// … at this confidence or above.
const FOUND: f64 = 0.25;
/// Boxes of the same object.
const SAME: f64 = 0.8;

struct Reference {
    class_id: u32,
    confidence: f64,
    rect: Rect,
}

/// `frame(1..),-1,x,y,w,h,conf,class_id`
fn references(clip: &str) -> BTreeMap<u64, Vec<Reference>> {
    let text = std::fs::read_to_string(data(&format!("tracks/{clip}.dets.txt"))).unwrap();
    let mut frames: BTreeMap<u64, Vec<Reference>> = BTreeMap::new();
    for line in text.lines() {
        let row: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let [frame, _, x, y, w, h, confidence, class_id] = row[..] else { panic!("{line}") };
        let rect = [x, y, x + w, y + h];
        frames.entry(frame as u64 - 1).or_default().push(Reference {
            class_id: class_id as u32,
            confidence,
            rect,
        });
    }
    frames
}

/// Runs a clip; gives (agreed, asked) over both directions.
fn run(clip: &str, frames: usize) -> (usize, usize) {
    let (file, model) = (data(&format!("clips/{clip}.mp4")), data("models/yolov8n-640-fp32deq.onnx"));
    let output = sightline::output(&[
        "detect",
        file.to_str().unwrap(),
        "--model",
        model.to_str().unwrap(),
        "--out",
        "-",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = frames::parse(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(lines.len(), frames, "{said}");
    assert_eq!(frames::check_order(&lines), frames as u64);
    assert!(lines.iter().all(|line| line.skipped.is_empty()), "nothing is skipped of a file");
    let references = references(clip);
    let (mut agreed, mut asked) = (0, 0);
    for line in &lines {
        let wanted = references.get(&line.seq).map_or(&[][..], Vec::as_slice);
        let (good, all) = agreement(line, wanted);
        agreed += good;
        asked += all;
    }
    println!("{clip}: {agreed} of {asked} agree");
    (agreed, asked)
}

fn agreement(line: &Frame, wanted: &[Reference]) -> (usize, usize) {
    let same = |found: &frames::Detection, reference: &Reference| {
        found.class_id == reference.class_id && iou(line.pixels(found), reference.rect) >= SAME
    };
    let sure = wanted.iter().filter(|reference| reference.confidence >= SURE);
    let met =
        sure.clone().filter(|r| line.detections.iter().any(|d| d.confidence >= FOUND && same(d, r))).count();
    let given = line.detections.iter().filter(|found| found.confidence >= SURE);
    let known = given.clone().filter(|d| wanted.iter().any(|r| r.confidence >= FOUND && same(d, r))).count();
    (met + known, sure.count() + given.count())
}

fn check(clip: &str, frames: usize, at_least: usize) {
    let (agreed, asked) = run(clip, frames);
    assert!(asked >= at_least, "{clip}: only {asked} were compared");
    assert!(agreed as f64 >= 0.98 * asked as f64, "{clip}: {agreed} of {asked} agree");
}

#[test]
fn cars_from_above() {
    check("car-detection", 377, 0);
}

#[test]
fn people_one_by_one() {
    check("one-by-one-person_a", 1000, 1000);
}

#[test]
fn a_shop_in_hevc() {
    check("retail02_a", 500, 1000);
}

#[test]
fn a_motorway_from_a_car() {
    check("udacity_solidWhiteRight", 221, 100);
}
