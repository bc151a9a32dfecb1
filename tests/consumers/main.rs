//! The consumers on a real Kafka and a real PostgreSQL: what truly happened in the sample scene, and nothing else, down to the
//! rows, whoever dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/chance.rs"]
mod chance;
mod dying;
mod faults;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/kcat.rs"]
mod kcat;
#[path = "../support/postgres.rs"]
mod postgres;
mod queries;
mod replays;
mod sample;
mod scene;
#[path = "../support/sightline.rs"]
mod sightline;
mod sleeping;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod truth;
