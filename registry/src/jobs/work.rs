//! The one place where jobs are added, cancelled and retried. Wishes are decided one after another, on the newest that is
//! known; those that came meanwhile are written together, in one transaction. Behind it the jobs go into their queues.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{JobCancel, JobStatus, Message as _, Timestamp};
use sightline_service::kafka::{Delivered, KafkaFault, Write, WriteError, Writer};

use super::desk::{Clerk, Done, Handed, Waiting, stopping};
use super::keep::{Due, due};
use super::queue::Queue;
use super::state::Known;
use super::view::Follower;
use super::wish::{Decision, Draft, Outcome};
use crate::desk::TakenOver;
use crate::problem::Problem;

/// Jobs that are written in one transaction.
const BATCH: usize = 500;
/// How long queue and view may take, before a client is told to look later.
const FOLLOW: Duration = Duration::from_secs(5);
/// Whether somebody else took over is asked this often while there is nothing to write.
const CHECK: Duration = Duration::from_secs(10);
/// What nobody asks for any more is looked for this often.
const FORGET: Duration = Duration::from_secs(60);

pub(super) struct Work {
    clerk: Clerk,
    /// `None` after an outcome that is not known: a new one settles it.
    writer: Option<Writer>,
    partitions: u32,
    queue: Queue,
    /// What was written and is not in the view yet, and where it lies.
    above: BTreeMap<String, Known>,
    behind: Vec<Delivered>,
    /// When it was last looked for what is to be forgotten.
    forgot: Option<Instant>,
}

/// A wish whose decision waits to be written.
struct Decided {
    handed: Handed,
    decision: Decision,
}

impl Work {
    /// `partitions` are those of `job-status`.
    pub(super) fn new(clerk: Clerk, writer: Writer, partitions: u32) -> Self {
        let queue = Queue::new(clerk.settings.clone(), clerk.topics.clone());
        let (above, behind) = (BTreeMap::new(), Vec::new());
        Self { clerk, writer: Some(writer), partitions, queue, above, behind, forgot: None }
    }

