//! `sightline consume store`: events, tracks and how much was seen become rows.

use std::sync::Arc;

#[cfg(feature = "pipeline")]
use prometheus_client::registry::Registry as Prometheus;
use sightline_consumers::runner::{Families, Metrics, Runner, Work, WorkError};
use sightline_consumers::store::{
    EVENT_TABLES, Keep, ROLLUP_TABLES, Rollups, RollupsOutlet, RowWriter, StoreEvents, StoreFamilies,
    StoreMetrics, keep,
};
use sightline_service::database::DatabaseSettings;
use sightline_service::kafka::{From, ReaderOptions};
use sightline_service::trace::Tracer;

use super::{EndsAll, MOST_BYTES, Place, Process, process};
use crate::cli::{StoreArgs, Stored};
use crate::exit::{Failure, Outcome};
use crate::registry::wait_for_topics;
use crate::traces::{self, Unsaid};

pub(super) fn run(args: &StoreArgs) -> Outcome {
    let database = args.database.settings("sightline store")?.ok_or_else(|| {
        Failure::usage(
            "which database? give --database postgresql://USER@HOST:5432/NAME, or set SIGHTLINE_DATABASE",
        )
    })?;
    let both = [Stored::Events, Stored::Rollups].into_iter();
    let wanted: Vec<_> = both.filter(|what| args.only.is_none_or(|only| only == *what)).collect();
    let parts: Vec<_> = wanted.iter().map(|what| part(*what)).chain(["database"]).collect();
    let mut process = Process::begin(&args.consumer, &parts)?;
    let (tracer, _sending) =
        traces::start(&args.traces, "sightline-consume-store", Unsaid::Sampled, &mut process.prometheus)?;
    let families = Families::register(&mut process.prometheus);
    let of_store = StoreFamilies::register(&mut process.prometheus);
    let one = |what| StoreConsumer::new(what, process.name(part(what)), &families, &of_store, &tracer);
    let consumers: Vec<_> = wanted.into_iter().map(one).collect();
    let store =
        Store { database, from: args.consumer.from, keeps: args.keep.clone(), may_migrate: !args.no_migrate };
    process.run(|on| store.work(on, &consumers))
}

/// Its part of the process's health, and the name of the consumer.
const fn part(what: Stored) -> &'static str {
    match what {
        Stored::Events => "store-events",
        Stored::Rollups => "store-rollups",
    }
}

/// One of the two.
pub(crate) struct StoreConsumer {
    what: Stored,
    name: String,
    metrics: Arc<Metrics>,
    store: Arc<StoreMetrics>,
    tracer: Tracer,
}

impl StoreConsumer {
    fn new(
        what: Stored,
        name: String,
        families: &Families,
        of_store: &StoreFamilies,
        tracer: &Tracer,
    ) -> Self {
        let tables: &[_] = match what {
            Stored::Events => &EVENT_TABLES,
            Stored::Rollups => &ROLLUP_TABLES,
        };
        let (metrics, store) = (families.of(&name), of_store.of(&name, tables));
        Self { what, name, metrics, store, tracer: tracer.clone() }
    }

    /// Both, under their own names.
    #[cfg(feature = "pipeline")]
    pub(crate) fn both(prometheus: &mut Prometheus, families: &Families, tracer: &Tracer) -> Vec<Self> {
        let of_store = StoreFamilies::register(prometheus);
        let one = |what| Self::new(what, part(what).to_owned(), families, &of_store, tracer);
        [Stored::Events, Stored::Rollups].map(one).into()
    }

    /// The parts of the health of a process that runs both.
    #[cfg(feature = "pipeline")]
    pub(crate) const PARTS: [&'static str; 3] = [part(Stored::Events), part(Stored::Rollups), "database"];
}

/// Where rows go.
pub(crate) struct Store {
    pub(crate) database: DatabaseSettings,
    pub(crate) from: From,
    pub(crate) keeps: Vec<Keep>,
    pub(crate) may_migrate: bool,
}

impl Store {
    /// Works until the process stops: a thread each, and one that removes old rows.
    pub(crate) fn work(&self, on: Place<'_>, consumers: &[StoreConsumer]) -> Outcome {
        let Place { topics, health, shutdown, .. } = on;
        let names = [topics.detections(), topics.events(), topics.checkpoints(), topics.dead_letter()];
        if !wait_for_topics(&names, on.settings, topics, health, shutdown)? {
            return Ok(());
        }
        let reaching = consumers.first().map(|consumer| self.writer(on, consumer));
        let reaching = reaching.transpose().map_err(|error| Failure::failed(error.to_string()))?;
        std::thread::scope(|scope| {
            if let Some(writer) = reaching {
                scope.spawn(|| writer.reach());
            }
            let working: Vec<_> = consumers
                .iter()
                .map(|consumer| {
                    scope.spawn(|| {
                        // One alone would look as if all were well.
                        let _ends = EndsAll(shutdown);
                        self.consume(on, consumer)
                    })
                })
                .collect();
            if let (false, Some(consumer)) = (self.keeps.is_empty(), consumers.first()) {
                keep(&self.database, &self.keeps, shutdown, &consumer.store).map_err(Failure::failed)?;
            }
            let joined = working.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Failure::failed("a thread of the store panicked")))
            });
            // All are joined, and the first that went wrong is told.
            joined.collect::<Vec<Outcome>>().into_iter().collect()
        })
    }

    fn consume(&self, on: Place<'_>, consumer: &StoreConsumer) -> Outcome {
        let Place { settings, topics, .. } = on;
        let StoreConsumer { what, name, .. } = consumer;
        let metrics = || Arc::clone(&consumer.metrics);
        let writer = || self.writer(on, consumer);
        match what {
            Stored::Events => self.run_work(on, consumer, topics.events(), || {
                StoreEvents::new(settings, topics, writer()?, metrics(), consumer.tracer.clone())
            }),
            Stored::Rollups => {
                let process = process();
                self.run_work(on, consumer, topics.detections(), || {
                    Rollups::new(settings, topics, (name, &process), RollupsOutlet::new(writer()?), metrics())
                })
            }
        }
    }

    fn writer(&self, on: Place<'_>, consumer: &StoreConsumer) -> Result<RowWriter, WorkError> {
        let metrics = Arc::clone(&consumer.store);
        RowWriter::new(&self.database, self.may_migrate, (on.health, on.shutdown), metrics)
    }

    fn run_work<W: Work>(
        &self,
        on: Place<'_>,
        consumer: &StoreConsumer,
        topic: String,
        make: impl FnMut() -> Result<W, WorkError>,
    ) -> Outcome {
        let Place { settings, topics, health, shutdown } = on;
        let group = topics.consumer_group(&consumer.name);
        let options = ReaderOptions { group, topics: vec![topic], from: self.from, most_bytes: MOST_BYTES };
        let metrics = Arc::clone(&consumer.metrics);
        Runner { settings, options, health, part: part(consumer.what), shutdown, metrics }
            .run(make)
            .map_err(Failure::failed)
    }
}
