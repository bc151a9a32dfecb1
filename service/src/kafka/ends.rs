//! Where partitions end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::config::{KafkaSettings, code_of};
use super::fault::KafkaFault;
use super::link::{Link, LinkContext};

/// A partition without a leader is asked again after this.
const AGAIN: Duration = Duration::from_millis(50);

/// Where each partition that holds something ends: the offset of the next record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends(pub(super) BTreeMap<(String, i32), i64>);

/// Asks where partitions end. A client of its own: one that reads, too, would put each question behind a fetch that waits for
/// records. Of no group: a member's client has to find its coordinator before it can be closed.
pub(super) struct Asking {
    client: BaseConsumer<LinkContext>,
    bootstrap: String,
}

impl Asking {
    /// `isolation`: under `read_committed` a partition ends where its first open transaction begins.
    pub(super) fn new(settings: &KafkaSettings, isolation: &str) -> Result<Self, KafkaFault> {
        let mut config = settings.client_config();
        config.set("isolation.level", isolation);
        let link = Link::new(settings.bootstrap());
        let client: BaseConsumer<LinkContext> = config
            .create_with_context(LinkContext::new(link))
            .map_err(|error| KafkaFault::of_client(&error))?;
        Ok(Self { client, bootstrap: settings.bootstrap().to_owned() })
    }

    /// By topic, how many partitions each has.
    pub(super) fn ends(
        &self,
        partitions: &BTreeMap<String, u32>,
        timeout: Duration,
    ) -> Result<Ends, KafkaFault> {
        let deadline = Instant::now() + timeout;
        // What the client has to say meanwhile; it has no records.
        while self.client.poll(Duration::ZERO).is_some() {}
        let mut ends = BTreeMap::new();
        for (topic, count) in partitions {
            for partition in 0..i32::try_from(*count).unwrap_or(i32::MAX) {
                let (low, high) = watermarks(&self.client, topic, partition, deadline)
                    .map_err(|error| KafkaFault::of_link(code_of(&error), "", &self.bootstrap))?;
                if low < high {
                    ends.insert((topic.clone(), partition), high);
                }
            }
        }
        Ok(Ends(ends))
    }
}

/// A partition that has no leader at the moment, as just after its topic was made, is asked again.
pub(super) fn watermarks(
    asking: &BaseConsumer<LinkContext>,
    topic: &str,
    partition: i32,
    deadline: Instant,
) -> Result<(i64, i64), KafkaError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match asking.fetch_watermarks(topic, partition, left.max(AGAIN)) {
            Ok(found) => return Ok(found),
            Err(error) if left.is_zero() => return Err(error),
            Err(error) => {
                tracing::debug!(topic, partition, %error, "where a partition ends");
                std::thread::sleep(AGAIN.min(left));
            }
        }
    }
}
