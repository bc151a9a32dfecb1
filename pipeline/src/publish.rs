//! Results and marks into the outbox, claims and statuses to Kafka: in order per camera, accounted for.

use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sightline_schema::{Camera, GapAfter, Message, Pod, SkipReason, Status, Topics};
use sightline_service::kafka::{KafkaFault, KafkaSettings, LinkState};
use sightline_service::shutdown::Shutdown;

use crate::batch::{Slots, WhenFull};
use crate::lane::Unpublished;
use crate::metrics::PipelineMetrics;
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

    /// A camera's last result that an earlier process left in the spool: newer than what it could tell Kafka.
    pub(crate) fn last_left(&self, camera: &str) -> Option<GapAfter> {
        self.outbox.last_left(camera)
    }

    /// Writes what this pod is; `None` says that it ended.
    pub fn pod(&self, topic: &str, name: &str, pod: Option<&Pod>) {
        self.statuses.pod(topic, name, pod);
    }

    /// Forgets what a camera that is no longer registered had as a status.
    pub fn forget(&self, camera: &str) {
        self.statuses.forget(camera);
    }

    /// Waits until all that this camera gave so far is acknowledged. False when it is not in time.
    pub(crate) fn wait_for_arrival(&self, camera: &str, patience: Duration) -> bool {
        self.outbox.wait_for_arrival(camera, patience)
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
    pub(crate) fn publish<M: Message>(
        &self,
        message: &M,
        epoch: u64,
        frame: Option<FrameAt>,
        when_full: WhenFull,
    ) -> Result<(), Unpublished> {
        let payload = match serde_json::to_vec(message) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(camera = %message.key(), schema = M::SCHEMA, %error, "can't be written as JSON");
                return Err(Unpublished(SkipReason::Unpublished));
            }
        };
        let kind = Kind::of_schema(M::SCHEMA).ok_or(Unpublished(SkipReason::Unpublished))?;
        let live = frame.is_some() && when_full == WhenFull::DropOldest;
        let camera = message.key().into();
        let given = Given { kind, camera, epoch, frame, payload: payload.into(), live };
        let can_wait = when_full == WhenFull::Block;
        while !self.outbox.take(given.clone(), can_wait) {
            if !can_wait || !self.waits() {
                return Err(Unpublished(SkipReason::Unpublished));
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
