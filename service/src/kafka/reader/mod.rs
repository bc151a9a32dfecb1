//! A member of a consumer group that reads: polled on a thread of its own, while the work goes on at its own pace.
//!
//! Rebalances become steps in the order of the records. A partition is not given up before the work has answered, so what
//! the group knows and what the work holds never disagree: what it commits by [`Reader::position`] is its own to commit, or
//! is refused.

mod batch;
mod context;
mod poll;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

pub use batch::{Batch, Record};

use self::context::ReaderContext;
use super::config::{KafkaSettings, code_of};
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkContext, LinkState};
use super::member::{SESSION, generation};
use super::transaction::GroupOffsets;

/// How long one question for offsets may take.
const ASK: Duration = Duration::from_secs(10);

/// One that is asked while others wait.
const ASK_NAME: Duration = Duration::from_secs(2);

/// A partition of one of the topics read.
pub type Partition = (String, i32);

/// Where a group begins that has committed nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    #[default]
    Earliest,
    Latest,
    /// At the first record that is not older: milliseconds since 1970.
    Time(i64),
}

#[derive(Clone, Debug)]
pub struct ReaderOptions {
    pub group: String,
    pub topics: Vec<String>,
    pub from: From,
    /// Reading waits while the work has this many bytes before it.
    pub most_bytes: usize,
}

/// What happens next, in order.
pub enum Step {
    /// Partitions came. Their records follow, from the offset that the group committed.
    Assigned(Vec<Partition>),
    Records(Batch),
    /// Partitions go to another: finish, commit, forget them, then drop the answer.
    Revoked(Vec<Partition>, Answer),
    /// Partitions were taken while this process was away: others may have them by now. Forget them, then drop the
    /// answer. What is committed for them is refused.
    Lost(Vec<Partition>, Answer),
}

/// Dropped when the work holds the partitions no more.
pub struct Answer {
    _sender: mpsc::SyncSender<()>,
}

/// Offsets of what was done, and as whom.
pub struct Position {
    offsets: TopicPartitionList,
    metadata: ConsumerGroupMetadata,
}

impl Position {
    pub fn offsets(&self) -> GroupOffsets<'_> {
        GroupOffsets { offsets: &self.offsets, metadata: &self.metadata }
    }
}

/// What a group committed of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub partition: Partition,
    /// The first offset not done; `None` where nothing was committed.
    pub next: Option<i64>,
    /// What stands beside it; empty where nothing does.
    pub note: String,
}

/// Reads topics as a member of a group. Dropping it leaves the group.
pub struct Reader {
    /// Gone before the client is: a rebalance in its last moments waits for nobody's answer.
    steps: Receiver<Step>,
    consumer: Arc<BaseConsumer<ReaderContext>>,
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
    bootstrap: String,
}

impl Reader {
    /// Joins, in the background.
    pub fn join(settings: &KafkaSettings, options: &ReaderOptions) -> Result<Self, KafkaFault> {
        let mut reader = Self::unpolled(settings, options)?;
        let polling = poll::Poller {
            consumer: Arc::clone(&reader.consumer),
            stop: Arc::clone(&reader.stop),
            most_bytes: options.most_bytes,
            under_way: Arc::clone(&reader.consumer.context().under_way),
        };
        let poller = thread::Builder::new()
            .name("kafka reader".to_owned())
            .spawn(move || polling.run())
            .map_err(|error| KafkaFault::new(FaultKind::Other, format!("cannot start a thread: {error}")))?;
        reader.poller = Some(poller);
        Ok(reader)
    }

