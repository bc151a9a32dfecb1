//! What `job-status` says: the state of every job, who wants one no more, and where epochs begin.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sightline_schema::{Base, JobCancel, JobState, JobStatus, Message as _, Timestamp};
use sightline_service::kafka::Tailed;

use super::decide::Known;

/// A view of the statuses, fed record by record.
#[derive(Default)]
pub(super) struct Book {
    jobs: HashMap<String, Entry>,
    cancelled: HashSet<String>,
    bases: BTreeMap<i32, u64>,
}

struct Entry {
    state: JobState,
    attempt: u32,
    /// Of its newest claim.
    epoch: Option<u64>,
    /// The newest epoch that is known to have ended, whatever was said of the job since.
    over: Option<u64>,
    added_at: Timestamp,
    deaths: u32,
    /// `None`: longer ago than this machine can say.
    heard: Option<Instant>,
}

/// The part of a status that is looked at here.
#[derive(Deserialize)]
struct Said {
    state: JobState,
    attempt: u32,
    added_at: Timestamp,
    epoch: Option<u64>,
    #[serde(default)]
    deaths: u32,
}

impl Book {
    /// Takes a record in. Of one that was written before this process looked, its own time says how old it is.
    pub(super) fn take(&mut self, record: &Tailed<'_>, is_old: bool) {
        let Some(key) = record.id() else { return };
        if key == Base::KEY {
            if let Some(base) = record.value.and_then(|value| serde_json::from_slice::<Base>(value).ok()) {
                self.bases.insert(record.partition, base.base);
            }
            return;
        }
        if let Some(job) = JobCancel::job_of(key) {
            match record.value {
                Some(_) => self.cancelled.insert(job.to_owned()),
                None => self.cancelled.remove(job),
            };
            return;
        }
        let Some(value) = record.value else {
            self.jobs.remove(key);
            return;
        };
        match serde_json::from_slice::<Said>(value) {
            Ok(said) => self.said(key, said, record, is_old),
            Err(error) => {
                tracing::debug!(job = key, schema = JobStatus::SCHEMA, %error, "a status can't be read");
            }
        }
    }

    fn said(&mut self, job: &str, said: Said, record: &Tailed<'_>, is_old: bool) {
        let own = u64::try_from(record.offset).unwrap_or(0) + self.base(record.partition);
        let epoch = if said.state == JobState::Claimed { Some(own) } else { said.epoch };
        let (before, over) = self.jobs.get(job).map_or((None, None), |entry| (entry.epoch, entry.over));
        if epoch.is_some() && epoch < before {
            // Of an attempt that another has superseded meanwhile.
            return;
        }
        let now = Instant::now();
        let heard = if is_old { now.checked_sub(age(record.timestamp_ms)) } else { Some(now) };
        let Said { state, attempt, added_at, deaths, .. } = said;
        let epoch = epoch.or(before);
        let over = if state.is_over() { epoch } else { over };
        self.jobs.insert(job.to_owned(), Entry { state, attempt, epoch, over, added_at, deaths, heard });
    }

    /// What is added to the offsets of a partition.
    pub(super) fn base(&self, partition: i32) -> u64 {
        self.bases.get(&partition).copied().unwrap_or(0)
    }

    pub(super) fn known(&self, job: &str) -> Option<Known> {
        let entry = self.jobs.get(job)?;
        let ago = entry.heard.map_or(Duration::MAX, |heard| heard.elapsed());
        Some(Known { state: entry.state, attempt: entry.attempt, deaths: entry.deaths, ago })
    }

    pub(super) fn added_at(&self, job: &str) -> Option<Timestamp> {
        self.jobs.get(job).map(|entry| entry.added_at)
    }

    pub(super) fn is_cancelled(&self, job: &str) -> bool {
        self.cancelled.contains(job)
    }

    /// The newest attempt at it.
    pub(super) fn epoch(&self, job: &str) -> Option<u64> {
        self.jobs.get(job).and_then(|entry| entry.epoch)
    }

