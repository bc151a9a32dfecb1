//! What every consumer shows of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sightline_service::kafka::{Batch, Partition, Record};

const PREFIX: &str = "sightline_consumer";

/// Whose series it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Whose {
    consumer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    consumer: String,
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    consumer: String,
    reason: &'static str,
}

/// Why a record was read and not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PassedOver {
    /// Of an epoch below the newest.
    Late,
    /// A frame seen before.
    Repeat,
    /// A frame that is not after the one before it.
    Backwards,
    /// Its camera has not begun, as far as was read.
    NotTakenUp,
    /// Of a schema that this version does not know.
    Unknown,
    /// It went to the dead letters.
    Unreadable,
}

impl PassedOver {
    const ALL: [Self; 6] =
        [Self::Late, Self::Repeat, Self::Backwards, Self::NotTakenUp, Self::Unknown, Self::Unreadable];

    /// As a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Repeat => "repeat",
            Self::Backwards => "backwards",
            Self::NotTakenUp => "not_taken_up",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Of one consumer.
pub struct Metrics {
    consumer: String,
    records: Counter,
    bytes: Counter,
    passed_over: Family<Why, Counter>,
    lag: Family<Of, Gauge>,
    age: Family<Of, Gauge<f64, std::sync::atomic::AtomicU64>>,
    pub(crate) begun_anew: Counter,
    pub(crate) commits: Counter,
    pub(crate) commits_refused: Counter,
}

/// The series of all consumers of a process: a name may be registered once.
#[derive(Default)]
struct Families {
    records: Family<Whose, Counter>,
    bytes: Family<Whose, Counter>,
    passed_over: Family<Why, Counter>,
    lag: Family<Of, Gauge>,
    age: Family<Of, Gauge<f64, std::sync::atomic::AtomicU64>>,
    begun_anew: Family<Whose, Counter>,
    commits: Family<Whose, Counter>,
    commits_refused: Family<Whose, Counter>,
}

impl Families {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register("records", "Records read", self.records.clone());
        registry.register("bytes", "Bytes read: keys, values, headers", self.bytes.clone());
        registry.register(
            "records_passed_over",
            "Records that were read and not acted on, by reason",
            self.passed_over.clone(),
        );
        registry.register("lag_records", "Records that lie behind what was done", self.lag.clone());
        registry.register(
            "data_age_seconds",
            "How old the record taken last was when it was taken",
            self.age.clone(),
        );
        registry.register(
            "begun_anew",
            "How often the consumer left its group and began from what it had committed",
            self.begun_anew.clone(),
        );
        registry.register("commits", "Commits of what was done", self.commits.clone());
        registry.register(
            "commits_refused",
            "Commits that Kafka refused, because others have the partitions or the broker went away",
            self.commits_refused.clone(),
        );
    }

    fn of(&self, consumer: &str) -> Metrics {
        let whose = Whose { consumer: consumer.to_owned() };
        let counter = |family: &Family<Whose, Counter>| family.get_or_create(&whose).clone();
        let metrics = Metrics {
            consumer: consumer.to_owned(),
            records: counter(&self.records),
            bytes: counter(&self.bytes),
            passed_over: self.passed_over.clone(),
            lag: self.lag.clone(),
            age: self.age.clone(),
            begun_anew: counter(&self.begun_anew),
            commits: counter(&self.commits),
            commits_refused: counter(&self.commits_refused),
        };
        // A series that is there from the beginning shows its first increase.
        for reason in PassedOver::ALL {
            drop(metrics.passed_over.get_or_create(&metrics.why(reason)));
        }
        metrics
    }
}

impl Metrics {
    pub fn register(registry: &mut Registry, consumer: &str) -> Self {
        let families = Families::default();
        families.register(registry);
        families.of(consumer)
    }

    /// Those of several consumers in one process, in their order.
    pub fn register_all(registry: &mut Registry, consumers: &[String]) -> Vec<Self> {
        let families = Families::default();
        families.register(registry);
        consumers.iter().map(|consumer| families.of(consumer)).collect()
    }

    fn why(&self, reason: PassedOver) -> Why {
        Why { consumer: self.consumer.clone(), reason: reason.as_str() }
    }

    fn of(&self, (topic, partition): &Partition) -> Of {
        Of { consumer: self.consumer.clone(), topic: topic.clone(), partition: *partition }
    }

    pub fn passed_over(&self, reason: PassedOver) {
        self.passed_over.get_or_create(&self.why(reason)).inc();
    }

    pub(super) fn taken(&self, batch: &Batch, last: &Record<'_>) {
        self.records.inc_by(batch.len() as u64);
        self.bytes.inc_by(batch.bytes() as u64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let of = self.of(&(batch.topic.to_string(), batch.partition));
        self.age.get_or_create(&of).set(now - last.timestamp_ms as f64 / 1000.0);
    }

    pub(super) fn lag(&self, partition: &Partition, lag: Option<i64>) {
        if let Some(lag) = lag {
            self.lag.get_or_create(&self.of(partition)).set(lag);
        }
    }

    pub(super) fn gone(&self, partition: &Partition) {
        self.lag.remove(&self.of(partition));
        self.age.remove(&self.of(partition));
    }
}

/// Where the series of one consumer are registered: its name is a label of each.
pub fn of_consumer<'r>(registry: &'r mut Registry, consumer: &str) -> &'r mut Registry {
    let registry = registry.sub_registry_with_prefix(PREFIX);
    registry.sub_registry_with_label(("consumer".into(), consumer.to_owned().into()))
}
