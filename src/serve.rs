//! What `pipeline` and `up` share: metrics, probes, waiting for Kafka, running the cameras to their end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use sightline_pipeline::assignment::{Assignment, AssignmentError, AssignmentOptions};
use sightline_pipeline::capacity;
use sightline_pipeline::detect::Model;
use sightline_pipeline::jobs::{WorkerMetrics, WorkerOptions};
use sightline_pipeline::metrics::PipelineMetrics;
use sightline_pipeline::predecessors::Predecessors;
use sightline_pipeline::publish::Publisher;
use sightline_pipeline::reach::Reach;
use sightline_pipeline::run::Runner;
use sightline_pipeline::spool::{Left, Outbox, OutboxOptions, SpoolOptions};
use sightline_pipeline::topology::{CameraRefused, Fleet, FleetContext, FleetOptions, Plan};
use sightline_schema::{Camera, Topics};
use sightline_service::health::{Condition, Health};
use sightline_service::http::{HttpHandle, HttpServer};
use sightline_service::kafka::{
    FaultKind, KafkaSettings, LINGER_MS, LOW_LATENCY_LINGER_MS, LinkState, require,
};
use sightline_service::shutdown::{Cause, Shutdown};
use sightline_service::uri_policy::UriPolicy;

use crate::cli::{HttpArgs, PublishingArgs};
use crate::exit::{Failure, Outcome};
use crate::{kafka, model, worker};

/// Why Kafka can't be used yet is said this often.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// One attempt to ask a broker for its topics; a stop waits for it to end.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What a process that runs cameras consists of, before its cameras run.
pub(crate) struct Service {
    pub(crate) metrics: PipelineMetrics,
    pub(crate) shutdown: Shutdown,
    pub(crate) http: HttpHandle,
    pub(crate) health: Health,
}

impl Service {
    /// Takes the port and the signals, so that both are refused before any work begins. What is beside it has metrics of its
    /// own.
    pub(crate) fn start_with<T>(
        http: &HttpArgs,
        beside: impl FnOnce(&mut Registry, &Shutdown) -> Result<T, Failure>,
    ) -> Result<(Self, T), Failure> {
        let server = HttpServer::bind(&http.http.to_string()).map_err(Failure::failed)?;
        let shutdown = Shutdown::new();
        shutdown.install_signals().map_err(Failure::failed)?;
        let mut registry = Registry::default();
        let metrics = PipelineMetrics::register(&mut registry);
        let beside = beside(&mut registry, &shutdown)?;
        let health = Health::new(&["kafka", "cameras"]);
        let http = server.start(Arc::new(registry), health.clone()).map_err(Failure::failed)?;
        Ok((Self { metrics, shutdown, http, health }, beside))
    }

    /// Waits until a broker answers and the topics are there. A missing topic is a refusal; an absent broker, or one
    /// that lets nobody in, is waited for, and said. `false` when the process is stopped meanwhile.
    fn wait_for_kafka(
        &self,
        settings: &KafkaSettings,
        topics: &Topics,
        share: Option<&Share>,
    ) -> Result<bool, Failure> {
        let mut names = vec![topics.detections(), topics.camera_status()];
        if let Some(Share { pool, .. }) = share {
            names.extend([topics.cameras(), topics.placements(), topics.pods(), topics.slots(pool)]);
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut said: Option<Instant> = None;
        while !self.shutdown.is_set() {
            match require(settings, &names, ATTEMPT) {
                Ok(()) => return Ok(true),
                Err(fault) if kafka::may_pass(&fault) => {
                    self.health.set("kafka", Condition::NotReady(fault.to_string()));
                    if said.is_none_or(|at| at.elapsed() + PAUSE >= SAY_AGAIN) {
                        said = Some(Instant::now());
                        tracing::warn!(
                            code = fault.kind.code(),
                            "{fault}; trying again, no camera is opened before"
                        );
                    }
                    self.shutdown.wait_timeout(PAUSE);
                }
                Err(fault) if fault.kind == FaultKind::UnknownTopic => {
                    return Err(Failure::failed(format!("{fault}{}", kafka::prefix_flag(topics))));
                }
                Err(fault) => return Err(Failure::failed(fault)),
            }
        }
        Ok(false)
    }
}

/// How registered cameras are shared with other pods.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) pool: String,
    /// Frames a second; measured where it is not stated.
    pub(crate) capacity_fps: Option<f64>,
    /// Where registered cameras may lead.
    pub(crate) policy: UriPolicy,
}

/// The cameras and how they are run.
pub(crate) struct Work<'a> {
    pub(crate) cameras: Vec<Camera>,
    pub(crate) model: &'a Model,
    pub(crate) options: FleetOptions,
    pub(crate) settings: KafkaSettings,
    pub(crate) topics: Topics,
    pub(crate) publishing: &'a PublishingArgs,
    /// Runs registered cameras, too, together with the other pods of a pool.
    pub(crate) share: Option<Share>,
    /// Works off recorded files beside the cameras.
    pub(crate) worker: Option<(WorkerOptions, WorkerMetrics)>,
    /// Come back when all cameras have ended, instead of waiting to be stopped.
    pub(crate) ends: bool,
}

