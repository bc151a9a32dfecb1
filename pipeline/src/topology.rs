//! The one file that knows all stages: builds them sink-first for each camera, and takes them down in order.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Camera, CameraState, Credentials, Role, Status, StreamSpec, Timestamp};
use sightline_service::backoff::Backoff;
use sightline_service::shutdown::Shutdown;

use crate::cpu::CpuTime;
use crate::detect::{Model, ModelError, Thresholds};
use crate::lane::{Lane, LaneSettings};
use crate::metrics::PipelineMetrics;
use crate::predecessors::{Predecessor, Predecessors};
use crate::publish::{Publisher, Spec};
use crate::result::ResultFacts;
use crate::source::address::Address;
use crate::spool::Left;
use crate::status::{StatusFacts, StatusKeeper};
use crate::stream::{Manner, Stream, StreamContext};
use crate::workers::Workers;

/// After a stop: results on their way, and the sources' goodbyes.
const STOP_STREAMS: Duration = Duration::from_secs(12);
/// After that: acknowledgements.
const STOP_FLUSH: Duration = Duration::from_secs(8);

/// A stop takes at most this long, whatever cameras and brokers do.
pub const STOP_BOUND: Duration = Duration::from_secs(25);

/// Why a camera can't be run as it is written.
#[derive(Debug, thiserror::Error)]
pub enum CameraRefused {
    #[error("camera {camera}: {reason}")]
    Settings { camera: String, reason: String },
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What a process that runs cameras is told.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// The name of this process in statuses.
    pub pod: String,
    /// Detect workers, each with a session of its own.
    pub workers: usize,
    /// Threads of a software decoder; 0 lets it choose.
    pub decoder_threads: u32,
    pub track: bool,
    /// NMS over all classes together.
    pub agnostic_nms: bool,
}

/// A camera, checked against the model, ready to be claimed.
#[derive(Clone)]
struct Ready {
    camera: Camera,
    stream: StreamSpec,
    address: Address,
    lane: LaneSettings,
}

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
            enabled.into_iter().map(|camera| prepare(camera, model, options)).collect::<Result<_, _>>()?;
        Ok(Self { disabled, ready })
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
    publisher: Publisher,
    shutdown: Shutdown,
    streams: Vec<JoinHandle<()>>,
    ended: mpsc::Receiver<String>,
}

impl Fleet {
    /// Claims each camera and opens it once its claim is acknowledged.
    pub fn start(plan: Plan, context: &FleetContext<'_>) -> Result<Self, CameraRefused> {
        let FleetContext { model, options, publisher, metrics, shutdown, .. } = *context;
        let Plan { disabled, ready } = plan;
        let workers = Workers::start(model, options.workers)?;
        publisher.hold_recorded_by(Some(workers.adder().slots()));
        for camera in &disabled {
            metrics.camera(&camera.id).state(CameraState::Disabled);
            let now = Timestamp::from_system_time(SystemTime::now());
            let (pod, state) = (&options.pod, CameraState::Disabled);
            publisher.status(&Status::bare(&camera.id, camera.generation, pod, state, now));
        }
        let (tell_ended, ended) = mpsc::channel();
        let mut streams = Vec::new();
        for ready in ready {
            let name = ready.camera.id.clone();
            let run = camera_thread(ready, context, &workers);
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
        Ok(Self { workers, publisher: publisher.clone(), shutdown: shutdown.clone(), streams, ended })
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

    /// Drains, flushes, joins: within [`STOP_BOUND`]. Gives the workers' CPU time and which records did not arrive.
    pub fn stop(self) -> (CpuTime, Left) {
        // From here on nobody waits longer than the bound: what is in the slots comes to its end.
        self.publisher.hold_recorded_by(None);
        let deadline = Instant::now() + STOP_STREAMS;
        for stream in self.streams {
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
        let left = self.publisher.stop(STOP_FLUSH);
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
fn camera_thread(
    ready: Ready,
    context: &FleetContext<'_>,
    workers: &Workers,
) -> impl FnOnce() + Send + 'static + use<> {
    let Ready { camera, stream, address, lane } = ready;
    let FleetContext { model, options, publisher, metrics, shutdown, predecessors } = *context;
    let manner = Manner::of(&address, stream.play);
    let predecessor = predecessors.of(&camera.id);
    let metrics = metrics.camera(&camera.id);
    metrics.state(CameraState::Claimed);
    let add = workers.adder();
    let (publisher, shutdown, pod) = (publisher.clone(), shutdown.clone(), options.pod.clone());
    let decoder_threads = options.decoder_threads;
    let (model_facts, classes) = (model.facts(), model.classes());
    move || {
        let Some(epoch) = claim(&camera, &pod, &publisher, &shutdown) else { return };
        tracing::info!(camera = %camera.id, epoch, address = %address, "claimed");
        let results = ResultFacts { camera: camera.id.clone(), epoch, classes };
        let spec = Spec { camera: camera.clone(), model: model_facts };
        // A recording has its own time: nothing of it was missed while nobody read it.
        let predecessor = if manner.live { predecessor } else { Predecessor::default() };
        let outlet = publisher.outlet(spec, results, manner.when_full(), metrics.clone(), &predecessor);
        let lane = Lane::new(lane, metrics.clone(), Box::new(outlet));
        let (slot, lane) = add.add(lane, manner.when_full());
        let facts = StatusFacts { camera: camera.id.clone(), epoch, generation: camera.generation, pod };
        let status = StatusKeeper::new(
            facts,
            metrics.clone(),
            Box::new(move |status: &Status| publisher.status(status)),
        );
        let context = StreamContext {
            slots: add.slots(),
            slot,
            lane,
            metrics,
            shutdown,
            decoder_threads,
            clock_offset_ms: predecessor.clock_offset_ms.unwrap_or(0),
        };
        Stream::new(camera, stream, address, context, status).run();
        add.remove(slot);
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

fn prepare(camera: Camera, model: &Model, options: &FleetOptions) -> Result<Ready, CameraRefused> {
    let refuse = |reason: String| CameraRefused::Settings { camera: camera.id.clone(), reason };
    let stream = camera
        .streams
        .iter()
        .find(|stream| stream.role == Role::Detect)
        .cloned()
        .ok_or_else(|| refuse("it has no stream with role detect".into()))?;
    let credentials = match &camera.credentials {
        None => None,
        Some(Credentials::Inline(inline)) => Some(inline.clone()),
        Some(Credentials::Secret { secret }) => {
            return Err(refuse(format!(
                "credentials.secret {secret}: there is no directory of secrets to find it in; give user and password"
            )));
        }
    };
    let address =
        Address::parse(&stream.uri).map_err(|error| refuse(error.to_string()))?.with_credentials(credentials);
    let thresholds = Thresholds::of(&camera, &model.classes(), options.track)
        .map_err(|error| refuse(error.to_string()))?
        .agnostic(options.agnostic_nms);
    Ok(Ready { lane: LaneSettings { thresholds, track: options.track }, camera, stream, address })
}
