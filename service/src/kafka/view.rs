//! A topic read from its beginning to where it ended when that was asked: the view of a compacted topic.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;

use super::config::{KafkaSettings, code_of};
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkContext};

/// One wait for records; the deadline is looked at in between.
const LOOK: Duration = Duration::from_millis(100);

/// A record as it lies in its topic.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub partition: i32,
    pub offset: i64,
    pub key: &'a str,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

impl ConsumerContext for LinkContext {}

/// Shows `each` all records of a topic, per partition in order, as far as they were committed when the end of the
/// partition was reached. Records whose key is no text are left out. Takes no group and commits nothing.
pub fn read_to_end(
    settings: &KafkaSettings,
    topic: &str,
    timeout: Duration,
    mut each: impl FnMut(Entry<'_>),
) -> Result<(), KafkaFault> {
    let deadline = Instant::now() + timeout;
    let link = Link::new(settings.bootstrap());
    let fault = |error: &KafkaError| KafkaFault::of_link(code_of(error), "", settings.bootstrap());
    let mut config = settings.client_config();
    config
        .set("group.id", "sightline-view")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed");
    let consumer: BaseConsumer<LinkContext> =
        config.create_with_context(LinkContext::new(link)).map_err(|error| KafkaFault::of_client(&error))?;
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|error| fault(&error))?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic && found.error().is_none())
        .flat_map(|found| found.partitions().iter().map(|partition| partition.id()))
        .collect();
    if partitions.is_empty() {
        return Err(KafkaFault::of_record(RDKafkaErrorCode::UnknownTopic, topic));
    }
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .map_err(|error| fault(&error))?;
    }
    consumer.assign(&assignment).map_err(|error| fault(&error))?;
    let mut open = partitions.len();
    while open > 0 {
        match consumer.poll(LOOK) {
            Some(Ok(record)) => {
                if let Some(Ok(key)) = record.key_view::<str>() {
                    let (partition, offset) = (record.partition(), record.offset());
                    each(Entry { partition, offset, key, value: record.payload() });
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            // What goes away by itself is tried again by the client.
            Some(Err(error)) => tracing::debug!(%error, topic, "reading a topic"),
            None => {}
        }
        if Instant::now() >= deadline {
            let sentence =
                format!("topic {topic} could not be read to its end within {} s", timeout.as_secs());
            return Err(KafkaFault::new(FaultKind::Unreachable, sentence));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kafka::{EmbeddedBroker, Producer};

    #[test]
    fn all_that_lies_in_a_topic_is_shown_and_an_empty_one_ends() {
        let broker = EmbeddedBroker::start(&[("status", 4), ("empty", 4)]).unwrap();
        let settings = KafkaSettings::plain(broker.bootstrap_servers());
        let producer = Producer::new(&settings, 0).unwrap();
        for n in 0..100 {
            let (key, value) = (format!("camera-{}", n % 10), format!("{n}"));
            let sent = producer.send("status", &key, value.as_bytes(), "status/1", Box::new(|_| {}));
            sent.map_err(|refused| refused.error).unwrap();
        }
        assert_eq!(producer.flush(Duration::from_secs(30)), 0);
        let mut latest = BTreeMap::new();
        let each = |entry: Entry<'_>| {
            latest.insert(entry.key.to_owned(), String::from_utf8_lossy(entry.value.unwrap()).into_owned());
        };
        read_to_end(&settings, "status", Duration::from_secs(30), each).unwrap();
        let expected: BTreeMap<_, _> =
            (0..10).map(|n| (format!("camera-{n}"), (90 + n).to_string())).collect();
        assert_eq!(latest, expected);
        read_to_end(&settings, "empty", Duration::from_secs(30), |_| unreachable!()).unwrap();
    }

    #[test]
    fn a_broker_that_is_not_there_ends_it_with_a_sentence() {
        let fault =
            read_to_end(&KafkaSettings::plain("127.0.0.1:1"), "status", Duration::from_secs(1), |_| {})
                .unwrap_err();
        assert!(fault.to_string().contains("127.0.0.1:1"), "{fault}");
    }
}
