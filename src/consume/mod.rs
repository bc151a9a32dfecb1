//! `sightline consume …`: what becomes of detections. A file per consumer; what their processes have in common is here.

mod alerts;
mod archive;
mod events;
mod store;

use prometheus_client::registry::Registry as Prometheus;
use sightline_schema::Topics;
use sightline_service::health::Health;
use sightline_service::http::HttpServer;
use sightline_service::kafka::KafkaSettings;
use sightline_service::shutdown::{Cause, Shutdown};

#[cfg(feature = "pipeline")]
pub(crate) use self::events::{Counted as CountedEvents, work as events};
#[cfg(feature = "pipeline")]
pub(crate) use self::store::{Store, StoreConsumer};
use crate::cli::{ConsumeArgs, Consumer, ConsumerArgs};
use crate::exit::{Failure, Outcome};
use crate::kafka;

/// What lies before the work at most.
const MOST_BYTES: usize = 32 * 1024 * 1024;

pub(crate) fn run(args: ConsumeArgs) -> Outcome {
    match args.consumer {
        Consumer::Events(args) => events::run(&args),
        Consumer::Store(args) => store::run(&args),
        Consumer::Archive(args) => archive::run(&args),
        Consumer::Alerts(args) => alerts::run(*args),
    }
}

/// Where a consumer works, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) settings: &'a KafkaSettings,
    pub(crate) topics: &'a Topics,
    pub(crate) health: &'a Health,
    pub(crate) shutdown: &'a Shutdown,
}

/// Ends the process when the thread that has it ends, be it by a panic: others wait for that.
pub(crate) struct EndsAll<'a>(pub(crate) &'a Shutdown);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.set(Cause::Finished);
    }
}

/// A consumer's process, as far as all are alike.
struct Process {
    settings: KafkaSettings,
    topics: Topics,
    health: Health,
    shutdown: Shutdown,
    server: HttpServer,
    group: Option<String>,
    /// What is registered here is shown.
    prometheus: Prometheus,
}

impl Process {
    /// `parts` are what it is ready by.
    fn begin(args: &ConsumerArgs, parts: &[&'static str]) -> Result<Self, Failure> {
        let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
        let topics = kafka::topics(&args.kafka.settings);
        let server = HttpServer::bind(&args.http.http.to_string()).map_err(Failure::failed)?;
        let shutdown = Shutdown::new();
        shutdown.install_signals().map_err(Failure::failed)?;
        let (health, prometheus) = (Health::new(parts), Prometheus::default());
        Ok(Self { settings, topics, health, shutdown, server, group: args.group.clone(), prometheus })
    }

    /// A consumer of a group of its own has a name, and by it offsets and checkpoints, of its own.
    fn name(&self, consumer: &str) -> String {
        self.group.as_deref().map_or_else(|| consumer.to_owned(), |group| format!("{consumer}-{group}"))
    }

    /// Shows metrics and health, and works until the process stops.
    fn run(self, work: impl FnOnce(Place<'_>) -> Outcome) -> Outcome {
        let Self { settings, topics, health, shutdown, server, group, prometheus } = self;
        let http = server.start(std::sync::Arc::new(prometheus), health.clone()).map_err(Failure::failed)?;
        tracing::info!(http = %http.local_addr(), group, "starting");
        work(Place { settings: &settings, topics: &topics, health: &health, shutdown: &shutdown })?;
        tracing::info!("ended");
        Ok(())
    }
}

/// A name that no other process has, so that none fences another: the group does.
pub(crate) fn process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{:x}", host.trim(), std::process::id(), since.as_micros())
}