    /// One that nobody polls yet.
    fn unpolled(settings: &KafkaSettings, options: &ReaderOptions) -> Result<Self, KafkaFault> {
        let mut config = settings.client_config();
        config
            .set("group.id", &options.group)
            // Said, since the default will change, and then the broker sets the time-outs.
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("statistics.interval.ms", "2000")
            // Three times what may be under way is read ahead at most.
            .set("queued.max.messages.kbytes", (options.most_bytes / 1024 * 2).max(1024).to_string())
            // Of what was committed and is gone since, the oldest that is left. Where a group begins is found by itself.
            .set("auto.offset.reset", "earliest");
        let session = SESSION.as_millis().to_string();
        for (key, value) in [("session.timeout.ms", session.as_str()), ("heartbeat.interval.ms", "1000")] {
            if config.get(key).is_none() {
                config.set(key, value);
            }
        }
        let (sender, steps) = mpsc::channel();
        let link = LinkContext::new(Link::new(settings.bootstrap()));
        let context = ReaderContext::new(link, sender, options.from);
        let consumer: BaseConsumer<ReaderContext> =
            config.create_with_context(context).map_err(|error| KafkaFault::of_client(&error))?;
        consumer.context().link.reminds(consumer.client());
        let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|error| KafkaFault::of_link(code_of(&error), "", settings.bootstrap()))?;
        Ok(Self {
            steps,
            consumer: Arc::new(consumer),
            stop: Arc::new(AtomicBool::new(false)),
            poller: None,
            bootstrap: settings.bootstrap().to_owned(),
        })
    }

    /// The next step, waited for up to `timeout`. An error means that reading has ended, and says why.
    pub fn next(&self, timeout: Duration) -> Result<Option<Step>, KafkaFault> {
        match self.steps.recv_timeout(timeout) {
            Ok(step) => Ok(Some(step)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.check().map(|()| None),
        }
    }

    /// Whether reading goes on. An error means that it has ended, and says why.
    pub fn check(&self) -> Result<(), KafkaFault> {
        let ended = self.poller.as_ref().is_none_or(JoinHandle::is_finished);
        let ended =
            ended.then(|| KafkaFault::new(FaultKind::Fatal, "reading from Kafka has ended".to_owned()));
        self.consumer.context().fatal().or(ended).map_or(Ok(()), Err)
    }

    /// What a transaction sends along: `next` is the first offset not done. `None` while this is no member, and then
    /// nothing may be committed.
    pub fn position<'p>(&self, next: impl IntoIterator<Item = (&'p Partition, i64)>) -> Option<Position> {
        generation(&*self.consumer)?;
        let metadata = self.consumer.group_metadata()?;
        Some(Position { offsets: list(next), metadata })
    }

    /// Whether the group knows it, as far as the client was told.
    pub fn is_member(&self) -> bool {
        generation(&*self.consumer).is_some()
    }

    /// Commits by itself, outside any transaction: `next` is the first offset not done.
    pub fn commit<'p>(&self, next: impl IntoIterator<Item = (&'p Partition, i64)>) -> Result<(), KafkaFault> {
        self.commit_list(&list(next))
    }

    /// [`Self::commit`] with a note beside each offset, which stands until the next commit. Kafka takes 4 KiB of it.
    pub fn commit_with_notes<'p>(
        &self,
        next: impl IntoIterator<Item = (&'p Partition, i64, String)>,
    ) -> Result<(), KafkaFault> {
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), next, note) in next {
            let mut place = offsets.add_partition(topic, *partition);
            // The one error is an offset that can't be: none is made here.
            let _ = place.set_offset(Offset::Offset(next));
            place.set_metadata(note);
        }
        self.commit_list(&offsets)
    }

    /// What the group committed of these partitions, and the notes beside it. Only whoever holds them may rely on it.
    pub fn committed(&self, partitions: &[Partition]) -> Result<Vec<Committed>, KafkaFault> {
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in partitions {
            asked.add_partition(topic, *partition);
        }
        let committed =
            self.consumer.committed_offsets(asked, ASK).map_err(|error| self.commit_fault(&error))?;
        let known = committed.elements().into_iter().map(|place| Committed {
            partition: (place.topic().to_owned(), place.partition()),
            next: place.offset().to_raw().filter(|next| *next >= 0),
            note: place.metadata().to_owned(),
        });
        Ok(known.collect())
    }

    /// Kafka's name for itself. `None` while it does not answer.
    pub fn cluster(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(ASK_NAME)
    }

    fn commit_list(&self, offsets: &TopicPartitionList) -> Result<(), KafkaFault> {
        if offsets.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(offsets, CommitMode::Sync).map_err(|error| self.commit_fault(&error))
    }

    fn commit_fault(&self, error: &KafkaError) -> KafkaFault {
        use RDKafkaErrorCode as Code;
        match code_of(error) {
            Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => KafkaFault::new(
                FaultKind::Other,
                format!("the offsets were refused: {error}; another process has the partitions"),
            ),
            code => KafkaFault::of_link(code, "", &self.bootstrap),
        }
    }

    /// How many records of a partition lie behind `next`, or behind where reading it began, by the last that a broker said
    /// (every 2 s).
    pub fn lag(&self, partition: &Partition, next: Option<i64>) -> Option<i64> {
        let context = self.consumer.context();
        let begins = context.begins.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.or_else(|| begins.get(partition).copied())?;
        drop(begins);
        let ends = context.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(partition).map(|end| (end - next).max(0))
    }

    /// Reads no further in a partition until [`Self::release`], or until it goes to another: what a work does that takes long over
    /// one record. What was read of it already may still come.
    pub fn hold(&self, partition: &Partition) {
        self.flow(partition, false);
    }

    /// Reads on in a partition.
    pub fn release(&self, partition: &Partition) {
        self.flow(partition, true);
    }

    fn flow(&self, partition: &Partition, flows: bool) {
        let mut held = self.consumer.context().held.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = if flows { held.remove(partition) } else { held.insert(partition.clone()) };
        if !changed {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.0, partition.1);
        let done = if flows { self.consumer.resume(&list) } else { self.consumer.pause(&list) };
        if let Err(error) = done {
            tracing::debug!(%error, flows, "holding a partition back");
        }
    }

    /// Whether others wait for partitions that this process still holds: a work that waits for something itself gives up then.
    pub fn is_waited_for(&self) -> bool {
        self.consumer.context().is_waiting.load(Ordering::SeqCst)
    }

    /// Whether a broker answers.
    pub fn link(&self) -> LinkState {
        self.consumer.context().link.link.state()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // What the poller still waits for an answer to is dropped with its step.
        while self.poller.as_ref().is_some_and(|poller| !poller.is_finished()) {
            drop(self.steps.recv_timeout(Duration::from_millis(10)));
        }
        if let Some(poller) = self.poller.take() {
            let _ = poller.join();
        }
    }
}

fn list<'p>(next: impl IntoIterator<Item = (&'p Partition, i64)>) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), next) in next {
        // The one error is an offset that can't be: none is made here.
        let _ = offsets.add_partition_offset(topic, *partition, Offset::Offset(next));
    }
    offsets
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
