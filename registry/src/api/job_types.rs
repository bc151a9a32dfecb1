//! What is sent and answered about jobs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sightline_schema::{JobCancel, JobSpec, JobState, JobStatus, Timestamp};

use crate::auth::{Caller, Role};
use crate::jobs::Known;
use crate::problem::FieldError;

/// Recorded files, and what is looked for in them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// Files (`file:`, or a path of the registry's machine), `https://`, `s3://`, `gs://`, `az://`: each a file, a folder, the
    /// beginning of keys, or a pattern with `*`, `**`, `?` and `[a-z]`.
    #[schemars(length(min = 1, max = 10000))]
    pub uris: Vec<String>,
    /// Whose workers take them.
    #[serde(default = "default_pool")]
    pub pool: String,
    /// When the first picture was taken, of all of them. Without it and `start_from_name`: when the file was last changed.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// When the first picture was taken, by the file's name: `*%Y%m%d_%H%M%S*`.
    #[serde(default)]
    pub start_from_name: Option<String>,
    /// Of the clock that gave the names: `+02:00`. Without it UTC.
    #[serde(default)]
    pub utc_offset: Option<String>,
    #[serde(default)]
    pub spec: JobSpec,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The most jobs of one answer; `next` goes on.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// `next` of the answer before, with all else the same.
    #[serde(default)]
    pub cursor: Option<String>,
}

fn default_pool() -> String {
    "default".to_owned()
}

/// What became of the files, a page.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct AddReport {
    /// Jobs that were not known before.
    pub added: usize,
    /// The same files with the same settings, which were known.
    pub there: usize,
    pub refused: usize,
    /// Files in folders that are no videos by their names.
    pub passed_over: usize,
    pub items: Vec<AddItem>,
    /// For `cursor` of the next request. Null: this is the last.
    pub next: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AddItem {
    /// Which of `uris` it comes from, from 0.
    pub index: usize,
    /// The file; of what is refused as it was given.
    pub uri: String,
    pub outcome: AddOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Nobody said when it began: it is when the file was last changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub start_is_guess: bool,
    /// Why it was refused: a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddOutcome {
    Added,
    There,
    Refused,
}

/// A job, and how it fares.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct JobView {
    /// The newest that was said of it.
    pub status: JobStatus,
    /// No attempt is whole: what was published of it, and what lies of it in the store, is not all of the recording.
    pub provisional: bool,
    /// Which rows are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisional_rows: Option<ProvisionalRows>,
    /// Seconds until it is done, at the speed that it had until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_s: Option<f64>,
    /// Somebody wants it no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<JobCancel>,
}

impl JobView {
    /// As this caller sees it: what a link may be signed with is for those who may add jobs. `None`: it was never added.
    pub(super) fn of(known: &Known, caller: &Caller) -> Option<Self> {
        let mut status = JobStatus::clone(known.status.as_ref()?);
        if caller.role < Role::Operator {
            status = status.without_queries();
        }
        // Of an attempt that was made, whatever the newest record says.
        status.epoch = status.epoch.or(known.epoch);
        let provisional_rows = ProvisionalRows::of(&status).filter(|_| known.is_provisional());
        Some(Self {
            status,
            provisional: known.is_provisional(),
            provisional_rows,
            left_s: known.left_s(),
            cancel: known.cancel.as_deref().cloned(),
        })
    }
}

/// What stands of a job of which no attempt is whole: in every table, the rows of this job up to an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProvisionalRows {
    /// Of the newest attempt. Rows of a lower one are of attempts before it, and repeat what it found.
    pub epoch: u64,
    /// Results that the newest attempt had published when it was last heard of. Absent: it was not heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<u64>,
    /// How far into the recording they go, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_s: Option<f64>,
    /// Nobody works at it any more: they stay until a retry is done.
    pub stay: bool,
    /// The same as a sentence.
    pub detail: String,
}

impl ProvisionalRows {
    /// `None`: there was no attempt.
    fn of(status: &JobStatus) -> Option<Self> {
        let epoch = status.epoch?;
        let stay = status.state.is_over();
        let (results, to_s) =
            (status.progress.map(|progress| progress.frames), status.progress.map(|progress| progress.at_s));
        let what = match (results, status.progress.and_then(|progress| progress.of_s)) {
            (None, _) => "what was published".to_owned(),
            (Some(results), None) => format!("{results} results, to {:.1} s", to_s.unwrap_or_default()),
            (Some(results), Some(of_s)) => {
                format!("{results} results, to {:.1} s of {of_s:.1} s", to_s.unwrap_or_default())
            }
        };
        let until = match stay {
            true => "they stand until a retry is done",
            false => "the next attempt that is whole takes their place",
        };
        let detail = format!(
            "{what}, of an unfinished attempt (epoch {epoch}), and those of attempts before it, under lower epochs; {until}"
        );
        Some(Self { epoch, results, to_s, stay, detail })
    }
}

#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct JobPage {
    pub items: Vec<JobView>,
    /// All jobs that the filter lets through, on this page or not.
    pub total: usize,
    /// For the parameter `cursor` of the next page. Absent: this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
