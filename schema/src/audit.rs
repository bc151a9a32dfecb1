//! `audit/1`: who changed what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::message::message;

/// An accepted change. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "audit/1")]
#[schemars(rename = "Audit")]
pub struct Audit {
    /// The name of the token, or `anonymous` where none is asked for.
    pub who: String,
    pub at: Timestamp,
    pub action: AuditAction,
    /// The camera, or the job.
    pub camera: String,
    /// The camera's generation behind the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Which settings changed, by name; of `credentials` the name alone is ever written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Where a move led.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<AuditPlacement>,
}
message!(Audit, "audit/1", who);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    Created,
    Changed,
    Deleted,
    Moved,
    /// Of a job.
    Cancelled,
    /// Of a job.
    Retried,
}

/// The pool and slot that a camera was moved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditPlacement {
    pub pool: String,
    pub slot: u32,
}
