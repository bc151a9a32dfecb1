//! Claims and statuses to Kafka, by a client of their own.

use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::{Duration, SystemTime};

use sightline_schema::{Camera, CameraState, Message as _, Pod, Status, Timestamp};
use sightline_service::kafka::{
    Delivered, FaultKind, KafkaFault, KafkaSettings, OnDelivery, Producer, SendError,
};

use crate::metrics::PipelineMetrics;
use crate::say::SayAgain;

/// Waits a moment for room; false when it is not worth waiting.
pub(crate) type Waits<'a> = &'a dyn Fn() -> bool;

/// Writes to `camera-status`.
pub(crate) struct Statuses {
    settings: KafkaSettings,
    linger_ms: u32,
    topic: String,
    producer: RwLock<Arc<Producer>>,
    metrics: PipelineMetrics,
    say: Arc<SayAgain>,
}

impl Statuses {
    pub(crate) fn new(
        settings: KafkaSettings,
        linger_ms: u32,
        topic: String,
        metrics: PipelineMetrics,
    ) -> Result<Self, KafkaFault> {
        let producer = RwLock::new(Arc::new(Producer::new(&settings, linger_ms)?));
        Ok(Self { settings, linger_ms, topic, producer, metrics, say: Arc::default() })
    }

    /// The client of the moment.
    pub(crate) fn producer(&self) -> Arc<Producer> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a new client where this one can't go on. Who waits for a claim hears that it was not written.
    pub(crate) fn renew_if_fatal(&self) {
        let Some(fault) = self.producer().fatal() else { return };
        match Producer::new(&self.settings, self.linger_ms) {
            Ok(producer) => {
                tracing::warn!("{fault}; statuses go out by a new client");
                *self.producer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(producer);
            }
            Err(error) => tracing::error!("{fault}, and there is no new one: {error}"),
        }
    }

    /// See [`crate::publish::Publisher::claim`].
    pub(crate) fn claim(
        &self,
        camera: &Camera,
        pod: &str,
        waits: Waits<'_>,
    ) -> mpsc::Receiver<Result<u64, String>> {
        let (answer, claimed) = mpsc::channel();
        let now = Timestamp::from_system_time(SystemTime::now());
        let claim = Status::bare(&camera.id, camera.generation, pod, CameraState::Claimed, now);
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
        self.send(&claim, Some(waits), Some(told));
        claimed
    }

    /// See [`crate::publish::Publisher::status`].
    pub(crate) fn status(&self, status: &Status, waits: Waits<'_>) {
        let waits = (status.state == CameraState::Ended).then_some(waits);
        if !self.send(status, waits, None) {
            tracing::debug!(camera = %status.camera, "the queue to kafka is full; a status is left out");
        }
    }

    /// See [`crate::publish::Publisher::pod`].
    pub(crate) fn pod(&self, topic: &str, name: &str, pod: Option<&Pod>) {
        let Ok(payload) = pod.map(serde_json::to_vec).transpose() else { return };
        let told: OnDelivery = Box::new(|delivered| {
            if let Err(fault) = delivered {
                tracing::debug!("a pod record is lost, and another follows: {fault}");
            }
        });
        let producer = self.producer();
        // What is left out is said again in 5 s.
        let _ = producer.send_or_forget(topic, name, payload.as_deref(), Pod::schema_name(), told);
    }

    /// See [`crate::publish::Publisher::forget`].
    pub(crate) fn forget(&self, camera: &str) {
        let told: OnDelivery = Box::new(|_| {});
        let _ = self.producer().send_or_forget(&self.topic, camera, None, Status::SCHEMA, told);
    }

    /// Waits for acknowledgements. Gives what is still not acknowledged then.
    pub(crate) fn flush(&self, patience: Duration) -> usize {
        self.producer().flush(patience)
    }

    /// Sends one record; `told` hears what became of it, if it was taken.
    fn send(&self, status: &Status, waits: Option<Waits<'_>>, told: Option<OnDelivery>) -> bool {
        let payload = match serde_json::to_vec(status) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(camera = %status.camera, %error, "a status can't be written as JSON");
                return false;
            }
        };
        let (metrics, say) = (self.metrics.clone(), self.say.clone());
        let (camera, topic) = (status.camera.clone(), self.topic.clone());
        let mut on_delivery: OnDelivery = Box::new(move |delivered| {
            metrics.under_way(-1);
            match &delivered {
                Ok(_) => metrics.acknowledged(&topic, None),
                Err(fault) => {
                    metrics.refused(&topic);
                    // What a stop leaves behind is said in one sentence, with its number.
                    if fault.kind != FaultKind::Purged && say.now("refused") {
                        tracing::error!(camera, code = fault.kind.code(), "a status is lost: {fault}");
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
            let sent =
                self.producer().send(&self.topic, &status.key(), &payload, Status::SCHEMA, on_delivery);
            let Err(refused) = sent else { return true };
            self.metrics.under_way(-1);
            match refused.error {
                SendError::QueueFull if waits.is_some_and(|waits| waits()) => {
                    on_delivery = refused.on_delivery;
                }
                SendError::QueueFull => return false,
                SendError::Fatal(fault) | SendError::Other(fault) => {
                    self.metrics.refused(&self.topic);
                    if self.say.now("refused") {
                        tracing::error!(
                            camera = %status.camera, code = fault.kind.code(), "a status is lost: {fault}"
                        );
                    }
                    return false;
                }
            }
        }
    }
}
