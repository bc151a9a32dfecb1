//! One topic followed from exact places: what can be left and taken up again without a loss or a repeat.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::brokers::lasting;
use super::config::{KafkaSettings, code_of};
use super::ends::watermarks;
use super::fault::KafkaFault;
use super::link::{Link, LinkContext};
use super::tail::{Tailed, partitions_of, tailed};

/// Records taken at one go before the caller is heard again.
const BATCH: usize = 1000;

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind all that is committed now.
    End,
    /// At the first record of each partition that was written at this time or later; milliseconds since 1970.
    Time(i64),
    /// At these offsets, by partition. One that the topic does not have any more, or not yet, begins at what lies there
    /// first: the older ones are gone, or it is another topic of the same name.
    Offsets(Vec<i64>),
}

/// Reads all partitions of a topic, committed records alone; takes no group and commits nothing. Use it from one thread.
pub struct Follower {
    consumer: BaseConsumer<LinkContext>,
    topic: String,
    positions: Vec<i64>,
    is_cut: bool,
}

impl Follower {
    /// Asks where to begin, and begins to read. A topic that is missing is `FaultKind::UnknownTopic`.
    pub fn open(
        settings: &KafkaSettings,
        topic: &str,
        start: &Start,
        timeout: Duration,
    ) -> Result<Self, KafkaFault> {
        let deadline = Instant::now() + timeout;
        let mut config = settings.client_config();
        config
            .set("group.id", "sightline-view")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // What is gone by the time it is read begins at what is left.
            .set("auto.offset.reset", "earliest")
            // Who follows should not wait for a broker to fill a batch, and several may do so in one process.
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "4096");
        lasting(&mut config);
        let link = Link::new(settings.bootstrap());
        let consumer: BaseConsumer<LinkContext> = config
            .create_with_context(LinkContext::new(link))
            .map_err(|error| KafkaFault::of_client(&error))?;
        consumer.context().reminds(consumer.client());
        let fault = |error: &KafkaError| KafkaFault::of_link(code_of(error), "", settings.bootstrap());
        let mut partitions = partitions_of(&consumer, topic, timeout).map_err(|error| fault(&error))?;
        partitions.sort_unstable();
        if partitions.is_empty() {
            return Err(KafkaFault::of_record(RDKafkaErrorCode::UnknownTopic, topic));
        }
        let (positions, is_cut) =
            begin(&consumer, topic, &partitions, start, deadline).map_err(|error| fault(&error))?;
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in partitions.iter().zip(&positions) {
            assignment
                .add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|error| fault(&error))?;
        }
        consumer.assign(&assignment).map_err(|error| fault(&error))?;
        Ok(Self { consumer, topic: topic.to_owned(), positions, is_cut })
    }

    /// By partition, the offset of the next record: all before it were shown, or are none to show.
    pub fn positions(&self) -> &[i64] {
        &self.positions
    }

    /// Whether some of the offsets it was to begin at were gone.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Waits up to `wait` for a record, and shows `each` what is there. How many there were.
    pub fn poll(&mut self, wait: Duration, mut each: impl FnMut(Tailed<'_>)) -> usize {
        let mut count = 0;
        let mut wait = wait;
        while let Some(polled) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            match polled {
                Ok(record) => {
                    let record = tailed(&record);
                    let at = usize::try_from(record.partition).ok().and_then(|at| self.positions.get_mut(at));
                    if let Some(position) = at {
                        *position = record.offset + 1;
                    }
                    each(record);
                    count += 1;
                    if count >= BATCH {
                        break;
                    }
                }
                // What goes away by itself is tried again by the client.
                Err(error) => tracing::debug!(%error, topic = self.topic, "following a topic"),
            }
        }
        self.pass_over();
        count
    }

    /// A transaction's end lies in the partition, too, and is never shown.
    fn pass_over(&mut self) {
        let Ok(found) = self.consumer.position() else { return };
        for at in found.elements_for_topic(&self.topic) {
            let known = usize::try_from(at.partition()).ok().and_then(|i| self.positions.get_mut(i));
            if let (Offset::Offset(offset), Some(position)) = (at.offset(), known) {
                *position = offset.max(*position);
            }
        }
    }
}

