//! Results, marks and statuses to Kafka: in order per camera, acknowledged, accounted for.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{
    Camera, CameraState, Clock, GapAfter, Message, ModelFacts, SpecRecord, Status, StreamRecord, StreamState,
    Tick, Timestamp, Topics,
};
use sightline_service::kafka::{Delivered, FaultKind, KafkaFault, OnDelivery, Producer, SendError};
use sightline_service::shutdown::Shutdown;

use crate::batch::WhenFull;
use crate::frame::{End, Mark};
use crate::gaps::Gaps;
use crate::lane::{Outlet, Tracked, Unpublished};
use crate::metrics::{CameraMetrics, PipelineMetrics};
use crate::result::ResultFacts;

/// How long a full queue is waited for at a time; a stop is noticed in between.
const RETRY: Duration = Duration::from_millis(20);
/// How long after a stop a full queue is still waited for: what was detected should get out, and a stop is bounded.
const DRAIN: Duration = Duration::from_secs(5);
/// Records that Kafka refuses are said at most this often.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// The process's one way to Kafka. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    producer: Arc<Producer>,
    topics: Topics,
    metrics: PipelineMetrics,
    shutdown: Shutdown,
    /// Until when a full queue is waited for, once the process stops: one bound for all cameras together.
    drained_by: Arc<OnceLock<Instant>>,
    refusals: Arc<Refusals>,
}

impl Publisher {
    pub fn new(
        producer: Arc<Producer>,
        topics: Topics,
        metrics: PipelineMetrics,
        shutdown: Shutdown,
    ) -> Self {
        metrics.topics([topics.detections(), topics.camera_status()]);
        Self { producer, topics, metrics, shutdown, drained_by: Arc::default(), refusals: Arc::default() }
    }

    /// Writes a camera's claim. The offset that arrives is its epoch; nothing arrives until a broker
    /// acknowledged it.
    pub fn claim(&self, camera: &Camera, pod: &str) -> mpsc::Receiver<Result<u64, String>> {
        let (answer, claimed) = mpsc::channel();
        let claim = Status {
            camera: camera.id.clone(),
            epoch: None,
            generation: camera.generation,
            pod: pod.to_owned(),
            slot: None,
            placement: None,
            state: CameraState::Claimed,
            error: None,
            since: Timestamp::from_system_time(SystemTime::now()),
            retry_at: None,
            first: None,
            last: None,
            video: None,
            clock: None,
            clock_offset_ms: None,
        };
        let told = Box::new(move |delivered: Result<Delivered, KafkaFault>| {
            // A receiver that is gone no longer wants the claim.
            let _ = answer.send(match delivered {
                Ok(delivered) => {
                    u64::try_from(delivered.offset).map_err(|_| "the broker gave no offset".into())
                }
                Err(fault) => Err(fault.to_string()),
            });
        });
        // Refused at once, the answer is dropped, and the receiver sees that.
        let _ = self.send(&self.topics.camera_status(), &claim, None, WhenFull::Block, Some(told));
        claimed
    }

    /// Writes a status. One that finds the queue full is dropped, since a later one says more; after the last there
    /// is none.
    pub fn status(&self, status: &Status) {
        let when_full = match status.state {
            CameraState::Ended => WhenFull::Block,
            _ => WhenFull::DropOldest,
        };
        if self.send(&self.topics.camera_status(), status, None, when_full, None).is_err() {
            tracing::debug!(camera = %status.camera, "the queue to kafka is full; a status is left out");
        }
    }

    /// The outlet of one camera and epoch. `predecessor`: the camera's last result before, as far as it is known.
    pub fn outlet(
        &self,
        spec: Spec,
        results: ResultFacts,
        when_full: WhenFull,
        camera: Arc<CameraMetrics>,
        predecessor: Option<GapAfter>,
    ) -> KafkaOutlet {
        let topic = self.topics.detections();
        let gaps = Gaps::new(&results.camera, results.epoch, predecessor);
        KafkaOutlet { publisher: self.clone(), topic, spec, results, when_full, camera, gaps, unsaid: None }
    }

    /// Hands what is under way to Kafka. Gives what is still not acknowledged then.
    pub fn flush(&self, patience: Duration) -> usize {
        self.producer.flush(patience)
    }

    /// Sends one record; `told` hears what became of it, if it was taken. With [`WhenFull::Block`] a full queue is
    /// waited for, until the process stops and a little longer.
    fn send<M: Message>(
        &self,
        topic: &str,
        message: &M,
        captured_at: Option<Timestamp>,
        when_full: WhenFull,
        told: Option<OnDelivery>,
    ) -> Result<(), Unpublished> {
        let payload = match serde_json::to_vec(message) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(camera = message.camera(), schema = M::SCHEMA, %error, "can't be written as JSON");
                return Err(Unpublished);
            }
        };
        let (metrics, refusals) = (self.metrics.clone(), self.refusals.clone());
        let (camera, name) = (message.camera().to_owned(), topic.to_owned());
        let mut on_delivery: OnDelivery = Box::new(move |delivered| {
            metrics.under_way(-1);
            match &delivered {
                Ok(_) => metrics.acknowledged(&name, captured_at.map(since)),
                Err(fault) => {
                    metrics.refused(&name);
                    // What a stop leaves behind is said in one sentence, with its number.
                    if fault.kind != FaultKind::Purged {
                        refusals.say(&camera, fault);
                    }
                }
            }
            if let Some(told) = told {
                told(delivered);
            }
        });
        loop {
            // Before, since its report may come before `send` returns.
            self.metrics.under_way(1);
            let Err(refused) = self.producer.send(topic, message.camera(), &payload, M::SCHEMA, on_delivery)
            else {
                return Ok(());
            };
            self.metrics.under_way(-1);
            match refused.error {
                SendError::QueueFull if when_full == WhenFull::Block && self.waits() => {
                    on_delivery = refused.on_delivery;
                }
                SendError::QueueFull => return Err(Unpublished),
                SendError::Fatal(fault) | SendError::Other(fault) => {
                    self.metrics.refused(topic);
                    self.refusals.say(message.camera(), &fault);
                    return Err(Unpublished);
                }
            }
        }
    }

    /// Waits a moment for room in the queue. False when the process stops and its time to drain is over.
    fn waits(&self) -> bool {
        if !self.shutdown.wait_timeout(RETRY) {
            return true;
        }
        let until = *self.drained_by.get_or_init(|| Instant::now() + DRAIN);
        let left = until.saturating_duration_since(Instant::now());
        std::thread::park_timeout(left.min(RETRY));
        !left.is_zero()
    }
}

