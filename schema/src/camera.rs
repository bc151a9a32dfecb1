//! `camera/1`: a registered source of video and its settings.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::message::message;
use crate::{Anchor, Credentials, Message, Point, decimals, split_credentials};

mod load;
mod polygon;
mod read;
pub(crate) mod validate;
pub use validate::CameraError;

/// A camera. Reading one takes user and password out of its uris and into `credentials`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
// "Self": serde makes plain functions, which the two impls below wrap.
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(transform = read::source_shorthand)]
pub struct Camera {
    #[serde(default)]
    pub schema: CameraSchema,
    /// A DNS label (1 to 63 of a-z, 0-9 and -); stays when the name changes.
    #[schemars(schema_with = "dns_label")]
    pub id: String,
    /// Grows with each change of the settings.
    #[serde(default = "first_generation")]
    pub generation: u64,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Exactly one with role `detect`. A single one may also be given as `source`: its uri, or an object.
    #[serde(alias = "source", deserialize_with = "read::streams_or_source")]
    pub streams: Vec<StreamSpec>,
    /// Absent where the camera wants none. Inline ones are never written.
    #[serde(default, skip_serializing_if = "not_by_secret")]
    pub credentials: Option<Credentials>,
    /// Which frames are worth detecting.
    #[serde(default)]
    pub sampling: Sampling,
    #[serde(default)]
    pub detect: DetectSettings,
    /// A detection whose anchor lies in one is dropped before the tracker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Mask>,
    /// Blacked out in every picture that leaves the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privacy: Vec<Mask>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// The point of a box that counts in masks, zones and lines.
    #[serde(default)]
    pub anchor: Anchor,
    /// The pool of pipelines that runs it.
    #[serde(default = "default_pool")]
    #[schemars(schema_with = "dns_label")]
    pub pool: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `false`: kept, but not opened.
    #[serde(default = "yes")]
    pub enabled: bool,
}
message!(Camera, "camera/1", id);

/// What `cameras.yaml` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraFile {
    #[serde(deserialize_with = "read::cameras")]
    pub cameras: Vec<Camera>,
}

/// One encoded feed of a camera.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    #[serde(default)]
    pub role: Role,
    /// `rtsp://…`, `http(s)://…`, `test://…`, or a file. User and password given here are taken out.
    pub uri: String,
    /// How RTSP brings its packets.
    #[serde(default)]
    pub transport: Transport,
    /// How long packets may wait for late ones, milliseconds. RTSP alone.
    #[serde(default = "default_latency")]
    pub latency_ms: u32,
    /// Files alone: how they are played. Absent means `once`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<Play>,
}

impl StreamSpec {
    /// A stream with role `detect` and everything else as by default.
    pub fn detect(uri: impl Into<String>) -> Self {
        Self {
            role: Role::Detect,
            uri: uri.into(),
            transport: Transport::default(),
            latency_ms: default_latency(),
            play: None,
        }
    }
}

impl fmt::Debug for StreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSpec")
            .field("role", &self.role)
            .field("uri", &split_credentials(&self.uri).0)
            .field("transport", &self.transport)
            .field("latency_ms", &self.latency_ms)
            .field("play", &self.play)
            .finish()
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Detection; best a small one.
    #[default]
    Detect,
    /// Full size; opened only for what needs it.
    Main,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Main => "main",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    #[default]
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Play {
    /// As fast as results are taken, no frame lost, and then the camera has ended.
    Once,
    /// In real time and again from the start, like a live camera: a frame that nobody has time for is dropped.
    Loop,
}

/// Which frames are worth detecting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "snake_case", try_from = "read::SamplingInput", deny_unknown_fields)]
// The enum says more than the struct that is read first.
#[schemars(!try_from)]
pub enum Sampling {
    /// At most so many a second, evenly.
    Fps {
        #[schemars(range(max = 240), extend("exclusiveMinimum" = 0))]
        fps: f64,
    },
    #[default]
    EveryFrame,
    /// Keyframes alone; the others are dropped before the decoder.
    Keyframes,
    /// Between the two, by what happens. Not available yet.
    Adaptive { min_fps: f64, max_fps: f64 },
}

