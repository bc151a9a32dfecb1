//! Cameras are registered once, and some pod always runs them: the API over the topics of registrations, where new
//! cameras go, and evening-out.
//!
//! What is registered lies in Kafka alone. The registry writes `cameras`, `placements` and `audit`, reads them and what pods
//! say, and answers from its view. One alone writes: a second one fences the first.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus_client::registry::Registry as Prometheus;
use sightline_schema::Topics;
use sightline_service::database::DatabaseSettings;
use sightline_service::health::{Condition, Health};
use sightline_service::kafka::{KafkaFault, KafkaSettings};
use sightline_service::shutdown::Shutdown;
use sightline_service::trace::Tracer;
use sightline_service::uri_policy::UriPolicy;

pub mod api;
mod audits;
pub mod auth;
mod balance;
mod desk;
mod evening;
mod events;
mod jobs;
mod loads;
mod metrics;
mod pools;
pub mod problem;
mod secrets;
mod server;
mod state;
mod view;
mod wish;

use api::{App, Parts, Working};
use auth::Auth;
pub use desk::{TakenOver, writer_name};
use metrics::Metrics;
use secrets::Sealer;
pub use server::{Server, ServerError, TlsFiles};
use view::{Followers, View};

/// What a registry is told.
pub struct Options {
    pub auth: Auth,
    /// The keys file; without one no password is taken.
    pub seal_keys: Option<PathBuf>,
    pub policy: UriPolicy,
    /// Where `consume store` puts what happened; without it there is no history.
    pub database: Option<DatabaseSettings>,
    /// Jobs that are over are forgotten after this; `None`: never.
    pub keep_jobs: Option<Duration>,
    /// The command that probes; none in a build without a pipeline.
    pub probe: Option<PathBuf>,
    /// Where a share of the requests is told.
    pub tracer: Tracer,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Keys(#[from] sightline_service::seal::KeysError),
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    #[error(transparent)]
    TakenOver(#[from] TakenOver),
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
}

/// A registry whose API answers that it is starting, until `work` runs.
pub struct Registry {
    parts: Arc<Parts>,
    sealer: Arc<Sealer>,
    keep_jobs: Option<Duration>,
    server: JoinHandle<()>,
    shutdown: Shutdown,
}

impl Registry {
    /// Answers from now on. Everything that can be refused without Kafka is refused here.
    pub fn start(
        server: Server,
        options: Options,
        prometheus: &mut Prometheus,
        shutdown: &Shutdown,
    ) -> Result<Self, RegistryError> {
        let view = View::default();
        let jobs = Arc::new(jobs::Jobs::default());
        let metrics = Metrics::register(prometheus, view.clone(), jobs.view.clone());
        let sealer = Arc::new(Sealer::open(options.seal_keys)?);
        let events = events::Events::new(options.database, &metrics);
        let parts = Arc::new(Parts {
            view,
            auth: options.auth,
            policy: options.policy,
            metrics,
            probes: api::Probes::new(options.probe),
            events,
            jobs,
            tracer: options.tracer,
            work: OnceLock::new(),
        });
        let server = server.start(App { parts: parts.clone() }, shutdown.clone())?;
        Ok(Self { parts, sealer, keep_jobs: options.keep_jobs, server, shutdown: shutdown.clone() })
    }

    /// Takes over from whoever wrote before, reads everything, and works until `shutdown`, or until another registry
    /// takes over. The topics are there.
    pub fn work(
        self,
        settings: &KafkaSettings,
        topics: &Topics,
        health: &Health,
    ) -> Result<(), RegistryError> {
        let Self { parts, sealer, keep_jobs, server, shutdown } = self;
        let (view, metrics) = (parts.view.clone(), parts.metrics.clone());
        let pools = Arc::new(pools::Pools::new(settings.clone(), topics));
        pools.refresh()?;
        let clerk = desk::Clerk {
            settings: settings.clone(),
            topics: topics.clone(),
            name: writer_name(topics),
            view: view.clone(),
            pools: pools.clone(),
            sealer,
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        };
        let jobs = parts
            .jobs
            .start(settings.clone(), topics.clone(), parts.metrics.clone(), keep_jobs, shutdown.clone())
            .map_err(RegistryError::Thread)?;
        // In this order: nobody writes any more what is read now to its end.
        let writer = clerk.writer()?;
        let Followers { reach, threads } = Followers::start(settings, topics, &view, &metrics, &shutdown)?;
        let (desk, desk_thread) = clerk.start(writer, reach).map_err(RegistryError::Thread)?;
        let even = {
            let (view, desk, pools, shutdown) = (view.clone(), desk.clone(), pools.clone(), shutdown.clone());
            let run = move || evening::run(&view, &desk, &pools, &metrics, &shutdown);
            std::thread::Builder::new()
                .name("evening".to_owned())
                .spawn(run)
                .map_err(RegistryError::Thread)?
        };
        parts.events.feed.start(settings, topics.events(), &shutdown).map_err(RegistryError::Thread)?;
        // Cameras do not depend on it: where it takes longer, or can't be, the API says so of jobs alone.
        parts.jobs.wait_for_begin(&shutdown);
        // It is set once.
        let _ = parts.work.set(Working { desk, pools });
        health.set("registry", Condition::Ready);
        let (cameras, pods) = view.read(|state| (state.registered().count(), state.pods.len()));
        tracing::info!(cameras, pods, "ready");
        shutdown.wait();
        health.shutting_down();
        let outcomes = [desk_thread.join(), jobs.join()];
        for thread in threads.into_iter().chain([even, server]) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
        for outcome in outcomes.into_iter().flatten() {
            outcome?;
        }
        Ok(())
    }
}
