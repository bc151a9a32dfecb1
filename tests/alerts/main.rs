//! `consume alerts` on a real Kafka, with a real Alertmanager and receivers that are as bad as they come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alertmanager;
#[path = "../support/certificates.rs"]
mod certificates;
mod certified;
mod delivery;
#[path = "../support/kafka.rs"]
mod kafka;
mod outages;
mod receiver;
mod refusals;
mod rules;
mod scene;
#[path = "../support/sightline.rs"]
mod sightline;
