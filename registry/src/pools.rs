//! How many slots each pool has, which are the partitions of its topic, and which pools have a queue for jobs: asked for when
//! they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sightline_schema::Topics;
use sightline_service::kafka::{KafkaFault, KafkaSettings, cluster};

/// A pool that was not there is asked for again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// A topic may be made anew, with other partitions.
const OLD: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(5);

pub(crate) struct Pools {
    settings: KafkaSettings,
    slots: String,
    queues: String,
    known: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    slots: BTreeMap<String, u32>,
    queues: BTreeSet<String>,
    at: Option<Instant>,
}

impl Asked {
    fn is_fresh(&self, found: bool) -> bool {
        let fresh = if found { OLD } else { AGAIN };
        self.at.is_some_and(|at| at.elapsed() < fresh)
    }
}

impl Pools {
    pub(crate) fn new(settings: KafkaSettings, topics: &Topics) -> Self {
        Self { settings, slots: topics.slots(""), queues: topics.jobs(""), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Asked> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As last asked.
    pub(crate) fn slots(&self, pool: &str) -> Option<u32> {
        self.known().slots.get(pool).copied()
    }

    /// Asks Kafka where this pool is not known, or what is known is old. May take seconds.
    pub(crate) fn learn(&self, pool: &str) -> Result<Option<u32>, KafkaFault> {
        let is_known = self.slots(pool).is_some();
        if !self.known().is_fresh(is_known) {
            self.refresh()?;
        }
        Ok(self.slots(pool))
    }

    /// The same: whether jobs can be added to this pool.
    pub(crate) fn has_queue(&self, pool: &str) -> Result<bool, KafkaFault> {
        let has = || self.known().queues.contains(pool);
        let is_known = has();
        if !self.known().is_fresh(is_known) {
            self.refresh()?;
        }
        Ok(has())
    }

    pub(crate) fn refresh(&self) -> Result<(), KafkaFault> {
        let found = cluster(&self.settings, ANSWER)?;
        let slots = found.topics.iter().filter_map(|(topic, partitions)| {
            let pool = topic.strip_prefix(&self.slots)?;
            Some((pool.to_owned(), u32::try_from(partitions.partitions).ok()?))
        });
        let slots = slots.collect();
        let queues =
            found.topics.keys().filter_map(|topic| topic.strip_prefix(&self.queues).map(str::to_owned));
        let queues = queues.collect();
        *self.known() = Asked { slots, queues, at: Some(Instant::now()) };
        Ok(())
    }
}