/// An offset for each partition, and whether it is another one than was asked for.
fn begin(
    consumer: &BaseConsumer<LinkContext>,
    topic: &str,
    partitions: &[i32],
    start: &Start,
    deadline: Instant,
) -> Result<(Vec<i64>, bool), KafkaError> {
    let mut positions = Vec::with_capacity(partitions.len());
    let mut is_cut = false;
    let by_time = match start {
        Start::Time(time) => {
            let mut wanted = TopicPartitionList::new();
            for partition in partitions {
                wanted.add_partition_offset(topic, *partition, Offset::Offset((*time).max(0)))?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            Some(consumer.offsets_for_times(wanted, left)?)
        }
        Start::End | Start::Offsets(_) => None,
    };
    for (i, partition) in partitions.iter().enumerate() {
        let found = by_time.as_ref().and_then(|found| found.find_partition(topic, *partition));
        if let Some(Offset::Offset(offset)) = found.map(|found| found.offset()) {
            positions.push(offset);
            continue;
        }
        let (low, high) = watermarks(consumer, topic, *partition, deadline)?;
        positions.push(match start {
            // Nothing that young: what comes from now on.
            Start::End | Start::Time(_) => high,
            Start::Offsets(offsets) => {
                let offset = offsets.get(i).copied().unwrap_or(low);
                let is_there = (low..=high).contains(&offset);
                is_cut |= !is_there;
                if is_there { offset } else { low }
            }
        });
    }
    Ok((positions, is_cut))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kafka::{EmbeddedBroker, Producer};

    const DEADLINE: Duration = Duration::from_secs(60);

    fn read(follower: &mut Follower, count: usize) -> Vec<String> {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + DEADLINE);
        while seen.len() < count && Instant::now() < deadline {
            follower.poll(Duration::from_millis(50), |record| seen.push(record.id().unwrap().to_owned()));
        }
        seen.sort();
        seen
    }

    #[test]
    fn a_topic_is_left_and_taken_up_where_it_was_left() {
        let broker = EmbeddedBroker::start(&[("events", 3)]).unwrap();
        let settings = KafkaSettings::plain(broker.bootstrap_servers());
        let producer = Producer::new(&settings, 0).unwrap();
        let send = |numbers: std::ops::Range<usize>| {
            let ids: Vec<_> = numbers.map(|n| format!("e-{n:03}")).collect();
            for id in &ids {
                let sent = producer.send("events", id, b"{}", "event/1", Box::new(|_| {}));
                sent.map_err(|refused| refused.error).unwrap();
            }
            assert_eq!(producer.flush(DEADLINE), 0);
            ids
        };
        let open = |start: &Start| Follower::open(&settings, "events", start, DEADLINE).unwrap();
        let before = send(0..30);
        let mut first = open(&Start::End);
        assert_eq!(first.positions().iter().sum::<i64>(), 30);
        let live = send(30..50);
        assert_eq!(read(&mut first, 20), live);
        let left = first.positions().to_vec();
        drop(first);
        let away = send(50..70);
        let mut second = open(&Start::Offsets(left));
        assert!(!second.is_cut());
        assert_eq!(read(&mut second, 20), away);
        assert_eq!(second.positions().iter().sum::<i64>(), 70);
        // Offsets of another topic of the same name begin where this one does.
        let mut other = open(&Start::Offsets(vec![1000; 3]));
        assert!(other.is_cut());
        assert_eq!(read(&mut other, 70), [before, live, away].concat());
        assert_eq!(open(&Start::Time(i64::MAX / 2)).positions().iter().sum::<i64>(), 70);
    }
}
