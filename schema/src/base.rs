//! `base/1`: what is added to the offsets of a partition, so that epochs grow over a topic's re-creation.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Message;

/// One lies in each partition of a `camera-status` or `job-status` that had to be made anew. An epoch is a claim's offset plus this,
/// and this plus 0 without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "base/1")]
#[schemars(rename = "Base")]
pub struct Base {
    pub base: u64,
}

impl Base {
    /// The key of its record. No camera or job has such an id.
    pub const KEY: &'static str = "_base";
}

impl Message for Base {
    const SCHEMA: &'static str = "base/1";

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(Self::KEY)
    }
}
