//! Results and marks into the outbox, claims and statuses to Kafka: in order per camera, accounted for.

use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{
    Camera, Clock, Message, ModelFacts, SpecRecord, Status, StreamRecord, StreamState, Tick, Timestamp,
    Topics,
};
use sightline_service::kafka::{KafkaFault, KafkaSettings, LinkState};
use sightline_service::shutdown::Shutdown;

use crate::batch::{Slots, WhenFull};
use crate::frame::{End, Mark};
use crate::gaps::Gaps;
use crate::lane::{Outlet, Tracked, Unpublished};
use crate::metrics::{CameraMetrics, PipelineMetrics};
use crate::predecessors::Predecessor;
use crate::result::ResultFacts;
use crate::spool::{Connect, FrameAt, Given, Hold, Kind, Left, Outbox};
use crate::statuses::Statuses;

/// How long a full queue is waited for at a time; a stop is noticed in between.
const RETRY: Duration = Duration::from_millis(20);
/// How long after a stop a full queue is still waited for: what was detected should get out, and a stop is bounded.
const DRAIN: Duration = Duration::from_secs(5);

/// The process's one way to Kafka. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    statuses: Arc<Statuses>,
    outbox: Outbox,
    shutdown: Shutdown,
    /// Until when a full queue is waited for, once the process stops: one bound for all cameras together.
    drained_by: Arc<OnceLock<Instant>>,
}

impl Publisher {
    /// Results go by the outbox; claims and statuses by a client of their own, so that neither waits for the other.
    pub fn start(
        settings: &KafkaSettings,
        linger_ms: u32,
        outbox: Outbox,
        topics: &Topics,
        metrics: PipelineMetrics,
        shutdown: Shutdown,
    ) -> Result<Self, KafkaFault> {
        metrics.topics([topics.detections(), topics.camera_status()]);
        let statuses = Arc::new(Statuses::new(settings.clone(), linger_ms, topics.camera_status(), metrics)?);
        let (beside, settings) = (statuses.clone(), settings.clone());
        let connect: Connect = Box::new(move || beside.producer().gapless(&settings, linger_ms));
        outbox.start(topics.detections(), connect).map_err(|error| KafkaFault::no_thread(&error))?;
        Ok(Self { statuses, outbox, shutdown, drained_by: Arc::default() })
    }

    /// Writes a camera's claim. The offset that arrives is its epoch; nothing arrives until a broker
    /// acknowledged it.
    pub fn claim(&self, camera: &Camera, pod: &str) -> mpsc::Receiver<Result<u64, String>> {
        self.statuses.claim(camera, pod, &|| self.waits())
    }

    /// Writes a status. One that finds the queue full is dropped, since a later one says more; after the last there
    /// is none.
    pub fn status(&self, status: &Status) {
        self.statuses.status(status, &|| self.waits());
    }

    /// Whether a broker answers, and takes what is sent. A client that can't go on is replaced here.
    pub fn link(&self) -> LinkState {
        self.statuses.renew_if_fatal();
        match self.statuses.producer().link() {
            LinkState::Up => self.outbox.waiting().map_or(LinkState::Up, LinkState::Down),
            other => other,
        }
    }

    /// The outlet of one camera and epoch.
    pub fn outlet(
        &self,
        spec: Spec,
        results: ResultFacts,
        when_full: WhenFull,
        camera: Arc<CameraMetrics>,
        predecessor: &Predecessor,
    ) -> KafkaOutlet {
        // What an earlier process left in the spool is newer than what it could tell Kafka.
        let left = self.outbox.last_left(&results.camera).filter(|_| when_full == WhenFull::DropOldest);
        let last = predecessor.last.into_iter().chain(left).max_by_key(|last| (last.epoch, last.seq));
        let gaps = Gaps::new(&results.camera, results.epoch, last, predecessor.claimed);
        KafkaOutlet { publisher: self.clone(), spec, results, when_full, camera, gaps, unsaid: None }
    }

    /// While results find no room, recorded cameras wait in their slots. `None` at the end.
    pub(crate) fn hold_recorded_by(&self, slots: Option<Arc<Slots>>) {
        let hold = slots.map(|slots| -> Hold { Box::new(move |hold| slots.hold_recorded(hold)) });
        self.outbox.hold_by(hold);
    }

    /// Waits until all has arrived, at most `patience`. Gives the results that had not by then.
    pub fn stop(&self, patience: Duration) -> Left {
        let until = Instant::now() + patience;
        let left = self.outbox.stop(patience);
        let statuses = self.statuses.flush(until.saturating_duration_since(Instant::now()));
        if statuses > 0 {
            // The next claim of a camera says more than its last status would have.
            tracing::warn!(statuses, "the last statuses were not acknowledged, and are left out");
        }
        left
    }

    /// Gives one record to the outbox. With [`WhenFull::Block`] room is waited for, until the process stops and a little
    /// longer.
    fn publish<M: Message>(
        &self,
        message: &M,
        epoch: u64,
        frame: Option<FrameAt>,
        when_full: WhenFull,
    ) -> Result<(), Unpublished> {
        let payload = match serde_json::to_vec(message) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(camera = message.key(), schema = M::SCHEMA, %error, "can't be written as JSON");
                return Err(Unpublished);
            }
        };
        let kind = Kind::of_schema(M::SCHEMA).ok_or(Unpublished)?;
        let live = frame.is_some() && when_full == WhenFull::DropOldest;
        let camera = message.key().into();
        let given = Given { kind, camera, epoch, frame, payload: payload.into(), live };
        let can_wait = when_full == WhenFull::Block;
        while !self.outbox.take(given.clone(), can_wait) {
            if !can_wait || !self.waits() {
                return Err(Unpublished);
            }
        }
        Ok(())
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

/// What `spec/1` says of a camera.
#[derive(Clone, Debug)]
pub struct Spec {
    pub camera: Camera,
    pub model: ModelFacts,
}

/// Writes one camera's results to `detections`.
pub struct KafkaOutlet {
    publisher: Publisher,
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
        self.publisher.publish(message, self.results.epoch, None, self.when_full)
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
        let frame = FrameAt { seq: result.seq, skipped: result.skipped.total(), captured_at };
        self.publisher.publish(&result, result.epoch, Some(frame), self.when_full)?;
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