    /// Whether another attempt was claimed after this one, or somebody said that the job is over: who was silent for long may be
    /// taken for dead, and its job be cancelled. A retry after that is another record's.
    pub(super) fn is_superseded(&self, job: &str, epoch: u64) -> bool {
        self.jobs.get(job).is_some_and(|entry| {
            entry.epoch.is_some_and(|newest| newest > epoch) || entry.over.is_some_and(|over| over >= epoch)
        })
    }
}

fn age(timestamp_ms: Option<i64>) -> Duration {
    let written = Duration::from_millis(u64::try_from(timestamp_ms.unwrap_or(0)).unwrap_or(0));
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(written)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(state: &str, attempt: u32, epoch: Option<u64>) -> Vec<u8> {
        let epoch = epoch.map_or_else(String::new, |epoch| format!(",\"epoch\":{epoch}"));
        format!(
            "{{\"state\":\"{state}\",\"attempt\":{attempt},\"added_at\":\"2026-11-23T18:40:12.033Z\"{epoch}}}"
        )
        .into_bytes()
    }

    fn take(book: &mut Book, offset: i64, key: &str, value: Option<&[u8]>) {
        book.take(&Tailed::bare("job-status", (3, offset), None, Some(key.as_bytes()), value), false);
    }

    fn state(book: &Book) -> JobState {
        book.known("job-1").unwrap().state
    }

    #[test]
    fn a_claim_begins_an_epoch_and_what_an_older_one_says_then_is_passed_over() {
        let mut book = Book::default();
        take(&mut book, 0, "_base", Some(br#"{"schema":"base/1","base":1000}"#));
        take(&mut book, 7, "job-1", Some(&said("claimed", 1, None)));
        assert!(!book.is_superseded("job-1", 1007));
        take(&mut book, 9, "job-1", Some(&said("claimed", 1, None)));
        assert!(book.is_superseded("job-1", 1007) && !book.is_superseded("job-1", 1009));
        take(&mut book, 10, "job-1", Some(&said("done", 1, Some(1007))));
        assert_eq!(state(&book), JobState::Claimed);
        take(&mut book, 11, "job-1", Some(&said("done", 1, Some(1009))));
        assert_eq!(state(&book), JobState::Done);
        // Tried again: no epoch of its own yet.
        take(&mut book, 12, "job-1", Some(&said("queued", 1, None)));
        assert_eq!(state(&book), JobState::Queued);
        assert!(book.is_superseded("job-1", 1007));
    }

    /// Whoever takes a silent worker for dead may end its job without an attempt of its own.
    #[test]
    fn an_attempt_whose_job_another_has_ended_counts_no_more_even_after_a_retry() {
        let mut book = Book::default();
        take(&mut book, 5, "job-1", Some(&said("failed", 1, Some(2))));
        take(&mut book, 6, "job-1", Some(&said("claimed", 2, None)));
        take(&mut book, 7, "job-1", Some(&said("running", 2, Some(6))));
        assert!(book.is_superseded("job-1", 2) && !book.is_superseded("job-1", 6));
        take(&mut book, 8, "job-1", Some(&said("cancelled", 2, None)));
        assert!(book.is_superseded("job-1", 6));
        take(&mut book, 9, "job-1", Some(&said("queued", 1, None)));
        assert!(book.is_superseded("job-1", 6) && !book.is_superseded("job-1", 10));
    }

    #[test]
    fn a_cancel_stands_until_its_tombstone() {
        let mut book = Book::default();
        take(&mut book, 1, "cancel.job-1", Some(b"{}"));
        take(&mut book, 2, "job-1", Some(&said("running", 1, Some(1))));
        assert!(book.is_cancelled("job-1") && !book.is_cancelled("job-2"));
        take(&mut book, 3, "cancel.job-1", None);
        assert!(!book.is_cancelled("job-1"));
    }

    #[test]
    fn what_was_written_before_is_as_old_as_it_says() {
        let mut book = Book::default();
        let running = said("running", 1, Some(1));
        book.take(&Tailed::bare("job-status", (3, 1), Some(0), Some(b"job-1"), Some(&running)), true);
        assert!(book.known("job-1").unwrap().ago > Duration::from_secs(60));
        take(&mut book, 2, "job-1", Some(&running));
        assert!(book.known("job-1").unwrap().ago < Duration::from_secs(60));
    }
}
