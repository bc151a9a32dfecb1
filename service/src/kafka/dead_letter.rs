//! What could not be read goes to a topic of its own, as it came, and the rest goes on.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use sha2::{Digest as _, Sha256};

use super::config::KafkaSettings;
use super::fault::{FaultKind, KafkaFault};
use super::producer::{LOW_LATENCY_LINGER_MS, Producer, Refused, SendError};
use super::tail::Tailed;

/// Longer ones are cut: a record may be larger than the topic for dead letters takes.
const MOST: usize = 256 * 1024;

/// The same of a key, and of why: a reason may name what it found, whatever its length.
const MOST_TEXT: usize = 1024;

/// A full queue is asked again after it.
const FULL: Duration = Duration::from_millis(5);

/// Waiting for what was sent, and for room to send.
const FLUSH: Duration = Duration::from_secs(30);

/// The headers of a dead letter.
pub const HEADER_WHY: &str = "sightline-why";
pub const HEADER_TOPIC: &str = "sightline-topic";
pub const HEADER_PARTITION: &str = "sightline-partition";
pub const HEADER_OFFSET: &str = "sightline-offset";
pub const HEADER_LENGTH: &str = "sightline-length";
pub const HEADER_SHA256: &str = "sightline-sha256";

/// Who gave up on it.
pub const HEADER_CONSUMER: &str = "sightline-consumer";

/// The way to the topic of dead letters.
pub struct DeadLetters {
    producer: Producer,
    topic: String,
    failed: Arc<AtomicBool>,
}

impl DeadLetters {
    pub fn new(settings: &KafkaSettings, topic: String) -> Result<Self, KafkaFault> {
        Ok(Self { producer: Producer::new(settings, LOW_LATENCY_LINGER_MS)?, topic, failed: Arc::default() })
    }

    /// Waits until those sent are acknowledged, at most `timeout`. `false` while some are not.
    pub fn flush(&self, timeout: Duration) -> Result<bool, KafkaFault> {
        let left = self.producer.flush(timeout);
        if let Some(fault) = self.producer.fatal() {
            return Err(fault);
        }
        if self.failed.load(Ordering::SeqCst) {
            return Err(KafkaFault::new(FaultKind::Other, "a dead letter was not written".to_owned()));
        }
        Ok(left == 0)
    }

    /// Waits until all that was sent lies in Kafka, 30 s at most: before an offset behind them is committed.
    pub fn wait(&self) -> Result<(), KafkaFault> {
        let late = || format!("dead letters are not in {} yet; is the broker there?", self.topic);
        self.flush(FLUSH)?.then_some(()).ok_or_else(|| KafkaFault::new(FaultKind::Unreachable, late()))
    }

    /// Sends a copy of the record with why it could not be read; says so in the log. Waits where the client's queue is full, 30 s
    /// at most.
    pub fn send(&self, record: &Tailed<'_>, why: &str) {
        let why = &*cut(why);
        let Tailed { topic, partition, offset, .. } = *record;
        tracing::error!(
            topic,
            partition,
            offset,
            why,
            "a record can't be read; a copy goes to {}",
            self.topic
        );
        self.keep(record, why, None);
    }

    /// The same for a record that could be read, and that `consumer` gave up on. Says nothing.
    pub fn give_up(&self, record: &Tailed<'_>, why: &str, consumer: &str) {
        self.keep(record, why, Some(consumer));
    }

    fn keep(&self, record: &Tailed<'_>, why: &str, consumer: Option<&str>) {
        let Tailed { topic, partition, offset, .. } = *record;
        let value = record.value.unwrap_or_default();
        let why = &*cut(why);
        let sha256: String = Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut headers = vec![
            (HEADER_WHY, why.to_owned()),
            (HEADER_TOPIC, topic.to_owned()),
            (HEADER_PARTITION, partition.to_string()),
            (HEADER_OFFSET, offset.to_string()),
            (HEADER_LENGTH, value.len().to_string()),
            (HEADER_SHA256, sha256),
        ];
        headers.extend(consumer.map(|consumer| (HEADER_CONSUMER, consumer.to_owned())));
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(7), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let failed = Arc::clone(&self.failed);
        let mut on_delivery: super::OnDelivery = Box::new(move |outcome| {
            if let Err(fault) = outcome {
                failed.store(true, Ordering::SeqCst);
                tracing::error!("a dead letter was not written: {fault}");
            }
        });
        let value = &value[..value.len().min(MOST)];
        let key = record.key.unwrap_or_default();
        let key = &key[..key.len().min(MOST_TEXT)];
        let began = Instant::now();
        loop {
            let sent = self.producer.send_as_it_is(&self.topic, key, value, headers.clone(), on_delivery);
            let Err(Refused { error, on_delivery: back }) = sent else { return };
            if error != SendError::QueueFull || began.elapsed() >= FLUSH {
                self.failed.store(true, Ordering::SeqCst);
                return tracing::error!("a dead letter was not written: {error}");
            }
            on_delivery = back;
            std::thread::sleep(FULL);
        }
    }
}

/// The beginning of a text that is too long.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST_TEXT {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(MOST_TEXT - 32);
    Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = format!("x{}", "é".repeat(1_000_000));
        let shown = cut(&long);
        assert!(shown.ends_with("é… (2000001 bytes)") && shown.len() <= MOST_TEXT, "{}", shown.len());
        assert_eq!(cut(&shown), shown, "once is enough");
    }
}
