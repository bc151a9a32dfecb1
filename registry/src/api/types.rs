//! What is sent and answered, beside cameras themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sightline_schema::{Audit, Camera, Event, Pod, Status, Transport};

use crate::problem::FieldError;

/// A registered camera: what it is, where it runs, how it fares.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CameraView {
    /// As `PUT` takes it.
    pub spec: Camera,
    /// Which pool and slot it belongs to. Absent: the slot that its id gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementView>,
    /// The latest of its newest run. Absent: nobody ever ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlacementView {
    pub pool: String,
    pub slot: u32,
    /// Which names the placement in statuses.
    pub offset: i64,
    /// The live pod that holds the slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CameraPage {
    pub items: Vec<CameraView>,
    /// All cameras that the filter lets through, on this page or not.
    pub total: usize,
    /// For the parameter `cursor` of the next page. Absent: this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    /// To the pod with the most room in this pool.
    #[serde(default)]
    pub pool: Option<String>,
    /// To this pod, which lives.
    #[serde(default)]
    pub pod: Option<String>,
    /// Only if it is in this pool now: else `412`, and it stays.
    #[serde(default)]
    pub from: Option<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// User and password in it are neither kept nor shown.
    pub uri: String,
    #[serde(default)]
    pub transport: Transport,
}

/// What an import takes: `{cameras: […]}`, or the list alone.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CameraList {
    pub cameras: Vec<Camera>,
}

#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ImportReport {
    pub created: usize,
    pub changed: usize,
    pub unchanged: usize,
    pub refused: usize,
    /// In the order of the import.
    pub items: Vec<ImportItem>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ImportItem {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Empty where none could be read.
    pub id: String,
    pub outcome: ImportOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Why it was refused: a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    Created,
    Changed,
    Unchanged,
    Refused,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PodView {
    pub pod: Pod,
    /// It wrote within the last 15 s.
    pub alive: bool,
    /// Seconds since it wrote.
    pub age_s: f64,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PodList {
    pub items: Vec<PodView>,
}

/// What a scaler asks for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Scaling {
    pub pool: String,
    /// `wanted_fps ÷ (0.8 × capacity_fps_per_pod)`.
    pub pods_wanted: f64,
    /// Frames a second that the pool's enabled cameras want detected.
    pub wanted_fps: f64,
    /// The mean of the live pods; with none the last known, else 1.
    pub capacity_fps_per_pod: f64,
    /// Pods that live.
    pub pods: usize,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditPage {
    /// Newest first.
    pub items: Vec<Audit>,
    /// For the parameter `cursor` of the next page. Absent: there is no more in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What happened, a page.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventPage {
    /// Newest first.
    pub events: Vec<Event>,
    /// For the parameter `cursor` of the next page. Null: this is the last.
    pub next: Option<String>,
}
