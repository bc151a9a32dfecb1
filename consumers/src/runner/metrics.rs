//! What every consumer shows of itself.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sightline_service::kafka::{Batch, Partition, Record};

/// Records that are passed over are said this often, of each reason: there may be thousands.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The labels of what there is once a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfConsumer {
    pub consumer: String,
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

impl PassedOver {
    /// As it is said.
    const fn sentence(self) -> &'static str {
        match self {
            Self::Late => "it is of an older run of its camera than the newest",
            Self::Repeat => "its frame was read before",
            Self::Backwards => "its frame is not after the one before it: look at the clock of the camera",
            Self::NotTakenUp => {
                "its camera began before what is read here, and is taken up when it begins anew"
            }
            Self::Unknown => "this version does not know its schema; upgrade where a newer one writes",
            Self::Unreadable => "it can't be read",
        }
    }
}

/// What all consumers of a process show, each under its name.
pub struct Families {
    records: Family<OfConsumer, Counter>,
    bytes: Family<OfConsumer, Counter>,
    passed_over: Family<Why, Counter>,
    lag: Family<Of, Gauge>,
    age: Family<Of, Gauge<f64, AtomicU64>>,
    begun_anew: Family<OfConsumer, Counter>,
    commits: Family<OfConsumer, Counter>,
    commits_refused: Family<OfConsumer, Counter>,
}

impl Families {
    /// Once a process.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("sightline_consumer");
        let mut counters = |name: &str, help: &str| {
            let family = Family::default();
            registry.register(name, help, Family::clone(&family));
            family
        };
        let families = Self {
            records: counters("records", "Records read"),
            bytes: counters("bytes", "Bytes read: keys, values, headers"),
            begun_anew: counters(
                "begun_anew",
                "How often the consumer left its group and began from what it had committed",
            ),
            commits: counters("commits", "Commits of what was done"),
            commits_refused: counters(
                "commits_refused",
                "Commits that Kafka refused, because others have the partitions or the broker went away",
            ),
            passed_over: Family::default(),
            lag: Family::default(),
            age: Family::default(),
        };
        registry.register(
            "records_passed_over",
            "Records that were read and not acted on, by reason",
            families.passed_over.clone(),
        );
        registry.register("lag_records", "Records that lie behind what was taken", families.lag.clone());
        registry.register(
            "data_age_seconds",
            "How old the record taken last was when it was taken",
            families.age.clone(),
        );
        families
    }

    /// Those of one consumer.
    pub fn of(&self, consumer: &str) -> Arc<Metrics> {
        let name = OfConsumer { consumer: consumer.to_owned() };
        let counter = |family: &Family<OfConsumer, Counter>| family.get_or_create(&name).clone();
        // A series that is there from the beginning shows its first increase.
        for reason in PassedOver::ALL {
            let why = Why { consumer: consumer.to_owned(), reason: reason.as_str() };
            drop(self.passed_over.get_or_create(&why));
        }
        Arc::new(Metrics {
            consumer: consumer.to_owned(),
            records: counter(&self.records),
            bytes: counter(&self.bytes),
            passed_over: self.passed_over.clone(),
            lag: self.lag.clone(),
            age: self.age.clone(),
            said: Mutex::default(),
            begun_anew: counter(&self.begun_anew),
            commits: counter(&self.commits),
            commits_refused: counter(&self.commits_refused),
        })
    }
}

/// What one consumer shows.
pub struct Metrics {
    consumer: String,
    records: Counter,
    bytes: Counter,
    passed_over: Family<Why, Counter>,
    lag: Family<Of, Gauge>,
    age: Family<Of, Gauge<f64, AtomicU64>>,
    said: Mutex<HashMap<PassedOver, Instant>>,
    pub(crate) begun_anew: Counter,
    pub(crate) commits: Counter,
    pub(crate) commits_refused: Counter,
}

impl Metrics {
    pub fn passed_over(&self, reason: PassedOver) {
        let why = Why { consumer: self.consumer.clone(), reason: reason.as_str() };
        self.passed_over.get_or_create(&why).inc();
    }

    /// Counts a record that nobody will miss, and says why from time to time.
    pub fn passes_over(&self, reason: PassedOver, batch: &Batch, record: &Record<'_>) {
        self.passed_over(reason);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&reason).is_some_and(|at| at.elapsed() < SAY_AGAIN) {
            return;
        }
        said.insert(reason, Instant::now());
        tracing::warn!(
            topic = &*batch.topic,
            partition = batch.partition,
            offset = record.offset,
            reason = reason.as_str(),
            "a record is passed over: {}; more of them are counted, and said again in {} s",
            reason.sentence(),
            SAY_AGAIN.as_secs()
        );
    }

    pub(super) fn taken(&self, batch: &Batch, last: &Record<'_>) {
        self.records.inc_by(batch.len() as u64);
        self.bytes.inc_by(batch.bytes() as u64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let of = self.of(&batch.topic, batch.partition);
        self.age.get_or_create(&of).set(now - last.timestamp_ms as f64 / 1000.0);
    }

    pub(super) fn lag(&self, partition: &Partition, lag: Option<i64>) {
        if let Some(lag) = lag {
            self.lag.get_or_create(&self.of(&partition.0, partition.1)).set(lag);
        }
    }

    pub(super) fn gone(&self, partition: &Partition) {
        let of = self.of(&partition.0, partition.1);
        self.lag.remove(&of);
        self.age.remove(&of);
    }

    fn of(&self, topic: &str, partition: i32) -> Of {
        Of { consumer: self.consumer.clone(), topic: topic.to_owned(), partition }
    }
}
