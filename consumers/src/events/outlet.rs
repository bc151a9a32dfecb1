//! Events on their way to Kafka. What is not acknowledged yet holds the checkpoint back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sightline_schema::{Event, HEADER_TRACEPARENT, Message as _, Topics};
use sightline_service::kafka::{
    Batch, KafkaSettings, LOW_LATENCY_LINGER_MS, OnDelivery, Producer, Reader, Record, Refused, SendError,
};
use sightline_service::trace::{OpenSpan, Tracer};

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
    tracer: Tracer,
}

impl EventsOutlet {
    /// Work on sampled records is told to `tracer`.
    pub fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        counted: Arc<Happened>,
        tracer: Tracer,
    ) -> Result<Self, WorkError> {
        let producer = Producer::new(settings, LOW_LATENCY_LINGER_MS)?;
        Ok(Self {
            producer,
            topic: topics.events(),
            failed: Arc::default(),
            json: Vec::new(),
            counted,
            tracer,
        })
    }
}

impl Outlet for EventsOutlet {
    type Item = Event;

    /// From a record of `detections` to the acknowledgement of all events that come of it.
    fn begin(&self, batch: &Batch, record: &Record<'_>) -> Option<Arc<OpenSpan>> {
        self.tracer.consume("consume events", batch, record).map(Arc::new)
    }

    /// Takes an event; waits while the client's queue is full.
    fn send(&mut self, event: Event, of: Option<&Arc<OpenSpan>>) -> Result<(), WorkError> {
        self.counted.count(event.kind);
        self.json.clear();
        serde_json::to_writer(&mut self.json, &event)
            .map_err(|error| WorkError::Final(format!("the event {} can't be written: {error}", event.id)))?;
        let (failed, id, span) = (Arc::clone(&self.failed), event.id.clone(), of.cloned());
        let traceparent = of.map(|span| span.context().to_string());
        let mut on_delivery: OnDelivery = Box::new(move |outcome| {
            let _entered = span.as_ref().map(|span| span.enter());
            match (outcome, &span) {
                (Ok(_), Some(span)) => span.set("sightline.event", id),
                (Ok(_), None) => {}
                (Err(fault), span) => {
                    failed.store(true, Ordering::SeqCst);
                    span.iter().for_each(|span| span.fail(&fault.to_string()));
                    tracing::warn!(event = id, "an event was not acknowledged: {fault}");
                }
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
        headers.extend(traceparent.as_deref().map(|traceparent| (HEADER_TRACEPARENT, traceparent)));
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
