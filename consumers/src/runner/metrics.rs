//! What every consumer shows of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sightline_service::kafka::{Batch, Partition, Record};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
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

/// Of one consumer process.
#[derive(Default)]
pub struct Metrics {
    records: Counter,
    bytes: Counter,
    passed_over: Family<Why, Counter>,
    lag: Family<Of, Gauge>,
    age: Family<Of, Gauge<f64, std::sync::atomic::AtomicU64>>,
    pub(crate) begun_anew: Counter,
    pub(crate) commits: Counter,
    pub(crate) commits_refused: Counter,
}

impl Metrics {
    pub fn register(registry: &mut Registry, consumer: &str) -> Self {
        let metrics = Self::default();
        // A series that is there from the beginning shows its first increase.
        for reason in PassedOver::ALL {
            drop(metrics.passed_over.get_or_create(&Why { reason: reason.as_str() }));
        }
        let registry = of_consumer(registry, consumer);
        registry.register("records", "Records read", metrics.records.clone());
        registry.register("bytes", "Bytes read: keys, values, headers", metrics.bytes.clone());
        registry.register(
            "records_passed_over",
            "Records that were read and not acted on, by reason",
            metrics.passed_over.clone(),
        );
        registry.register("lag_records", "Records that lie behind what was taken", metrics.lag.clone());
        registry.register(
            "data_age_seconds",
            "How old the record taken last was when it was taken",
            metrics.age.clone(),
        );
        registry.register(
            "begun_anew",
            "How often the consumer left its group and began from what it had committed",
            metrics.begun_anew.clone(),
        );
        registry.register("commits", "Commits of what was done", metrics.commits.clone());
        registry.register(
            "commits_refused",
            "Commits that Kafka refused, because others have the partitions or the broker went away",
            metrics.commits_refused.clone(),
        );
        metrics
    }

    pub fn passed_over(&self, reason: PassedOver) {
        self.passed_over.get_or_create(&Why { reason: reason.as_str() }).inc();
    }

    pub(super) fn taken(&self, batch: &Batch, last: &Record<'_>) {
        self.records.inc_by(batch.len() as u64);
        self.bytes.inc_by(batch.bytes() as u64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let of = Of { topic: batch.topic.to_string(), partition: batch.partition };
        self.age.get_or_create(&of).set(now - last.timestamp_ms as f64 / 1000.0);
    }

    pub(super) fn lag(&self, partition: &Partition, lag: Option<i64>) {
        if let Some(lag) = lag {
            self.lag.get_or_create(&of(partition)).set(lag);
        }
    }

    pub(super) fn gone(&self, partition: &Partition) {
        self.lag.remove(&of(partition));
        self.age.remove(&of(partition));
    }
}

/// Where the series of one consumer are registered: its name is a label of each.
pub fn of_consumer<'r>(registry: &'r mut Registry, consumer: &str) -> &'r mut Registry {
    let registry = registry.sub_registry_with_prefix("sightline_consumer");
    registry.sub_registry_with_label(("consumer".into(), consumer.to_owned().into()))
}

fn of((topic, partition): &Partition) -> Of {
    Of { topic: topic.clone(), partition: *partition }
}
