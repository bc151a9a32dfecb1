//! `job-status/1` and `job-cancel/1`: how a job fares, and that somebody wants it no more.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::message;
use crate::{Job, JobSpec, Message, StatusError, Timestamp, decimals, slot_of};

/// How a job fares, with all that a list shows of it and all that it takes to write it again: compaction keeps the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "job-status/1")]
#[schemars(rename = "JobStatus")]
pub struct JobStatus {
    pub job: String,
    pub state: JobState,
    /// Which attempt this is about, from 1.
    pub attempt: u32,
    pub pool: String,
    pub uri: String,
    /// When its first picture was taken.
    pub start: Timestamp,
    #[serde(default, skip_serializing_if = "JobSpec::is_default")]
    pub spec: JobSpec,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub added_at: Timestamp,
    /// When `state` was entered.
    pub since: Timestamp,
    /// Of the attempt. Absent on `claimed`, where the record's own offset is the epoch, and where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Who works at it, or did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// With `waiting`: when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StatusError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// How often whoever worked at it was not heard of any more, since it was added or retried. Absent: never.
    #[serde(default, skip_serializing_if = "is_never")]
    pub deaths: u32,
}

// `skip_serializing_if` gives a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_never(times: &u32) -> bool {
    *times == 0
}

message!(JobStatus, "job-status/1", job);

/// How far an attempt is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobProgress {
    /// Seconds of video that are done.
    #[serde(serialize_with = "decimals::three")]
    #[schemars(range(min = 0))]
    pub at_s: f64,
    /// Of so many, where the file tells.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "decimals::three_option")]
    #[schemars(range(min = 0))]
    pub of_s: Option<f64>,
    /// Results so far.
    pub frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Added; nobody has it yet.
    Queued,
    /// A worker took it; nothing is open yet.
    Claimed,
    Running,
    /// An attempt failed; the next is made at `not_before`.
    Waiting,
    /// Whole.
    Done,
    /// For good, with its `error`.
    Failed,
    Cancelled,
}

impl JobState {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Claimed,
        Self::Running,
        Self::Waiting,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing follows by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// Somebody works at it, if alive.
    pub const fn is_in_work(self) -> bool {
        matches!(self, Self::Claimed | Self::Running)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JobStatus {
    /// Of a job about which there is nothing more to say.
    pub fn of(job: &Job, state: JobState, added_at: Timestamp, since: Timestamp) -> Self {
        let Job { id, uri, pool, start, spec, labels, attempt, not_before: _ } = job.clone();
        Self {
            job: id,
            state,
            attempt,
            pool,
            uri,
            start,
            spec,
            labels,
            added_at,
            since,
            epoch: None,
            pod: None,
            not_before: None,
            error: None,
            progress: None,
            deaths: 0,
        }
    }

    /// As it is shown to who may not read the file: what a link may be signed with is struck out.
    #[must_use]
    pub fn without_queries(mut self) -> Self {
        let shown = |text: &mut String| *text = crate::without_queries(text).into_owned();
        shown(&mut self.uri);
        if let Some(error) = &mut self.error {
            shown(&mut error.message);
        }
        self
    }

    /// The job, to be tried from the first attempt on.
    pub fn again(&self) -> Job {
        let Self { job, pool, uri, start, spec, labels, .. } = self.clone();
        Job { id: job, uri, pool, start, spec, labels, attempt: 1, not_before: None }
    }
}

/// Somebody wants a job no more. A worker that has it stops it; one that comes to it passes it over. A tombstone takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "job-cancel/1")]
#[schemars(rename = "JobCancel")]
pub struct JobCancel {
    pub job: String,
    pub at: Timestamp,
    /// The name of the token, or `anonymous` where none is asked for.
    pub who: String,
}

impl JobCancel {
    const KEY: &'static str = "cancel.";

    /// Its key, which is another than the statuses' so that none of them takes its place.
    pub fn key_of(job: &str) -> String {
        format!("{}{job}", Self::KEY)
    }

    /// The job that such a key is of.
    pub fn job_of(key: &str) -> Option<&str> {
        key.strip_prefix(Self::KEY)
    }

    /// The partition of `job-status` that it has to lie on, whatever its key: that of the job's statuses.
    pub fn partition_of(job: &str, partitions: u32) -> i32 {
        i32::try_from(slot_of(job, partitions)).unwrap_or(0)
    }
}

impl Message for JobCancel {
    const SCHEMA: &'static str = "job-cancel/1";

    fn key(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key_of(&self.job))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_on_the_wire() {
        for state in JobState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert!(!(state.is_over() && state.is_in_work()));
        }
    }

    #[test]
    fn a_cancel_has_a_key_of_its_own_on_the_jobs_partition() {
        let key = JobCancel::key_of("job-1f");
        assert_eq!(JobCancel::job_of(&key), Some("job-1f"));
        assert_eq!(JobCancel::job_of("job-1f"), None);
        assert_eq!(JobCancel::partition_of("job-1f", 48), slot_of("job-1f", 48) as i32);
    }
}
