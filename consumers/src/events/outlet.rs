//! Events on their way to Kafka. What is not acknowledged yet holds the checkpoint back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sightline_schema::{Event, Message as _, Topics};
use sightline_service::kafka::{
    KafkaSettings, LOW_LATENCY_LINGER_MS, OnDelivery, Producer, Reader, Refused, SendError,
};

use super::metrics::Happened;
use crate::checkpointed::Outlet;
use crate::runner::WorkError;

/// How long events may wait for their acknowledgement where others wait for the partitions.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// To the topic `events`.
pub struct EventsOutlet {
    producer: Producer,
    topic: String,
    failed: Arc<AtomicBool>,
    json: Vec<u8>,
    counted: Arc<Happened>,
}

impl EventsOutlet {
    pub fn new(settings: &KafkaSettings, topics: &Topics, counted: Arc<Happened>) -> Result<Self, WorkError> {
        let producer = Producer::new(settings, LOW_LATENCY_LINGER_MS)?;
        Ok(Self { producer, topic: topics.events(), failed: Arc::default(), json: Vec::new(), counted })
    }
}

impl Outlet for EventsOutlet {
    type Item = Event;

    /// Takes an event; waits while the client's queue is full.
    fn send(&mut self, event: Event) -> Result<(), WorkError> {
        self.counted.count(event.kind);
        self.json.clear();
        serde_json::to_writer(&mut self.json, &event)
            .map_err(|error| WorkError::Final(format!("the event {} can't be written: {error}", event.id)))?;
        let failed = Arc::clone(&self.failed);
        let mut on_delivery: OnDelivery = Box::new(move |outcome| {
            if let Err(fault) = outcome {
                failed.store(true, Ordering::SeqCst);
                tracing::warn!("an event was not acknowledged: {fault}");
            }
        });
        let kind = format!("sightline.{}", event.kind);
        let source = format!("/sightline/cameras/{}", event.camera);
        let at = event.at.to_string();
        let schema = format!("urn:sightline:schema:{}", Event::SCHEMA);
        // The Kafka protocol binding of CloudEvents 1.0, binary mode.
        let mut headers = vec![
            ("ce_specversion", "1.0"),
            ("ce_id", event.id.as_str()),
            ("ce_type", kind.as_str()),
            ("ce_source", source.as_str()),
            ("ce_time", at.as_str()),
            ("ce_dataschema", schema.as_str()),
        ];
        headers.extend(event.track_key.as_deref().map(|key| ("ce_subject", key)));
        loop {
            let sent = self.producer.send_with(
                &self.topic,
                &event.camera,
                &self.json,
                (Event::SCHEMA, &headers),
                on_delivery,
            );
            match sent {
                Ok(()) => return Ok(()),
                Err(Refused { error: SendError::QueueFull, on_delivery: back }) => {
                    on_delivery = back;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Refused { error, .. }) => return Err(WorkError::Again(error.to_string())),
            }
        }
    }

    /// Waits until all are acknowledged: as long as it takes, unless others wait.
    fn flush(&mut self, reader: &Reader) -> Result<(), WorkError> {
        let mut asked: Option<Instant> = None;
        while self.producer.flush(LOOK) > 0 {
            if reader.is_waited_for() && asked.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                return Err(WorkError::Again("events are not acknowledged, and others wait".to_owned()));
            }
            if let Some(fault) = self.producer.fatal() {
                return Err(fault.into());
            }
        }
        if self.failed.load(Ordering::SeqCst) {
            return Err(WorkError::Again("events were not acknowledged".to_owned()));
        }
        Ok(())
    }
}
