//! What happened, by the registry's API: live from a real Kafka, and from a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/events.rs"]
mod events;
mod history;
#[path = "../support/kafka.rs"]
mod kafka;
mod live;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/sightline.rs"]
mod sightline;

use kafka::{Kafka, KafkaKind};
use registry::{Files, apply_topics};

fn started() -> (Kafka, Files) {
    let broker = Kafka::start(KafkaKind::Plain);
    apply_topics(&broker.bootstrap);
    (broker, Files::new())
}
