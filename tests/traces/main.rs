//! Traces of sampled frames: across processes, Kafka, the spool and a database; by this test's own receiver of OTLP, and
//! (`make test-traces`) by a real OpenTelemetry collector.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/camera.rs"]
mod camera;
#[path = "../support/certificates.rs"]
mod certificates;
mod collector;
mod frames;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/kcat.rs"]
mod kcat;
mod outages;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../alerts/receiver.rs"]
#[allow(dead_code, reason = "of the alerts' tests; this one takes what it needs")]
mod receiver;
mod requests;
mod scene;
mod share;
#[path = "../support/sightline.rs"]
mod sightline;
