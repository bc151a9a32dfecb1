//! How many slots each pool has: the partitions of its topic, asked for when they are needed.

use std::collections::BTreeMap;
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
    prefix: String,
    known: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    slots: BTreeMap<String, u32>,
    at: Option<Instant>,
}

impl Pools {
    pub(crate) fn new(settings: KafkaSettings, topics: &Topics) -> Self {
        Self { settings, prefix: topics.slots(""), known: Mutex::default() }
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
        let (found, at) = {
            let known = self.known();
            (known.slots.get(pool).copied(), known.at)
        };
        let fresh = if found.is_some() { OLD } else { AGAIN };
        if at.is_some_and(|at| at.elapsed() < fresh) {
            return Ok(found);
        }
        self.refresh()?;
        Ok(self.slots(pool))
    }

    pub(crate) fn refresh(&self) -> Result<(), KafkaFault> {
        let found = cluster(&self.settings, ANSWER)?;
        let slots = found.topics.iter().filter_map(|(topic, partitions)| {
            let pool = topic.strip_prefix(&self.prefix)?;
            Some((pool.to_owned(), u32::try_from(partitions.partitions).ok()?))
        });
        let slots = slots.collect();
        *self.known() = Asked { slots, at: Some(Instant::now()) };
        Ok(())
    }
}
