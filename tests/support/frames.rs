//! `frame/1` lines, read back and held to the published schema; boxes compared.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// x_min, y_min, x_max, y_max.
pub type Rect = [f64; 4];

#[derive(Clone, Debug, Deserialize)]
pub struct Frame {
    pub camera: String,
    pub epoch: u64,
    pub seq: u64,
    pub pts_us: i64,
    pub width: u32,
    pub height: u32,
    #[serde(default)]
    pub skipped: std::collections::BTreeMap<String, u64>,
    pub detections: Vec<Detection>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Detection {
    pub class_id: u32,
    pub label: String,
    pub confidence: f64,
    /// Fractions of the frame.
    #[serde(rename = "box")]
    pub fractions: Rect,
    pub track: Option<Track>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Track {
    pub id: u64,
    pub state: String,
}

impl Frame {
    pub fn pixels(&self, detection: &Detection) -> Rect {
        let (w, h) = (f64::from(self.width), f64::from(self.height));
        let [x_min, y_min, x_max, y_max] = detection.fractions;
        [x_min * w, y_min * h, x_max * w, y_max * h]
    }

    pub fn all_skipped(&self) -> u64 {
        self.skipped.values().sum()
    }
}

/// Reads lines, each valid against `docs/schema/frame-1.json`.
pub fn parse(text: &str) -> Vec<Frame> {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/frame-1.json");
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    });
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            SCHEMA.validate(&value).unwrap_or_else(|error| panic!("{error}: {line}"));
            serde_json::from_value(value).unwrap()
        })
        .collect()
}

pub fn read(path: &Path) -> Vec<Frame> {
    parse(&std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// One stream's lines: `seq` and the loss account without a hole, pts strictly rising. Gives the access units counted.
pub fn check_order(frames: &[Frame]) -> u64 {
    let mut next = 0;
    for frame in frames {
        assert_eq!(frame.seq, next + frame.all_skipped(), "{}: seq {}", frame.camera, frame.seq);
        next = frame.seq + 1;
    }
    let pts: Vec<_> = frames.iter().map(|frame| frame.pts_us).collect();
    assert!(pts.is_sorted_by(|a, b| a < b), "pts must rise: {pts:?}");
    next
}

pub fn iou(a: Rect, b: Rect) -> f64 {
    let side = |low: usize| (a[low + 2].min(b[low + 2]) - a[low].max(b[low])).max(0.0);
    let area = |r: Rect| (r[2] - r[0]) * (r[3] - r[1]);
    let common = side(0) * side(1);
    common / (area(a) + area(b) - common).max(f64::MIN_POSITIVE)
}

/// A box cut to a picture, as results are.
pub fn clipped(rect: Rect, (width, height): (f64, f64)) -> Rect {
    let [x_min, y_min, x_max, y_max] = rect;
    [x_min.clamp(0.0, width), y_min.clamp(0.0, height), x_max.clamp(0.0, width), y_max.clamp(0.0, height)]
}