/// Runs cameras until a signal, or their end. `watch` runs beside them.
pub(crate) fn run(service: &Service, mut work: Work<'_>, watch: impl FnOnce(&Shutdown) + Send) -> Outcome {
    for camera in &work.cameras {
        service.metrics.camera(&camera.id);
    }
    if work.cameras.is_empty() && work.share.is_none() {
        tracing::warn!("there is no camera to run");
    }
    let plan = Plan::new(std::mem::take(&mut work.cameras), work.model, &work.options).map_err(refused)?;
    service.metrics.runs(work.model, work.share.as_ref().map_or("", |share| share.pool.as_str()));
    let outbox = outbox(service, &work)?;
    if !service.wait_for_kafka(&work.settings, &work.topics, work.share.as_ref())? {
        return ended(service, &work, &outbox.stop(Duration::ZERO));
    }
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&service.shutdown));
        let outcome = run_cameras(service, plan, &work, outbox);
        service.shutdown.set(Cause::Finished);
        // A panic of the table loses nothing.
        let _ = watching.join();
        outcome
    })
}

/// Where results wait for Kafka. A directory that can't be a spool is refused before any work begins.
fn outbox(service: &Service, work: &Work<'_>) -> Result<Outbox, Failure> {
    let (bytes, records) = work.settings.memory();
    let PublishingArgs { spool, spool_max, .. } = work.publishing;
    let spool = spool.clone().map(|folder| SpoolOptions { folder, max: *spool_max });
    let options = OutboxOptions { bytes, records, spool, tracer: work.options.tracer.clone() };
    Outbox::open(&options, service.metrics.clone()).map_err(Failure::usage)
}

/// From the first claim to the last acknowledgement.
fn run_cameras(service: &Service, plan: Plan, work: &Work<'_>, outbox: Outbox) -> Outcome {
    let linger = if work.publishing.low_latency { LOW_LATENCY_LINGER_MS } else { LINGER_MS };
    // Set when the process stops, or when all cameras have ended.
    let stop = Shutdown::new();
    let metrics = service.metrics.clone();
    let publisher = Publisher::start(&work.settings, linger, outbox, &work.topics, metrics, stop.clone())
        .map_err(Failure::failed)?;
    service.health.set("kafka", Condition::Ready);
    let predecessors = predecessors(&plan, work);
    let given = plan.ids();
    let context = FleetContext {
        model: work.model,
        options: &work.options,
        publisher: &publisher,
        metrics: &service.metrics,
        shutdown: &stop,
        predecessors: &predecessors,
    };
    let fleet = Fleet::start(plan, &context).map_err(refused)?;
    let assignment = match &work.share {
        Some(share) => assignment(service, share, work, given, &fleet)?,
        None => None,
    };
    service.health.set("kafka", Condition::Ready);
    service.health.set("cameras", Condition::Ready);
    std::thread::scope(|scope| {
        let sharing = assignment.map(|assignment| scope.spawn(|| share_cameras(assignment, service, &stop)));
        let link = scope.spawn(|| follow_link(service, &publisher, &stop));
        let stop = &stop;
        let working = work.worker.as_ref().map(|worker| {
            let runner = fleet.runner();
            scope.spawn(move || work_off(worker, runner, service, stop))
        });
        fleet.wait();
        if work.ends {
            stop.set(Cause::Finished);
        }
        // Recorded cameras may all have ended; the process is still there to be asked.
        stop.wait();
        service.health.shutting_down();
        let (threads, outcome) = match sharing.map(|sharing| sharing.join()) {
            None => (Vec::new(), Ok(())),
            Some(Ok(shared)) => shared,
            Some(Err(_)) => (Vec::new(), Err(Failure::failed("sharing cameras with other pods panicked"))),
        };
        let (more, worked) = match working.map(|working| working.join()) {
            None => (Vec::new(), Ok(())),
            Some(Ok(worked)) => worked,
            Some(Err(_)) => (Vec::new(), Err(Failure::failed("working off recorded files panicked"))),
        };
        let outcome = outcome.and(worked);
        let (_, left) = fleet.stop(threads.into_iter().chain(more).collect());
        // A panic of the follower loses nothing.
        let _ = link.join();
        outcome.and(ended(service, work, &left))
    })
}

/// What earlier runs of the cameras left: of those that this process was given, since the others' come with their claims.
fn predecessors(plan: &Plan, work: &Work<'_>) -> Predecessors {
    if plan.is_empty() {
        return Predecessors::default();
    }
    Predecessors::read(&work.settings, &work.topics).unwrap_or_else(|fault| {
        tracing::warn!("what earlier runs of the cameras left is not known, and gaps may be unsaid: {fault}");
        Predecessors::default()
    })
}

