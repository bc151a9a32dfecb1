//! A member of a consumer group whose topic never holds a record: its partitions are what members share.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientContext, TopicPartitionList};

use super::brokers::lasting;
use super::config::{KafkaSettings, code_of};
use super::fault::KafkaFault;
use super::link::{Link, LinkContext};
use super::transaction::GroupOffsets;

/// A member that is not heard of for this long is replaced.
pub const SESSION: Duration = Duration::from_secs(10);

/// What a member holds, and as whom.
pub struct Held {
    /// Partitions of the topic.
    pub slots: BTreeSet<u32>,
    /// The group's generation; `None` while this is no member, and then nothing may be claimed by it.
    pub generation: Option<i32>,
    /// How many times slots were taken away without being asked for, because the group went on without this member. What
    /// it held may be held by another, or by nobody.
    pub losses: u64,
    /// It is a member, and was told what it holds since it last joined.
    pub is_settled: bool,
    topic: String,
    offsets: TopicPartitionList,
    metadata: Option<ConsumerGroupMetadata>,
}

impl Held {
    /// What a transaction sends along, so that it is refused from a member that was replaced meanwhile.
    pub fn offsets(&self) -> Option<GroupOffsets<'_>> {
        self.generation?;
        Some(GroupOffsets { offsets: &self.offsets, metadata: self.metadata.as_ref()? })
    }

    /// Whether it is the same as another look at it: then nothing happened in between.
    pub fn is_as(&self, other: &Held) -> bool {
        self.slots == other.slots
            && self.generation == other.generation
            && self.losses == other.losses
            && self.is_settled == other.is_settled
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }
}

/// Shares the partitions of one topic with the other members of its group. Use it from one thread, and poll it often.
pub struct Member {
    consumer: BaseConsumer<MemberContext>,
    topic: String,
}

impl Member {
    /// Joins, in the background.
    pub fn join(settings: &KafkaSettings, group: &str, topic: &str) -> Result<Self, KafkaFault> {
        let fault = |error: &KafkaError| KafkaFault::of_link(code_of(error), "", settings.bootstrap());
        let mut config = settings.client_config();
        config
            .set("group.id", group)
            // Said, since the default will change, and then the broker sets the time-outs.
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION.as_millis().to_string())
            .set("heartbeat.interval.ms", "1000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest");
        lasting(&mut config);
        let context = MemberContext {
            link: LinkContext::new(Link::new(settings.bootstrap())),
            losses: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
        };
        let consumer: BaseConsumer<MemberContext> =
            config.create_with_context(context).map_err(|error| KafkaFault::of_client(&error))?;
        consumer.context().link.reminds(consumer.client());
        consumer.subscribe(&[topic]).map_err(|error| fault(&error))?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// Lets the client do its work for up to `wait`, and says what is held afterwards. Slots and generation are taken
    /// together: a rebalance that leaves the slots as they are has another generation all the same.
    pub fn poll(&self, wait: Duration) -> Held {
        if let Some(Err(error)) = self.consumer.poll(wait) {
            tracing::debug!(%error, topic = self.topic, "as a member of the group");
        }
        let mut offsets = TopicPartitionList::new();
        let mut slots = BTreeSet::new();
        let assigned = self.consumer.assignment().unwrap_or_else(|_| TopicPartitionList::new());
        for element in assigned.elements().iter().filter(|element| element.topic() == self.topic) {
            let _ = offsets.add_partition_offset(&self.topic, element.partition(), Offset::Offset(0));
            slots.extend(u32::try_from(element.partition()));
        }
        let generation = generation(&self.consumer);
        Held {
            slots,
            generation,
            losses: self.consumer.context().losses.load(Ordering::SeqCst),
            is_settled: generation.is_some() && self.consumer.context().is_told.load(Ordering::SeqCst),
            topic: self.topic.clone(),
            offsets,
            metadata: self.consumer.group_metadata(),
        }
    }

    /// Leaves the group: others get the slots at once.
    pub fn leave(&self) {
        self.consumer.unsubscribe();
        // The goodbye goes out while polling.
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        while std::time::Instant::now() < deadline {
            let _ = self.consumer.poll(Duration::from_millis(20));
            if generation(&self.consumer).is_none() {
                return;
            }
        }
    }
}

/// The group's generation; none without a member id: the broker does not check such metadata, so nothing may be sent by
/// it.
#[allow(unsafe_code, reason = "the bindings hide generation and member id of the group's metadata")]
pub(super) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<i32> {
    // The pointer is the caller's to free; what is read from it is copied before that.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let is_member = !member.is_null() && !CStr::from_ptr(member).is_empty();
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        (generation >= 0 && is_member).then_some(generation)
    }
}

struct MemberContext {
    link: LinkContext,
    losses: AtomicU64,
    is_told: AtomicBool,
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.link.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.link.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let look = || match rebalance {
            Rebalance::Revoke(slots) => {
                let lost = consumer.assignment_lost();
                if lost {
                    self.losses.fetch_add(1, Ordering::SeqCst);
                    self.is_told.store(false, Ordering::SeqCst);
                }
                tracing::info!(slots = slots.count(), lost, "slots go to others");
            }
            Rebalance::Assign(slots) => {
                self.is_told.store(true, Ordering::SeqCst);
                tracing::info!(slots = slots.count(), "slots come");
            }
            Rebalance::Error(error) => tracing::warn!(%error, "the group could not be rebalanced"),
        };
        let _ = catch_unwind(AssertUnwindSafe(look));
    }
}
