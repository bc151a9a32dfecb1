//! One run of a camera: checked against the model, claimed, and taken down its chain to the end.

use std::sync::Arc;

use sightline_schema::{Camera, CameraState, Credentials, GapReason, ModelFacts, Role, Status, StreamSpec};
use sightline_service::trace::Tracer;

use crate::detect::{Model, ModelError, Thresholds};
use crate::handover::RunControl;
use crate::lane::{Lane, LaneSettings};
use crate::metrics::PipelineMetrics;
use crate::outlet::KafkaOutlet;
use crate::predecessors::Predecessor;
use crate::publish::Publisher;
use crate::reach::Reach;
use crate::result::ResultFacts;
use crate::secrets::Secrets;
use crate::source::address::Address;
use crate::status::{StatusFacts, StatusKeeper};
use crate::stream::{Manner, Stream, StreamContext};
use crate::trace::StreamTrace;
use crate::workers::Adder;

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
    /// Where cameras' user and password are.
    pub secrets: Secrets,
    /// Where the way of sampled frames is told.
    pub tracer: Tracer,
}

/// A camera, checked against the model, ready to be claimed.
#[derive(Clone)]
pub struct Ready {
    pub camera: Camera,
    pub(crate) stream: StreamSpec,
    address: Address,
    pub(crate) thresholds: Thresholds,
}

impl Ready {
    /// Fails where a camera does not fit the model, or is written in a way that can't be run.
    pub fn new(camera: Camera, model: &Model, options: &FleetOptions) -> Result<Self, CameraRefused> {
        Self::check(camera, &model.classes(), options)
    }

    /// The same, by the classes of a model that runs already.
    pub(crate) fn of_runner(runner: &Runner, camera: &Camera) -> Result<Self, CameraRefused> {
        Self::check(camera.clone(), &runner.classes, &runner.options)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether what is not read now is missed.
    pub(crate) fn is_live(&self) -> bool {
        Manner::of(&self.address, self.stream.play).live
    }

    fn check(camera: Camera, classes: &[String], options: &FleetOptions) -> Result<Self, CameraRefused> {
        let refuse = |reason: String| CameraRefused::Settings { camera: camera.id.clone(), reason };
        let stream = camera
            .streams
            .iter()
            .find(|stream| stream.role == Role::Detect)
            .cloned()
            .ok_or_else(|| refuse("it has no stream with role detect".into()))?;
        if let (Some(Credentials::Secret { secret }), false) =
            (&camera.credentials, options.secrets.has_folder())
        {
            return Err(refuse(format!(
                "credentials.secret {secret}: there is no directory of secrets to find it in; give --secrets, or user \
                 and password"
            )));
        }
        let address = Address::parse(&stream.uri).map_err(|error| refuse(error.to_string()))?;
        let thresholds = Thresholds::of(&camera, classes, options.track)
            .map_err(|error| refuse(error.to_string()))?
            .agnostic(options.agnostic_nms);
        Ok(Self { camera, stream, address, thresholds })
    }
}

/// By what claim a camera runs.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub epoch: u64,
    pub slot: Option<u32>,
    pub placement: Option<i64>,
    /// What is known of the run before.
    pub predecessor: Predecessor,
    /// Why something may be missing after it.
    pub lost: GapReason,
    /// Where it may lead.
    pub reach: Reach,
}

/// Runs cameras. Cheap to clone.
#[derive(Clone)]
pub struct Runner {
    pub(crate) adder: Adder,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: PipelineMetrics,
    pub(crate) model: ModelFacts,
    pub(crate) classes: Arc<[String]>,
    pub(crate) options: FleetOptions,
}

impl Runner {
    /// Runs a camera to its end, on this thread.
    pub fn run(&self, ready: Ready, claimed: Claimed, control: &RunControl) {
        let Ready { camera, stream, address, thresholds } = ready;
        let Claimed { epoch, slot: pod_slot, placement, predecessor, lost, reach } = claimed;
        tracing::info!(camera = %camera.id, epoch, address = %address, "claimed");
        let manner = Manner::of(&address, stream.play);
        let metrics = self.metrics.camera(&camera.id);
        metrics.begin();
        let results = ResultFacts { camera: camera.id.clone(), epoch, classes: self.classes.clone() };
        // A recording has its own time: nothing of it was missed while nobody read it.
        let predecessor = if manner.live { predecessor } else { Predecessor::default() };
        let outlet = KafkaOutlet::new(
            self.publisher.clone(),
            control.clone(),
            self.model.clone(),
            results,
            manner.when_full(),
            metrics.clone(),
            &predecessor,
        );
        let trace = StreamTrace::new(&self.options.tracer, &camera.id, epoch);
        let outlet = outlet.traced(trace.clone());
        let lane = LaneSettings { thresholds, track: self.options.track };
        let lane = Lane::new(lane, metrics.clone(), Box::new(outlet));
        let (slot, lane) = self.adder.add(lane, manner.when_full());
        let facts = StatusFacts {
            camera: camera.id.clone(),
            epoch,
            generation: camera.generation,
            pod: self.options.pod.clone(),
            slot: pod_slot,
            placement,
        };
        let publisher = self.publisher.clone();
        let sink = Box::new(move |status: &Status| publisher.status(status));
        let status = StatusKeeper::new(facts, metrics.clone(), sink);
        let context = StreamContext {
            slots: self.adder.slots(),
            slot,
            lane,
            metrics,
            control: control.clone(),
            publisher: self.publisher.clone(),
            decoder_threads: self.options.decoder_threads,
            secrets: self.options.secrets.clone(),
            reach,
            clock_offset_ms: predecessor.clock_offset_ms.unwrap_or(0),
            lost,
            trace,
        };
        Stream::new(Arc::new(camera), stream, address, context, status).run();
        self.adder.remove(slot);
    }

    /// Says that a camera is there and nobody opens it.
    pub(crate) fn say_disabled(&self, camera: &str, generation: u64) {
        use sightline_schema::Timestamp;
        self.metrics.camera(camera).state(CameraState::Disabled);
        let now = Timestamp::from_system_time(std::time::SystemTime::now());
        let pod = &self.options.pod;
        self.publisher.status(&Status::bare(camera, generation, pod, CameraState::Disabled, now));
    }
}
