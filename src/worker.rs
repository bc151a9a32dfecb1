//! `sightline worker`: recorded video, worked off job by job.

use std::time::Duration;

use prometheus_client::registry::Registry as Prometheus;
use sightline_pipeline::detect::Model;
use sightline_pipeline::jobs::{Worker, WorkerMetrics, WorkerOptions};
use sightline_pipeline::metrics::PipelineMetrics;
use sightline_pipeline::predecessors::Predecessors;
use sightline_pipeline::publish::Publisher;
use sightline_pipeline::reach::Reach;
use sightline_pipeline::run::Runner;
use sightline_pipeline::secrets::Secrets;
use sightline_pipeline::source;
use sightline_pipeline::spool::{Outbox, OutboxOptions};
use sightline_pipeline::topology::{Fleet, FleetContext, FleetOptions, Plan};
use sightline_service::health::{Condition, Health};
use sightline_service::http::HttpServer;
use sightline_service::kafka::{FaultKind, KafkaSettings, LINGER_MS, LinkState};
use sightline_service::shutdown::{Cause, Shutdown};

use crate::cli::WorkerArgs;
use crate::exit::{Failure, Outcome};
use crate::registry::wait_for_topics;
use crate::traces::{self, Unsaid};
use crate::{kafka, model, pipeline};

/// One look at the link to Kafka.
const LOOK: Duration = Duration::from_millis(500);

/// Between the attempts at a job, where nothing else is said.
pub(crate) const BACKOFF_S: [u64; 2] = [10, 60];

/// What a worker's process consists of.
struct Process {
    health: Health,
    shutdown: Shutdown,
    pipeline: PipelineMetrics,
    worker: WorkerMetrics,
}

pub(crate) fn run(args: &WorkerArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let topics = kafka::topics(&args.kafka.settings);
    model::decoding(args.decoding)?;
    source::gst::follow_no_playlists();
    let model = model::open(&args.model.model, &args.model.reading)?;
    let server = HttpServer::bind(&args.http.http.to_string()).map_err(Failure::failed)?;
    let shutdown = Shutdown::new();
    shutdown.install_signals().map_err(Failure::failed)?;
    let mut prometheus = Prometheus::default();
    let (tracer, _sending) =
        traces::start(&args.traces, "sightline-worker", Unsaid::Nothing, &mut prometheus)?;
    let process = Process {
        health: Health::new(&["kafka"]),
        shutdown,
        pipeline: PipelineMetrics::register(&mut prometheus),
        worker: WorkerMetrics::register(&mut prometheus),
    };
    process.pipeline.runs(&model, &args.pool);
    let http =
        server.start(std::sync::Arc::new(prometheus), process.health.clone()).map_err(Failure::failed)?;
    tracing::info!(http = %http.local_addr(), pool = args.pool, device = %model.device(), "starting");
    let names = [topics.jobs(&args.pool), topics.job_status(), topics.detections(), topics.dead_letter()];
    if !wait_for_topics(&names, &settings, &topics, &process.health, &process.shutdown)? {
        return Ok(());
    }
    let options = WorkerOptions {
        settings: settings.clone(),
        topics,
        pool: args.pool.clone(),
        pod: args.pod.clone().unwrap_or_else(pipeline::pod),
        process: crate::consume::process(),
        parallel: args.parallel as usize,
        drain: Duration::from_secs(args.drain),
        backoff: args.retry_after.iter().map(|seconds| Duration::from_secs(u64::from(*seconds))).collect(),
        reach: Reach::by(crate::registry::policy(args.policy.clone())),
    };
    let fleet = FleetOptions {
        pod: options.pod.clone(),
        workers: model::workers(&args.model.reading),
        decoder_threads: pipeline::decoder_threads(options.parallel),
        track: !args.no_track,
        agnostic_nms: false,
        secrets: Secrets::default(),
        tracer,
    };
    process.work(&settings, options, &fleet, &model)
}

/// Takes jobs until the process stops. A client that can't go on is replaced by beginning anew. `on` is told how it is with Kafka.
pub(crate) fn work_off(
    options: &WorkerOptions,
    runner: &Runner,
    metrics: &WorkerMetrics,
    shutdown: &Shutdown,
    on: &dyn Fn(Condition),
) -> Result<Vec<std::thread::JoinHandle<()>>, Failure> {
    let mut left_behind = Vec::new();
    while !shutdown.is_set() {
        let started = Worker::start(options.clone(), runner.clone(), metrics.clone());
        let worked = started.and_then(|worker| {
            on(Condition::Ready);
            let (threads, worked) = worker.run(shutdown);
            left_behind.extend(threads);
            worked
        });
        match worked {
            Ok(()) => {}
            Err(fault) if kafka::may_pass(&fault) || fault.kind == FaultKind::Fatal => {
                on(Condition::NotReady(fault.to_string()));
                tracing::warn!(code = fault.kind.code(), "{fault}; beginning anew");
                shutdown.wait_timeout(LOOK);
            }
            Err(fault) => return Err(Failure::failed(fault)),
        }
    }
    Ok(left_behind)
}

impl Process {
    /// From the first look at the queue to the last acknowledgement.
    fn work(
        &self,
        settings: &KafkaSettings,
        options: WorkerOptions,
        fleet: &FleetOptions,
        model: &Model,
    ) -> Outcome {
        let (bytes, records) = settings.memory();
        // A recording can be read again: what Kafka does not take at the moment waits in it.
        let outbox = OutboxOptions { bytes, records, spool: None, tracer: fleet.tracer.clone() };
        let outbox = Outbox::open(&outbox, self.pipeline.clone()).map_err(Failure::usage)?;
        // Set when the last job has ended.
        let stop = Shutdown::new();
        let publisher = Publisher::start(
            settings,
            LINGER_MS,
            outbox,
            &options.topics,
            self.pipeline.clone(),
            stop.clone(),
        )
        .map_err(Failure::failed)?;
        let nobody = Plan::new(Vec::new(), model, fleet).map_err(Failure::usage)?;
        let context = FleetContext {
            model,
            options: fleet,
            publisher: &publisher,
            metrics: &self.pipeline,
            shutdown: &stop,
            predecessors: &Predecessors::default(),
        };
        let fleet = Fleet::start(nobody, &context).map_err(Failure::failed)?;
        let worked = std::thread::scope(|scope| {
            let link = scope.spawn(|| self.follow_link(&publisher, &stop));
            let on = |condition| self.health.set("kafka", condition);
            let worked = work_off(&options, &fleet.runner(), &self.worker, &self.shutdown, &on);
            self.health.shutting_down();
            stop.set(Cause::Finished);
            // A panic of the follower loses nothing.
            let _ = link.join();
            worked
        });
        let (threads, outcome) = match worked {
            Ok(threads) => (threads, Ok(())),
            Err(failure) => (Vec::new(), Err(failure)),
        };
        // What is left is of jobs that are left, too: whoever takes them begins anew.
        let _ = fleet.stop(threads);
        tracing::info!("ended");
        outcome
    }

    /// Readiness follows the link to Kafka.
    fn follow_link(&self, publisher: &Publisher, stop: &Shutdown) {
        let mut down = false;
        while !stop.wait_timeout(LOOK) {
            match publisher.link() {
                LinkState::Up if down => {
                    down = false;
                    self.health.set("kafka", Condition::Ready);
                }
                LinkState::Down(fault) => {
                    down = true;
                    self.health.set("kafka", Condition::NotReady(fault.to_string()));
                }
                LinkState::Up | LinkState::Connecting => {}
            }
        }
    }
}
