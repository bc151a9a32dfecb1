//! Kafka's clients: settings, one producer, the topics, and a broker for trying out.

mod base;
mod brokers;
mod config;
mod dead_letter;
mod embedded;
mod ends;
mod fault;
mod follower;
mod lag;
mod link;
mod member;
mod producer;
mod properties;
mod reader;
mod snapshot;
mod spread;
mod tail;
mod topics;
mod transaction;
mod view;

pub use base::write_base;
pub use config::{KafkaConfigError, KafkaSettings};
pub use dead_letter::{
    DeadLetters, HEADER_CONSUMER, HEADER_LENGTH, HEADER_OFFSET, HEADER_PARTITION, HEADER_SHA256,
    HEADER_TOPIC, HEADER_WHY,
};
pub use embedded::EmbeddedBroker;
pub use ends::Ends;
pub use fault::{FaultKind, KafkaFault};
pub use follower::{Follower, Start};
pub use lag::{Lag, PartitionLag};
pub use link::LinkState;
pub use member::{Held, Member, SESSION};
pub use producer::{Delivered, LINGER_MS, LOW_LATENCY_LINGER_MS, OnDelivery, Producer, Refused, SendError};
pub use reader::{Answer, Batch, Committed, From, Partition, Position, Reader, ReaderOptions, Record, Step};
pub use snapshot::read_partitions;
pub use spread::Spread;
pub use tail::{Tail, Tailed};
pub use topics::{Change, Cluster, Difference, Report, Size, apply, check, cluster, require};
pub use transaction::{GroupOffsets, Write, WriteError, Writer, fault_point};
pub use view::{Entry, read_to_end};
