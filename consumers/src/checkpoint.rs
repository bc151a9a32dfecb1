//! State and offset move together: what a consumer knows of each camera is written in one transaction with how far it read.
//!
//! The generation of the group fences it: a consumer that was replaced while it slept writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sightline_schema::{Checkpoint, Message as _, Timestamp, Topics};
use sightline_service::kafka::{
    KafkaSettings, Partition, Reader, Write, WriteError, Writer, read_partitions,
};

use crate::runner::{Metrics, WorkError};

/// Reading what a predecessor left, a transaction that it left open included.
const RESTORE: Duration = Duration::from_secs(60);
/// Waiting for the coordinator of transactions.
const BEGIN: Duration = Duration::from_secs(10);

/// What is kept of one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub epoch: u64,
    pub captured_at: Option<Timestamp>,
    pub heard_at: Option<Timestamp>,
    /// Its first byte is the version of the rest.
    pub state: Vec<u8>,
}

/// The checkpoints of one consumer.
pub struct Checkpoints {
    settings: KafkaSettings,
    topic: String,
    consumer: String,
    writer_name: String,
    writer: Option<Writer>,
    /// What changed since it was last written, by partition and camera; `None` of one that is forgotten.
    unsaved: BTreeMap<(i32, String), Option<Checkpoint>>,
}

impl Checkpoints {
    /// `consumer` goes before each key; `process` makes the writer's name one of its own.
    pub fn new(settings: &KafkaSettings, topics: &Topics, consumer: &str, process: &str) -> Self {
        Self {
            settings: settings.clone(),
            topic: topics.checkpoints(),
            consumer: consumer.to_owned(),
            writer_name: topics.consumer_writer(consumer, process),
            writer: None,
            unsaved: BTreeMap::new(),
        }
    }

    /// Shows `each` what was kept of these partitions, the last of each camera. A transaction that a predecessor left open is
    /// waited for.
    pub fn restore(
        &self,
        partitions: &[i32],
        mut each: impl FnMut(i32, &str, Kept) -> Result<(), WorkError>,
    ) -> Result<(), WorkError> {
        let mut found: BTreeMap<(i32, String), Vec<u8>> = BTreeMap::new();
        read_partitions(&self.settings, &self.topic, partitions, RESTORE, |record| {
            let Some(key) = record.id() else { return };
            let Some(camera) = self.camera_of(key) else { return };
            let at = (record.partition, camera.to_owned());
            match record.value {
                Some(value) => found.insert(at, value.to_vec()),
                None => found.remove(&at),
            };
        })?;
        for ((partition, camera), value) in found {
            let kept = read(&value).map_err(|why| {
                WorkError::Final(format!(
                    "the checkpoint {}/{camera} on partition {partition} of {} can't be read: {why}; a newer version \
                     wrote it, or something else did: use that version, or begin anew under another --group",
                    self.consumer, self.topic
                ))
            })?;
            each(partition, &camera, kept)?;
        }
        Ok(())
    }

    /// Keeps what changed until the next `save`; `None` of a camera that is forgotten. `offset` is the first that the state does
    /// not know of.
    pub fn keep(&mut self, partition: i32, camera: &str, kept: Option<&Kept>, offset: i64) {
        let checkpoint = kept.map(|kept| Checkpoint {
            of: self.key(camera),
            offset,
            epoch: kept.epoch,
            captured_at: kept.captured_at,
            heard_at: kept.heard_at,
            state: STANDARD.encode(&kept.state),
        });
        self.unsaved.insert((partition, camera.to_owned()), checkpoint);
    }

    /// Writes what was kept, and `next`, the first offset of each partition that was not done. A refused one stays to be
    /// written with the next.
    pub fn save<'p>(
        &mut self,
        reader: &Reader,
        next: impl IntoIterator<Item = (&'p Partition, i64)>,
        metrics: &Metrics,
    ) -> Result<(), WorkError> {
        // Before anything else: it says who wrote, and is refused if somebody took over since.
        let Some(position) = reader.position(next) else {
            return Err(WorkError::Again(
                "this process is not a member of its group at the moment".to_owned(),
            ));
        };
        let mut writes = Vec::with_capacity(self.unsaved.len());
        for ((partition, camera), checkpoint) in &self.unsaved {
            let mut write = match checkpoint {
                Some(checkpoint) => Write::of(self.topic.clone(), checkpoint)
                    .map_err(|error| WorkError::Final(format!("a checkpoint can't be written: {error}")))?,
                None => Write::tombstone(self.topic.clone(), self.key(camera), Checkpoint::SCHEMA),
            };
            write.partition = Some(*partition);
            writes.push(write);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::new(&self.settings, &self.writer_name, BEGIN)?),
        };
        match writer.write(&writes, Some(position.offsets())) {
            Ok(_) => {
                metrics.commits.inc();
                self.unsaved.clear();
                Ok(())
            }
            Err(error) => {
                metrics.commits_refused.inc();
                if !matches!(error, WriteError::Refused(_)) {
                    self.writer = None;
                }
                Err(WorkError::Again(error.to_string()))
            }
        }
    }

    /// These partitions are not held any more.
    pub fn forget(&mut self, partitions: &[i32]) {
        self.unsaved.retain(|(partition, _), _| !partitions.contains(partition));
    }

    fn key(&self, camera: &str) -> String {
        format!("{}/{camera}", self.consumer)
    }

    fn camera_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.consumer.as_str())?.strip_prefix('/')
    }
}

fn read(value: &[u8]) -> Result<Kept, String> {
    let checkpoint: Checkpoint = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let state = STANDARD.decode(&checkpoint.state).map_err(|error| error.to_string())?;
    let Checkpoint { epoch, captured_at, heard_at, .. } = checkpoint;
    Ok(Kept { epoch, captured_at, heard_at, state })
}
