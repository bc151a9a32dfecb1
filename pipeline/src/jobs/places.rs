//! Where a job waits for its next attempt: in the partition with the least to do, as a new one.

use std::time::Duration;

use rand::RngExt as _;
use sightline_service::kafka::{KafkaFault, KafkaSettings, Lag, PartitionLag, Spread};

/// The question is no reason to keep a worker from its jobs: a failure is seldom, and a place by chance is good enough.
const ANSWER: Duration = Duration::from_secs(2);

/// Asks how much there is to do in each partition of a pool's queue.
pub(super) struct Places {
    settings: KafkaSettings,
    group: String,
    topic: String,
    partitions: i32,
    /// Made when it is first asked.
    lag: Option<Lag>,
}

impl Places {
    pub(super) fn new(settings: &KafkaSettings, group: String, topic: String, partitions: i32) -> Self {
        Self { settings: settings.clone(), group, topic, partitions, lag: None }
    }

    /// A partition, another than `not_in` where there is one.
    pub(super) fn choose(&mut self, not_in: i32) -> i32 {
        let turn = rand::rng().random_range(0..usize::MAX);
        let place = self.ask().map(|lags| least(&lags, not_in, turn));
        match place {
            Ok(Some(place)) => place,
            Ok(None) => by_chance(self.partitions, not_in, turn),
            Err(fault) => {
                tracing::debug!(
                    "which partition has the least to do is not known, one by chance is taken: {fault}"
                );
                by_chance(self.partitions, not_in, turn)
            }
        }
    }

    fn ask(&mut self) -> Result<Vec<PartitionLag>, KafkaFault> {
        let lag = match self.lag.take() {
            Some(lag) => lag,
            None => Lag::new(&self.settings, &self.group, &self.topic)?,
        };
        let lags = lag.ask(ANSWER)?;
        self.lag = Some(lag);
        Ok(lags)
    }
}

/// The one with the least to do; of equals one by chance. `None`: there is no other.
fn least(lags: &[PartitionLag], not_in: i32, turn: usize) -> Option<i32> {
    let others: Vec<_> = lags.iter().filter(|lag| lag.partition != not_in).collect();
    let turn = turn % others.len().max(1);
    let index = Spread::new(others.iter().map(|lag| lag.records()).collect(), turn).place()?;
    others.get(usize::try_from(index).ok()?).map(|lag| lag.partition)
}

fn by_chance(partitions: i32, not_in: i32, turn: usize) -> i32 {
    let others = usize::try_from(partitions - 1).unwrap_or(0).max(1);
    let step = i32::try_from(turn % others).unwrap_or(0);
    (not_in + 1 + step).rem_euclid(partitions.max(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lags(records: &[i64]) -> Vec<PartitionLag> {
        let lag = |(partition, records): (usize, &i64)| PartitionLag {
            partition: partition as i32,
            next: 7,
            end: 7 + records,
        };
        records.iter().enumerate().map(lag).collect()
    }

    #[test]
    fn the_partition_with_the_least_to_do_is_taken_and_never_the_one_it_comes_from() {
        for turn in 0..20 {
            assert_eq!(least(&lags(&[0, 3, 1, 2]), 0, turn), Some(2));
            assert_eq!(least(&lags(&[4, 0]), 1, turn), Some(0), "the other may have more");
            assert_eq!(least(&lags(&[0]), 0, turn), None);
        }
        let equals: BTreeSet<_> = (0..20).filter_map(|turn| least(&lags(&[1, 1, 5, 1]), 1, turn)).collect();
        assert_eq!(equals, BTreeSet::from([0, 3]));
    }

    #[test]
    fn by_chance_it_is_any_other() {
        for (partitions, not_in) in [(6, 0), (6, 5), (2, 1)] {
            let found: BTreeSet<_> = (0..60).map(|turn| by_chance(partitions, not_in, turn)).collect();
            assert_eq!(found, (0..partitions).filter(|place| *place != not_in).collect());
        }
        assert_eq!(by_chance(1, 0, 7), 0);
    }
}
