//! What the client calls back: rebalances, where partitions end, what went wrong.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use super::batch::Batch;
use super::{ASK, Answer, From, Partition, Step};
use crate::kafka::brokers::Broker;
use crate::kafka::fault::{FaultKind, KafkaFault};
use crate::kafka::link::LinkContext;

/// A work that is asked to let go and has not is spoken of this often.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// A batch goes on its way at this size at the latest.
const MOST_RECORDS: usize = 1000;
const MOST_BYTES: usize = 1024 * 1024;

pub(crate) struct ReaderContext {
    pub(super) link: LinkContext,
    steps: Mutex<Sender<Step>>,
    /// What was read and is not on its way yet. Here, so that it goes before the step of a rebalance: records behind it would
    /// belong to nobody, or worse, to a partition that went and came back elsewhere in the log.
    filling: Mutex<Option<Batch>>,
    pub(super) under_way: Arc<AtomicUsize>,
    /// Somebody waits for partitions that the work still holds.
    pub(super) is_waiting: AtomicBool,
    from: From,
    /// Where partitions end for a reader of what is committed.
    pub(super) ends: Mutex<HashMap<Partition, i64>>,
    /// Where reading them began.
    pub(super) begins: Mutex<HashMap<Partition, i64>>,
    /// What the work wants nothing of for now.
    pub(super) held: Mutex<HashSet<Partition>>,
    fatal: Mutex<Option<KafkaFault>>,
}

impl ReaderContext {
    pub(super) fn new(link: LinkContext, steps: Sender<Step>, from: From) -> Self {
        Self {
            link,
            steps: Mutex::new(steps),
            filling: Mutex::default(),
            under_way: Arc::default(),
            is_waiting: AtomicBool::new(false),
            from,
            ends: Mutex::default(),
            begins: Mutex::default(),
            held: Mutex::default(),
            fatal: Mutex::default(),
        }
    }

    /// Takes a record in; whether its batch has become large enough.
    pub(super) fn fill(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |batch: &Batch| batch.partition == message.partition() && *batch.topic == *message.topic();
        if filling.as_ref().is_some_and(|batch| !same(batch)) {
            self.send(filling.take());
        }
        let batch = filling.get_or_insert_with(|| {
            Batch::new(message.topic().into(), message.partition(), Arc::clone(&self.under_way))
        });
        batch.push(message);
        batch.len() >= MOST_RECORDS || batch.bytes() >= MOST_BYTES
    }

    /// Sends what was taken in. `false` when nobody listens.
    pub(super) fn flush(&self) -> bool {
        let filled = self.filling.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.send(filled)
    }

    fn send(&self, batch: Option<Batch>) -> bool {
        let Some(mut batch) = batch else { return true };
        batch.count();
        self.step(Step::Records(batch))
    }