/// Reads what is registered, says what this pod can carry, and joins the others.
/// `None` when the process is stopped meanwhile.
fn assignment(
    service: &Service,
    share: &Share,
    work: &Work<'_>,
    given: BTreeSet<String>,
    fleet: &Fleet,
) -> Result<Option<Assignment>, Failure> {
    let capacity_fps = match share.capacity_fps {
        Some(stated) => stated,
        None => capacity::measure(work.model, work.options.workers).map_err(model::refused)?,
    };
    tracing::info!(pool = share.pool, capacity_fps = (capacity_fps * 10.0).round() / 10.0, "sharing cameras");
    let options = AssignmentOptions {
        settings: work.settings.clone(),
        topics: work.topics.clone(),
        pool: share.pool.clone(),
        capacity_fps,
        reach: Reach::by(share.policy.clone()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        given,
    };
    loop {
        match Assignment::start(options.clone(), fleet.runner(), work.model) {
            Ok(assignment) => return Ok(Some(assignment)),
            Err(AssignmentError::Kafka(fault)) if kafka::may_pass(&fault) => {
                service.health.set("kafka", Condition::NotReady(fault.to_string()));
                tracing::warn!(
                    code = fault.kind.code(),
                    "{fault}; trying again, no camera is claimed before"
                );
                if service.shutdown.wait_timeout(PAUSE) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(Failure::failed(error)),
        }
    }
}

/// Shares cameras until the process stops. Gives the threads that were told to end, and may still run.
fn share_cameras(
    mut assignment: Assignment,
    service: &Service,
    stop: &Shutdown,
) -> (Vec<JoinHandle<()>>, Outcome) {
    let outcome = assignment.run(&service.shutdown);
    // Where it can't go on, nothing does.
    service.shutdown.set(Cause::Finished);
    stop.set(Cause::Finished);
    (assignment.into_threads(), outcome.map_err(Failure::failed))
}

/// Works off recorded files until the process stops, where their topics are. Gives the threads that were told to end, and may
/// still run.
fn work_off(
    (options, metrics): &(WorkerOptions, WorkerMetrics),
    runner: Runner,
    service: &Service,
    stop: &Shutdown,
) -> (Vec<JoinHandle<()>>, Outcome) {
    // A cluster of before there were jobs has no topics for them, or lets nobody at them: cameras run all the same.
    let names = [options.topics.jobs(&options.pool), options.topics.job_status()];
    let names = names.each_ref().map(String::as_str);
    if let Err(fault) = require(&options.settings, &names, ATTEMPT)
        && !kafka::may_pass(&fault)
    {
        tracing::warn!("recorded files are not worked off: {fault}");
        return (Vec::new(), Ok(()));
    }
    match worker::work_off(options, &runner, metrics, &service.shutdown, &|_| {}) {
        Ok(threads) => (threads, Ok(())),
        Err(failure) => {
            // Where it can't go on, nothing does.
            service.shutdown.set(Cause::Finished);
            stop.set(Cause::Finished);
            (Vec::new(), Err(failure))
        }
    }
}

/// Readiness follows the link to Kafka, until the process stops.
fn follow_link(service: &Service, publisher: &Publisher, stop: &Shutdown) {
    const LOOK: Duration = Duration::from_millis(500);
    let mut down = false;
    while !stop.is_set() {
        if service.shutdown.wait_timeout(LOOK) {
            stop.set(service.shutdown.cause().unwrap_or(Cause::Finished));
            return;
        }
        match publisher.link() {
            LinkState::Up if down => {
                down = false;
                service.health.set("kafka", Condition::Ready);
            }
            LinkState::Down(fault) => {
                down = true;
                service.health.set("kafka", Condition::NotReady(fault.to_string()));
            }
            LinkState::Up | LinkState::Connecting => {}
        }
    }
}

/// A drained stop is success, whatever signal asked for it; and so is one that leaves the rest in the spool.
fn ended(service: &Service, work: &Work<'_>, left: &Left) -> Outcome {
    service.health.shutting_down();
    if left.lost > 0 {
        return Err(Failure::failed(format!("{} records were not acknowledged and are lost", left.lost)));
    }
    match &work.publishing.spool {
        Some(folder) if left.spooled > 0 => tracing::info!(
            "ended; {} records stay in {} and are published at the next start",
            left.spooled,
            folder.display()
        ),
        _ => tracing::info!("ended, everything acknowledged"),
    }
    Ok(())
}

fn refused(error: CameraRefused) -> Failure {
    match error {
        CameraRefused::Settings { .. } => Failure::usage(error),
        CameraRefused::Model(error) => model::refused(error),
    }
}
