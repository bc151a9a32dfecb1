//! Results, marks and statuses to Kafka: in order per camera, acknowledged, accounted for.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use sightline_schema::{
    Camera, CameraState, Clock, Message, ModelFacts, SpecRecord, Status, StreamRecord, StreamState, Tick, Timestamp, Topics,
};
use sightline_service::kafka::{Producer, SendError};
use sightline_service::shutdown::Shutdown;

use crate::batch::WhenFull;
use crate::frame::{End, Mark};
use crate::lane::{Outlet, Tracked, Unpublished};
use crate::metrics::{CameraMetrics, PipelineMetrics};
use crate::result::ResultFacts;

/// How long a full queue is waited for at a time; a stop is noticed in between.
const RETRY: Duration = Duration::from_millis(20);

/// The process's one way to Kafka. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    producer: Arc<Producer>,
    topics: Topics,
    metrics: PipelineMetrics,
    shutdown: Shutdown,
}

impl Publisher {
    pub fn new(producer: Arc<Producer>, topics: Topics, metrics: PipelineMetrics, shutdown: Shutdown) -> Self {
        Self { producer, topics, metrics, shutdown }
    }

    /// Writes a camera's claim. The offset that arrives is its epoch; nothing arrives until a broker
    /// acknowledged it.
    pub fn claim(&self, camera: &Camera, pod: &str) -> mpsc::Receiver<Result<u64, String>> {
        let (answer, claimed) = mpsc::channel();
        let status = Status {
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
        let Ok(payload) = serde_json::to_vec(&status) else { return claimed };
        let topic = self.topics.camera_status();
        let refused = answer.clone();
        let sent = self.producer.send(
            &topic,
            &camera.id,
            &payload,
            Status::schema_name(),
            Box::new(move |delivered| {
                // A receiver that is gone no longer wants the claim.
                let _ = answer.send(match delivered {
                    Ok(delivered) => u64::try_from(delivered.offset).map_err(|_| "the broker gave no offset".into()),
                    Err(error) => Err(error.to_string()),
                });
            }),
        );
        if let Err(error) = sent {
            let _ = refused.send(Err(error.error.to_string()));
        }
        claimed
    }

    /// Writes a status. One that finds the queue full is dropped: a later one says more.
    pub fn status(&self, status: &Status) {
        if self.send(&self.topics.camera_status(), status, None, WhenFull::DropOldest).is_err() {
            tracing::debug!(camera = %status.camera, "the queue to kafka is full; a status is left out");
        }
    }

    /// The outlet of one camera and epoch.
    pub fn outlet(&self, spec: Spec, results: ResultFacts, when_full: WhenFull, camera: Arc<CameraMetrics>) -> KafkaOutlet {
        let topic = self.topics.detections();
        KafkaOutlet { publisher: self.clone(), topic, spec, results, when_full, camera, unsaid: None }
    }

    /// Hands what is under way to Kafka. Gives what is still not acknowledged then.
    pub fn flush(&self, patience: Duration) -> usize {
        self.producer.flush(patience)
    }

    /// Sends one record. With [`WhenFull::Block`] a full queue is waited for until the process stops.
    fn send<M: Message>(
        &self,
        topic: &str,
        message: &M,
        captured_at: Option<Timestamp>,
        when_full: WhenFull,
    ) -> Result<(), Unpublished> {
        let payload = match serde_json::to_vec(message) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(camera = message.camera(), schema = M::SCHEMA, %error, "can't be written as JSON");
                return Err(Unpublished);
            }
        };
        let metrics = self.metrics.clone();
        let (camera, name) = (message.camera().to_owned(), topic.to_owned());
        let mut on_delivery: sightline_service::kafka::OnDelivery = Box::new(move |delivered| match delivered {
            Ok(_) => metrics.acknowledged(&name, captured_at.map(since)),
            Err(error) => {
                metrics.refused(&name);
                tracing::error!(%camera, topic = %name, %error, "kafka did not take a record");
            }
        });
        loop {
            match self.producer.send(topic, message.camera(), &payload, M::SCHEMA, on_delivery) {
                Ok(()) => {
                    self.metrics.in_flight(self.producer.in_flight());
                    return Ok(());
                }
                Err(refused) if refused.error == SendError::QueueFull => {
                    if when_full == WhenFull::DropOldest || self.shutdown.wait_timeout(RETRY) {
                        return Err(Unpublished);
                    }
                    on_delivery = refused.on_delivery;
                }
                Err(refused) => {
                    self.metrics.refused(topic);
                    tracing::error!(camera = message.camera(), topic, error = %refused.error, "kafka did not take a record");
                    return Err(Unpublished);
                }
            }
        }
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
    /// A start that found the queue full: said before the next frame, since readers need it first.
    unsaid: Option<(Clock, Timestamp)>,
}

impl KafkaOutlet {
    fn say<M: Message>(&self, message: &M) -> Result<(), Unpublished> {
        self.publisher.send(&self.topic, message, None, self.when_full)
    }

    fn stream(&self, state: StreamState, clock: Clock, at: Timestamp, complete: Option<bool>) -> Result<(), Unpublished> {
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
        let result = self.results.result(tracked);
        self.publisher.send(&self.topic, &result, live.then_some(captured_at), self.when_full)
    }

    fn mark(&mut self, mark: &Mark) {
        let said = match *mark {
            Mark::Started { clock, at } => self.start(clock, at),
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
