//! What could not be read goes to a topic of its own, as it came, and the rest goes on.

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use sha2::{Digest as _, Sha256};

use super::config::KafkaSettings;
use super::fault::{FaultKind, KafkaFault};
use super::producer::{LOW_LATENCY_LINGER_MS, Producer};
use super::tail::Tailed;

/// Longer ones are cut: a record may be larger than the topic for dead letters takes.
const MOST: usize = 256 * 1024;

/// Waiting for what was sent.
const FLUSH: Duration = Duration::from_secs(30);

/// The headers of a dead letter.
pub const HEADER_WHY: &str = "sightline-why";
pub const HEADER_TOPIC: &str = "sightline-topic";
pub const HEADER_PARTITION: &str = "sightline-partition";
pub const HEADER_OFFSET: &str = "sightline-offset";
pub const HEADER_LENGTH: &str = "sightline-length";
pub const HEADER_SHA256: &str = "sightline-sha256";

/// The way to the topic of dead letters.
pub struct DeadLetters {
    producer: Producer,
    topic: String,
}

impl DeadLetters {
    pub fn new(settings: &KafkaSettings, topic: String) -> Result<Self, KafkaFault> {
        Ok(Self { producer: Producer::new(settings, LOW_LATENCY_LINGER_MS)?, topic })
    }

    /// Waits until all that was sent lies in Kafka, or was given up and said; 30 s at most. Before an offset behind them is
    /// committed.
    pub fn flush(&self) -> Result<(), KafkaFault> {
        match self.producer.flush(FLUSH) {
            0 => Ok(()),
            left => Err(KafkaFault::new(
                FaultKind::Unreachable,
                format!("{left} dead letters are not in {} yet; is the broker there?", self.topic),
            )),
        }
    }

    /// Sends a copy of the record with why it could not be read; says so in the log. Never blocks.
    pub fn send(&self, record: &Tailed<'_>, why: &str) {
        let Tailed { topic, partition, offset, .. } = *record;
        tracing::error!(
            topic,
            partition,
            offset,
            why,
            "a record can't be read; a copy goes to {}",
            self.topic
        );
        let value = record.value.unwrap_or_default();
        let sha256: String = Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [
            (HEADER_WHY, why.to_owned()),
            (HEADER_TOPIC, topic.to_owned()),
            (HEADER_PARTITION, partition.to_string()),
            (HEADER_OFFSET, offset.to_string()),
            (HEADER_LENGTH, value.len().to_string()),
            (HEADER_SHA256, sha256),
        ];
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(6), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let on_delivery: super::OnDelivery = Box::new(move |outcome| {
            if let Err(fault) = outcome {
                tracing::error!("a dead letter was not written: {fault}");
            }
        });
        let value = &value[..value.len().min(MOST)];
        if let Err(refused) = self.producer.send_as_it_is(
            &self.topic,
            record.key.unwrap_or_default(),
            value,
            headers,
            on_delivery,
        ) {
            tracing::error!("a dead letter was not written: {}", refused.error);
        }
    }
}
