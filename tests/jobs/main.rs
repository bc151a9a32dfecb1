//! Recorded video on a real Kafka, a real PostgreSQL and a real S3 server: jobs worked off by `sightline worker`, whoever dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/chance.rs"]
mod chance;
mod clips;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/kcat.rs"]
mod kcat;
#[path = "../support/media.rs"]
mod media;
mod objects;
#[path = "../support/postgres.rs"]
mod postgres;
mod proof;
mod queue;
#[path = "../support/s3.rs"]
mod s3;
#[path = "../consumers/scene.rs"]
#[allow(dead_code, reason = "of the consumers' tests; this one takes what it needs")]
mod scene;
#[path = "../support/sightline.rs"]
mod sightline;
mod sleeping;
mod speed;
#[path = "../consumers/truth.rs"]
#[allow(dead_code, reason = "of the consumers' tests; this one takes what it needs")]
mod truth;
mod web;
