//! Jobs by the registry's API, on a real Kafka and a real S3-compatible server: what is added, how it lies in Kafka, and
//! what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adding;
mod changes;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/kcat.rs"]
mod kcat;
mod keeping;
mod links;
mod outages;
mod queue;
mod refusals;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/s3.rs"]
mod s3;
mod screen;
#[path = "../support/sightline.rs"]
mod sightline;
mod stores;
mod whole;
