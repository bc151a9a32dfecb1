//! The thread that polls, whatever the work is doing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use super::context::ReaderContext;
use crate::kafka::config::code_of;
use crate::kafka::fault::{FaultKind, KafkaFault};

/// One wait for a record.
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct Poller {
    pub(super) consumer: Arc<BaseConsumer<ReaderContext>>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) most_bytes: usize,
    pub(super) under_way: Arc<AtomicUsize>,
}

impl Poller {
    pub(super) fn run(self) {
        let mut paused = false;
        while !self.stop.load(Ordering::SeqCst) {
            let full = self.under_way.load(Ordering::SeqCst) >= self.most_bytes;
            if full || paused {
                // Asked again each time: what came meanwhile is not paused yet.
                self.pause(full);
                paused = full;
            }
            if !self.take() {
                return;
            }
        }
        self.leave();
    }

    /// The goodbye goes out while polling; so does what the work is asked to let go.
    fn leave(&self) {
        self.consumer.unsubscribe();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while std::time::Instant::now() < deadline {
            let _ = self.consumer.poll(Duration::from_millis(20));
            if crate::kafka::member::generation(&*self.consumer).is_none() {
                return;
            }
        }
    }

    fn pause(&self, pause: bool) {
        let done = self.consumer.assignment().and_then(|assigned| match pause {
            true => self.consumer.pause(&assigned),
            false => self.resume(&assigned),
        });
        if let Err(error) = done {
            tracing::debug!(%error, pause, "holding partitions back");
        }
    }

    /// All but what the work holds back itself.
    fn resume(&self, assigned: &TopicPartitionList) -> KafkaResult<()> {
        let held = self.consumer.context().held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut flowing = TopicPartitionList::new();
        for at in assigned.elements() {
            if !held.contains(&(at.topic().to_owned(), at.partition())) {
                flowing.add_partition(at.topic(), at.partition());
            }
        }
        self.consumer.resume(&flowing)
    }

    /// Polls once, and on for as long as there is more. `false` when nobody listens.
    fn take(&self) -> bool {
        let mut wait = LOOK;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            match polled {
                Ok(message) if self.consumer.context().fill(&message) => break,
                Ok(_) => {}
                Err(error) => {
                    if code_of(&error) == RDKafkaErrorCode::Fatal {
                        let sentence = format!("the Kafka client can't go on: {error}");
                        self.consumer.context().fail(KafkaFault::new(FaultKind::Fatal, sentence));
                    }
                    // What goes away by itself is tried again by the client.
                    tracing::debug!(%error, "reading");
                    break;
                }
            }
        }
        self.consumer.context().flush()
    }
}
