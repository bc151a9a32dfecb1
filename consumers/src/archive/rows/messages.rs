//! `frame/1` and `event/1` as the archive reads them: strictly, so that nothing is passed over, and borrowed where there
//! are many.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use sightline_schema::Timestamp;

use super::read::Known;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::archive) struct Frame<'a> {
    #[serde(borrow)]
    pub(super) schema: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) camera: Cow<'a, str>,
    pub(super) epoch: i64,
    pub(super) seq: i64,
    pub(super) captured_at: Timestamp,
    pub(super) pts_us: i64,
    pub(super) width: i32,
    pub(super) height: i32,
    #[serde(default)]
    pub(super) skipped: Option<Skipped>,
    #[serde(borrow)]
    pub(super) detections: Vec<Detection<'a>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Skipped {
    pub(super) undecoded: i64,
    pub(super) sampling: i64,
    #[serde(rename = "static")]
    pub(super) static_: i64,
    pub(super) overload: i64,
    pub(super) corrupt: i64,
    pub(super) unpublished: i64,
    pub(super) overlap: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detection<'a> {
    pub(super) class_id: i32,
    #[serde(borrow)]
    pub(super) label: Cow<'a, str>,
    pub(super) confidence: f32,
    #[serde(rename = "box")]
    pub(super) box2d: [f32; 4],
    #[serde(default, borrow)]
    pub(super) track: Option<Track<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Track<'a> {
    pub(super) id: i64,
    #[serde(borrow)]
    pub(super) state: Cow<'a, str>,
    pub(super) age_s: f64,
}

impl Frame<'_> {
    pub(super) const FIELDS: Known = &[
        ("schema", &[]),
        ("camera", &[]),
        ("epoch", &[]),
        ("seq", &[]),
        ("captured_at", &[]),
        ("pts_us", &[]),
        ("width", &[]),
        ("height", &[]),
        (
            "skipped",
            &[
                ("undecoded", &[]),
                ("sampling", &[]),
                ("static", &[]),
                ("overload", &[]),
                ("corrupt", &[]),
                ("unpublished", &[]),
                ("overlap", &[]),
            ],
        ),
        (
            "detections",
            &[
                ("class_id", &[]),
                ("label", &[]),
                ("confidence", &[]),
                ("box", &[]),
                ("track", &["id", "state", "age_s"]),
            ],
        ),
    ];
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::archive) struct EventRow {
    pub(super) schema: String,
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) camera: String,
    pub(super) epoch: i64,
    pub(super) seq: i64,
    pub(super) generation: i64,
    pub(super) at: Timestamp,
    pub(super) track_key: Option<String>,
    pub(super) class_id: Option<i32>,
    pub(super) label: Option<String>,
    pub(super) confidence: Option<f32>,
    pub(super) line: Option<String>,
    pub(super) direction: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) duration_s: Option<f64>,
    #[serde(default)]
    pub(super) appeared: bool,
    #[serde(default)]
    pub(super) vanished: bool,
    #[serde(rename = "box")]
    pub(super) box2d: Option<[f32; 4]>,
    pub(super) first_seen: Option<Timestamp>,
    pub(super) last_seen: Option<Timestamp>,
    #[serde(default)]
    pub(super) path: Vec<[f32; 2]>,
    pub(super) best: Option<Best>,
    pub(super) error: Option<String>,
    pub(super) model: Option<Model>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) snapshot: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) sha256: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Best {
    pub(super) epoch: i64,
    pub(super) seq: i64,
    pub(super) at: Timestamp,
    pub(super) confidence: f32,
    #[serde(rename = "box")]
    pub(super) box2d: [f32; 4],
}

impl EventRow {
    pub(super) const FIELDS: Known = &[
        ("schema", &[]),
        ("id", &[]),
        ("type", &[]),
        ("camera", &[]),
        ("epoch", &[]),
        ("seq", &[]),
        ("generation", &[]),
        ("at", &[]),
        ("track_key", &[]),
        ("class_id", &[]),
        ("label", &[]),
        ("confidence", &[]),
        ("line", &[]),
        ("direction", &[]),
        ("zone", &[]),
        ("duration_s", &[]),
        ("appeared", &[]),
        ("vanished", &[]),
        ("box", &[]),
        ("first_seen", &[]),
        ("last_seen", &[]),
        ("path", &[]),
        ("best", &[("epoch", &[]), ("seq", &[]), ("at", &[]), ("confidence", &[]), ("box", &[])]),
        ("error", &[]),
        ("model", &[("name", &[]), ("sha256", &[])]),
        ("labels", &[]),
        ("snapshot", &[]),
    ];
}
