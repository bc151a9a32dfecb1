//! What is made of partitions of `detections` by rules that remember: the memory is kept in checkpoints, together with how far
//! was read, once what came of it has gone out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::Topics;
use sightline_service::kafka::{Batch, DeadLetters, KafkaSettings, Partition, Reader, Record};
use sightline_service::trace::OpenSpan;

use crate::checkpoint::Checkpoints;
use crate::partition::{CameraMemory, PartitionState, Taken};
use crate::runner::{Metrics, PassedOver, Work, WorkError};
use crate::seen::{Seen, UnreadableRecord};

/// A checkpoint is written this often…
const EVERY: Duration = Duration::from_secs(5);
/// … or after so many records.
const RECORDS: usize = 10_000;
/// So many may be refused in a row before all is begun anew.
const REFUSALS: u32 = 3;

/// Where what comes of records goes.
pub trait Outlet {
    type Item;

    /// Work on a record begins, where it is sampled: what comes of it is sent under this.
    fn begin(&self, _: &Batch, _: &Record<'_>) -> Option<Arc<OpenSpan>> {
        None
    }

    /// Takes one; may wait. `of` is the work that it comes of, where that is sampled.
    fn send(&mut self, item: Self::Item, of: Option<&Arc<OpenSpan>>) -> Result<(), WorkError>;

    /// Waits until all that was sent is durable: as long as it takes, unless others wait for the partitions.
    fn flush(&mut self, reader: &Reader) -> Result<(), WorkError>;
}

/// A [`Work`] by the rules of `C`.
pub struct Checkpointed<C: CameraMemory, O> {
    topic: String,
    checkpoints: Checkpoints,
    outlet: O,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
    held: BTreeMap<Partition, Held<C>>,
    /// Since the last checkpoint.
    records: usize,
    last: Instant,
    /// Checkpoints refused in a row.
    refusals: u32,
    came: Vec<C::Out>,
}

struct Held<C> {
    state: PartitionState<C>,
    /// The first offset not taken; `None` before the first record.
    next: Option<i64>,
}

impl<C: CameraMemory, O: Outlet<Item = C::Out>> Checkpointed<C, O> {
    /// `consumer` names its checkpoints; `process` is this one alone.
    pub fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        (consumer, process): (&str, &str),
        outlet: O,
        metrics: Arc<Metrics>,
    ) -> Result<Self, WorkError> {
        Ok(Self {
            topic: topics.detections(),
            checkpoints: Checkpoints::new(settings, topics, consumer, process),
            outlet,
            dead_letters: DeadLetters::new(settings, topics.dead_letter())?,
            metrics,
            held: BTreeMap::new(),
            records: 0,
            last: Instant::now(),
            refusals: 0,
            came: Vec::new(),
        })
    }

    fn take_one(
        &mut self,
        batch: &Batch,
        partition: &Partition,
        record: &Record<'_>,
    ) -> Result<(), WorkError> {
        let Some(held) = self.held.get_mut(partition) else { return Ok(()) };
        held.next = Some(record.offset + 1);
        self.records += 1;
        // A tombstone is of nobody here.
        let Some(value) = record.value else { return Ok(()) };
        let span = self.outlet.begin(batch, record);
        let _entered = span.as_ref().map(|span| span.enter());
        match Seen::parse(value, record.schema) {
            Ok(seen) => {
                let over = match held.state.take(&seen, record.offset, record.timestamp_ms, &mut self.came) {
                    Taken::Accepted => None,
                    Taken::Late => Some(PassedOver::Late),
                    Taken::Repeat => Some(PassedOver::Repeat),
                    Taken::Backwards => Some(PassedOver::Backwards),
                    Taken::NotTakenUp => Some(PassedOver::NotTakenUp),
                };
                over.iter().for_each(|reason| self.metrics.passes_over(*reason, batch, record));
            }
            Err(UnreadableRecord::Unknown(_)) => {
                self.metrics.passes_over(PassedOver::Unknown, batch, record);
            }
            Err(error) => {
                self.dead_letters.send(&batch.tailed(record), &error.to_string());
                self.metrics.passed_over(PassedOver::Unreadable);
            }
        }
        self.came.drain(..).try_for_each(|item| self.outlet.send(item, span.as_ref()))
    }
}

impl<C: CameraMemory, O: Outlet<Item = C::Out>> Work for Checkpointed<C, O> {
    fn assigned(&mut self, partitions: &[Partition]) -> Result<(), WorkError> {
        let began = Instant::now();
        let numbers: Vec<i32> = partitions.iter().map(|(_, number)| *number).collect();
        for partition in partitions {
            let held = Held { state: PartitionState::new(), next: None };
            self.held.insert(partition.clone(), held);
        }
        let Self { held, checkpoints, topic, .. } = self;
        checkpoints.restore(&numbers, |number, camera, kept| {
            let Some(held) = held.get_mut(&(topic.clone(), number)) else { return Ok(()) };
            held.state.restore(camera, &kept).map_err(|error| {
                WorkError::Final(format!(
                    "the checkpoint of {camera} can't be read: {error}; run the version that wrote it, or begin anew under \
                     another --group"
                ))
            })
        })?;
        let cameras: usize = self.held.values().map(|held| held.state.cameras()).sum();
        tracing::info!(
            partitions = partitions.len(),
            cameras,
            ms = began.elapsed().as_millis() as u64,
            "taken up where they were left"
        );
        Ok(())
    }

    fn take(&mut self, batch: &Batch, _: &Reader) -> Result<(), WorkError> {
        let partition = (batch.topic.to_string(), batch.partition);
        batch.records().try_for_each(|record| self.take_one(batch, &partition, &record))
    }

    fn is_due(&self) -> bool {
        (self.records >= RECORDS && self.refusals == 0) || (self.records > 0 && self.last.elapsed() >= EVERY)
    }

    fn commit(&mut self, reader: &Reader) -> Result<(), WorkError> {
        if self.records == 0 {
            return Ok(());
        }
        self.outlet.flush(reader)?;
        self.dead_letters.wait()?;
        for ((_, number), held) in &mut self.held {
            let Some(next) = held.next else { continue };
            for (camera, kept) in held.state.changes() {
                self.checkpoints.keep(*number, &camera, kept.as_ref(), next);
            }
        }
        let next = self.held.iter().filter_map(|(partition, held)| Some((partition, held.next?)));
        self.last = Instant::now();
        match self.checkpoints.save(reader, next, &self.metrics) {
            Ok(()) => {
                (self.records, self.refusals) = (0, 0);
                Ok(())
            }
            // The group may have gone on to another generation meanwhile; what is kept is written with the next.
            Err(WorkError::Again(why)) if self.refusals < REFUSALS && !reader.is_waited_for() => {
                self.refusals += 1;
                tracing::warn!("a checkpoint was not written, and will be: {why}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn forget(&mut self, partitions: &[Partition]) {
        let numbers: Vec<i32> = partitions.iter().map(|(_, number)| *number).collect();
        self.checkpoints.forget(&numbers);
        partitions.iter().for_each(|partition| drop(self.held.remove(partition)));
    }
}
