//! The base of a `camera-status` or `job-status` that was made anew: what keeps epochs growing when offsets begin at 0 again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::Offset;
use serde::Deserialize;
use sightline_schema::{Base, Topics};

use super::config::{KafkaSettings, code_of};
use super::ends::watermarks;
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkContext};
use super::tail::Tail;
use super::transaction::{Write, WriteError, Writer};

const LOOK: Duration = Duration::from_millis(50);
/// The last records of each partition of `detections` tell the epochs of late: of more cameras than one partition has at work
/// in a minute.
const LAST: i64 = 2_000;

/// Writes a base into every partition of `topic`, `camera-status` or `job-status`, and gives it. It is the time, in milliseconds since 1970: offsets
/// grow by far less than one a millisecond, so it is above every epoch of an earlier topic, whatever base that had. Where
/// something shows that it is not (a clock that is wrong), or the topic holds statuses already, it is refused.
pub fn write_base(
    settings: &KafkaSettings,
    topic: &str,
    topics: &Topics,
    timeout: Duration,
) -> Result<u64, KafkaFault> {
    let refuse = |sentence: String| Err(KafkaFault::new(FaultKind::Other, sentence));
    let mut tail = Tail::open(settings, &[topic], timeout)?;
    let (mut statuses, mut highest) = (0_u64, 0_u64);
    tail.catch_up(timeout, |record| match record.value {
        Some(value) if record.id() == Some(Base::KEY) => {
            if let Ok(base) = serde_json::from_slice::<Base>(value) {
                highest = highest.max(base.base);
            }
        }
        Some(_) => statuses += 1,
        None => {}
    })?;
    if statuses > 0 {
        return refuse(format!(
            "topic {topic} holds statuses already, whose epochs a base would change; stop the pipelines and workers, \
             delete the topic, and make it anew with sightline topics apply"
        ));
    }
    highest = highest.max(highest_epoch(settings, &topics.detections(), timeout)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let base = u64::try_from(now).unwrap_or(0);
    if base <= highest {
        return refuse(format!(
            "this machine's clock gives {base} for a base, and an epoch of {highest} was seen; set the clock right"
        ));
    }
    let mut writes = Vec::new();
    for partition in 0..tail.partitions(topic) {
        let write = Write::of(topic.to_owned(), &Base { base })
            .map_err(|error| KafkaFault::new(FaultKind::Other, error.to_string()))?;
        writes.push(Write { partition: i32::try_from(partition).ok(), ..write });
    }
    let mut writer = Writer::new(settings, &topics.base_writer(), timeout)?;
    writer.write(&writes, None).map_err(|error| match error {
        WriteError::Fenced(fault) | WriteError::Refused(fault) | WriteError::Unknown(fault) => fault,
    })?;
    Ok(base)
}

/// Among the last records of each partition. 0 where nothing is.
fn highest_epoch(settings: &KafkaSettings, topic: &str, timeout: Duration) -> Result<u64, KafkaFault> {
    #[derive(Deserialize)]
    struct OfEpoch {
        epoch: u64,
    }
    let fault =
        |error: &rdkafka::error::KafkaError| KafkaFault::of_link(code_of(error), "", settings.bootstrap());
    let deadline = std::time::Instant::now() + timeout;
    let mut config = settings.client_config();
    config.set("group.id", "sightline-view").set("enable.auto.commit", "false");
    let link = LinkContext::new(Link::new(settings.bootstrap()));
    let consumer: BaseConsumer<LinkContext> =
        config.create_with_context(link).map_err(|error| KafkaFault::of_client(&error))?;
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|error| fault(&error))?;
    let mut ends = TopicPartitionList::new();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (low, high) =
            watermarks(&consumer, topic, partition.id(), deadline).map_err(|error| fault(&error))?;
        if low < high {
            let from = low.max(high - LAST);
            let _ = assignment.add_partition_offset(topic, partition.id(), Offset::Offset(from));
            let _ = ends.add_partition_offset(topic, partition.id(), Offset::Offset(high));
        }
    }
    consumer.assign(&assignment).map_err(|error| fault(&error))?;
    let mut highest = 0;
    loop {
        if let Some(Ok(record)) = consumer.poll(LOOK) {
            let epoch = rdkafka::Message::payload(&record)
                .and_then(|value| serde_json::from_slice::<OfEpoch>(value).ok());
            highest = highest.max(epoch.map_or(0, |of| of.epoch));
            continue;
        }
        let positions = consumer.position().map_err(|error| fault(&error))?;
        let is_there = |end: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let at = positions.find_partition(topic, end.partition()).map(|at| at.offset().to_raw());
            at.flatten() >= end.offset().to_raw()
        };
        if ends.elements().iter().all(is_there) {
            return Ok(highest);
        }
        if std::time::Instant::now() >= deadline {
            let sentence =
                format!("the end of topic {topic} could not be read within {} s", timeout.as_secs());
            return Err(KafkaFault::new(FaultKind::Unreachable, sentence));
        }
    }
}
