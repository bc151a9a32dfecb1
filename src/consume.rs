//! `sightline consume`: detections become events.

use std::sync::Arc;

use prometheus_client::registry::Registry as Prometheus;
use sightline_consumers::events::Events;
use sightline_consumers::runner::{Metrics, Runner, WorkError};
use sightline_schema::Topics;
use sightline_service::health::Health;
use sightline_service::http::HttpServer;
use sightline_service::kafka::{From, KafkaSettings, ReaderOptions};
use sightline_service::shutdown::Shutdown;

use crate::cli::{ConsumeArgs, Consumer, ConsumerArgs};
use crate::exit::{Failure, Outcome};
use crate::kafka;
use crate::registry::wait_for_topics;

/// What lies before the work at most.
const MOST_BYTES: usize = 32 * 1024 * 1024;

pub(crate) fn run(args: ConsumeArgs) -> Outcome {
    match args.consumer {
        Consumer::Events(args) => run_events(&args),
    }
}

fn run_events(args: &ConsumerArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let topics = kafka::topics(&args.kafka.settings);
    let server = HttpServer::bind(&args.http.http.to_string()).map_err(Failure::failed)?;
    let shutdown = Shutdown::new();
    shutdown.install_signals().map_err(Failure::failed)?;
    let health = Health::new(&["kafka"]);
    let mut prometheus = Prometheus::default();
    let consumer = name("events", args.group.as_deref());
    let metrics = Arc::new(Metrics::register(&mut prometheus, &consumer));
    let http = server.start(Arc::new(prometheus), health.clone()).map_err(Failure::failed)?;
    tracing::info!(http = %http.local_addr(), consumer, "starting");
    let on = Place { settings: &settings, topics: &topics, health: &health, shutdown: &shutdown };
    events(&on, &consumer, args.from, metrics)?;
    tracing::info!("ended");
    Ok(())
}

/// A consumer of a group of its own has checkpoints of its own.
fn name(consumer: &str, group: Option<&str>) -> String {
    group.map_or_else(|| consumer.to_owned(), |group| format!("{consumer}-{group}"))
}

/// Where a consumer works, and until when.
pub(crate) struct Place<'a> {
    pub(crate) settings: &'a KafkaSettings,
    pub(crate) topics: &'a Topics,
    pub(crate) health: &'a Health,
    pub(crate) shutdown: &'a Shutdown,
}

/// Works until the process stops.
pub(crate) fn events(on: &Place<'_>, consumer: &str, from: From, metrics: Arc<Metrics>) -> Outcome {
    let Place { settings, topics, health, shutdown } = *on;
    let names = [topics.detections(), topics.events(), topics.checkpoints(), topics.dead_letter()];
    if !wait_for_topics(&names, settings, topics, health, shutdown)? {
        return Ok(());
    }
    let options = ReaderOptions {
        group: topics.consumer_group(consumer),
        topics: vec![topics.detections()],
        from,
        most_bytes: MOST_BYTES,
    };
    let process = process();
    let runner = Runner { settings, options, health, shutdown, metrics: Arc::clone(&metrics) };
    let make = || Events::new(settings, topics, (consumer, &process), Arc::clone(&metrics));
    runner.run(make).map_err(|error: WorkError| Failure::failed(error))
}

/// A name that no other process has, so that none fences another: the group does.
fn process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{:x}", host.trim(), std::process::id(), since.as_micros())
}
