//! Batches that are sealed and announced, until they are written and committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sightline_service::backoff::Backoff;
use sightline_service::health::Condition;
use sightline_service::kafka::{Partition, Reader, fault_point};

use super::Options;
use super::batch::Sealed;
use super::owner::Owner;
use super::store::StoreFault;
use crate::runner::{Metrics, WorkError};

/// Files that are on their way at a time.
const AT_ONCE: usize = 8;
/// After a refused commit: the group may be going on to another generation.
const PAUSE: Duration = Duration::from_secs(1);
/// So many may be refused in a row before all is begun anew.
const REFUSALS: u32 = 3;

/// A batch on its way.
pub(super) struct Pending {
    pub(super) partition: Partition,
    pub(super) last: i64,
    /// It was announced by a predecessor, which may have written some of it.
    pub(super) is_repeat: bool,
    /// What is not written yet. With none left it wants only to be committed.
    pub(super) files: Vec<Sealed>,
}

pub(super) struct Writing {
    options: Options,
    metrics: Arc<Metrics>,
    pending: Vec<Pending>,
    backoff: Backoff,
    /// The store failed, or a commit; it is tried again then.
    again: Option<Instant>,
    /// The store took something since the beginning.
    is_proven: bool,
    /// The store failed when it was last asked.
    is_away: bool,
    refusals: u32,
}

/// Whether the store takes files, and the place is ours.
enum Proof {
    Done,
    /// Kafka has not yet said which one it is.
    Later,
    Fault(StoreFault),
}

impl Pending {
    /// Its partition, and the first offset behind it.
    fn place(&self) -> (Partition, i64) {
        (self.partition.clone(), self.last + 1)
    }
}

