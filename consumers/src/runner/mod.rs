//! What all consumers have in common: they read as members of a group, finish before they let go, and begin anew where
//! they can't go on.

mod metrics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_service::backoff::Backoff;
use sightline_service::health::{Condition, Health};
use sightline_service::kafka::{
    Batch, KafkaFault, KafkaSettings, LinkState, Partition, Reader, ReaderOptions, Step,
};
use sightline_service::shutdown::Shutdown;

pub use self::metrics::{Families, Metrics, OfConsumer, PassedOver};

/// One wait for a step.
const LOOK: Duration = Duration::from_millis(100);
/// A work that takes no more is asked again after it.
const FULL: Duration = Duration::from_millis(20);
/// Metrics and readiness are brought up to date this often.
const TELL: Duration = Duration::from_secs(1);

/// Why a consumer can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// It begins anew from what was committed, after a while.
    #[error("{0}")]
    Again(String),
    /// Nothing that waiting would cure.
    #[error("{0}")]
    Final(String),
}

impl From<KafkaFault> for WorkError {
    fn from(fault: KafkaFault) -> Self {
        Self::Again(fault.to_string())
    }
}

/// One consumer's way with its partitions. It is called from one thread, and told of partitions in the order in which
/// their records come.
pub trait Work {
    /// Partitions came. Their records follow, from what the group committed.
    fn assigned(&mut self, partitions: &[Partition]) -> Result<(), WorkError>;

    /// Records of a partition that was assigned, from `next` on.
    fn take(&mut self, batch: &Batch, reader: &Reader) -> Result<(), WorkError>;

    /// Whether it takes more now. While it does not, no step is asked for, unless others wait for partitions.
    fn has_room(&self) -> bool {
        true
    }

    /// The first offset of a partition that is not done, where work goes on behind what was taken.
    fn undone(&self, _: &Partition) -> Option<i64> {
        None
    }

    /// Whether enough was taken, or time has passed, to commit.
    fn is_due(&self) -> bool;

    /// Makes what was taken durable, then commits it. Where others wait for partitions (`Reader::is_waited_for`) it may give
    /// up: they will do it again.
    fn commit(&mut self, reader: &Reader) -> Result<(), WorkError>;

    /// Partitions are not held any more, committed or not.
    fn forget(&mut self, partitions: &[Partition]);
}

/// What a run of a consumer needs.
pub struct Runner<'a> {
    pub settings: &'a KafkaSettings,
    pub options: ReaderOptions,
    pub health: &'a Health,
    /// Its part of the process's health.
    pub part: &'static str,
    pub shutdown: &'a Shutdown,
    pub metrics: Arc<Metrics>,
}

impl Runner<'_> {
    /// Works until the process stops. `make` gives a work that knows nothing yet, each time it begins anew.
    pub fn run<W: Work>(&self, mut make: impl FnMut() -> Result<W, WorkError>) -> Result<(), WorkError> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        while !self.shutdown.is_set() {
            let began = Instant::now();
            match make().and_then(|work| self.run_once(work)) {
                Ok(()) => return Ok(()),
                Err(WorkError::Again(why)) => {
                    if began.elapsed() > Duration::from_secs(60) {
                        backoff.reset();
                    }
                    let pause = backoff.next(&mut rand::rng());
                    self.health.set(self.part, Condition::NotReady(why.clone()));
                    self.metrics.begun_anew.inc();
                    tracing::warn!("beginning anew in {:.1} s: {why}", pause.as_secs_f64());
                    self.shutdown.wait_timeout(pause);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// From joining the group to leaving it.
    fn run_once<W: Work>(&self, work: W) -> Result<(), WorkError> {
        let reader = Reader::join(self.settings, &self.options)?;
        let mut run = Run { work, reader, held: HashMap::new(), metrics: &self.metrics };
        let mut told = None;
        while !self.shutdown.is_set() {
            if told.is_none_or(|at: Instant| at.elapsed() >= TELL) {
                told = Some(Instant::now());
                self.tell(&run);
            }
            if run.work.has_room() || run.reader.is_waited_for() {
                if let Some(step) = run.reader.next(LOOK)? {
                    run.step(step)?;
                }
            } else {
                run.reader.check()?;
                self.shutdown.wait_timeout(FULL);
            }
            if run.work.is_due() {
                run.work.commit(&run.reader)?;
            }
        }
        self.health.shutting_down();
        run.work.commit(&run.reader)
    }

    fn tell<W: Work>(&self, run: &Run<'_, W>) {
        match run.reader.link() {
            LinkState::Down(fault) => self.health.set(self.part, Condition::NotReady(fault.to_string())),
            LinkState::Up | LinkState::Connecting => self.health.set(self.part, Condition::Ready),
        }
        for (partition, place) in &run.held {
            let next = run.work.undone(partition).or(place.next);
            let lag = run.reader.lag(partition, next);
            self.metrics.lag(partition, lag);
        }
    }
}

/// How far a partition was taken.
#[derive(Default)]
struct Place {
    next: Option<i64>,
}

struct Run<'a, W> {
    work: W,
    reader: Reader,
    held: HashMap<Partition, Place>,
    metrics: &'a Metrics,
}

impl<W> Drop for Run<'_, W> {
    /// Others may have the partitions next, and show how far they are.
    fn drop(&mut self) {
        self.held.keys().for_each(|partition| self.metrics.gone(partition));
    }
}

impl<W: Work> Run<'_, W> {
    fn step(&mut self, step: Step) -> Result<(), WorkError> {
        match step {
            Step::Assigned(partitions) => {
                self.work.assigned(&partitions)?;
                self.held.extend(partitions.into_iter().map(|partition| (partition, Place::default())));
            }
            Step::Records(batch) => {
                let partition = (batch.topic.to_string(), batch.partition);
                let Some(place) = self.held.get_mut(&partition) else { return Ok(()) };
                self.work.take(&batch, &self.reader)?;
                if let Some(last) = batch.records().next_back() {
                    place.next = Some(last.offset + 1);
                    self.metrics.taken(&batch, &last);
                }
            }
            Step::Revoked(partitions, answer) => {
                if let Err(error) = self.work.commit(&self.reader) {
                    tracing::warn!("what was done since the last commit will be done again: {error}");
                }
                self.forget(&partitions);
                drop(answer);
            }
            Step::Lost(partitions, answer) => {
                self.forget(&partitions);
                drop(answer);
            }
        }
        Ok(())
    }

    fn forget(&mut self, partitions: &[Partition]) {
        self.work.forget(partitions);
        for partition in partitions {
            self.held.remove(partition);
            self.metrics.gone(partition);
        }
    }
}
