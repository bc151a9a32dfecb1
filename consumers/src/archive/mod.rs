//! `detections` and `events` → Parquet files, each record in them once.
//!
//! A batch is announced in the group's own offsets before the first of its files is written, and committed after the last
//! is durable (`docs/adr/0011-archive.md`).

mod batch;
mod keep;
mod metrics;
mod names;
mod note;
mod owner;
mod rows;
mod store;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sightline_service::health::Health;
use sightline_service::kafka::{Batch, Partition, Reader, Record, fault_point};
use sightline_service::shutdown::Shutdown;

use self::batch::{MOST_FILES, Open, Source};
pub use self::keep::{Keep, Keeper};
pub use self::metrics::Archived;
use self::note::Announced;
pub use self::rows::Kind;
use self::rows::{Content, Row};
pub use self::store::{PlaceError, Store};
use self::writing::{Pending, Writing};
use crate::runner::{Metrics, Work, WorkError};

/// What open batches may hold together; the largest is written when they hold more.
const MOST_OPEN: usize = 128 << 20;
/// One that can't be read is worth a line in this time.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// When a batch is written.
#[derive(Clone, Copy, Debug)]
pub struct Rolling {
    pub records: u64,
    /// As they were read.
    pub bytes: u64,
    /// Even where little came: what is in a batch is not to be seen yet.
    pub after: Duration,
    /// Cameras are spread over so many folders.
    pub buckets: u32,
}

/// What the archive of a topic needs.
#[derive(Clone)]
pub struct Options {
    pub kind: Kind,
    pub topic: String,
    /// The consumer group, as Kafka knows it.
    pub group: String,
    pub store: Store,
    pub rolling: Rolling,
    pub counted: Arc<Archived>,
    pub health: Health,
    /// The store's part of the process's health.
    pub part: &'static str,
    pub shutdown: Shutdown,
    /// Set while partition 0 is held, and the place is known to be ours.
    pub on_duty: Arc<AtomicBool>,
}

/// What `consume archive` does with the partitions of one topic.
pub struct Archive {
    options: Options,
    held: BTreeMap<Partition, Held>,
    writing: Writing,
    unreadable: Unreadable,
}

#[derive(Default)]
struct Held {
    /// What stands beside the committed offset was looked up.
    known: bool,
    /// The batch that comes has to end there: a predecessor announced it.
    announced: Option<Announced>,
    open: Option<Open>,
}

#[derive(Default)]
struct Unreadable {
    said: Option<Instant>,
    held_back: u64,
}

impl Archive {
    pub fn new(options: &Options, metrics: &Arc<Metrics>) -> Self {
        Self {
            options: options.clone(),
            held: BTreeMap::new(),
            writing: Writing::new(options, Arc::clone(metrics)),
            unreadable: Unreadable::default(),
        }
    }

