//! `frame/1`: what was detected in one frame.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decimals;
use crate::message::message;
use crate::{Box2d, Timestamp};

/// One frame's result. `(camera, epoch, seq)` names it for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "frame/1")]
#[schemars(rename = "FrameResult")]
pub struct FrameResult {
    /// The camera's id; for a file given on the command line, the input as given, without credentials.
    pub camera: String,
    /// Which run of the camera this belongs to. Only grows.
    pub epoch: u64,
    /// Counts the access units (encoded pictures) that arrived in this epoch, from 0.
    pub seq: u64,
    /// The wall clock of the capture; never goes back within a camera.
    pub captured_at: Timestamp,
    /// The stream's own clock, microseconds since its start.
    pub pts_us: i64,
    /// Pixels of the frame.
    pub width: u32,
    /// Pixels of the frame.
    pub height: u32,
    /// Access units since the previous frame record of the epoch that have no record of their own:
    /// seq − previous seq = 1 + the sum of these.
    #[serde(default, skip_serializing_if = "Skipped::is_empty")]
    pub skipped: Skipped,
    /// Empty, but present, where nothing was detected.
    pub detections: Vec<DetectionRecord>,
}
message!(FrameResult, "frame/1", camera);

/// One object in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectionRecord {
    /// The class as the model numbers it.
    pub class_id: u32,
    /// The class's name.
    pub label: String,
    /// 0 to 1, four decimals.
    #[serde(serialize_with = "decimals::four")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f32,
    /// The detector's box, cut at the frame's edges.
    #[serde(rename = "box")]
    pub box2d: Box2d,
    /// Absent where nothing is tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackRef>,
}

/// The track that a detection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrackRef {
    /// Unique within the camera's epoch.
    pub id: u64,
    pub state: TrackState,
    /// Seconds since the track was first seen, one decimal.
    #[serde(serialize_with = "decimals::one")]
    #[schemars(range(min = 0))]
    pub age_s: f64,
}

/// How sure the tracker is of a track. A lost one is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackState {
    /// Seen once; may be a false detection.
    Tentative,
    /// Seen again.
    Confirmed,
}

/// Why an access unit has no frame record. Also the metric label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Dropped before the decoder: not wanted, or before the first keyframe of a live stream.
    Undecoded,
    /// Decoded, but between two samples.
    Sampling,
    /// Nothing moved.
    Static,
    /// A live camera's frame that nobody had time for.
    Overload,
    /// Could not be decoded.
    Corrupt,
    /// Detected, but could not be handed to Kafka.
    Unpublished,
    /// Detected while the camera was taken over: the run before published this time.
    Overlap,
}

impl SkipReason {
    pub const ALL: [Self; 7] = [
        Self::Undecoded,
        Self::Sampling,
        Self::Static,
        Self::Overload,
        Self::Corrupt,
        Self::Unpublished,
        Self::Overlap,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecoded => "undecoded",
            Self::Sampling => "sampling",
            Self::Static => "static",
            Self::Overload => "overload",
            Self::Corrupt => "corrupt",
            Self::Unpublished => "unpublished",
            Self::Overlap => "overlap",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many access units were skipped, by reason. Zeros are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Skipped {
    /// Dropped before the decoder: not wanted, or before the first keyframe of a live stream.
    #[serde(skip_serializing_if = "is_zero")]
    pub undecoded: u64,
    /// Decoded, but between two samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub sampling: u64,
    /// Nothing moved.
    #[serde(rename = "static", skip_serializing_if = "is_zero")]
    pub static_: u64,
    /// A live camera's frames that nobody had time for.
    #[serde(skip_serializing_if = "is_zero")]
    pub overload: u64,
    /// Could not be decoded.
    #[serde(skip_serializing_if = "is_zero")]
    pub corrupt: u64,
    /// Detected, but could not be handed to Kafka.
    #[serde(skip_serializing_if = "is_zero")]
    pub unpublished: u64,
    /// Detected while the camera was taken over: the run before published this time.
    #[serde(skip_serializing_if = "is_zero")]
    pub overlap: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Skipped {
    pub fn get(&self, reason: SkipReason) -> u64 {
        match reason {
            SkipReason::Undecoded => self.undecoded,
            SkipReason::Sampling => self.sampling,
            SkipReason::Static => self.static_,
            SkipReason::Overload => self.overload,
            SkipReason::Corrupt => self.corrupt,
            SkipReason::Unpublished => self.unpublished,
            SkipReason::Overlap => self.overlap,
        }
    }

    pub fn add(&mut self, reason: SkipReason, count: u64) {
        let slot = match reason {
            SkipReason::Undecoded => &mut self.undecoded,
            SkipReason::Sampling => &mut self.sampling,
            SkipReason::Static => &mut self.static_,
            SkipReason::Overload => &mut self.overload,
            SkipReason::Corrupt => &mut self.corrupt,
            SkipReason::Unpublished => &mut self.unpublished,
            SkipReason::Overlap => &mut self.overlap,
        };
        *slot = slot.saturating_add(count);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for reason in SkipReason::ALL {
            self.add(reason, other.get(reason));
        }
    }

    pub fn total(&self) -> u64 {
        SkipReason::ALL.iter().fold(0, |sum, reason| sum.saturating_add(self.get(*reason)))
    }

    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_frame_has_an_empty_list_and_nothing_skipped() {
        let frame = FrameResult {
            camera: "a".into(),
            epoch: 0,
            seq: 0,
            captured_at: Timestamp::from_micros(0),
            pts_us: 0,
            width: 2,
            height: 2,
            skipped: Skipped::default(),
            detections: Vec::new(),
        };
        let json = serde_json::to_string(&frame).unwrap();
        assert_eq!(
            json,
            "{\"schema\":\"frame/1\",\"camera\":\"a\",\"epoch\":0,\"seq\":0,\
             \"captured_at\":\"1970-01-01T00:00:00.000Z\",\"pts_us\":0,\"width\":2,\"height\":2,\"detections\":[]}"
        );
        assert_eq!(serde_json::from_str::<FrameResult>(&json).unwrap(), frame);
        let without = json.replace(",\"detections\":[]", "");
        assert!(serde_json::from_str::<FrameResult>(&without).is_err());
    }

    #[test]
    fn confidence_has_four_decimals_and_age_one() {
        let detection = DetectionRecord {
            class_id: 0,
            label: "person".into(),
            confidence: 0.874_149,
            box2d: Box2d { x_min: 0.0, y_min: 0.0, x_max: 1.0, y_max: 1.0 },
            track: Some(TrackRef { id: 1, state: TrackState::Tentative, age_s: 0.066_666 }),
        };
        let json = serde_json::to_value(&detection).unwrap();
        assert_eq!(json["confidence"].to_string(), "0.8741");
        assert_eq!(json["track"]["age_s"].to_string(), "0.1");
    }

    #[test]
    fn skipped_counts_by_reason_and_in_all() {
        let mut skipped = Skipped::default();
        for (n, reason) in SkipReason::ALL.into_iter().enumerate() {
            skipped.add(reason, n as u64 + 1);
            assert_eq!(skipped.get(reason), n as u64 + 1);
            // The name on the wire is the name in metrics.
            assert_eq!(serde_json::to_value(skipped).unwrap()[reason.as_str()], n as u64 + 1);
        }
        assert_eq!(skipped.total(), 28);
        let mut twice = skipped;
        twice.merge(&skipped);
        assert_eq!(twice.total(), 56);
        twice.add(SkipReason::Static, u64::MAX);
        assert_eq!(twice.total(), u64::MAX);
    }
}
