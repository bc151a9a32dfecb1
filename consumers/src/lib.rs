//! Detections become events, rows, alerts and archives.
//!
//! One folder per consumer; what reads Kafka for all of them is `runner`.

pub mod alerts;
pub mod checkpoint;
pub mod events;
pub mod runner;