/// What counts as a detection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectSettings {
    /// Class names; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The confidence threshold for what is published.
    #[serde(serialize_with = "decimals::shortest")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f32,
    /// Confidence thresholds by class name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "decimals::shortest_map")]
    pub class_confidence: BTreeMap<String, f32>,
    /// The IoU threshold of NMS.
    #[serde(serialize_with = "decimals::shortest")]
    #[schemars(range(min = 0, max = 1))]
    pub iou: f32,
    /// Fraction of the frame; smaller boxes are dropped.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "decimals::shortest_option")]
    #[schemars(range(min = 0, max = 1))]
    pub min_area: Option<f32>,
    /// Fraction of the frame; larger boxes are dropped.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "decimals::shortest_option")]
    #[schemars(range(min = 0, max = 1))]
    pub max_area: Option<f32>,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self {
            classes: Vec::new(),
            confidence: 0.25,
            class_confidence: BTreeMap::new(),
            iou: 0.7,
            min_area: None,
            max_area: None,
        }
    }
}

/// A part of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    #[schemars(schema_with = "dns_label")]
    pub id: String,
    #[schemars(length(min = 3))]
    pub polygon: Vec<Point>,
}

/// A polygon that objects enter and leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    #[schemars(schema_with = "dns_label")]
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[schemars(length(min = 3))]
    pub polygon: Vec<Point>,
    /// Class names; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Seconds in the zone after which an object has dwelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub dwell_s: Option<f64>,
}

/// A directed segment that objects cross: forward, from the left hand of who walks it to the right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    #[schemars(schema_with = "dns_label")]
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub from: Point,
    pub to: Point,
    /// Class names; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// The field `schema` of a camera: always "camera/1"; may be left out on input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameraSchema;

impl Camera {
    /// A camera with one stream and everything else as by default. User and password are taken out of the uri.
    pub fn new(id: impl Into<String>, uri: impl Into<String>) -> Self {
        let mut camera = Self {
            schema: CameraSchema,
            id: id.into(),
            generation: first_generation(),
            name: String::new(),
            streams: vec![StreamSpec::detect(uri)],
            credentials: None,
            sampling: Sampling::default(),
            detect: DetectSettings::default(),
            masks: Vec::new(),
            privacy: Vec::new(),
            zones: Vec::new(),
            lines: Vec::new(),
            anchor: Anchor::default(),
            pool: default_pool(),
            labels: BTreeMap::new(),
            enabled: true,
        };
        camera.take_credentials();
        camera
    }

    /// The first stream with this role.
    pub fn stream(&self, role: Role) -> Option<&StreamSpec> {
        self.streams.iter().find(|stream| stream.role == role)
    }

    /// Takes user and password out of every stream's uri and into `credentials`. Where they contradict each other
    /// (`validate` refuses that), those already in `credentials` stay, else those of the first stream count.
    pub fn take_credentials(&mut self) {
        for stream in &mut self.streams {
            let (uri, found) = split_credentials(&stream.uri);
            stream.uri = uri;
            if let (None, Some(found)) = (&self.credentials, found) {
                self.credentials = Some(Credentials::Inline(found));
            }
        }
    }
}

impl Serialize for Camera {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl Serialize for CameraSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Camera::SCHEMA)
    }
}

impl JsonSchema for CameraSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CameraSchema".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"const": Camera::SCHEMA})
    }
}

pub(crate) fn dns_label(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"})
}

fn not_by_secret(credentials: &Option<Credentials>) -> bool {
    credentials.as_ref().is_none_or(Credentials::is_inline)
}

fn first_generation() -> u64 {
    1
}

fn default_latency() -> u32 {
    200
}

pub(crate) fn default_pool() -> String {
    "default".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