    /// Works until the process ends, or somebody else took over.
    pub(super) fn run(mut self, waiting: &Waiting) -> Result<(), TakenOver> {
        let mut idle = Instant::now();
        while !self.clerk.shutdown.is_set() {
            match waiting.0.recv_timeout(Duration::from_millis(200)) {
                Ok(first) => {
                    let handed = std::iter::once(first).chain(waiting.0.try_iter()).take(BATCH).collect();
                    self.work(handed)?;
                    idle = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) if idle.elapsed() >= CHECK => {
                    self.check()?;
                    idle = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.forget()?;
            self.queue.go_on();
            self.clerk.metrics.jobs_unqueued.set(i64::try_from(self.queue.left()).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TakenOver> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.check(&self.clerk.topics.job_status()) {
            Err(WriteError::Fenced(fault)) => return Err(TakenOver(fault)),
            Err(WriteError::Unknown(fault)) => {
                tracing::debug!("the writer of jobs is made anew: {fault}");
                self.writer = None;
            }
            Err(WriteError::Refused(fault)) => tracing::debug!("the writer of jobs was not checked: {fault}"),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Jobs that were over long ago: their statuses end in tombstones, and so do their cancels.
    fn forget(&mut self) -> Result<(), TakenOver> {
        let Some(keep) = self.clerk.keep else { return Ok(()) };
        if self.forgot.is_some_and(|at| at.elapsed() < FORGET) || self.ready().is_err() {
            return Ok(());
        }
        self.forgot = Some(Instant::now());
        let now = Timestamp::from_system_time(SystemTime::now());
        let due = self.clerk.view.read(|state| due(state, &self.above, now, keep, BATCH));
        let records: Vec<_> = due.iter().flat_map(|due| self.tombstones(due)).collect();
        let Some(writer) = self.writer.as_mut().filter(|_| !records.is_empty()) else { return Ok(()) };
        match writer.write(&records, None) {
            Ok(delivered) => {
                // Whoever adds one of them again adds a new one, whether the view is there yet or not.
                self.above.extend(due.iter().map(|due| (due.job.clone(), Known::default())));
                self.behind.extend(delivered);
                self.follow();
                tracing::info!(jobs = due.len(), "jobs that were over long ago are forgotten");
                if due.len() == BATCH {
                    self.forgot = None;
                }
            }
            Err(WriteError::Fenced(fault)) => return Err(TakenOver(fault)),
            Err(WriteError::Refused(fault)) => {
                tracing::warn!("jobs that were over long ago are not forgotten yet: {fault}");
            }
            Err(WriteError::Unknown(fault)) => {
                tracing::debug!("the writer of jobs is made anew: {fault}");
                self.writer = None;
            }
        }
        Ok(())
    }

    fn tombstones(&self, Due { job, has_status, has_cancel }: &Due) -> Vec<Write> {
        let topic = self.clerk.topics.job_status();
        // A status before its cancel: between the two, one that was cancelled is not to be taken again.
        let status = has_status.then(|| Write::tombstone(topic.clone(), job.clone(), JobStatus::SCHEMA));
        let cancel = has_cancel.then(|| self.cancel_tombstone(job));
        status.into_iter().chain(cancel).collect()
    }

    /// On the partition of the job, whatever its key hashes to.
    fn cancel_tombstone(&self, job: &str) -> Write {
        let key = JobCancel::key_of(job);
        let partition = Some(JobCancel::partition_of(job, self.partitions));
        Write { partition, ..Write::tombstone(self.clerk.topics.job_status(), key, JobCancel::SCHEMA) }
    }

    /// Until the view shows what was written; `false` when that takes too long.
    fn follow(&mut self) -> bool {
        let followed = self.clerk.view.wait_for(&self.behind, FOLLOW);
        if followed {
            self.above.clear();
            self.behind.clear();
        }
        followed
    }

    fn work(&mut self, handed: Vec<Handed>) -> Result<(), TakenOver> {
        if let Err(fault) = self.ready() {
            for handed in handed {
                refuse(handed, &fault.to_string());
            }
            return Ok(());
        }
        let at = Timestamp::from_system_time(SystemTime::now());
        let above = &mut self.above;
        let decided: Vec<_> = self.clerk.view.read(|state| {
            let mut draft = Draft { state, above, at };
            let decide = |handed: Handed| match draft.decide(&handed.wish, &handed.who) {
                Ok(decision) => Some(Decided { handed, decision }),
                Err(problem) => {
                    // Who asked may be gone.
                    let _ = handed.answer.send(Err(problem));
                    None
                }
            };
            handed.into_iter().filter_map(decide).collect()
        });
        let (changes, rest): (Vec<_>, Vec<_>) =
            decided.into_iter().partition(|decided| decided.decision.outcome != Outcome::Unchanged);
        self.queue(&rest);
        for decided in rest {
            answer(decided, true);
        }
        if changes.is_empty() { Ok(()) } else { self.write(changes) }
    }

    /// A writer, and everything known that an earlier one may have written.
    fn ready(&mut self) -> Result<(), KafkaFault> {
        if self.writer.is_some() {
            return Ok(());
        }
        let writer = self.clerk.writer()?;
        // A second reading brings the view to the end, whatever the first one waits for.
        Follower::open(&self.clerk.settings, &self.clerk.topics.job_status(), &self.clerk.view)?;
        self.above.clear();
        self.behind.clear();
        self.writer = Some(writer);
        Ok(())
    }

    fn write(&mut self, changes: Vec<Decided>) -> Result<(), TakenOver> {
        let records = match self.records(&changes) {
            Ok(records) => records,
            Err(error) => {
                self.take_back(changes, &format!("a record can't be made ({error})"));
                return Ok(());
            }
        };
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.write(&records, None) {
            Ok(delivered) => {
                let statuses = self.clerk.topics.job_status();
                let lie = records.iter().zip(delivered).filter(|(record, _)| record.topic == statuses);
                self.behind.extend(lie.map(|(_, lies)| lies));
                self.queue(&changes);
                let followed = self.follow();
                self.done(changes, followed);
                Ok(())
            }
            Err(WriteError::Fenced(fault)) => {
                for decided in changes {
                    let _ = decided.handed.answer.send(Err(stopping()));
                }
                Err(TakenOver(fault))
            }
            Err(WriteError::Refused(fault)) => {
                self.take_back(changes, &fault.to_string());
                Ok(())
            }
            Err(WriteError::Unknown(fault)) => {
                self.settle(changes, &fault);
                Ok(())
            }
        }
    }

    /// Whether an outcome that is not known was the good one: a new writer ends what was open, and the log says.
    fn settle(&mut self, changes: Vec<Decided>, fault: &KafkaFault) {
        self.writer = None;
        if let Err(again) = self.ready() {
            let why = format!("whether anything was written is not known: {fault}, and then {again}");
            for decided in changes {
                self.above.remove(&id_of(&decided.decision));
                let problem = Problem::unavailable(format!("{why}; look, and try again"));
                let _ = decided.handed.answer.send(Err(problem));
            }
            return;
        }
        let is_there = |decided: &Decided| {
            let Decision { status, cancel, .. } = &decided.decision;
            self.clerk.view.read(|state| {
                let known = state.jobs.get(&id_of(&decided.decision)).cloned().unwrap_or_default();
                status.as_ref().is_none_or(|wanted| known.status.as_ref() == Some(wanted))
                    && cancel.as_ref().is_none_or(|wanted| known.cancel == *wanted)
            })
        };
        let (there, not): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_there);
        self.queue(&there);
        self.done(there, true);
        self.take_back(not, &fault.to_string());
    }

    fn queue(&mut self, decided: &[Decided]) {
        let jobs = decided.iter().filter_map(|decided| decided.decision.queue.clone());
        let jobs: Vec<_> = jobs.filter(|job| !self.queue.has(&job.id)).collect();
        if !jobs.is_empty() {
            self.queue.put(jobs, FOLLOW);
        }
    }

    fn done(&mut self, changes: Vec<Decided>, followed: bool) {
        for decided in changes {
            let id = id_of(&decided.decision);
            let outcome = decided.decision.outcome;
            self.clerk.metrics.wrote_job(outcome);
            tracing::info!(job = id, who = decided.handed.who, "{}", verb(outcome));
            let followed = followed && !self.queue.has(&id);
            answer(decided, followed);
        }
    }

    fn take_back(&mut self, changes: Vec<Decided>, why: &str) {
        tracing::warn!("nothing was written: {why}");
        for decided in changes {
            self.above.remove(&id_of(&decided.decision));
            refuse(decided.handed, why);
        }
    }

    fn records(&self, changes: &[Decided]) -> Result<Vec<Write>, serde_json::Error> {
        let topics = &self.clerk.topics;
        let mut records = Vec::with_capacity(changes.len() * 3);
        for Decided { decision, .. } in changes {
            let id = id_of(decision);
            if let Some(cancel) = &decision.cancel {
                let write = match cancel {
                    Some(cancel) => Write::of(topics.job_status(), &**cancel)?,
                    None => self.cancel_tombstone(&id),
                };
                let partition = Some(JobCancel::partition_of(&id, self.partitions));
                records.push(Write { partition, ..write });
            }
            if let Some(status) = &decision.status {
                records.push(Write::of(topics.job_status(), &**status)?);
            }
            if let Some(audit) = &decision.audit {
                records.push(Write::of(topics.audit(), audit)?);
            }
        }
        Ok(records)
    }
}

fn id_of(decision: &Decision) -> String {
    decision.known.status.as_ref().map(|status| status.job.clone()).unwrap_or_default()
}

fn answer(decided: Decided, followed: bool) {
    let Decision { outcome, known, .. } = decided.decision;
    // Who asked may be gone.
    let _ = decided.handed.answer.send(Ok(Done { outcome, known, followed }));
}

fn refuse(handed: Handed, why: &str) {
    let problem = Problem::unavailable(format!("nothing was written: {why}; try again"));
    let _ = handed.answer.send(Err(problem));
}

fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Added => "job added",
        Outcome::Cancelled => "job cancelled",
        Outcome::Retried => "job to be tried again",
        Outcome::Unchanged => "job left as it is",
    }
}
