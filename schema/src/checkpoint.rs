//! `checkpoint/1`: how far a consumer has come, and what it knows there.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Message, Timestamp};

/// What a consumer knows of one camera (or of a whole partition), on the partition of `checkpoints` that has the number of
/// the partition read. Written in one transaction with the offset of the consumer's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "checkpoint/1")]
#[schemars(rename = "Checkpoint")]
pub struct Checkpoint {
    /// Which consumer's, and of what: `events/gate-3`, or `events/_partition`.
    pub of: String,
    /// The first offset that the state does not know of.
    pub offset: i64,
    /// The newest epoch seen; 0 for a partition.
    pub epoch: u64,
    /// Of the last frame taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<Timestamp>,
    /// The newest timestamp of the partition when the camera was heard of last: after seven days it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// The consumer's own, in base64: its first byte is the version of what follows.
    pub state: String,
}

impl Message for Checkpoint {
    const SCHEMA: &'static str = "checkpoint/1";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.of)
    }
}
