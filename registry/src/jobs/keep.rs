//! Jobs that are over are kept for a while, and forgotten then. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use sightline_schema::Timestamp;

use super::state::{JobsState, Known};

/// A job that nobody asks for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) job: String,
    pub(super) has_status: bool,
    pub(super) has_cancel: bool,
}

/// Those that were over before `now` less `keep`, `most` of them; not those of which more was written than is known here.
pub(super) fn due(
    state: &JobsState,
    above: &BTreeMap<String, Known>,
    now: Timestamp,
    keep: Duration,
    most: usize,
) -> Vec<Due> {
    let keep_us = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    let is_old = |at: Timestamp| at.as_micros().saturating_add(keep_us) <= now.as_micros();
    let is_due = |known: &Known| match (&known.status, &known.cancel) {
        (Some(status), cancel) => {
            status.state.is_over()
                && is_old(status.since)
                && cancel.as_ref().is_none_or(|cancel| is_old(cancel.at))
        }
        // It outlived its job.
        (None, Some(cancel)) => is_old(cancel.at),
        (None, None) => false,
    };
    let due = state.jobs.iter().filter(|(job, known)| !above.contains_key(*job) && is_due(known));
    due.map(|(job, known)| Due {
        job: job.clone(),
        has_status: known.status.is_some(),
        has_cancel: known.cancel.is_some(),
    })
    .take(most)
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sightline_schema::{Job, JobCancel, JobSpec, JobState, JobStatus};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Timestamp = Timestamp::from_micros(40 * 86_400_000_000);

    fn ago(days: i64) -> Timestamp {
        NOW.saturating_add_micros(-days * 86_400_000_000)
    }

    fn known(state: JobState, days: i64, cancelled: Option<i64>) -> Known {
        let job = Job {
            id: "job-1".into(),
            uri: "a.mp4".into(),
            pool: "default".into(),
            start: ago(40),
            spec: JobSpec::default(),
            labels: BTreeMap::new(),
            attempt: 1,
            not_before: None,
        };
        let cancel = |days| Arc::new(JobCancel { job: "job-1".into(), at: ago(days), who: "ops".into() });
        Known {
            status: Some(Arc::new(JobStatus::of(&job, state, ago(40), ago(days)))),
            cancel: cancelled.map(cancel),
            ..Known::default()
        }
    }

    fn jobs(known: impl IntoIterator<Item = Known>) -> JobsState {
        let mut state = JobsState::default();
        state.jobs.extend(known.into_iter().enumerate().map(|(n, known)| (format!("job-{n}"), known)));
        state
    }

    #[test]
    fn what_is_over_for_long_enough_goes_with_its_cancel_and_nothing_else_does() {
        for state in JobState::ALL {
            let old = due(&jobs([known(state, 30, None)]), &BTreeMap::new(), NOW, 30 * DAY, 10);
            assert_eq!(!old.is_empty(), state.is_over(), "{state}");
            let young = due(&jobs([known(state, 29, None)]), &BTreeMap::new(), NOW, 30 * DAY, 10);
            assert!(young.is_empty(), "{state}");
        }
        let cancelled =
            jobs([known(JobState::Cancelled, 30, Some(31)), known(JobState::Cancelled, 31, Some(29))]);
        let found = due(&cancelled, &BTreeMap::new(), NOW, 30 * DAY, 10);
        assert_eq!(found, [Due { job: "job-0".into(), has_status: true, has_cancel: true }]);
        let alone = jobs([Known { status: None, ..known(JobState::Done, 1, Some(30)) }]);
        let found = due(&alone, &BTreeMap::new(), NOW, 30 * DAY, 10);
        assert_eq!(found, [Due { job: "job-0".into(), has_status: false, has_cancel: true }]);
    }

    #[test]
    fn no_more_go_at_once_than_are_asked_for_and_none_that_is_being_written() {
        let state = jobs([1, 2, 3, 4].map(|_| known(JobState::Done, 35, None)));
        let above = BTreeMap::from([("job-1".to_owned(), Known::default())]);
        let found: Vec<_> = due(&state, &above, NOW, 30 * DAY, 2).into_iter().map(|due| due.job).collect();
        assert_eq!(found, ["job-0", "job-2"]);
    }
}
