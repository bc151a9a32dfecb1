//! Pods share the registered cameras among themselves, and take over from each other: on a real Kafka, with real
//! processes and an RTSP server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/accepted.rs"]
mod accepted;
#[path = "../support/camera.rs"]
mod camera;
mod changes;
mod crew;
mod deaths;
mod evening;
#[path = "../support/follow.rs"]
mod follow;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/media.rs"]
mod media;
mod moves;
mod outages;
mod reach;
mod restore;
mod rollout;
#[path = "../support/sightline.rs"]
mod sightline;
#[path = "../support/web.rs"]
mod web;
