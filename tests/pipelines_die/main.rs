//! Live cameras whose ground truth is known, watched by pipelines that die and are rolled: what is in the table in the end is
//! what truly happened, but for what nobody saw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/accepted.rs"]
mod accepted;
mod account;
#[path = "../support/camera.rs"]
mod camera;
#[path = "../support/chance.rs"]
mod chance;
mod compare;
#[path = "../consumers/scene.rs"]
// Of that scene the consumers alone are wanted here.
#[allow(dead_code)]
mod consumers;
#[path = "../sharing/crew.rs"]
mod crew;
mod deaths;
#[path = "../support/follow.rs"]
mod follow;
mod gaps;
mod ground;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/kcat.rs"]
mod kcat;
#[path = "../support/media.rs"]
mod media;
#[path = "../support/postgres.rs"]
mod postgres;
mod rolling;
mod scene;
#[path = "../support/sightline.rs"]
mod sightline;
