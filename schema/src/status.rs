//! `status/1`: how a camera fares.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decimals;
use crate::message::message;
use crate::{Clock, Timestamp};

/// A camera's status: written at each change and repeated every 30 s. The latest of the highest epoch counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "status/1")]
#[schemars(rename = "Status")]
pub struct Status {
    pub camera: String,
    /// Absent on `claimed`: the record's own offset is the epoch it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The generation of the camera's settings.
    pub generation: u64,
    /// Who runs the camera.
    pub pod: String,
    /// The slot by which the pod holds the camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Offset of the placement that the claim acts on, −1 without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<i64>,
    pub state: CameraState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StatusError>,
    /// When `state` was entered.
    pub since: Timestamp,
    /// When the camera is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// `captured_at` of the epoch's first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The epoch's last result so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// How far the camera's clock is from ours, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
}
message!(Status, "status/1", camera);

impl Status {
    /// Of a camera of which there is nothing more to say.
    pub fn bare(
        camera: impl Into<String>,
        generation: u64,
        pod: impl Into<String>,
        state: CameraState,
        since: Timestamp,
    ) -> Self {
        Self {
            camera: camera.into(),
            epoch: None,
            generation,
            pod: pod.into(),
            slot: None,
            placement: None,
            state,
            error: None,
            since,
            retry_at: None,
            first: None,
            last: None,
            video: None,
            clock: None,
            clock_offset_ms: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastResult {
    pub seq: u64,
    pub captured_at: Timestamp,
}

/// What the stream turned out to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoFacts {
    /// `h264`, `h265`, `mjpeg`, …
    pub codec: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    #[serde(serialize_with = "decimals::three")]
    pub fps: f64,
    /// Seconds between two keyframes, as measured.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "decimals::three_option")]
    pub keyframe_interval_s: Option<f64>,
    /// The GStreamer element that decodes.
    pub decoder: String,
    /// Which pictures are decoded: `all`, `keyframes`, …
    pub plan: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameraState {
    /// Somebody took the camera; nothing is open yet.
    Claimed,
    Connecting,
    /// From its first result being ready.
    Running,
    /// Failed; tried again at `retry_at`.
    Retrying,
    /// A file's end, or handed over.
    Ended,
    /// No longer wanted here.
    Stopped,
    /// `enabled: false`.
    Disabled,
}

impl CameraState {
    pub const ALL: [Self; 7] = [
        Self::Claimed,
        Self::Connecting,
        Self::Running,
        Self::Retrying,
        Self::Ended,
        Self::Stopped,
        Self::Disabled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for CameraState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a camera does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusError {
    pub code: ErrorCode,
    /// A sentence for a person; never holds a secret.
    pub message: String,
}

/// The kinds of failure. Also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The camera refused user or password.
    AuthFailed,
    /// The address answers, but has no such stream or file.
    NotFound,
    /// No connection to the address.
    Unreachable,
    /// Connected, but no answer in time.
    Timeout,
    /// The encrypted connection was not accepted.
    TlsFailed,
    /// No decoder for this codec.
    CodecUnsupported,
    /// The source holds no video.
    NoVideo,
    /// The stream is open, but nothing arrives.
    Stalled,
    /// The same picture again and again.
    Frozen,
    /// Only black pictures.
    Black,
    /// What arrives can't be decoded.
    Corrupt,
    /// The camera refused another session.
    Rejected,
    /// The uri is not allowed here.
    ForbiddenUri,
    /// The settings can't be used, or do not fit the model.
    SettingsInvalid,
    /// The named secret is not there.
    SecretMissing,
    /// The model is not there.
    ModelMissing,
    /// The GPU or other device went away.
    DeviceLost,
    /// A fault of Sightline.
    Internal,
}

impl ErrorCode {
    pub const ALL: [Self; 18] = [
        Self::AuthFailed,
        Self::NotFound,
        Self::Unreachable,
        Self::Timeout,
        Self::TlsFailed,
        Self::CodecUnsupported,
        Self::NoVideo,
        Self::Stalled,
        Self::Frozen,
        Self::Black,
        Self::Corrupt,
        Self::Rejected,
        Self::ForbiddenUri,
        Self::SettingsInvalid,
        Self::SecretMissing,
        Self::ModelMissing,
        Self::DeviceLost,
        Self::Internal,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthFailed => "auth_failed",
            Self::NotFound => "not_found",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::TlsFailed => "tls_failed",
            Self::CodecUnsupported => "codec_unsupported",
            Self::NoVideo => "no_video",
            Self::Stalled => "stalled",
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::Corrupt => "corrupt",
            Self::Rejected => "rejected",
            Self::ForbiddenUri => "forbidden_uri",
            Self::SettingsInvalid => "settings_invalid",
            Self::SecretMissing => "secret_missing",
            Self::ModelMissing => "model_missing",
            Self::DeviceLost => "device_lost",
            Self::Internal => "internal",
        }
    }

    /// What a person should do about it: a sentence.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::AuthFailed => "Check the camera's user and password.",
            Self::NotFound => "Check the path in the camera's uri; the address itself answers.",
            Self::Unreachable => "Check the host and port in the uri, and that this machine may reach them.",
            Self::Timeout => "Check that the camera is up and the network in between is not congested.",
            Self::TlsFailed => "Check the camera's certificate and that its name is the one in the uri.",
            Self::CodecUnsupported => {
                "Set the camera to H.264 or H.265, or install the decoder for its codec."
            }
            Self::NoVideo => "Choose a stream or file that holds video; this one does not.",
            Self::Stalled => "Check the camera and its network; the connection is open but nothing arrives.",
            Self::Frozen => "Restart the camera; it sends the same picture again and again.",
            Self::Black => "Check the lens cover, the lighting and the camera's exposure.",
            Self::Corrupt => {
                "Check the network for lost packets, or use transport tcp; a file may be damaged."
            }
            Self::Rejected => {
                "Close other sessions on the camera, raise how many it allows, or use the other transport."
            }
            Self::ForbiddenUri => "Use an address that the operator of Sightline has allowed.",
            Self::SettingsInvalid => "Correct the setting that the message names, and add it again.",
            Self::SecretMissing => "Create the secret that the camera names, or correct its name.",
            Self::ModelMissing => "Put the model where the pipeline looks for it, or correct its name.",
            Self::DeviceLost => "Check the GPU and its driver on the machine that runs the pipeline.",
            Self::Internal => "Look at the pipeline's log and report it; this is a fault of Sightline.",
        }
    }
}

impl ErrorCode {
    /// What a person should do about it where it is a recording that can't be worked off: a sentence.
    pub const fn recording_advice(self) -> &'static str {
        match self {
            Self::AuthFailed => {
                "Check that the workers may read it: an object by the credentials in their environment (AWS_…, GOOGLE_…, AZURE_…), \
                 a link by its signature and its date."
            }
            Self::NotFound => {
                "Look whether the file or object is still there; if it was moved, add it by its new address."
            }
            Self::Unreachable => {
                "Check that the workers may reach the server or bucket and that it answers; then retry the job."
            }
            Self::Timeout | Self::Stalled => {
                "Check that the server or bucket answers the workers fast enough and that the file is whole; then retry the job."
            }
            Self::TlsFailed => {
                "Let the workers trust the authority that signed the server's certificate, and use the name that it is for."
            }
            Self::CodecUnsupported => {
                "Convert the file to H.264 or H.265 and add that, or install the decoder for its codec with the workers."
            }
            Self::NoVideo => "Add a file that holds video; this one does not.",
            Self::Frozen | Self::Black => {
                "Play the file; its pictures show nothing that could be looked for."
            }
            Self::Corrupt => {
                "Copy or export the file again: it is damaged, cut off, or still being written; then retry the job."
            }
            Self::Rejected => {
                "Put the file into a bucket or a folder, or on a server that gives ranges of it at the address itself."
            }
            Self::ForbiddenUri => {
                "Put the file where the workers may read, or let whoever runs them allow it (--allow-bucket, --allow-file-root, \
                 --allow-network)."
            }
            Self::SettingsInvalid => "Correct the setting that the message names, and add the file again.",
            Self::SecretMissing => "Give workers access by their own environment; a job names no secret.",
            Self::ModelMissing => "Put the model where the workers look for it, or correct its name.",
            Self::DeviceLost => {
                "Check the GPU and its driver on the machine that runs the worker; then retry the job."
            }
            Self::Internal => "Look at the worker's log and report it; this is a fault of Sightline.",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_on_the_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(code.advice().ends_with('.'), "{code}: not a sentence");
            let advice = code.recording_advice();
            assert!(advice.ends_with('.'), "{code}: not a sentence");
            assert!(!advice.contains("camera") && !advice.contains("stream"), "{code}: {advice}");
        }
        for state in CameraState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
