//! What a reader of `detections` finds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{FrameResult, Gap, Message, SpecRecord, StreamRecord, Tick};

pub const HEADER_CONTENT_TYPE: &str = "content-type";
/// The value of the header `content-type` on every record.
pub const CONTENT_TYPE_JSON: &str = "application/json";
/// Its value is the message's schema: "frame/1".
pub const HEADER_SCHEMA: &str = "sightline-schema";

/// Of a record that belongs to a sampled frame: its trace and span (W3C Trace Context).
pub const HEADER_TRACEPARENT: &str = "traceparent";

/// Any record of `detections`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum DetectionsRecord {
    Frame(FrameResult),
    Spec(SpecRecord),
    Stream(StreamRecord),
    Gap(Gap),
    Tick(Tick),
}

/// Why a record of `detections` could not be read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Not a fault: a later version may write what this one does not know. Readers pass over it.
    #[error("a record of schema {0:?} is not known to this version; pass over it, or upgrade")]
    UnknownSchema(String),
    #[error("the record is not a valid {schema}; look at what wrote it: {source}")]
    Invalid { schema: String, source: serde_json::Error },
}

impl DetectionsRecord {
    /// Reads a record's value by its field `schema`.
    pub fn parse(value: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct OnlySchema {
            schema: String,
        }
        let only: OnlySchema = from_json("record of detections", value)?;
        Self::parse_as(&only.schema, value)
    }

    /// Reads a record's value as what the header `sightline-schema` says, without looking at its field `schema`.
    pub fn parse_as(schema: &str, value: &[u8]) -> Result<Self, RecordError> {
        match schema {
            FrameResult::SCHEMA => from_json(schema, value).map(Self::Frame),
            SpecRecord::SCHEMA => from_json(schema, value).map(Self::Spec),
            StreamRecord::SCHEMA => from_json(schema, value).map(Self::Stream),
            Gap::SCHEMA => from_json(schema, value).map(Self::Gap),
            Tick::SCHEMA => from_json(schema, value).map(Self::Tick),
            other => Err(RecordError::UnknownSchema(other.to_owned())),
        }
    }

    /// The value of the field `schema` and of the header `sightline-schema`.
    pub const fn schema_name(&self) -> &'static str {
        match self {
            Self::Frame(_) => FrameResult::SCHEMA,
            Self::Spec(_) => SpecRecord::SCHEMA,
            Self::Stream(_) => StreamRecord::SCHEMA,
            Self::Gap(_) => Gap::SCHEMA,
            Self::Tick(_) => Tick::SCHEMA,
        }
    }

    /// The camera's id: the record's key.
    pub fn camera(&self) -> &str {
        match self {
            Self::Frame(frame) => &frame.camera,
            Self::Spec(spec) => &spec.camera,
            Self::Stream(stream) => &stream.camera,
            Self::Gap(gap) => &gap.camera,
            Self::Tick(tick) => &tick.camera,
        }
    }

    pub const fn epoch(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.epoch,
            Self::Spec(spec) => spec.epoch,
            Self::Stream(stream) => stream.epoch,
            Self::Gap(gap) => gap.epoch,
            Self::Tick(tick) => tick.epoch,
        }
    }
}

fn from_json<T: DeserializeOwned>(schema: &str, value: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(value).map_err(|source| RecordError::Invalid { schema: schema.to_owned(), source })
}
