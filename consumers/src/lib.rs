//! Detections become events, rows, alerts and archives.
//!
//! One folder per consumer; what reads Kafka for all of them is `runner`, and what those that remember have in common is
//! `checkpointed`.

pub mod alerts;
pub mod archive;
pub mod checkpoint;
pub mod checkpointed;
mod codec;
pub mod events;
pub mod partition;
pub mod runner;
pub mod seen;
pub mod store;