/// Says that Kafka refuses records without a line for each of them.
#[derive(Debug, Default)]
struct Refusals {
    /// When it was said last, and how many came since.
    said: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    fn say(&self, camera: &str, fault: &KafkaFault) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let more = match &mut *said {
            Some((at, since)) if at.elapsed() < SAY_AGAIN => {
                *since += 1;
                return;
            }
            Some((_, since)) => *since,
            None => 0,
        };
        *said = Some((Instant::now(), 0));
        drop(said);
        tracing::error!(camera, code = fault.kind.code(), more, "a record is lost: {fault}");
    }
}

/// What `spec/1` says of a camera.
#[derive(Clone, Debug)]
pub struct Spec {
    pub camera: Camera,
    pub model: ModelFacts,
}

/// Writes one camera's results to `detections`.
pub struct KafkaOutlet {
    publisher: Publisher,
    topic: String,
    spec: Spec,
    results: ResultFacts,
    when_full: WhenFull,
    camera: Arc<CameraMetrics>,
    gaps: Gaps,
    /// A start that found the queue full: said before the next frame, since readers need it first.
    unsaid: Option<(Clock, Timestamp)>,
}

impl KafkaOutlet {
    fn say<M: Message>(&self, message: &M) -> Result<(), Unpublished> {
        self.publisher.send(&self.topic, message, None, self.when_full, None)
    }

    fn stream(
        &self,
        state: StreamState,
        clock: Clock,
        at: Timestamp,
        complete: Option<bool>,
    ) -> Result<(), Unpublished> {
        let (camera, epoch) = (self.results.camera.clone(), self.results.epoch);
        self.say(&StreamRecord { camera, epoch, state, clock, at, complete })
    }

    fn spec(&self) -> Result<(), Unpublished> {
        let Spec { camera, model } = &self.spec;
        self.say(&SpecRecord {
            camera: self.results.camera.clone(),
            epoch: self.results.epoch,
            generation: camera.generation,
            zones: camera.zones.clone(),
            lines: camera.lines.clone(),
            anchor: camera.anchor,
            model: model.clone(),
            labels: camera.labels.clone(),
        })
    }

    fn start(&mut self, clock: Clock, at: Timestamp) -> Result<(), Unpublished> {
        self.unsaid = Some((clock, at));
        self.spec()?;
        self.stream(StreamState::Started, clock, at, None)?;
        self.unsaid = None;
        Ok(())
    }
}

impl Outlet for KafkaOutlet {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished> {
        let captured_at = tracked.frame.captured_at;
        let live = self.when_full == WhenFull::DropOldest;
        if live {
            self.camera.latency(since(captured_at));
        }
        if let Some((clock, at)) = self.unsaid {
            self.start(clock, at)?;
        }
        let seq = tracked.frame.seq;
        if let Some(gap) = self.gaps.before(seq, captured_at) {
            self.say(&gap)?;
        }
        let result = self.results.result(tracked);
        self.publisher.send(&self.topic, &result, live.then_some(captured_at), self.when_full, None)?;
        self.gaps.result(seq, captured_at);
        Ok(())
    }

    fn mark(&mut self, mark: &Mark) {
        let said = match *mark {
            Mark::Started { clock, at, lost, interval_us } => {
                if let Some(reason) = lost {
                    self.gaps.lost(reason, interval_us);
                }
                self.start(clock, at)
            }
            Mark::Running { clock, at } => {
                self.spec().and_then(|()| self.stream(StreamState::Running, clock, at, None))
            }
            Mark::Tick { at, state, error } => {
                let (camera, epoch) = (self.results.camera.clone(), self.results.epoch);
                self.say(&Tick { camera, epoch, at, state, error })
            }
        };
        if said.is_err() {
            tracing::debug!(camera = %self.results.camera, "the queue to kafka is full; a mark is left out");
        }
    }

    fn end(&mut self, end: &End) {
        if self.stream(StreamState::Ended, end.clock, end.at, Some(end.complete)).is_err() {
            tracing::warn!(camera = %self.results.camera, "stopped before kafka took the stream's end");
        }
    }
}

fn since(at: Timestamp) -> Duration {
    let now = Timestamp::from_system_time(SystemTime::now());
    Duration::from_micros(u64::try_from(now.as_micros().saturating_sub(at.as_micros())).unwrap_or(0))
}
