//! The jobs in work: followed, said, and settled when they end.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sightline_schema::{ErrorCode, Job, JobState, JobStatus, StatusError, Timestamp};
use sightline_service::kafka::{Partition, fault_point};

use super::attempt::{Attempt, Outcome};
use super::desk::{Unwritten, now};
use super::metrics::Ended;
use super::pace::time_left;
use super::queue::Queue;
use super::{AGAIN, Worker};

/// A job in work is said to be this often: others take it for dead otherwise.
const SAY: Duration = Duration::from_secs(5);

/// A job in work.
pub(super) struct Active {
    pub(super) job: Job,
    added_at: Timestamp,
    partition: Partition,
    offset: i64,
    epoch: u64,
    /// How many workers died in it before this one.
    deaths: u32,
    attempt: Attempt,
    began: Instant,
    since: Timestamp,
    /// When it was last said to be in work.
    said: Option<Instant>,
    /// Why it ends before its end.
    wish: Option<Wish>,
    /// Its next attempt lies in the queue.
    is_put: bool,
    /// Not settled before: something was not written.
    not_before: Option<Instant>,
}

/// Why a job is to end before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Cancelled,
    Left,
    Superseded,
}

impl Active {
    pub(super) fn new(
        job: Job,
        added_at: Timestamp,
        (partition, offset): (Partition, i64),
        (epoch, deaths): (u64, u32),
        attempt: Attempt,
    ) -> Self {
        Self {
            job,
            added_at,
            partition,
            offset,
            epoch,
            deaths,
            attempt,
            began: Instant::now(),
            since: now(),
            said: None,
            wish: None,
            is_put: false,
            not_before: None,
        }
    }

    /// Until its end, as it goes now.
    pub(super) fn time_left(&self) -> Option<Duration> {
        time_left(&self.attempt.progress(), self.began.elapsed())
    }

    /// This worker stops: another goes on with the job, from its beginning.
    pub(super) fn leave(&mut self) {
        if self.wish.is_none() && self.attempt.outcome().is_none() {
            self.wish = Some(Wish::Left);
            self.attempt.control.abandon();
        }
    }

    fn cancel(&mut self) {
        if self.wish.is_none() && self.attempt.outcome().is_none() {
            self.wish = Some(Wish::Cancelled);
            self.attempt.control.end();
        }
    }

    /// Another has claimed it, or ended it: what this one would write counts no more.
    fn give_way(&mut self) {
        if self.wish != Some(Wish::Superseded) {
            tracing::warn!(job = %self.job.id, epoch = self.epoch, "another worker has claimed it, or said that it is over; stopping it here");
            self.wish = Some(Wish::Superseded);
            self.attempt.control.abandon();
        }
    }

    pub(super) fn into_thread(self) -> Option<JoinHandle<()>> {
        self.attempt.into_thread()
    }

    fn status(&self, pod: &str, state: JobState) -> JobStatus {
        JobStatus {
            epoch: Some(self.epoch),
            pod: Some(pod.to_owned()),
            progress: Some(self.attempt.progress()),
            deaths: self.deaths,
            ..JobStatus::of(&self.job, state, self.added_at, now())
        }
    }
}

impl Worker {
    /// Looks after the jobs in work.
    pub(super) fn follow_active(&mut self) {
        let mut at = 0;
        while let Some(mut active) = self.take_out(at) {
            if self.follow(&mut active) {
                at += 1;
                self.active.insert(at - 1, active);
            } else {
                self.left_behind.retain(|thread| !thread.is_finished());
                self.left_behind.extend(active.into_thread());
            }
        }
    }

    fn take_out(&mut self, at: usize) -> Option<Active> {
        (at < self.active.len()).then(|| self.active.remove(at))
    }

    /// Whether it goes on.
    fn follow(&mut self, active: &mut Active) -> bool {
        if self.book.is_superseded(&active.job.id, active.epoch) {
            active.give_way();
        } else if self.book.is_cancelled(&active.job.id) {
            active.cancel();
        }
        if let Some(outcome) = active.attempt.outcome()
            && active.not_before.is_none_or(|at| at <= Instant::now())
        {
            match self.settle(active, &outcome) {
                Ok(ended) => {
                    self.metrics.ended(ended);
                    return false;
                }
                Err(error) => {
                    if active.not_before.is_none() {
                        tracing::warn!(job = %active.job.id, "it has ended, and that could not be written yet: {error}");
                    }
                    active.not_before = Some(Instant::now() + AGAIN);
                }
            }
        }
        self.say(active);
        true
    }

    /// Says that it is in work, and how far.
    fn say(&mut self, active: &mut Active) {
        let is_due = active.said.is_none_or(|said| said.elapsed() >= SAY);
        if !is_due || active.wish == Some(Wish::Superseded) {
            return;
        }
        let status = JobStatus { since: active.since, ..active.status(&self.options.pod, JobState::Running) };
        active.said = Some(Instant::now());
        if let Err(error) = self.say_of(active, &status) {
            tracing::debug!(job = %active.job.id, "its progress was not written: {error}");
            active.said = Instant::now().checked_sub(SAY.saturating_sub(2 * AGAIN));
        }
    }

