//! The registry's view of `job-status`, followed by a thread of its own.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sightline_service::kafka::{Delivered, KafkaFault, KafkaSettings, Tail, Tailed};
use sightline_service::shutdown::Shutdown;
use tokio::sync::broadcast;

use super::state::{Changed, JobsState, Record};

const LOOK: Duration = Duration::from_millis(50);
/// A broker may take this long for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// All is read to its end at start, transactions of workers included, which end within 10 s.
const READING: Duration = Duration::from_secs(60);
/// Changes that a watcher may be behind.
const CHANGES: usize = 4096;

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct JobsView(Arc<Shared>);

struct Shared {
    state: RwLock<JobsState>,
    progress: Mutex<()>,
    moved_on: Condvar,
    changes: broadcast::Sender<Changed>,
}

impl Default for JobsView {
    fn default() -> Self {
        Self(Arc::new(Shared {
            state: RwLock::default(),
            progress: Mutex::new(()),
            moved_on: Condvar::new(),
            changes: broadcast::channel(CHANGES).0,
        }))
    }
}

impl JobsView {
    /// Looks at what is known. Keep it short: the follower waits.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&JobsState) -> T) -> T {
        look(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which jobs change from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Changed> {
        self.0.changes.subscribe()
    }

    /// Waits until all of these were read. `false` when that took longer.
    pub(crate) fn wait_for(&self, lie: &[Delivered], timeout: Duration) -> bool {
        let reached = || self.read(|state| lie.iter().all(|at| state.has_reached(at.partition, at.offset)));
        let deadline = Instant::now() + timeout;
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        while !reached() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.moved_on.wait_timeout(progress, left);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn take(&self, record: &Tailed<'_>) {
        let record = Record {
            partition: record.partition,
            offset: record.offset,
            at_ms: record.timestamp_ms.unwrap_or(0),
            key: record.id(),
            value: record.value,
        };
        let changed = self.0.state.write().unwrap_or_else(PoisonError::into_inner).apply(&record);
        if let Some(changed) = changed {
            // Nobody may be watching.
            let _ = self.0.changes.send(changed);
        }
    }

    fn progressed(&self) {
        // Who waits holds the lock until it sleeps: no wake-up falls between.
        drop(self.0.progress.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.moved_on.notify_all();
    }
}

/// Reads `job-status` into a view.
pub(crate) struct Follower {
    tail: Tail,
    view: JobsView,
    topic: String,
}

impl Follower {
    /// Reads all that lies there now. Whoever writes has made its writer before.
    pub(crate) fn open(settings: &KafkaSettings, topic: &str, view: &JobsView) -> Result<Self, KafkaFault> {
        let tail = Tail::open(settings, &[topic], ANSWER)?;
        let mut follower = Self { tail, view: view.clone(), topic: topic.to_owned() };
        follower.reach()?;
        Ok(follower)
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.tail.partitions(&self.topic)
    }

    /// Reads to where it ends now.
    fn reach(&mut self) -> Result<(), KafkaFault> {
        let (ends, view) = (self.tail.ends(ANSWER)?, self.view.clone());
        let reached = self.tail.reach(&ends, READING, |record| view.take(&record));
        self.view.progressed();
        reached
    }

    pub(crate) fn run(mut self, shutdown: &Shutdown) {
        let view = self.view.clone();
        while !shutdown.is_set() {
            if self.tail.poll(LOOK, |record| view.take(&record)) > 0 {
                view.progressed();
            }
        }
    }
}
