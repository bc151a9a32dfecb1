//! Kafka's clients: settings, one producer, the topics, and a broker for trying out.

mod config;
mod embedded;
mod fault;
mod link;
mod producer;
mod properties;
mod topics;
mod view;

pub use config::{KafkaConfigError, KafkaSettings};
pub use embedded::EmbeddedBroker;
pub use fault::{FaultKind, KafkaFault};
pub use link::LinkState;
pub use producer::{Delivered, LINGER_MS, LOW_LATENCY_LINGER_MS, OnDelivery, Producer, Refused, SendError};
pub use topics::{Change, Cluster, Difference, Report, apply, check, cluster, require};
pub use view::{Entry, read_to_end};