    /// Says something of a job, if this attempt still counts. A worker that was replaced while it slept would have the last word
    /// on a job that is done, and the last word is what compaction keeps: so the group has to know it, by the job's partition.
    fn say_of(&mut self, active: &Active, status: &JobStatus) -> Result<(), Unwritten> {
        fault_point("job-said");
        if self.holds(active) {
            return self.desk.say(status, &self.reader, (&active.partition, active.offset));
        }
        // The partition went to another while this one was at work. By the offset of a partition that is not the job's it is not said
        // either: another may have finished the record at its head, and then what is committed would go back.
        self.refresh().map_err(Unwritten::Kafka)?;
        if self.book.is_superseded(&active.job.id, active.epoch) {
            return Err(Unwritten::Superseded);
        }
        if !self.reader.is_member() {
            return Err(Unwritten::NoMember);
        }
        self.desk.say_unbound(status)
    }

    /// Whether the job's record is the head of a partition that this worker holds.
    fn holds(&self, active: &Active) -> bool {
        let head = self.queues.get(&active.partition).and_then(Queue::head);
        head.is_some_and(|head| head.offset == active.offset)
    }

    /// Writes how a job ended, if this attempt still counts.
    fn settle(&mut self, active: &mut Active, outcome: &Outcome) -> Result<Ended, Unwritten> {
        self.refresh().map_err(Unwritten::Kafka)?;
        if self.book.is_superseded(&active.job.id, active.epoch) {
            active.give_way();
        }
        let pod = self.options.pod.clone();
        let (state, ended) = match (active.wish, outcome) {
            (Some(Wish::Superseded), _) => return Ok(Ended::Superseded),
            (_, Outcome::Complete) => (JobState::Done, Ended::Done),
            (Some(Wish::Cancelled), _) => (JobState::Cancelled, Ended::Cancelled),
            (Some(Wish::Left), _) | (None, Outcome::Stopped) => {
                // Nobody works at it from now on: another takes it at once.
                let left = JobStatus { pod: None, ..active.status(&pod, JobState::Queued) };
                self.say_of(active, &left)?;
                return Ok(Ended::Left);
            }
            (None, Outcome::Failed(error)) => {
                return self.settle_failure(active, error.to_job_status());
            }
        };
        let status = active.status(&pod, state);
        self.desk.settle(&status, &self.reader, (&active.partition, active.offset))?;
        self.pop(&active.partition.clone(), active.offset);
        if let Some(progress) = status.progress.filter(|_| ended == Ended::Done) {
            self.metrics.video(progress.at_s);
        }
        self.told(active, ended);
        Ok(ended)
    }

    /// To be tried again, or failed for good.
    fn settle_failure(&mut self, active: &mut Active, error: StatusError) -> Result<Ended, Unwritten> {
        let pod = self.options.pod.clone();
        let made = usize::try_from(active.job.attempt).unwrap_or(usize::MAX).saturating_sub(1);
        let wait = self.options.backoff.get(made).filter(|_| may_pass(error.code)).copied();
        let (status, ended) = match wait {
            None => (active.status(&pod, JobState::Failed), Ended::Failed),
            Some(wait) => {
                let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                let due = now().saturating_add_micros(wait_us);
                let next =
                    Job { attempt: active.job.attempt + 1, not_before: Some(due), ..active.job.clone() };
                if !active.is_put {
                    self.desk.put(&next, active.partition.1)?;
                    active.is_put = true;
                }
                let waiting = JobStatus {
                    attempt: next.attempt,
                    not_before: next.not_before,
                    ..active.status(&pod, JobState::Waiting)
                };
                (waiting, Ended::Retried)
            }
        };
        let retry_in_s = wait.map(|wait| wait.as_secs());
        let (code, message) = (error.code.as_str(), error.message.clone());
        let status = JobStatus { error: Some(error), ..status };
        self.desk.settle(&status, &self.reader, (&active.partition, active.offset))?;
        self.pop(&active.partition.clone(), active.offset);
        let attempt = active.job.attempt;
        match retry_in_s {
            None => {
                let provisional_results = active.attempt.progress().frames;
                tracing::error!(job = %active.job.id, attempt, code, provisional_results, "failed for good: {message}");
            }
            Some(_) => {
                tracing::warn!(job = %active.job.id, attempt, code, retry_in_s, "failed: {message}");
            }
        }
        Ok(ended)
    }

    fn told(&self, active: &Active, ended: Ended) {
        let progress = active.attempt.progress();
        let seconds = active.began.elapsed().as_secs_f64();
        tracing::info!(
            job = %active.job.id,
            epoch = active.epoch,
            video_s = (progress.at_s * 10.0).round() / 10.0,
            seconds = (seconds * 10.0).round() / 10.0,
            results = progress.frames,
            "{}",
            ended.as_str()
        );
    }
}

/// Whether another attempt may go better: what is not allowed, or not written as it should be, stays so.
fn may_pass(code: ErrorCode) -> bool {
    !matches!(code, ErrorCode::ForbiddenUri | ErrorCode::SettingsInvalid)
}