    /// Looks up what stands beside the committed offsets of partitions that came.
    fn learn(&mut self, reader: &Reader) -> Result<(), WorkError> {
        let unknown: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| !held.known)
            .map(|(partition, _)| partition.clone())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for committed in reader.committed(&unknown)? {
            let Some(held) = self.held.get_mut(&committed.partition) else { continue };
            held.known = true;
            let Some(first) = committed.next else { continue };
            let (topic, partition) = &committed.partition;
            held.announced = Announced::read(first, &committed.note).map_err(|error| {
                WorkError::Final(format!(
                    "partition {partition} of {topic}: {error}; use the version that wrote it, or begin anew under another --group \
                     and another --to"
                ))
            })?;
            if let Some(announced) = &held.announced {
                tracing::info!(
                    topic,
                    partition,
                    first,
                    last = announced.last,
                    "a batch was announced and not committed; the same is made again"
                );
            }
        }
        Ok(())
    }

    fn take_one(
        &mut self,
        partition: &Partition,
        record: &Record<'_>,
        reader: &Reader,
    ) -> Result<(), WorkError> {
        let Some(held) = self.held.get(partition) else { return Ok(()) };
        // The end of what was announced is gone from the topic: what there was of it is the batch.
        if held.announced.is_some_and(|announced| record.offset > announced.last) {
            self.write(std::slice::from_ref(partition), reader)?;
        }
        let Self { options, held, .. } = self;
        let Some(held) = held.get_mut(partition) else { return Ok(()) };
        let row = Row::read(record.value, record.schema);
        options.counted.taken(options.kind, &row.content);
        if let Content::Raw(_, why) = &row.content {
            self.unreadable.say(partition, record.offset, why);
        }
        let announced = held.announced;
        let open = held.open.get_or_insert_with(|| {
            let source = Source { kind: options.kind, topic: partition.0.clone(), partition: partition.1 };
            let buckets = announced.map_or(options.rolling.buckets, |announced| announced.buckets);
            let first = announced.map_or(record.offset, |announced| announced.first);
            Open::new(source, buckets, first, Instant::now())
        });
        open.push(record, &row)?;
        let is_complete = match announced {
            Some(announced) => record.offset == announced.last,
            None => is_large(open, &options.rolling),
        };
        if is_complete && !self.writing.has(partition) && (announced.is_some() || !self.writing.is_waiting())
        {
            self.write(std::slice::from_ref(partition), reader)?;
        }
        Ok(())
    }

    /// Announces the open batches of these partitions, seals them, and tries to write them. Where the announcement is refused
    /// they stay open.
    fn write(&mut self, partitions: &[Partition], reader: &Reader) -> Result<(), WorkError> {
        let mut announcements = Vec::new();
        for partition in partitions {
            let Some(Held { announced: None, open: Some(open), .. }) = self.held.get(partition) else {
                continue;
            };
            let announced = Announced { first: open.first, last: open.last, buckets: open.buckets() };
            announcements.push((partition, open.first, announced.to_string()));
        }
        if !announcements.is_empty() && !self.writing.commit(reader, announcements)? {
            return Ok(());
        }
        fault_point("archive-announced");
        for partition in partitions {
            let Some(held) = self.held.get_mut(partition) else { continue };
            let announced = held.announced.take();
            let Some(mut open) = held.open.take() else { continue };
            // Its name, whatever is left of it.
            open.last = announced.map_or(open.last, |announced| announced.last);
            let (last, is_repeat) = (open.last, announced.is_some());
            let files = open.seal()?;
            self.writing.push(Pending { partition: partition.clone(), last, is_repeat, files });
        }
        self.writing.attempt(reader)
    }

    /// Whose batches are written now.
    fn due(&self, all: bool) -> Vec<Partition> {
        let ready = |(partition, held): &(&Partition, &Held)| {
            held.open.is_some() && held.announced.is_none() && !self.writing.has(partition)
        };
        let after = self.options.rolling.after;
        let is_old = |held: &Held| held.open.as_ref().is_some_and(|open| open.since.elapsed() >= after);
        let is_large =
            |held: &Held| held.open.as_ref().is_some_and(|open| is_large(open, &self.options.rolling));
        let mut due: Vec<_> = self
            .held
            .iter()
            .filter(ready)
            .filter(|(_, held)| all || is_old(held) || is_large(held))
            .map(|(partition, _)| partition.clone())
            .collect();
        if due.is_empty() && self.memory() >= MOST_OPEN {
            let largest = self
                .held
                .iter()
                .filter(ready)
                .max_by_key(|(_, held)| held.open.as_ref().map_or(0, Open::memory));
            due.extend(largest.map(|(partition, _)| partition.clone()));
        }
        due
    }

    /// What is kept is looked after by one of all, and only where the place is ours.
    fn say_duty(&self) {
        let has_first = self.held.keys().any(|(_, partition)| *partition == 0);
        self.options.on_duty.store(has_first && self.writing.is_proven(), Ordering::SeqCst);
    }

    fn memory(&self) -> usize {
        self.held.values().filter_map(|held| held.open.as_ref()).map(Open::memory).sum()
    }
}

fn is_large(open: &Open, rolling: &Rolling) -> bool {
    open.records >= rolling.records || open.read_bytes >= rolling.bytes || open.files() >= MOST_FILES
}

impl Work for Archive {
    fn assigned(&mut self, partitions: &[Partition]) -> Result<(), WorkError> {
        for partition in partitions {
            self.held.insert(partition.clone(), Held::default());
        }
        self.say_duty();
        Ok(())
    }

    fn take(&mut self, batch: &Batch, reader: &Reader) -> Result<(), WorkError> {
        self.learn(reader)?;
        let partition = (batch.topic.to_string(), batch.partition);
        batch.records().try_for_each(|record| self.take_one(&partition, &record, reader))?;
        self.options.counted.open(self.options.kind, self.memory() + self.writing.bytes());
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.writing.is_due() || (!self.writing.is_waiting() && !self.due(false).is_empty())
    }

    fn has_room(&self) -> bool {
        let is_large =
            |held: &Held| held.open.as_ref().is_some_and(|open| is_large(open, &self.options.rolling));
        (self.writing.is_empty() && !self.writing.is_waiting())
            || (self.memory() + self.writing.bytes() < MOST_OPEN && !self.held.values().any(is_large))
    }

    fn commit(&mut self, reader: &Reader) -> Result<(), WorkError> {
        let all = reader.is_waited_for() || self.options.shutdown.is_set();
        let due = self.due(all);
        if due.is_empty() {
            self.writing.attempt(reader)?;
        } else {
            self.write(&due, reader)?;
        }
        self.say_duty();
        self.options.counted.open(self.options.kind, self.memory() + self.writing.bytes());
        Ok(())
    }

    fn forget(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.held.remove(partition);
            // Files of it that are there already are those that whoever comes next will make.
            self.writing.forget(partition);
        }
        self.say_duty();
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.options.on_duty.store(false, Ordering::SeqCst);
        self.options.counted.open(self.options.kind, 0);
    }
}

impl Unreadable {
    fn say(&mut self, (topic, partition): &Partition, offset: i64, why: &str) {
        if self.said.is_some_and(|said| said.elapsed() < SAY_AGAIN) {
            self.held_back += 1;
            return;
        }
        self.said = Some(Instant::now());
        let held_back = std::mem::take(&mut self.held_back);
        let why: String = why.chars().take(200).collect();
        tracing::warn!(
            topic,
            partition,
            offset,
            held_back,
            "a record can't be read and is kept as it came, in the column raw: {why}"
        );
    }
}
