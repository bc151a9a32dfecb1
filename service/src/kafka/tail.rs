//! Topics read from their beginning and followed: what views are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::Offset;

use super::brokers::lasting;
use super::config::{KafkaSettings, code_of};
use super::ends::{Asking, Ends};
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkContext};
use super::reader::From;

/// One wait for a record while reading to an end.
const LOOK: Duration = Duration::from_millis(50);
/// Records taken at one go before the caller is heard again.
const BATCH: usize = 10_000;

/// A record as it lies in its topic.
#[derive(Clone, Copy, Debug)]
pub struct Tailed<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, by whoever wrote it.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: RecordHeaders<'a>,
}

#[derive(Clone, Copy)]
struct RecordHeaders<'a>(Option<&'a BorrowedHeaders>);

impl fmt::Debug for RecordHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().flat_map(|headers| headers.iter()).map(|header| header.key))
            .finish()
    }
}

impl<'a> Tailed<'a> {
    /// A record without headers, as if it had been read: views are fed with them.
    pub fn bare(
        topic: &'a str,
        (partition, offset): (i32, i64),
        timestamp_ms: Option<i64>,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Self {
        Self { topic, partition, offset, timestamp_ms, key, value, headers: RecordHeaders(None) }
    }

    /// Ids are keys; what has none, or one that is no text, belongs to nobody.
    pub fn id(&self) -> Option<&'a str> {
        std::str::from_utf8(self.key?).ok()
    }

    /// The first header of this name, where it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.0?.iter().find(|header| header.key == name)?;
        std::str::from_utf8(found.value?).ok()
    }
}

/// Reads topics from their beginning, all partitions, committed records alone; takes no group and commits nothing.
/// Use it from one thread.
pub struct Tail {
    consumer: BaseConsumer<LinkContext>,
    settings: KafkaSettings,
    /// Once somebody wants to know where the topics end.
    asking: Option<Asking>,
    topics: Vec<String>,
    partitions: BTreeMap<String, u32>,
    /// Where the topics ended when they were opened, as far as transactions let; what was reached is out of it.
    behind: Ends,
}

impl Tail {
    /// Asks where the topics are and begins to read. A topic that is missing is `FaultKind::UnknownTopic`.
    pub fn open(settings: &KafkaSettings, topics: &[&str], timeout: Duration) -> Result<Self, KafkaFault> {
        Self::open_at(settings, topics, From::Earliest, timeout)
    }

