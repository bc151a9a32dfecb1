//! `pod/1`: a process that runs cameras, and how much it can carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::message;
use crate::{ModelFacts, Timestamp, decimals};

/// A pipeline process. Written every 5 s; one that is older than 15 s is dead; a tombstone is a clean end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "pod/1")]
#[schemars(rename = "Pod")]
pub struct Pod {
    /// Its name, of which there is one at a time.
    pub pod: String,
    /// Tells a process from the one before it under the same name.
    pub instance: String,
    pub pool: String,
    /// The slots it holds, in order.
    pub slots: Vec<u32>,
    /// What the model runs on: `cpu`, `cuda:0`, …
    pub device: String,
    /// Frames a second that it can detect, as measured at its start or as stated.
    #[serde(serialize_with = "decimals::three")]
    pub capacity_fps: f64,
    /// Frames a second that the cameras it runs want detected.
    #[serde(serialize_with = "decimals::three")]
    pub wanted_fps: f64,
    /// Cameras it runs.
    pub cameras: u32,
    pub version: String,
    /// When it started.
    pub since: Timestamp,
    pub model: ModelFacts,
}
message!(Pod, "pod/1", pod);
