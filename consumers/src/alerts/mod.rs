//! `events` → Alertmanager and signed webhooks: who asked to be told is told, at least once.
//!
//! A group for each target (`docs/adr/0012-one-group-per-target.md`): how far each is lies in Kafka, and one that is down
//! lags alone.

mod address;
mod circuit;
mod courier;
mod hours;
mod metrics;
mod pattern;
mod progress;
mod read;
mod rules;
mod secrets;
mod spec;
mod summary;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::Topics;
use sightline_service::kafka::{Batch, DeadLetters, KafkaSettings, Partition, Reader, Record, Tailed};
use sightline_service::shutdown::Shutdown;
use sightline_service::trace::{OpenSpan, Tracer};

pub use self::courier::Courier;
use self::courier::{Claim, End, Job};
pub use self::metrics::{AlertFamilies, Delivered};
use self::progress::Progress;
pub use self::rules::Rule;
pub use self::spec::{Spec, SpecError, TargetSpec};
pub use self::target::Target;
use crate::runner::{Metrics, Work, WorkError};

/// What was done is committed this often.
const EVERY: Duration = Duration::from_secs(1);
/// Requests under way are waited for so long when partitions go, or the process ends.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Dead letters are waited for so long before a commit is put off.
const LETTERS: Duration = Duration::from_millis(500);
/// So many commits may be refused in a row before all is begun anew.
const REFUSALS: u32 = 3;

/// What `consume alerts` does with its partitions for one target.
pub struct Alerts {
    courier: Arc<Courier>,
    consumer: String,
    shutdown: Shutdown,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    held: BTreeMap<Partition, Held>,
    /// Something moved since the last commit.
    moved: bool,
    last: Instant,
    /// Commits refused in a row.
    refusals: u32,
}

#[derive(Default)]
struct Held {
    progress: Progress,
    claim: Claim,
}

impl Alerts {
    /// `consumer` is the target's: `alerts-desk`.
    pub fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        consumer: &str,
        (courier, metrics, shutdown): (Arc<Courier>, Arc<Metrics>, Shutdown),
        tracer: Tracer,
    ) -> Result<Self, WorkError> {
        courier.go_on();
        Ok(Self {
            courier,
            consumer: consumer.to_owned(),
            shutdown,
            dead_letters: DeadLetters::new(settings, topics.dead_letter())?,
            metrics,
            tracer,
            held: BTreeMap::new(),
            moved: false,
            last: Instant::now(),
            refusals: 0,
        })
    }

    fn take_one(&mut self, batch: &Batch, partition: &Partition, record: &Record<'_>) {
        let Some(held) = self.held.get_mut(partition) else { return };
        let span = || self.tracer.consume("alert", batch, record);
        let event = match read::event(record) {
            Ok(event) => event,
            Err(unreadable) => {
                let span = span();
                span.iter().for_each(|span| span.fail(&unreadable.why));
                let _entered = span.as_ref().map(OpenSpan::enter);
                self.dead_letters.send(&batch.tailed(record), &unreadable.why);
                self.metrics.passed_over(unreadable.reason);
                None
            }
        };
        let matched = event.map(|event| (self.courier.matching(&event), event));
        let Some((rules, event)) = matched.filter(|(rules, _)| !rules.is_empty()) else {
            return held.progress.pass(record.offset);
        };
        held.progress.begin(record.offset);
        // What no rule is about has none.
        let span = span();
        if let Some(span) = &span {
            span.set("sightline.event", &*event.id);
            span.set("sightline.target", self.courier.target().name());
        }
        let written = record.timestamp_ms;
        self.courier.hand_in(Job {
            partition: partition.clone(),
            claim: held.claim.clone(),
            offset: record.offset,
            timestamp_ms: if written > 0 { written } else { event.at.as_micros().div_euclid(1000) },
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.unwrap_or_default().to_vec(),
            event,
            rules,
            span,
        });
    }

    /// What ended since: its place is done, or it goes to the dead letters first.
    fn settle(&mut self) {
        for (job, end) in self.courier.ended() {
            let Some(held) = self.held.get_mut(&job.partition).filter(|held| held.claim.is(&job.claim))
            else {
                continue;
            };
            if let End::GivenUp(why) = end {
                let (topic, partition) = &job.partition;
                let place = (*partition, job.offset);
                let record =
                    Tailed::bare(topic, place, Some(job.timestamp_ms), job.key.as_deref(), Some(&job.value));
                self.dead_letters.give_up(&record, &why, &self.consumer);
            }
            held.progress.done(job.offset);
            self.moved = true;
        }
    }

    fn commit_done(&mut self, reader: &Reader) -> Result<(), WorkError> {
        self.settle();
        self.last = Instant::now();
        let next: Vec<(Partition, i64)> = self
            .held
            .iter()
            .filter_map(|(partition, held)| Some((partition.clone(), held.progress.uncommitted()?)))
            .collect();
        if next.is_empty() {
            self.moved = false;
            return Ok(());
        }
        if !self.dead_letters.flush(LETTERS)? {
            tracing::warn!("dead letters are not acknowledged yet; what is done is committed when they are");
            return Ok(());
        }
        match reader.commit(next.iter().map(|(partition, next)| (partition, *next))) {
            Ok(()) => {
                for (partition, next) in next {
                    if let Some(held) = self.held.get_mut(&partition) {
                        held.progress.committed(next);
                    }
                }
                (self.moved, self.refusals) = (false, 0);
                self.metrics.commits.inc();
                Ok(())
            }
            Err(fault) => {
                self.metrics.commits_refused.inc();
                self.refusals += 1;
                if self.refusals > REFUSALS || reader.is_waited_for() {
                    return Err(fault.into());
                }
                // The group may have gone on to another generation meanwhile.
                tracing::warn!("what is done was not committed, and will be: {fault}");
                Ok(())
            }
        }
    }
}

impl Work for Alerts {
    fn assigned(&mut self, partitions: &[Partition]) -> Result<(), WorkError> {
        self.held.extend(partitions.iter().map(|partition| (partition.clone(), Held::default())));
        Ok(())
    }

    fn take(&mut self, batch: &Batch, _: &Reader) -> Result<(), WorkError> {
        let partition = (batch.topic.to_string(), batch.partition);
        batch.records().for_each(|record| self.take_one(batch, &partition, &record));
        self.moved = true;
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.courier.has_room()
    }

    fn undone(&self, partition: &Partition) -> Option<i64> {
        self.held.get(partition)?.progress.next()
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= EVERY && (self.moved || self.courier.has_ended())
    }

    /// Where others wait, what is under way has a moment to end, and the rest is theirs.
    fn commit(&mut self, reader: &Reader) -> Result<(), WorkError> {
        let ends = self.shutdown.is_set();
        if ends || reader.is_waited_for() {
            self.courier.hold_back(PATIENCE);
        }
        let committed = self.commit_done(reader);
        if !ends {
            self.courier.go_on();
        }
        committed
    }

    fn forget(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(held) = self.held.remove(partition) {
                self.courier.forget(&held.claim);
            }
        }
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        for held in self.held.values() {
            self.courier.forget(&held.claim);
        }
    }
}
