//! The one file that knows all stages: builds them sink-first for each camera, and takes them down in order.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sightline_schema::{Camera, CameraState, GapReason};
use sightline_service::backoff::Backoff;
use sightline_service::shutdown::Shutdown;

use crate::cpu::CpuTime;
use crate::detect::Model;
use crate::handover::RunControl;
use crate::metrics::PipelineMetrics;
use crate::predecessors::{Predecessor, Predecessors};
use crate::publish::Publisher;
use crate::reach::Reach;
pub use crate::run::{CameraRefused, FleetOptions};
use crate::run::{Claimed, Ready, Runner};
use crate::spool::Left;
use crate::workers::Workers;

/// After a stop: first others take over what this process shares with them (`assignment::HAND_OVER`, 10 s); then results
/// on their way, and the sources' goodbyes.
const STOP_STREAMS: Duration = Duration::from_secs(12);
/// After that: acknowledgements.
const STOP_FLUSH: Duration = Duration::from_secs(8);

/// A stop takes at most this long, whatever cameras and brokers do.
pub const STOP_BOUND: Duration = Duration::from_secs(35);

/// Cameras that were checked against a model, before anything is claimed or opened.
#[derive(Clone)]
pub struct Plan {
    disabled: Vec<Camera>,
    ready: Vec<Ready>,
}

impl Plan {
    /// Fails where a camera does not fit the model, or is written in a way that can't be run.
    pub fn new(cameras: Vec<Camera>, model: &Model, options: &FleetOptions) -> Result<Self, CameraRefused> {
        let (disabled, enabled): (Vec<_>, Vec<_>) = cameras.into_iter().partition(|camera| !camera.enabled);
        let ready =
            enabled.into_iter().map(|camera| Ready::new(camera, model, options)).collect::<Result<_, _>>()?;
        Ok(Self { disabled, ready })
    }
}

impl Plan {
    /// Of all its cameras.
    pub fn ids(&self) -> BTreeSet<String> {
        let ready = self.ready.iter().map(|ready| &ready.camera.id);
        self.disabled.iter().map(|camera| &camera.id).chain(ready).cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.disabled.is_empty() && self.ready.is_empty()
    }
}

/// What the cameras of a process share.
#[derive(Clone, Copy)]
pub struct FleetContext<'a> {
    pub model: &'a Model,
    pub options: &'a FleetOptions,
    pub publisher: &'a Publisher,
    pub metrics: &'a PipelineMetrics,
    pub shutdown: &'a Shutdown,
    pub predecessors: &'a Predecessors,
}

/// The cameras of one process while they run.
pub struct Fleet {
    workers: Workers,
    runner: Runner,
    shutdown: Shutdown,
    streams: Vec<JoinHandle<()>>,
    ended: mpsc::Receiver<String>,
}

