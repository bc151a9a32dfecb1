//! `event/1`: something that happened.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decimals;
use crate::message::message;
use crate::{Box2d, ErrorCode, Point, Timestamp};

/// Something that happened in front of a camera, or to it. `docs/EVENTS.md` says when. An event that is written twice has
/// the same `id`; whoever reads events keeps one of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "event/1")]
#[schemars(rename = "Event")]
pub struct Event {
    /// Made of what the event is about: camera, epoch, seq, track, type, zone or line.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: EventType,
    pub camera: String,
    /// Those of the frame at which it is dated; a camera's own events bear its last or next frame's.
    pub epoch: u64,
    pub seq: u64,
    /// Of the camera's settings.
    pub generation: u64,
    pub at: Timestamp,
    /// The same for all events of one object, epochs over: camera, first epoch, track id in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_id: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "decimals::four_option")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Since the object entered the zone.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "decimals::three_option")]
    #[schemars(range(min = 0))]
    pub duration_s: Option<f64>,
    /// It was in the zone when it was first seen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub appeared: bool,
    /// It was in the zone when it was last seen, or the zone is gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub vanished: bool,
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub box2d: Option<Box2d>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Where the object was: up to 8 points, spread evenly over its sights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Point>,
    /// Its sight of the highest confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestSight>,
    /// Why a camera is down, where a tick said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// The model of the epoch at which it is dated. Absent: not known, as of events of before it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// The camera's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A picture of the object, where one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}
message!(Event, "event/1", camera);

/// Which model saw it, as `spec/1` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRef {
    /// The file's name without its ending.
    pub name: String,
    /// Of the file, in hexadecimal.
    pub sha256: String,
}

/// The sight of a track with the highest confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BestSight {
    pub epoch: u64,
    pub seq: u64,
    pub at: Timestamp,
    #[serde(serialize_with = "decimals::four")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f32,
    #[serde(rename = "box")]
    pub box2d: Box2d,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    LineCrossed,
    ZoneEntered,
    ZoneLeft,
    Dwelled,
    TrackStarted,
    TrackEnded,
    CameraUp,
    CameraDown,
    JobDone,
}

impl EventType {
    pub const ALL: [Self; 9] = [
        Self::LineCrossed,
        Self::ZoneEntered,
        Self::ZoneLeft,
        Self::Dwelled,
        Self::TrackStarted,
        Self::TrackEnded,
        Self::CameraUp,
        Self::CameraDown,
        Self::JobDone,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LineCrossed => "line_crossed",
            Self::ZoneEntered => "zone_entered",
            Self::ZoneLeft => "zone_left",
            Self::Dwelled => "dwelled",
            Self::TrackStarted => "track_started",
            Self::TrackEnded => "track_ended",
            Self::CameraUp => "camera_up",
            Self::CameraDown => "camera_down",
            Self::JobDone => "job_done",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which way a line was crossed. `forward` leads to the right hand of someone who walks from `from` to `to` on the
/// picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Forward,
    Backward,
}

impl Direction {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !*value
}