impl Writing {
    pub(super) fn new(options: &Options, metrics: Arc<Metrics>) -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        Self {
            options: options.clone(),
            metrics,
            pending: Vec::new(),
            backoff,
            again: None,
            is_proven: false,
            is_away: false,
            refusals: 0,
        }
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.pending.push(pending);
    }

    pub(super) fn has(&self, partition: &Partition) -> bool {
        self.pending.iter().any(|pending| pending.partition == *partition)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The place is ours.
    pub(super) const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Something failed, and it is not yet time to try again.
    pub(super) fn is_waiting(&self) -> bool {
        self.again.is_some_and(|again| again > Instant::now())
    }

    pub(super) fn is_due(&self) -> bool {
        (!self.pending.is_empty() || !self.is_proven) && !self.is_waiting()
    }

    pub(super) fn bytes(&self) -> usize {
        self.pending.iter().flat_map(|pending| &pending.files).map(|file| file.bytes.len()).sum()
    }

    pub(super) fn forget(&mut self, partition: &Partition) {
        self.pending.retain(|pending| pending.partition != *partition);
    }

    /// Commits offsets with a note beside each. Whether it is done: where it is refused, nothing that depends on it may be.
    pub(super) fn commit(
        &mut self,
        reader: &Reader,
        next: Vec<(&Partition, i64, String)>,
    ) -> Result<bool, WorkError> {
        match reader.commit_with_notes(next) {
            Ok(()) => {
                self.refusals = 0;
                Ok(true)
            }
            Err(fault) => {
                self.metrics.commits_refused.inc();
                self.refusals += 1;
                self.again = Some(Instant::now() + PAUSE);
                if self.refusals > REFUSALS {
                    return Err(fault.into());
                }
                tracing::warn!("offsets were not committed, and will be: {fault}");
                Ok(false)
            }
        }
    }

    /// Tries once to write what is pending, and commits what is written as a whole.
    pub(super) fn attempt(&mut self, reader: &Reader) -> Result<(), WorkError> {
        if self.pending.is_empty() && self.is_proven {
            return Ok(());
        }
        self.again = None;
        let fault = match self.prove(reader)? {
            Proof::Done => self.write(),
            Proof::Later => {
                self.again = Some(Instant::now() + PAUSE);
                return Ok(());
            }
            Proof::Fault(fault) => Some(fault),
        };
        let is_done = |pending: &&Pending| pending.files.is_empty();
        let done: Vec<_> = self.pending.iter().filter(is_done).map(Pending::place).collect();
        if !done.is_empty() {
            fault_point("archive-written");
            let next = done.iter().map(|(partition, next)| (partition, *next, String::new())).collect();
            if self.commit(reader, next)? {
                self.metrics.commits.inc();
                self.pending.retain(|pending| !pending.files.is_empty());
            }
        }
        match fault {
            None => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(to = self.options.store.shown(), "the store takes files again");
                }
                self.backoff.reset();
                self.options.health.set(self.options.part, Condition::Ready);
            }
            Some(fault) => {
                self.is_away = true;
                let pause = self.backoff.next(&mut rand::rng());
                self.again = Some(Instant::now() + pause);
                self.options.health.set(self.options.part, Condition::NotReady(fault.to_string()));
                tracing::warn!(
                    topic = self.options.topic,
                    reason = fault.reason().as_str(),
                    batches = self.pending.len(),
                    "not archived yet, again in {:.1} s: {fault}",
                    pause.as_secs_f64()
                );
            }
        }
        Ok(())
    }

    /// What is wrong with the store is said at the start, and not when the first batch is due. A place that is another's is
    /// the end.
    fn prove(&mut self, reader: &Reader) -> Result<Proof, WorkError> {
        if self.is_proven {
            return Ok(Proof::Done);
        }
        let Options { store, topic, group, counted, .. } = &self.options;
        // The link says itself what is wrong with it.
        let Some(cluster) = reader.cluster() else { return Ok(Proof::Later) };
        let owner = Owner { topic: topic.clone(), group: group.clone(), cluster };
        let found = match store.block_on(store.claim(&owner.path(), &owner.mark())) {
            Ok(found) => found,
            Err(fault) => {
                counted.failed(fault.reason());
                return Ok(Proof::Fault(fault));
            }
        };
        if let Some(refusal) = owner.refusal(&found, store.shown()) {
            return Err(WorkError::Final(refusal));
        }
        let about = format!(
            "{{\"archive\":1,\"topic\":{topic:?},\"by\":\"sightline {}\"}}\n",
            env!("CARGO_PKG_VERSION")
        );
        // Readers of such folders pass over what begins with an underscore.
        let about = Sealed { path: format!("{topic}/_sightline.json"), bytes: about.into() };
        Ok(match store.block_on(store.write(&about)) {
            Ok(()) => {
                self.is_proven = true;
                tracing::info!(topic, to = store.shown(), "archiving");
                Proof::Done
            }
            Err(fault) => {
                counted.failed(fault.reason());
                Proof::Fault(fault)
            }
        })
    }

    /// Writes what can be written; the last fault.
    fn write(&mut self) -> Option<StoreFault> {
        let Self { options, pending, .. } = self;
        let (store, counted, kind) = (&options.store, &options.counted, options.kind);
        let files = pending.iter().enumerate().flat_map(|(batch, pending)| {
            pending.files.iter().map(move |file| (batch, pending.is_repeat, file))
        });
        let writes = files.map(|(batch, is_repeat, file)| async move {
            let began = Instant::now();
            if is_repeat && store.has(&file.path).await? {
                return Ok((batch, file.path.clone()));
            }
            store.write(file).await?;
            fault_point("archive-file");
            counted.seconds.observe(began.elapsed().as_secs_f64());
            counted.written(kind, file.bytes.len());
            Ok((batch, file.path.clone()))
        });
        let done: Vec<Result<(usize, String), StoreFault>> =
            store.block_on(futures_util::stream::iter(writes).buffer_unordered(AT_ONCE).collect());
        let mut fault = None;
        for done in done {
            match done {
                Ok((batch, path)) => pending[batch].files.retain(|file| file.path != path),
                Err(error) => {
                    counted.failed(error.reason());
                    fault = Some(error);
                }
            }
        }
        fault
    }
}
