//! `events` → rows of `events` and `tracks`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::{Event, EventType, Message as _, Topics};
use sightline_service::database::DatabaseFault;
use sightline_service::kafka::{Batch, DeadLetters, KafkaSettings, Partition, Reader, Record, Tailed};
use sightline_service::trace::{OpenSpan, Tracer};

use super::event_rows::{EventRow, EventRows};
use super::job_rows::DoneRows;
use super::track_rows::{TrackRow, TrackRows};
use super::writer::RowWriter;
use crate::runner::{Metrics, PassedOver, Work, WorkError};

/// Rows are written when so many are there…
const ROWS: usize = 5_000;
/// … or so long after the first came.
const EVERY: Duration = Duration::from_millis(500);

/// What `consume store` does with partitions of `events`. The offsets are committed when the rows are in the database.
pub struct StoreEvents {
    topic: String,
    writer: RowWriter,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    /// Events that are sampled, from their being read to their rows being there.
    spans: Vec<OpenSpan>,
    /// The first offset not taken, of partitions that were read since they were assigned.
    next: BTreeMap<Partition, i64>,
    events: Vec<EventRow>,
    /// Those that say that a job is whole: behind all others, since older attempts' rows go with them.
    done: Vec<EventRow>,
    tracks: Vec<TrackRow>,
    /// Since the first that is not committed.
    since: Option<Instant>,
}

impl StoreEvents {
    pub fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        writer: RowWriter,
        metrics: Arc<Metrics>,
        tracer: Tracer,
    ) -> Result<Self, WorkError> {
        Ok(Self {
            topic: topics.events(),
            writer,
            dead_letters: DeadLetters::new(settings, topics.dead_letter())?,
            metrics,
            tracer,
            spans: Vec::new(),
            next: BTreeMap::new(),
            events: Vec::new(),
            done: Vec::new(),
            tracks: Vec::new(),
            since: None,
        })
    }

    fn take_one(&mut self, batch: &Batch, record: &Record<'_>) {
        let Some(value) = record.value else { return };
        if record.schema.is_some_and(|schema| schema != Event::SCHEMA) {
            return self.metrics.passes_over(PassedOver::Unknown, batch, record);
        }
        let span = self.tracer.consume("store", batch, record);
        let _entered = span.as_ref().map(OpenSpan::enter);
        let event = serde_json::from_slice::<Event>(value).map_err(|error| error.to_string());
        let rows = event.and_then(|event| {
            Ok((TrackRow::of(&event)?, EventRow::of(event, (batch.partition, record.offset))?))
        });
        match rows {
            Ok((track, event)) => {
                span.iter().for_each(|span| span.set("sightline.event", &*event.event.id));
                self.spans.extend(span);
                match event.event.kind {
                    EventType::JobDone => self.done.push(event),
                    _ => self.events.push(event),
                }
                self.tracks.extend(track);
            }
            Err(why) => {
                let why =
                    format!("the record is not a valid {}; look at what wrote it: {why}", Event::SCHEMA);
                span.iter().for_each(|span| span.fail(&why));
                self.dead_letters.send(&batch.tailed(record), &why);
                self.metrics.passed_over(PassedOver::Unreadable);
            }
        }
    }
}

impl Work for StoreEvents {
    fn assigned(&mut self, _: &[Partition]) -> Result<(), WorkError> {
        Ok(())
    }

    fn take(&mut self, batch: &Batch, _: &Reader) -> Result<(), WorkError> {
        batch.records().for_each(|record| self.take_one(batch, &record));
        if let Some(last) = batch.records().next_back() {
            self.next.insert((batch.topic.to_string(), batch.partition), last.offset + 1);
            self.since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.events.len() + self.done.len() >= ROWS
            || self.since.is_some_and(|since| since.elapsed() >= EVERY)
    }

    fn commit(&mut self, reader: &Reader) -> Result<(), WorkError> {
        if self.since.is_none() {
            return Ok(());
        }
        let written = self.write(reader);
        // Rows are there before the offset is committed, and stay where it is not.
        for span in self.spans.drain(..) {
            match &written {
                Ok(()) => span.set("sightline.outcome", "stored"),
                Err(error) => span.fail(&error.to_string()),
            }
        }
        written?;
        self.since = None;
        match reader.commit(self.next.iter().map(|(partition, next)| (partition, *next))) {
            Ok(()) => {
                self.metrics.commits.inc();
                Ok(())
            }
            Err(fault) => {
                self.metrics.commits_refused.inc();
                Err(fault.into())
            }
        }
    }

    fn forget(&mut self, partitions: &[Partition]) {
        self.next.retain(|partition, _| !partitions.contains(partition));
    }
}

impl StoreEvents {
    /// Writes what was taken, for as long as it takes.
    fn write(&mut self, reader: &Reader) -> Result<(), WorkError> {
        let Self { topic, writer, dead_letters, metrics, .. } = self;
        let mut refused = |row: &EventRow, fault: &DatabaseFault| {
            let value = serde_json::to_vec(&row.event).unwrap_or_default();
            let record =
                Tailed::bare(topic, row.place, None, Some(row.event.camera.as_bytes()), Some(&value));
            dead_letters.send(&record, &fault.to_string());
            metrics.passed_over(PassedOver::Unreadable);
        };
        writer.write::<EventRows>(&mut self.events, reader, &mut refused)?;
        writer.write::<TrackRows>(&mut self.tracks, reader, |_, _| {})?;
        writer.write::<DoneRows>(&mut self.done, reader, &mut refused)?;
        dead_letters.wait()?;
        self.events.clear();
        self.done.clear();
        self.tracks.clear();
        Ok(())
    }
}
