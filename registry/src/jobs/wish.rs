//! What a write makes of the jobs that are known: decided against the newest, before anything is written. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use sightline_schema::{Audit, AuditAction, Job, JobCancel, JobState, JobStatus, Timestamp};

use super::state::{JobsState, Known};
use crate::problem::Problem;

/// What somebody wants written.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Validated already.
    Add(Box<Job>),
    Cancel(String),
    Retry(String),
    /// Of this registry, at its start: a job that is not over lies in no queue.
    Queue(String),
}

impl Wish {
    fn id(&self) -> &str {
        match self {
            Self::Add(job) => &job.id,
            Self::Cancel(id) | Self::Retry(id) | Self::Queue(id) => id,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Added,
    Cancelled,
    Retried,
    /// It is as it was wished already.
    Unchanged,
}

/// What is to be written, and what the job is then.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) known: Known,
    pub(crate) status: Option<Arc<JobStatus>>,
    /// `Some(None)`: one is taken back.
    pub(crate) cancel: Option<Option<Arc<JobCancel>>>,
    pub(crate) audit: Option<Audit>,
    /// Goes into the queue behind the rest.
    pub(crate) queue: Option<Job>,
}

/// The state that decisions are made on: what the view knows, and above it what was decided and is not in the view yet.
pub(crate) struct Draft<'a> {
    pub(crate) state: &'a JobsState,
    pub(crate) above: &'a mut BTreeMap<String, Known>,
    pub(crate) at: Timestamp,
}

impl Draft<'_> {
    /// Decides, and lets the decisions behind it see what came of it.
    pub(crate) fn decide(&mut self, wish: &Wish, who: &str) -> Result<Decision, Problem> {
        let id = wish.id();
        let known = self.above.get(id).or_else(|| self.state.jobs.get(id)).cloned().unwrap_or_default();
        let decision = match wish {
            Wish::Add(job) => self.add(job, known, who),
            Wish::Cancel(id) => self.cancel(id, known, who)?,
            Wish::Retry(id) => self.retry(id, known, who)?,
            Wish::Queue(id) => queue(id, known)?,
        };
        if decision.status.is_some() || decision.cancel.is_some() {
            self.above.insert(id.to_owned(), decision.known.clone());
        }
        Ok(decision)
    }

    fn add(&self, job: &Job, known: Known, who: &str) -> Decision {
        if known.status.is_some() {
            return Decision::nothing(known);
        }
        let status = Arc::new(JobStatus::of(job, JobState::Queued, self.at, self.at));
        let audit = self.audit(AuditAction::Created, &job.id, who);
        // A cancel that outlived its job, as after a topic was cut, is of another.
        let cancel = known.cancel.is_some().then_some(None);
        Decision {
            outcome: Outcome::Added,
            known: Known { status: Some(status.clone()), cancel: None, ..known },
            status: Some(status),
            cancel,
            audit: Some(audit),
            queue: Some(job.clone()),
        }
    }

    fn cancel(&self, id: &str, known: Known, who: &str) -> Result<Decision, Problem> {
        let status = known.status.clone().ok_or_else(|| Problem::no_job(id))?;
        if known.cancel.is_some() && !status.state.is_over() || status.state == JobState::Cancelled {
            return Ok(Decision::nothing(known));
        }
        if status.state.is_over() {
            let detail = format!("job {id:?} is {} already; there is nothing left to cancel", status.state);
            return Err(Problem::job_state(detail));
        }
        let cancel = Arc::new(JobCancel { job: id.to_owned(), at: self.at, who: who.to_owned() });
        // One that nobody has is over at once; else whoever has it says so.
        let over = (!status.state.is_in_work()).then(|| {
            let state = JobState::Cancelled;
            Arc::new(JobStatus { state, since: self.at, not_before: None, ..JobStatus::clone(&status) })
        });
        Ok(Decision {
            outcome: Outcome::Cancelled,
            known: Known { status: over.clone().or(Some(status)), cancel: Some(cancel.clone()), ..known },
            status: over,
            cancel: Some(Some(cancel)),
            audit: Some(self.audit(AuditAction::Cancelled, id, who)),
            queue: None,
        })
    }

    fn retry(&self, id: &str, known: Known, who: &str) -> Result<Decision, Problem> {
        let status = known.status.clone().ok_or_else(|| Problem::no_job(id))?;
        if !matches!(status.state, JobState::Failed | JobState::Cancelled) {
            let detail = match status.state {
                JobState::Done => format!(
                    "job {id:?} is done; add the file with other settings to have it worked off again"
                ),
                state if known.cancel.is_some() => {
                    format!("job {id:?} is {state} and being cancelled; try again when it has stopped")
                }
                state => {
                    format!("job {id:?} is {state}; only one that failed or was cancelled can be retried")
                }
            };
            return Err(Problem::job_state(detail));
        }
        let job = status.again();
        let again = Arc::new(JobStatus::of(&job, JobState::Queued, status.added_at, self.at));
        Ok(Decision {
            outcome: Outcome::Retried,
            cancel: known.cancel.is_some().then_some(None),
            known: Known { status: Some(again.clone()), cancel: None, ..known },
            status: Some(again),
            audit: Some(self.audit(AuditAction::Retried, id, who)),
            queue: Some(job),
        })
    }

    fn audit(&self, action: AuditAction, id: &str, who: &str) -> Audit {
        Audit {
            who: who.to_owned(),
            at: self.at,
            action,
            camera: id.to_owned(),
            generation: None,
            fields: Vec::new(),
            placement: None,
        }
    }
}

fn queue(id: &str, known: Known) -> Result<Decision, Problem> {
    let status = known.status.clone().ok_or_else(|| Problem::no_job(id))?;
    // Workers pass over attempts before the one that its status is about.
    let queue = (!status.state.is_over()).then(|| Job {
        attempt: status.attempt,
        not_before: status.not_before,
        ..status.again()
    });
    Ok(Decision { queue, ..Decision::nothing(known) })
}

impl Decision {
    fn nothing(known: Known) -> Self {
        Self { outcome: Outcome::Unchanged, known, status: None, cancel: None, audit: None, queue: None }
    }
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