    /// The same, from somewhere else than the beginning.
    pub fn open_at(
        settings: &KafkaSettings,
        topics: &[&str],
        from: From,
        timeout: Duration,
    ) -> Result<Self, KafkaFault> {
        let mut config = settings.client_config();
        config
            .set("group.id", "sightline-view")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // A place that the broker does not know any more, as after a change of leaders: read again rather than passed over.
            .set("auto.offset.reset", "earliest")
            // A view should not wait for a broker to fill a batch.
            .set("fetch.wait.max.ms", "100");
        lasting(&mut config);
        let link = Link::new(settings.bootstrap());
        let consumer: BaseConsumer<LinkContext> = config
            .create_with_context(LinkContext::new(link))
            .map_err(|error| KafkaFault::of_client(&error))?;
        consumer.context().reminds(consumer.client());
        let fault = |error: &KafkaError| KafkaFault::of_link(code_of(error), "", settings.bootstrap());
        let mut assignment = TopicPartitionList::new();
        let mut partitions = BTreeMap::new();
        for topic in topics {
            let found = partitions_of(&consumer, topic, timeout).map_err(|error| fault(&error))?;
            if found.is_empty() {
                return Err(KafkaFault::of_record(RDKafkaErrorCode::UnknownTopic, topic));
            }
            partitions.insert((*topic).to_owned(), found.len() as u32);
            for partition in found {
                assignment
                    .add_partition_offset(topic, partition, Offset::Beginning)
                    .map_err(|error| fault(&error))?;
            }
        }
        begin_at(&consumer, &mut assignment, from, timeout).map_err(|error| fault(&error))?;
        consumer.assign(&assignment).map_err(|error| fault(&error))?;
        let behind = match from {
            From::Latest => Ends::default(),
            From::Earliest | From::Time(_) => {
                Asking::new(settings, "read_committed")?.ends(&partitions, timeout)?
            }
        };
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Ok(Self { consumer, settings: settings.clone(), asking: None, topics, partitions, behind })
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> u32 {
        self.partitions.get(topic).copied().unwrap_or(0)
    }

    /// Waits up to `wait` for a record, and shows `each` what is there. How many there were.
    pub fn poll(&mut self, wait: Duration, mut each: impl FnMut(Tailed<'_>)) -> usize {
        let mut count = 0;
        let mut wait = wait;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            match polled {
                Ok(record) => {
                    each(tailed(&record));
                    count += 1;
                    if count >= BATCH {
                        break;
                    }
                }
                // What goes away by itself is tried again by the client.
                Err(error) => tracing::debug!(%error, "following topics"),
            }
        }
        if !self.behind.0.is_empty() {
            self.forget_reached();
        }
        count
    }

    /// Whether everything was read that lay there when the topics were opened. An open transaction is not waited for: what lies behind it comes
    /// when it ends.
    pub fn is_caught_up(&self) -> bool {
        self.behind.0.is_empty()
    }

    /// Polls until everything was read that lay there when the topics were opened.
    pub fn catch_up(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(Tailed<'_>),
    ) -> Result<(), KafkaFault> {
        let deadline = Instant::now() + timeout;
        while !self.is_caught_up() {
            self.poll(LOOK, &mut each);
            if Instant::now() >= deadline {
                return Err(self.too_slow(timeout));
            }
        }
        Ok(())
    }

    /// Where the topics end now, transactions that are still open included.
    pub fn ends(&mut self, timeout: Duration) -> Result<Ends, KafkaFault> {
        // Asked under `read_committed` a broker says where the first open transaction begins.
        let asking = match &mut self.asking {
            Some(asking) => asking,
            none => none.insert(Asking::new(&self.settings, "read_uncommitted")?),
        };
        let ends = asking.ends(&self.partitions, timeout);
        if ends.is_err() {
            // It may have forgotten its brokers, and is not polled: nobody tells it of them again.
            self.asking = None;
        }
        ends
    }

    /// Polls until everything before `ends` was read: what a writer does before its first word. A transaction that is open
    /// there is waited for, since what it will have written counts.
    pub fn reach(
        &mut self,
        ends: &Ends,
        timeout: Duration,
        mut each: impl FnMut(Tailed<'_>),
    ) -> Result<(), KafkaFault> {
        let deadline = Instant::now() + timeout;
        while !self.has_reached(ends) {
            self.poll(LOOK, &mut each);
            if Instant::now() >= deadline {
                return Err(self.too_slow(timeout));
            }
        }
        Ok(())
    }

    /// Whether everything before `ends` was read.
    pub fn has_reached(&self, ends: &Ends) -> bool {
        let Ok(positions) = self.consumer.position() else { return false };
        ends.0.iter().all(|(partition, end)| is_behind_us(&positions, partition, *end))
    }

    fn forget_reached(&mut self) {
        let Ok(positions) = self.consumer.position() else { return };
        self.behind.0.retain(|partition, end| !is_behind_us(&positions, partition, *end));
    }

    fn too_slow(&self, timeout: Duration) -> KafkaFault {
        let sentence =
            format!("{} could not be read to the end within {} s", self.topics.join(", "), timeout.as_secs());
        KafkaFault::new(FaultKind::Unreachable, sentence)
    }
}

/// Where each partition is to be read from.
fn begin_at(
    consumer: &BaseConsumer<LinkContext>,
    assignment: &mut TopicPartitionList,
    from: From,
    timeout: Duration,
) -> Result<(), KafkaError> {
    match from {
        From::Earliest => Ok(()),
        From::Latest => assignment.set_all_offsets(Offset::End),
        From::Time(time) => {
            assignment.set_all_offsets(Offset::Offset(time.max(0)))?;
            let found = consumer.offsets_for_times(assignment.clone(), timeout)?;
            for at in found.elements() {
                // Nothing that young: what comes from now on.
                let offset = if at.offset() == Offset::Invalid { Offset::End } else { at.offset() };
                assignment.set_partition_offset(at.topic(), at.partition(), offset)?;
            }
            Ok(())
        }
    }
}

/// Position counts what is never shown, too: a transaction's end, at the end of a partition.
fn is_behind_us(positions: &TopicPartitionList, (topic, partition): &(String, i32), end: i64) -> bool {
    let found = positions.find_partition(topic, *partition).map(|found| found.offset());
    matches!(found, Some(Offset::Offset(at)) if at >= end)
}

pub(super) fn partitions_of(
    consumer: &BaseConsumer<LinkContext>,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    Ok(metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic && found.error().is_none())
        .flat_map(|found| found.partitions().iter().map(|partition| partition.id()))
        .collect())
}

pub(super) fn tailed<'a>(record: &'a BorrowedMessage<'_>) -> Tailed<'a> {
    Tailed {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        timestamp_ms: record.timestamp().to_millis(),
        key: record.key(),
        value: record.payload(),
        headers: RecordHeaders(record.headers()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kafka::{EmbeddedBroker, Producer};

    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn several_topics_are_read_to_their_end_and_then_followed() {
        let broker = EmbeddedBroker::start(&[("cameras", 4), ("placements", 4), ("empty", 2)]).unwrap();
        let settings = KafkaSettings::plain(broker.bootstrap_servers());
        let producer = Producer::new(&settings, 0).unwrap();
        let send = |topic: &str, n: usize| {
            let (key, value) = (format!("camera-{n}"), n.to_string());
            producer
                .send(topic, &key, value.as_bytes(), "camera/1", Box::new(|_| {}))
                .map_err(|refused| refused.error)
                .unwrap();
        };
        (0..50).for_each(|n| send("cameras", n));
        (0..20).for_each(|n| send("placements", n));
        assert_eq!(producer.flush(DEADLINE), 0);
        let mut seen = BTreeMap::<String, usize>::new();
        let mut tail = Tail::open(&settings, &["cameras", "placements", "empty"], DEADLINE).unwrap();
        assert_eq!((tail.partitions("cameras"), tail.partitions("empty")), (4, 2));
        tail.catch_up(DEADLINE, |record| *seen.entry(record.topic.to_owned()).or_default() += 1).unwrap();
        assert_eq!(seen, [("cameras".to_owned(), 50), ("placements".to_owned(), 20)].into());
        send("cameras", 50);
        assert_eq!(producer.flush(DEADLINE), 0);
        let (ends, mut later) = (tail.ends(DEADLINE).unwrap(), Vec::new());
        tail.reach(&ends, DEADLINE, |record| later.push(record.id().unwrap().to_owned())).unwrap();
        assert_eq!(later, ["camera-50"]);
    }

    #[test]
    fn a_topic_that_is_missing_is_named() {
        let broker = EmbeddedBroker::start(&[("cameras", 1)]).unwrap();
        let settings = KafkaSettings::plain(broker.bootstrap_servers())
            .with_property("allow.auto.create.topics", "false");
        let fault = Tail::open(&settings, &["cameras", "nowhere"], DEADLINE).err().unwrap();
        assert!(fault.to_string().contains("nowhere"), "{fault}");
    }
}
