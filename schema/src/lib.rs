//! What travels: cameras, results, statuses, and the topics they travel on.
//!
//! serde only, no I/O. The shapes are described in `docs/MESSAGES.md`, their JSON Schemas lie in `docs/schema`,
//! one golden example of each in `schema/golden`.

mod audit;
mod base;
mod camera;
mod checkpoint;
mod credentials;
mod decimals;
mod event;
mod frame;
mod gap;
mod geometry;
mod job;
mod job_status;
mod message;
mod placement;
mod pod;
mod record;
mod status;
mod stream;
mod time;
mod topics;

pub use audit::{Audit, AuditAction, AuditPlacement};
pub use base::Base;
pub use camera::{
    Camera, CameraError, CameraFile, CameraSchema, DetectSettings, Line, Mask, Play, Role, Sampling,
    StreamSpec, Transport, Zone,
};
pub use checkpoint::Checkpoint;
pub use credentials::{
    Credentials, InlineCredentials, STRUCK_OUT, SealedCredentials, redact_uris, split_credentials,
    without_queries,
};
pub use event::{BestSight, Direction, Event, EventType, ModelRef};
pub use frame::{DetectionRecord, FrameResult, SkipReason, Skipped, TrackRef, TrackState};
pub use gap::{Gap, GapAfter, GapBefore, GapReason};
pub use geometry::{Anchor, Box2d, Point, contains};
pub use job::{Job, JobError, JobSpec};
pub use job_status::{JobCancel, JobProgress, JobState, JobStatus};
pub use message::Message;
pub use placement::{Placement, slot_of};
pub use pod::Pod;
pub use record::{
    CONTENT_TYPE_JSON, DetectionsRecord, HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT, RecordError,
};
pub use status::{CameraState, ErrorCode, LastResult, Status, StatusError, VideoFacts};
pub use stream::{Clock, ModelFacts, SpecRecord, StreamRecord, StreamState, Tick};
pub use time::{ParseTimestampError, Timestamp};
pub use topics::{DEFAULT_PARTITIONS, DEFAULT_PREFIX, EMBEDDED_PARTITIONS, TopicSpec, Topics};
