//! Some partitions of a compacted topic, read to where they end: what a successor does before its first word.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::config::{KafkaSettings, code_of};
use super::ends::watermarks;
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkContext};
use super::tail::{Tailed, tailed};

const LOOK: Duration = Duration::from_millis(50);

/// Shows `each` all that was committed in these partitions, each in order, up to their ends as they are now. A transaction
/// that is open there is waited for: what it will have written counts.
pub fn read_partitions(
    settings: &KafkaSettings,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
    mut each: impl FnMut(Tailed<'_>),
) -> Result<(), KafkaFault> {
    let deadline = Instant::now() + timeout;
    let fault = |error: &KafkaError| KafkaFault::of_link(code_of(error), "", settings.bootstrap());
    let client = |isolation: &str| -> Result<BaseConsumer<LinkContext>, KafkaFault> {
        let mut config = settings.client_config();
        config
            .set("group.id", "sightline-view")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", isolation);
        let link = LinkContext::new(Link::new(settings.bootstrap()));
        config.create_with_context(link).map_err(|error| KafkaFault::of_client(&error))
    };
    // Asked under `read_committed` a broker says where the first open transaction begins.
    let asking = client("read_uncommitted")?;
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        let (low, high) = watermarks(&asking, topic, *partition, deadline).map_err(|error| fault(&error))?;
        if low < high {
            ends.insert(*partition, high);
            assignment
                .add_partition_offset(topic, *partition, Offset::Beginning)
                .map_err(|error| fault(&error))?;
        }
    }
    drop(asking);
    if ends.is_empty() {
        return Ok(());
    }
    let consumer = client("read_committed")?;
    consumer.assign(&assignment).map_err(|error| fault(&error))?;
    loop {
        match consumer.poll(LOOK) {
            Some(Ok(record)) => {
                each(tailed(&record));
                continue;
            }
            // What goes away by itself is tried again by the client.
            Some(Err(error)) => tracing::debug!(%error, topic, "reading partitions to their ends"),
            None => {}
        }
        // Position counts what is never shown, too: a transaction's end, at the end of a partition.
        let positions = consumer.position().map_err(|error| fault(&error))?;
        let is_there = |(partition, end): (&i32, &i64)| {
            let at = positions.find_partition(topic, *partition).map(|at| at.offset());
            matches!(at, Some(Offset::Offset(at)) if at >= *end)
        };
        if ends.iter().all(is_there) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let sentence =
                format!("topic {topic} could not be read to its end within {} s", timeout.as_secs());
            return Err(KafkaFault::new(FaultKind::Unreachable, sentence));
        }
    }
}
