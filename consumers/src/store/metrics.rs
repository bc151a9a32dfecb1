//! What is counted of a store.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sightline_service::database::DatabaseFaultKind;

use crate::runner::OfConsumer;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Table {
    consumer: String,
    table: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    consumer: String,
    reason: &'static str,
}

/// What all consumers of a store show, each under its name.
pub struct StoreFamilies {
    written: Family<Table, Counter>,
    refused: Family<Table, Counter>,
    removed: Family<Table, Counter>,
    failures: Family<Why, Counter>,
    seconds: Family<OfConsumer, Histogram, fn() -> Histogram>,
}

impl StoreFamilies {
    /// Once a process.
    pub fn register(registry: &mut Registry) -> Self {
        let families = Self {
            written: Family::default(),
            refused: Family::default(),
            removed: Family::default(),
            failures: Family::default(),
            seconds: Family::new_with_constructor(histogram),
        };
        let registry = registry.sub_registry_with_prefix("sightline_store");
        let Self { written, refused, removed, failures, seconds } = &families;
        registry.register("rows_written", "Rows handed to the database, by table", written.clone());
        registry.register("rows_refused", "Rows that a table can't hold", refused.clone());
        registry.register("rows_removed", "Rows removed because of their age", removed.clone());
        registry.register(
            "database_failures",
            "Statements that the database did not do, by reason",
            failures.clone(),
        );
        registry.register("write_seconds", "One write to the database", seconds.clone());
        families
    }

    /// Those of one consumer, with the tables it writes.
    pub fn of(&self, consumer: &str, tables: &[&'static str]) -> Arc<StoreMetrics> {
        let Self { written, refused, removed, failures, seconds } = self;
        let metrics = StoreMetrics {
            consumer: consumer.to_owned(),
            written: written.clone(),
            refused: refused.clone(),
            removed: removed.clone(),
            failures: failures.clone(),
            seconds: seconds.get_or_create(&OfConsumer { consumer: consumer.to_owned() }).clone(),
        };
        // A series that is there from the beginning shows its first increase.
        for family in [written, refused, removed] {
            tables.iter().for_each(|table| drop(family.get_or_create(&metrics.table(table))));
        }
        // Of values that a table can't hold the rows are counted.
        for kind in DatabaseFaultKind::ALL.into_iter().filter(|kind| *kind != DatabaseFaultKind::Data) {
            drop(failures.get_or_create(&metrics.why(kind)));
        }
        Arc::new(metrics)
    }
}

/// What one consumer of a store shows.
pub struct StoreMetrics {
    consumer: String,
    written: Family<Table, Counter>,
    refused: Family<Table, Counter>,
    removed: Family<Table, Counter>,
    failures: Family<Why, Counter>,
    pub(super) seconds: Histogram,
}

impl StoreMetrics {
    pub(super) fn written(&self, table: &'static str, rows: usize) {
        self.written.get_or_create(&self.table(table)).inc_by(rows as u64);
    }

    pub(super) fn refused(&self, table: &'static str) {
        self.refused.get_or_create(&self.table(table)).inc();
    }

    pub(super) fn removed(&self, table: &'static str, rows: u64) {
        self.removed.get_or_create(&self.table(table)).inc_by(rows);
    }

    pub(super) fn failed(&self, kind: DatabaseFaultKind) {
        self.failures.get_or_create(&self.why(kind)).inc();
    }

    fn table(&self, table: &'static str) -> Table {
        Table { consumer: self.consumer.clone(), table }
    }

    fn why(&self, kind: DatabaseFaultKind) -> Why {
        Why { consumer: self.consumer.clone(), reason: kind.as_str() }
    }
}

/// From 1 ms to 16 s.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}
