//! What a group has still to do in each partition of a topic: where the partition ends, less what the group committed.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::Offset;

use super::config::{KafkaSettings, code_of};
use super::ends::watermarks;
use super::fault::KafkaFault;
use super::link::{Link, LinkContext};
use super::tail::partitions_of;

/// Of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    pub partition: i32,
    /// Where the group goes on: what it committed, or else where the partition begins.
    pub next: i64,
    pub end: i64,
}

impl PartitionLag {
    pub fn records(self) -> u64 {
        u64::try_from(self.end - self.next).unwrap_or(0)
    }
}

/// Asks about one group and one topic; is no member of the group.
pub struct Lag {
    asking: BaseConsumer<LinkContext>,
    topic: String,
    bootstrap: String,
}

impl Lag {
    pub fn new(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, KafkaFault> {
        let mut config = settings.client_config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let link = Link::new(settings.bootstrap());
        let asking: BaseConsumer<LinkContext> = config
            .create_with_context(LinkContext::new(link))
            .map_err(|error| KafkaFault::of_client(&error))?;
        Ok(Self { asking, topic: topic.to_owned(), bootstrap: settings.bootstrap().to_owned() })
    }

    /// By partition. Empty: there is no such topic.
    pub fn ask(&self, timeout: Duration) -> Result<Vec<PartitionLag>, KafkaFault> {
        let fault = |error| KafkaFault::of_link(code_of(&error), "", &self.bootstrap);
        let deadline = Instant::now() + timeout;
        let mut partitions = partitions_of(&self.asking, &self.topic, timeout).map_err(fault)?;
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        partitions.sort_unstable();
        let mut asked = TopicPartitionList::new();
        for partition in &partitions {
            asked.add_partition(&self.topic, *partition);
        }
        let committed = self.asking.committed_offsets(asked, timeout).map_err(fault)?;
        partitions
            .into_iter()
            .map(|partition| {
                let (low, end) = watermarks(&self.asking, &self.topic, partition, deadline).map_err(fault)?;
                let next = match committed.find_partition(&self.topic, partition).map(|found| found.offset())
                {
                    Some(Offset::Offset(next)) => next.clamp(low, end),
                    _ => low,
                };
                Ok(PartitionLag { partition, next, end })
            })
            .collect()
    }
}
