//! What the pipeline counts, for Prometheus and for the live table. `docs/METRICS.md` spells it out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use sightline_schema::{CameraState, ErrorCode, LastResult, SkipReason, Skipped, Timestamp};

use crate::detect::Model;
use crate::lane::{DetectTimes, Tracked};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCamera {
    camera: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    camera: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDecoder {
    camera: String,
    decoder: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    camera: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTopic {
    topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Running {
    device: String,
    model: String,
    pool: String,
}

/// What lies on disk before Kafka acknowledged it; all zero without a spool.
#[derive(Clone, Debug, Default)]
pub struct SpoolMetrics {
    pub bytes: Gauge,
    /// Seconds.
    pub oldest_age: Gauge<f64, AtomicU64>,
    pub replayed: Counter,
    pub evicted: Counter,
    pub errors: Counter,
}

/// The metrics of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PipelineMetrics {
    arrived: Family<ByCamera, Counter>,
    published: Family<ByCamera, Counter>,
    skipped: Family<ByReason, Counter>,
    detections: Family<ByCamera, Counter>,
    errors: Family<ByCode, Counter>,
    cameras: Family<ByState, Gauge>,
    decoders: Family<ByDecoder, Gauge>,
    stages: Family<ByStage, Histogram>,
    result_latency: Family<ByCamera, Histogram>,
    acknowledged_latency: Histogram,
    acknowledged: Family<ByTopic, Counter>,
    refused: Family<ByTopic, Counter>,
    in_flight: Gauge,
    claims: Counter,
    contested: Counter,
    spool: SpoolMetrics,
    info: Family<Running, Gauge>,
    by_name: Arc<Mutex<BTreeMap<String, Arc<CameraMetrics>>>>,
}

impl PipelineMetrics {
    /// Registers everything under `sightline_pipeline`.
    pub fn register(registry: &mut Registry) -> Self {
        let new_latency: fn() -> Histogram = || Histogram::new(exponential_buckets(0.005, 2.0, 13));
        let new_stage: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        let metrics = Self {
            arrived: Family::default(),
            published: Family::default(),
            skipped: Family::default(),
            detections: Family::default(),
            errors: Family::default(),
            cameras: Family::default(),
            decoders: Family::default(),
            stages: Family::new_with_constructor(new_stage),
            result_latency: Family::new_with_constructor(new_latency),
            acknowledged_latency: new_latency(),
            acknowledged: Family::default(),
            refused: Family::default(),
            in_flight: Gauge::default(),
            claims: Counter::default(),
            contested: Counter::default(),
            spool: SpoolMetrics::default(),
            info: Family::default(),
            by_name: Arc::default(),
        };
        let r = registry.sub_registry_with_prefix("sightline_pipeline");
        r.register("frames_arrived", "Access units that arrived, decoded or not", metrics.arrived.clone());
        r.register("frames_published", "Frame records handed to Kafka", metrics.published.clone());
        r.register(
            "frames_skipped",
            "Access units without a frame record, by reason",
            metrics.skipped.clone(),
        );
        r.register("detections", "Detections at or above the output threshold", metrics.detections.clone());
        r.register("camera_errors", "Failed runs of a camera, by error code", metrics.errors.clone());
        r.register("cameras", "Cameras of this process, by state", metrics.cameras.clone());
        r.register("camera_decoder", "1: the decoder that a camera really got", metrics.decoders.clone());
        r.register_with_unit(
            "stage",
            "Time of one frame in a stage (decode, queue, letterbox, session, head, track)",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        r.register_with_unit(
            "result_latency",
            "From capture to the result being ready",
            Unit::Seconds,
            metrics.result_latency.clone(),
        );
        r.register_with_unit(
            "acknowledged_latency",
            "From capture to Kafka's acknowledgement, live cameras",
            Unit::Seconds,
            metrics.acknowledged_latency.clone(),
        );
        r.register("records_acknowledged", "Records that Kafka acknowledged", metrics.acknowledged.clone());
        r.register("records_refused", "Records that were given up", metrics.refused.clone());
        r.register("records_in_flight", "Records not acknowledged yet", metrics.in_flight.clone());
        r.register("claims", "Registered cameras that this pod claimed", metrics.claims.clone());
        r.register(
            "claims_contested",
            "Claims of others for cameras that belong here: two pods did not agree",
            metrics.contested.clone(),
        );
        r.register("info", "What this process runs; always 1", metrics.info.clone());
        let spool = &metrics.spool;
        r.register_with_unit("spool", "What the spool takes on disk", Unit::Bytes, spool.bytes.clone());
        r.register_with_unit(
            "spool_oldest_age",
            "Age of the oldest record in the spool",
            Unit::Seconds,
            spool.oldest_age.clone(),
        );
        r.register(
            "spool_replayed",
            "Records of an earlier process that Kafka acknowledged",
            spool.replayed.clone(),
        );
        r.register("spool_evicted", "Records that went because the spool was full", spool.evicted.clone());
        r.register("spool_errors", "Attempts to write to the spool that failed", spool.errors.clone());
        metrics
    }

    /// The metrics of one camera, the same for all who ask. Its series start at zero, so that a rate sees the first frame.
    pub fn camera(&self, camera: &str) -> Arc<CameraMetrics> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_name.get(camera) {
            return known.clone();
        }
        let metrics = Arc::new(self.under(camera, camera));
        by_name.insert(camera.to_owned(), metrics.clone());
        metrics
    }

    /// The metrics of a recording that is worked off: counted together with all others, since there is no end to them.
    pub fn recording(&self, job: &str) -> Arc<CameraMetrics> {
        Arc::new(self.under(job, RECORDINGS))
    }

    fn under(&self, camera: &str, label: &str) -> CameraMetrics {
        let by_camera = ByCamera { camera: label.to_owned() };
        let skipped = SkipReason::ALL.map(|reason| {
            self.skipped.get_or_create_owned(&ByReason { camera: label.to_owned(), reason: reason.as_str() })
        });
        CameraMetrics {
            camera: camera.to_owned(),
            label: label.to_owned(),
            arrived: self.arrived.get_or_create_owned(&by_camera),
            published: self.published.get_or_create_owned(&by_camera),
            detections: self.detections.get_or_create_owned(&by_camera),
            latency: self.result_latency.get_or_create_owned(&by_camera),
            skipped,
            errors: self.errors.clone(),
            cameras: self.cameras.clone(),
            decoders: self.decoders.clone(),
            decoder: Mutex::new(None),
            stages: self.stages.clone(),
            recent: Mutex::default(),
            last_seq: AtomicU64::new(0),
            last_at: AtomicI64::new(i64::MIN),
            first_at: AtomicI64::new(i64::MIN),
            published_last: Mutex::new(None),
            results: AtomicU64::new(0),
            state: Mutex::new(None),
        }
    }

    /// The figures of all cameras that run here, or were said to, by id.
    pub fn figures(&self) -> Vec<CameraFigures> {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.values().map(|camera| camera.figures()).filter(|camera| camera.state.is_some()).collect()
    }

    /// What this process runs its model on, for the cameras or jobs of a pool; none where it shares with nobody.
    pub fn runs(&self, model: &Model, pool: &str) {
        let (device, model) = (model.device().to_string(), model.facts().name);
        let running = Running { device, model, pool: pool.to_owned() };
        self.info.get_or_create(&running).set(1);
    }

    /// The series of these topics start at zero.
    pub fn topics(&self, topics: impl IntoIterator<Item = String>) {
        for topic in topics {
            let by_topic = ByTopic { topic };
            drop(self.acknowledged.get_or_create(&by_topic));
            drop(self.refused.get_or_create(&by_topic));
        }
    }

    pub fn spool(&self) -> &SpoolMetrics {
        &self.spool
    }

    /// Records under way to Kafka, one more or one less.
    pub fn under_way(&self, change: i64) {
        self.in_flight.inc_by(change);
    }

    pub fn acknowledged(&self, topic: &str, captured_to_ack: Option<Duration>) {
        self.acknowledged.get_or_create(&ByTopic { topic: topic.to_owned() }).inc();
        if let Some(latency) = captured_to_ack {
            self.acknowledged_latency.observe(latency.as_secs_f64());
        }
    }

    /// Cameras were claimed.
    pub fn claimed(&self, cameras: usize) {
        self.claims.inc_by(cameras as u64);
    }

    /// Another pod claimed a camera that belongs here.
    pub fn contested(&self) {
        self.contested.inc();
    }

    /// A record will not arrive, and not because the queue was full.
    pub fn refused(&self, topic: &str) {
        self.refused.get_or_create(&ByTopic { topic: topic.to_owned() }).inc();
    }
}

/// The metrics of one camera, and what the table and its status say of it.
#[derive(Debug)]
pub struct CameraMetrics {
    camera: String,
    label: String,
    arrived: Counter,
    published: Counter,
    detections: Counter,
    latency: Histogram,
    skipped: [Counter; SkipReason::ALL.len()],
    errors: Family<ByCode, Counter>,
    cameras: Family<ByState, Gauge>,
    decoders: Family<ByDecoder, Gauge>,
    decoder: Mutex<Option<ByDecoder>>,
    stages: Family<ByStage, Histogram>,
    recent: Mutex<VecDeque<f32>>,
    last_seq: AtomicU64,
    last_at: AtomicI64,
    first_at: AtomicI64,
    published_last: Mutex<Option<LastResult>>,
    results: AtomicU64,
    state: Mutex<Option<CameraState>>,
}

/// Stands where a camera's id does for all recordings that are worked off.
const RECORDINGS: &str = "jobs";

/// Latencies the table's percentiles are taken from.
const RECENT: usize = 256;

/// A camera's figures at one moment.
#[derive(Clone, Debug)]
pub struct CameraFigures {
    pub camera: String,
    pub state: Option<CameraState>,
    pub arrived: u64,
    pub published: u64,
    pub detections: u64,
    pub skipped: Skipped,
    /// Capture to result over the last frames, seconds.
    pub latency_p50_s: Option<f32>,
    pub latency_p99_s: Option<f32>,
}

impl CameraMetrics {
    pub fn camera(&self) -> &str {
        &self.camera
    }

    /// A run begins: it had no result yet.
    pub fn begin(&self) {
        self.first_at.store(i64::MIN, Ordering::Release);
        self.last_at.store(i64::MIN, Ordering::Release);
        self.last_seq.store(0, Ordering::Relaxed);
        *self.published_last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.results.store(0, Ordering::Relaxed);
    }

    /// Results of this run so far.
    pub fn results(&self) -> u64 {
        self.results.load(Ordering::Relaxed)
    }

    /// This result was handed to Kafka: what is ready may still wait for the run before.
    pub fn published(&self, last: LastResult) {
        *self.published_last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// The last result that was handed to Kafka.
    pub fn last_published(&self) -> Option<LastResult> {
        *self.published_last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It no longer runs here.
    pub fn gone(&self) {
        let before = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            self.cameras.get_or_create(&ByState { state: before.as_str() }).dec();
        }
        if let Some(before) = self.decoder.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.decoders.remove(&before);
        }
    }

    /// The decoder that it got; empty while it is not known. Whether it is another than before.
    pub fn decoder(&self, decoder: &str) -> bool {
        let mut now = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        if decoder.is_empty() || now.as_ref().is_some_and(|now| now.decoder == decoder) {
            return false;
        }
        let is = ByDecoder { camera: self.label.clone(), decoder: decoder.to_owned() };
        self.decoders.get_or_create(&is).set(1);
        if let Some(before) = now.replace(is) {
            self.decoders.remove(&before);
        }
        true
    }

    /// Access units arrived.
    pub fn arrived(&self, count: u64) {
        self.arrived.inc_by(count);
    }

    /// A picture was decoded.
    pub fn decoded(&self, took: Duration) {
        self.stage("decode", took);
    }

    /// A frame waited for a detect worker.
    pub fn queued(&self, waited: Duration) {
        self.stage("queue", waited);
    }

    fn stage(&self, stage: &'static str, took: Duration) {
        self.stages.get_or_create(&ByStage { stage }).observe(took.as_secs_f64());
    }

    /// A frame's result got out.
    pub fn frame(&self, tracked: &Tracked<'_>) {
        self.published.inc();
        self.results.fetch_add(1, Ordering::Relaxed);
        self.detections.inc_by(tracked.detections.len() as u64);
        let DetectTimes { letterbox, session, head } = tracked.times;
        let stages =
            [("letterbox", letterbox), ("session", session), ("head", head), ("track", tracked.track)];
        for (stage, time) in stages {
            self.stage(stage, time.wall);
        }
        let at = tracked.frame.captured_at;
        self.last_seq.store(tracked.frame.seq, Ordering::Relaxed);
        let _ =
            self.first_at.compare_exchange(i64::MIN, at.as_micros(), Ordering::Release, Ordering::Relaxed);
        self.last_at.store(at.as_micros(), Ordering::Release);
    }

    /// From capture to result, for live cameras.
    pub fn latency(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(latency.as_secs_f32());
    }

    pub fn skipped(&self, skipped: &Skipped) {
        for (counter, reason) in self.skipped.iter().zip(SkipReason::ALL) {
            counter.inc_by(skipped.get(reason));
        }
    }

    pub fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&ByCode { camera: self.label.clone(), code: code.as_str() }).inc();
    }

    pub fn state(&self, state: CameraState) {
        let mut now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = now.replace(state) {
            self.cameras.get_or_create(&ByState { state: before.as_str() }).dec();
        }
        self.cameras.get_or_create(&ByState { state: state.as_str() }).inc();
    }

    /// The capture time of the first result, once there is one.
    pub fn first_result(&self) -> Option<Timestamp> {
        let at = self.first_at.load(Ordering::Acquire);
        (at != i64::MIN).then(|| Timestamp::from_micros(at))
    }

    pub fn last_result(&self) -> Option<LastResult> {
        let at = self.last_at.load(Ordering::Acquire);
        (at != i64::MIN).then(|| LastResult {
            seq: self.last_seq.load(Ordering::Relaxed),
            captured_at: Timestamp::from_micros(at),
        })
    }

    pub fn figures(&self) -> CameraFigures {
        let mut recent: Vec<f32> =
            self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        recent.sort_by(f32::total_cmp);
        let quantile = |q: f64| {
            let last = recent.len().checked_sub(1)?;
            recent.get((last as f64 * q).round() as usize).copied()
        };
        let mut skipped = Skipped::default();
        for (counter, reason) in self.skipped.iter().zip(SkipReason::ALL) {
            skipped.add(reason, counter.get());
        }
        CameraFigures {
            camera: self.camera.clone(),
            state: *self.state.lock().unwrap_or_else(PoisonError::into_inner),
            arrived: self.arrived.get(),
            published: self.published.get(),
            detections: self.detections.get(),
            skipped,
            latency_p50_s: quantile(0.5),
            latency_p99_s: quantile(0.99),
        }
    }
}