impl Fleet {
    /// Claims each camera and opens it once its claim is acknowledged.
    pub fn start(plan: Plan, context: &FleetContext<'_>) -> Result<Self, CameraRefused> {
        let FleetContext { model, options, publisher, metrics, shutdown, predecessors } = *context;
        let Plan { disabled, ready } = plan;
        let workers = Workers::start(model, options.workers)?;
        publisher.hold_recorded_by(Some(workers.adder().slots()));
        let runner = Runner {
            adder: workers.adder(),
            publisher: publisher.clone(),
            metrics: metrics.clone(),
            model: model.facts(),
            classes: model.classes(),
            options: options.clone(),
        };
        for camera in &disabled {
            runner.say_disabled(&camera.id, camera.generation);
        }
        let (tell_ended, ended) = mpsc::channel();
        let mut streams = Vec::new();
        for ready in ready {
            let name = ready.camera.id.clone();
            metrics.camera(&name).state(CameraState::Claimed);
            let predecessor = predecessors.of(&name);
            let run = claim_and_run(ready, predecessor, runner.clone(), shutdown.clone());
            let tell_ended = tell_ended.clone();
            let thread = std::thread::Builder::new().name(format!("camera-{name}")).spawn(move || {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                    tracing::error!(camera = %name, "the camera's supervisor panicked; its other cameras go on");
                }
                // Nobody listens after a stop that took too long.
                let _ = tell_ended.send(name);
            });
            match thread {
                Ok(thread) => streams.push(thread),
                Err(error) => tracing::error!(%error, "no thread for a camera"),
            }
        }
        Ok(Self { workers, runner, shutdown: shutdown.clone(), streams, ended })
    }

    /// Runs further cameras beside those it began with.
    pub fn runner(&self) -> Runner {
        self.runner.clone()
    }

    /// Waits until all cameras ended by themselves, or a stop is wanted.
    pub fn wait(&self) {
        let mut left = self.streams.len();
        while left > 0 && !self.shutdown.is_set() {
            match self.ended.recv_timeout(Duration::from_millis(100)) {
                Ok(_) => left -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Drains, flushes, joins: within [`STOP_BOUND`]. `others` are threads of cameras that run beside its own. Gives the workers' CPU time and which records did not arrive.
    pub fn stop(self, others: Vec<JoinHandle<()>>) -> (CpuTime, Left) {
        // From here on nobody waits longer than the bound: what is in the slots comes to its end.
        self.runner.publisher.hold_recorded_by(None);
        let deadline = Instant::now() + STOP_STREAMS;
        for stream in self.streams.into_iter().chain(others) {
            while !stream.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            if stream.is_finished() {
                // A panic inside was caught and told.
                let _ = stream.join();
            } else {
                tracing::warn!(
                    camera = stream.thread().name().unwrap_or_default(),
                    "did not stop within {} s; left behind",
                    STOP_STREAMS.as_secs()
                );
            }
        }
        let cpu = self.workers.stop();
        let left = self.runner.publisher.stop(STOP_FLUSH);
        if left.lost > 0 {
            tracing::warn!(
                records = left.lost,
                "not acknowledged within {} s, given up",
                STOP_FLUSH.as_secs()
            );
        }
        (cpu, left)
    }
}

/// What a camera's own thread does, from its claim to its end.
fn claim_and_run(
    ready: Ready,
    predecessor: Predecessor,
    runner: Runner,
    shutdown: Shutdown,
) -> impl FnOnce() + Send + 'static {
    move || {
        let Some(epoch) = claim(&ready.camera, &runner.options.pod, &runner.publisher, &shutdown) else {
            return;
        };
        let claimed = Claimed {
            epoch,
            slot: None,
            placement: None,
            predecessor,
            lost: GapReason::PodLost,
            reach: Reach::default(),
        };
        let control = RunControl::new(shutdown, None, ready.camera.clone(), ready.thresholds.clone());
        runner.run(ready, claimed, &control);
    }
}

/// Claims a camera, again and again where Kafka refuses it. The epoch, once a broker acknowledged the claim; `None`
/// when the process stops first.
fn claim(camera: &Camera, pod: &str, publisher: &Publisher, shutdown: &Shutdown) -> Option<u64> {
    let mut backoff = Backoff::quick();
    let mut rng = rand::rng();
    loop {
        let claimed = publisher.claim(camera, pod);
        let reason = loop {
            match claimed.recv_timeout(Duration::from_millis(200)) {
                Ok(Ok(epoch)) => return Some(epoch),
                Ok(Err(reason)) => break reason,
                Err(RecvTimeoutError::Disconnected) => break "the Kafka client does not take it".to_owned(),
                Err(RecvTimeoutError::Timeout) if shutdown.is_set() => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let wait = backoff.next(&mut rng);
        if shutdown.wait_timeout(wait) {
            return None;
        }
        tracing::warn!(camera = %camera.id, waited_s = wait.as_secs(), "its claim was refused ({reason}); claiming again");
    }
}
