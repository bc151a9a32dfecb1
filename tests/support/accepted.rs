//! What a reader accepts of `detections`, by the reader's rules of `docs/MESSAGES.md`.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;

/// One accepted result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Result {
    /// Where its record stands among those that were read.
    pub record: usize,
    pub epoch: u64,
    pub seq: u64,
    /// µs since 1970.
    pub captured_at: i64,
    /// How many before it were dropped because the machine was busy, as its record says.
    pub overload: u64,
}

/// What a camera's records come to.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    pub results: Vec<Result>,
    /// Of the newest epoch when they came.
    pub gaps: Vec<Value>,
    /// Results of an epoch older than the newest seen.
    pub late: usize,
    /// Results that came twice.
    pub repeats: usize,
    /// Of a new epoch, and not later than the last result.
    pub overlapping: usize,
}

impl Accepted {
    /// Reads the records of one camera in the order of their partition.
    pub fn of(records: &[Value]) -> Self {
        let mut accepted = Self::default();
        let mut newest = 0;
        for (index, record) in records.iter().enumerate() {
            let Some(epoch) = record["epoch"].as_u64() else { continue };
            let is_frame = record["schema"] == "frame/1";
            if epoch < newest {
                accepted.late += usize::from(is_frame);
                continue;
            }
            newest = epoch;
            if record["schema"] == "gap/1" {
                accepted.gaps.push(record.clone());
            }
            if !is_frame {
                continue;
            }
            let result = Result {
                record: index,
                epoch,
                seq: record["seq"].as_u64().unwrap(),
                captured_at: at(&record["captured_at"]),
                overload: record["skipped"]["overload"].as_u64().unwrap_or(0),
            };
            match accepted.results.last() {
                Some(last) if last.epoch == epoch && result.seq <= last.seq => accepted.repeats += 1,
                Some(last) if last.epoch != epoch && result.captured_at <= last.captured_at => {
                    accepted.overlapping += 1;
                }
                _ => accepted.results.push(result),
            }
        }
        accepted
    }

    /// The longest time between two results, µs, and the result behind it. Those that a busy machine dropped and counted,
    /// `interval` µs each, are not missing.
    pub fn longest_interval(&self, interval: i64) -> (i64, Option<Result>) {
        let missing =
            |pair: &[Result]| pair[1].captured_at - pair[0].captured_at - pair[1].overload as i64 * interval;
        let pairs = self.results.windows(2).map(|pair| (missing(pair), Some(pair[1])));
        pairs.max_by_key(|(interval, _)| *interval).unwrap_or_default()
    }

    /// How many runs had results.
    pub fn epochs(&self) -> Vec<u64> {
        let mut epochs: Vec<_> = self.results.iter().map(|result| result.epoch).collect();
        epochs.dedup();
        epochs
    }
}

/// µs since 1970.
pub fn at(time: &Value) -> i64 {
    let time: sightline_schema::Timestamp = serde_json::from_value(time.clone()).unwrap();
    time.as_micros()
}
