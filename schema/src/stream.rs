//! What stands between the frames of a camera: `spec/1`, `stream/1`, `tick/1`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::message::message;
use crate::{Anchor, CameraState, ErrorCode, Line, Point, Timestamp, Zone};

/// What the results of an epoch mean: zones, lines, model. First in an epoch, and again every 60 s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "spec/1")]
#[schemars(rename = "SpecRecord")]
pub struct SpecRecord {
    pub camera: String,
    pub epoch: u64,
    /// The generation of the camera's settings.
    pub generation: u64,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "leniently::<_, ZoneRead, _>"
    )]
    pub zones: Vec<Zone>,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "leniently::<_, LineRead, _>"
    )]
    pub lines: Vec<Line>,
    #[serde(default)]
    pub anchor: Anchor,
    pub model: ModelFacts,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
message!(SpecRecord, "spec/1", camera);

/// Which model made the results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFacts {
    /// The file's name without its ending.
    pub name: String,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// The layout of its output: `yolov8`, `yolov5`, `yolox`, `end2end` or `detr`.
    pub head: String,
    /// Height and width of its input, pixels.
    pub input: [u32; 2],
    /// Its class names; a `class_id` is an index into them.
    pub classes: Vec<String>,
}

/// A stream began, goes on (again every 60 s), or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "stream/1")]
#[schemars(rename = "StreamRecord")]
pub struct StreamRecord {
    pub camera: String,
    pub epoch: u64,
    pub state: StreamState,
    pub clock: Clock,
    /// On the camera's clock.
    pub at: Timestamp,
    /// With `ended`: whether a file was read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
}
message!(StreamRecord, "stream/1", camera);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    Started,
    Running,
    Ended,
}

/// Where `captured_at` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The camera's sender reports.
    Ntp,
    /// The arrival of its packets.
    Arrival,
    /// A file's own pts.
    File,
}

impl Clock {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ntp => "ntp",
            Self::Arrival => "arrival",
            Self::File => "file",
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sign of life every 5 s without a frame record, and a promise: no result of this epoch with an earlier
/// `captured_at` follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "tick/1")]
#[schemars(rename = "Tick")]
pub struct Tick {
    pub camera: String,
    pub epoch: u64,
    /// On the camera's clock.
    pub at: Timestamp,
    pub state: CameraState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
}
message!(Tick, "tick/1", camera);

/// A zone as a reader sees it: in a camera's settings an unknown field is a mistake, in a record it is a later version.
#[derive(Deserialize)]
struct ZoneRead {
    id: String,
    #[serde(default)]
    name: String,
    polygon: Vec<Point>,
    #[serde(default)]
    classes: Vec<String>,
    dwell_s: Option<f64>,
}

impl From<ZoneRead> for Zone {
    fn from(read: ZoneRead) -> Self {
        let ZoneRead { id, name, polygon, classes, dwell_s } = read;
        Self { id, name, polygon, classes, dwell_s }
    }
}

/// A line as a reader sees it.
#[derive(Deserialize)]
struct LineRead {
    id: String,
    #[serde(default)]
    name: String,
    from: Point,
    to: Point,
    #[serde(default)]
    classes: Vec<String>,
}

impl From<LineRead> for Line {
    fn from(read: LineRead) -> Self {
        let LineRead { id, name, from, to, classes } = read;
        Self { id, name, from, to, classes }
    }
}

fn leniently<'de, D, Read, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    Read: Deserialize<'de> + Into<T>,
{
    Ok(Vec::<Read>::deserialize(deserializer)?.into_iter().map(Into::into).collect())
}