    pub(super) fn fatal(&self) -> Option<KafkaFault> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn fail(&self, fault: KafkaFault) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    fn step(&self, step: Step) -> bool {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).send(step).is_ok()
    }

    /// Waits until the work has let the partitions go. It is not cut short: who goes on before that could commit for
    /// partitions that another has. A work that takes longer than `max.poll.interval.ms` is thrown out of the group.
    fn let_go(&self, partitions: &TopicPartitionList, lost: bool) {
        let partitions = named(partitions);
        if partitions.is_empty() {
            return;
        }
        for known in [&self.ends, &self.begins] {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|partition, _| !partitions.contains(partition));
        }
        let (sender, answered) = sync_channel(0);
        let answer = Answer { _sender: sender };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|partition| !partitions.contains(partition));
        drop(held);
        let count = partitions.len();
        let step = if lost { Step::Lost(partitions, answer) } else { Step::Revoked(partitions, answer) };
        if !self.step(step) {
            return;
        }
        self.is_waiting.store(true, Ordering::SeqCst);
        while let Err(RecvTimeoutError::Timeout) = answered.recv_timeout(SAY_AGAIN) {
            tracing::warn!(partitions = count, "still at work on partitions that are to go to another");
        }
        self.is_waiting.store(false, Ordering::SeqCst);
    }

    /// Finds where the partitions begin, so that their lag is known. A group that has committed nothing begins where it was
    /// told to, and commits that: were it left to be found again, what came between a first start and a second would be
    /// passed over.
    fn begin(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) {
        let begin = (|| {
            let committed = consumer.committed_offsets(assigned.clone(), ASK)?;
            let mut begin = TopicPartitionList::new();
            for element in committed.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                match (element.offset(), self.from) {
                    (Offset::Offset(offset), _) => self.begins_at(topic, partition, offset),
                    (_, From::Earliest) => {
                        self.begins_at(topic, partition, consumer.fetch_watermarks(topic, partition, ASK)?.0);
                    }
                    (_, From::Latest) => begin.add_partition_offset(topic, partition, Offset::End)?,
                    (_, From::Time(time)) => {
                        begin.add_partition_offset(topic, partition, Offset::Offset(time.max(0)))?;
                    }
                }
            }
            if begin.count() == 0 {
                return Ok(());
            }
            if matches!(self.from, From::Time(_)) {
                begin = consumer.offsets_for_times(begin, ASK)?;
            }
            for (topic, partition) in named(&begin) {
                let at = begin.find_partition(&topic, partition).map(|at| at.offset());
                let offset = match at {
                    Some(Offset::Offset(offset)) => offset,
                    // The end, too, where nothing is that young.
                    _ => consumer.fetch_watermarks(&topic, partition, ASK)?.1,
                };
                begin.set_partition_offset(&topic, partition, Offset::Offset(offset))?;
                self.begins_at(&topic, partition, offset);
            }
            consumer.commit(&begin, CommitMode::Sync)?;
            consumer.seek_partitions(begin, ASK).map(drop)
        })();
        if let Err(error) = begin {
            if self.from == From::Earliest {
                tracing::debug!(%error, "where partitions begin");
            } else {
                self.fail(KafkaFault::new(FaultKind::Other, format!("cannot find where to begin: {error}")));
            }
        }
    }

    fn begins_at(&self, topic: &str, partition: i32, offset: i64) {
        let mut begins = self.begins.lock().unwrap_or_else(PoisonError::into_inner);
        begins.insert((topic.to_owned(), partition), offset);
    }
}

fn named(partitions: &TopicPartitionList) -> Vec<Partition> {
    partitions.elements().iter().map(|at| (at.topic().to_owned(), at.partition())).collect()
}

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.link.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fail(KafkaFault::new(FaultKind::Fatal, format!("the Kafka client can't go on: {reason}")));
        }
        self.link.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let look = || {
            let brokers: Vec<_> =
                statistics.brokers.values().map(|broker| Broker::of(&broker.source, &broker.state)).collect();
            self.link.look(&brokers);
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, topic) in statistics.topics {
                for (partition, facts) in topic.partitions {
                    let end = if facts.ls_offset >= 0 { facts.ls_offset } else { facts.hi_offset };
                    if partition >= 0 && end >= 0 && facts.fetch_state == "active" {
                        ends.insert((name.clone(), partition), end);
                    }
                }
            }
        };
        let _ = catch_unwind(AssertUnwindSafe(look));
    }
}

impl ConsumerContext for ReaderContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let look = || match rebalance {
            Rebalance::Revoke(partitions) => {
                self.flush();
                let lost = consumer.assignment_lost();
                tracing::info!(partitions = partitions.count(), lost, "partitions go to others");
                self.let_go(partitions, lost);
            }
            Rebalance::Assign(partitions) => {
                tracing::info!(partitions = partitions.count(), "partitions come");
                let partitions = named(partitions);
                if self.flush() && !partitions.is_empty() {
                    self.step(Step::Assigned(partitions));
                }
            }
            Rebalance::Error(error) => tracing::warn!(%error, "the group could not be rebalanced"),
        };
        let _ = catch_unwind(AssertUnwindSafe(look));
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && partitions.count() > 0
        {
            let begin = || {
                // The client remembers what was held back when it was here before.
                if let Err(error) = consumer.resume(partitions) {
                    tracing::debug!(%error, "reading on in partitions that come");
                }
                self.begin(consumer, partitions);
            };
            let _ = catch_unwind(AssertUnwindSafe(begin));
        }
    }
}
