//! What is known of jobs, by the records of `job-status`. No Kafka, no clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sightline_schema::{Base, JobCancel, JobState, JobStatus};

/// A record of `job-status`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// When it was written, milliseconds since 1970, by whoever wrote it.
    pub(crate) at_ms: i64,
    pub(crate) key: Option<&'a str>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// What is known of one job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) status: Option<Arc<JobStatus>>,
    /// The highest of its attempts.
    pub(crate) epoch: Option<u64>,
    /// When the status was written, by whoever wrote it.
    pub(crate) at_ms: i64,
    /// Somebody wants it no more.
    pub(crate) cancel: Option<Arc<JobCancel>>,
}

impl Known {
    /// What lies in the store is of an attempt that is not whole, and may never be.
    pub(crate) fn is_provisional(&self) -> bool {
        let done = self.status.as_ref().is_some_and(|status| status.state == JobState::Done);
        self.epoch.is_some() && !done
    }

    /// How long it will take at the speed it had until now.
    pub(crate) fn left_s(&self) -> Option<f64> {
        let status = self.status.as_ref().filter(|status| status.state == JobState::Running)?;
        let progress = status.progress?;
        let (at, of) = (progress.at_s, progress.of_s?);
        // Both by the worker's own clock.
        let took = (self.at_ms - status.since.as_micros() / 1000) as f64 / 1000.0;
        let left = (of - at) / (at / took);
        (at > 0.0 && took > 0.0 && left.is_finite()).then(|| (left.max(0.0) * 10.0).round() / 10.0)
    }
}

/// What changed for those who watch: a job's status, or that it was cancelled.
pub(crate) type Changed = String;

#[derive(Debug, Default)]
pub(crate) struct JobsState {
    pub(crate) jobs: BTreeMap<String, Known>,
    bases: HashMap<i32, u64>,
    /// The offset behind the last record applied.
    reached: HashMap<i32, i64>,
}

impl JobsState {
    /// Takes one record in; the job that it changed.
    pub(crate) fn apply(&mut self, record: &Record<'_>) -> Option<Changed> {
        // Two may read at a time; what one of them took in is not new from the other.
        let next = self.reached.entry(record.partition).or_insert(0);
        if *next > record.offset {
            return None;
        }
        *next = record.offset + 1;
        let key = record.key?;
        if key == Base::KEY {
            let base = record.value.and_then(|value| serde_json::from_slice::<Base>(value).ok());
            self.bases.insert(record.partition, base.map_or(0, |base| base.base));
            return None;
        }
        let changed = match JobCancel::job_of(key) {
            Some(job) => self.apply_cancel(job, record),
            None => self.apply_status(key, record),
        };
        let job = JobCancel::job_of(key).unwrap_or(key);
        if self.jobs.get(job).is_some_and(|known| known.status.is_none() && known.cancel.is_none()) {
            self.jobs.remove(job);
        }
        changed.then(|| job.to_owned())
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Known, &Arc<JobStatus>)> {
        self.jobs.iter().filter_map(|(id, known)| Some((id, known, known.status.as_ref()?)))
    }

    /// Whether the record that lies here was applied.
    pub(crate) fn has_reached(&self, partition: i32, offset: i64) -> bool {
        self.reached.get(&partition).is_some_and(|next| *next > offset)
    }

    fn apply_cancel(&mut self, job: &str, record: &Record<'_>) -> bool {
        let known = self.jobs.entry(job.to_owned()).or_default();
        let cancel = record.value.and_then(|value| serde_json::from_slice::<JobCancel>(value).ok());
        let was = known.cancel.take();
        known.cancel = cancel.map(Arc::new);
        was.is_some() != known.cancel.is_some()
    }

    fn apply_status(&mut self, job: &str, record: &Record<'_>) -> bool {
        let Some(value) = record.value else {
            let known = self.jobs.get_mut(job);
            return known.is_some_and(|known| known.status.take().is_some());
        };
        let mut status = match serde_json::from_slice::<JobStatus>(value) {
            Ok(status) if status.job == job => status,
            Ok(_) => return false,
            Err(error) => {
                tracing::debug!(job, %error, "a status of a job can't be read");
                return false;
            }
        };
        if status.state == JobState::Claimed {
            let base = self.bases.get(&record.partition).copied().unwrap_or(0);
            status.epoch = Some(base.saturating_add(record.offset.unsigned_abs()));
        }
        let known = self.jobs.entry(job.to_owned()).or_default();
        // What an attempt still says that another took over from.
        if status.epoch.is_some_and(|epoch| known.epoch.is_some_and(|newest| newest > epoch)) {
            return false;
        }
        known.epoch = status.epoch.or(known.epoch);
        known.at_ms = record.at_ms;
        known.status = Some(Arc::new(status));
        true
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
