//! What waits at the heads of the partitions: taken, passed over, put behind, or left for another look.

use std::time::Instant;

use sightline_schema::{ErrorCode, Job, JobState, JobStatus, StatusError, Timestamp, without_queries};
use sightline_service::kafka::{KafkaFault, Partition};

use super::active::Active;
use super::attempt::Attempt;
use super::decide::{Head, Verdict, decide};
use super::desk::{Unwritten, now};
use super::metrics::Ended;
use super::queue::{Content, Pending};
use super::{AGAIN, Worker};
use crate::run::{CameraRefused, Ready};

/// What is to be done with a head, taken out of the queue's borrow.
enum Task {
    Pass,
    Cancel(Job),
    Refuse(Job, String),
    GiveUp(Job),
    Take(Job),
    Move(Job),
}

impl Worker {
    /// Looks at each partition's head, the oldest first, while there is room for another job.
    pub(super) fn look_at_heads(&mut self) {
        let mut heads: Vec<(i64, Partition)> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.not_before.is_none_or(|at| at <= Instant::now()))
            .filter_map(|(partition, queue)| Some((queue.head()?.timestamp_ms, partition.clone())))
            .collect();
        heads.sort();
        for (_, partition) in heads {
            if self.active.len() >= self.options.parallel {
                return;
            }
            self.look_at(&partition);
        }
    }

    /// Goes through what is done with at the head of a partition, up to what is to be worked at or waited for.
    fn look_at(&mut self, partition: &Partition) {
        while let Some((offset, received)) = self.head(partition) {
            if self.task(partition).is_none() {
                return;
            }
            // What was written before the record was put here counts: one to be tried again says so before. And who works at it
            // may have been heard of since the last look, however long ago that was.
            if (received > self.fresh || self.is_in_work(partition)) && self.refresh().is_err() {
                return self.later(partition);
            }
            let Some(task) = self.task(partition) else { return };
            let is_taken = matches!(task, Task::Take(_));
            if let Err(error) = self.carry_out(task, partition, offset) {
                tracing::warn!(partition = partition.1, offset, "a record is looked at again: {error}");
                return self.later(partition);
            }
            if is_taken {
                return;
            }
        }
    }

    /// Whether somebody works at the head, as far as the statuses were read.
    fn is_in_work(&self, partition: &Partition) -> bool {
        let head = self.queues.get(partition).and_then(super::queue::Queue::head);
        let known = head.and_then(|head| self.book.known(head.content.job()?.id.as_str()));
        known.is_some_and(|known| known.state.is_in_work())
    }

    fn head(&self, partition: &Partition) -> Option<(i64, Instant)> {
        self.queues.get(partition)?.head().map(|head| (head.offset, head.received))
    }

    /// `None`: nothing now.
    fn task(&self, partition: &Partition) -> Option<Task> {
        let queue = self.queues.get(partition)?;
        let Pending { content, head_since, .. } = queue.head()?;
        let Some(job) = content.job() else { return Some(Task::Pass) };
        let head = Head {
            job,
            known: self.book.known(&job.id),
            is_cancelled: self.book.is_cancelled(&job.id),
            is_here: self.active.iter().any(|active| active.job.id == job.id),
            holds_others_up: queue.len() > 1,
            waited: head_since.elapsed(),
        };
        match (decide(&head, now()), content) {
            (Verdict::Wait, _) => None,
            (Verdict::Pass, _) => Some(Task::Pass),
            (Verdict::Cancel, _) => Some(Task::Cancel(job.clone())),
            (Verdict::GiveUp, _) => Some(Task::GiveUp(job.clone())),
            (_, Content::Refused(job, why)) => Some(Task::Refuse(job.clone(), why.clone())),
            (Verdict::Take, _) => Some(Task::Take(job.clone())),
            (Verdict::Move, _) => Some(Task::Move(job.clone())),
        }
    }

    fn later(&mut self, partition: &Partition) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.not_before = Some(Instant::now() + AGAIN);
        }
    }

    fn carry_out(&mut self, task: Task, partition: &Partition, offset: i64) -> Result<(), Unwritten> {
        match task {
            Task::Pass => {
                // A dead letter that nobody has is no reason to forget the record.
                self.dead_letters.wait().map_err(Unwritten::Kafka)?;
                self.pass(partition, offset)?;
            }
            Task::Cancel(job) => {
                let status = self.status(&job, JobState::Cancelled);
                self.desk.settle(&status, &self.reader, (partition, offset))?;
                tracing::info!(job = %job.id, "cancelled before it began");
                self.metrics.ended(Ended::Cancelled);
                self.pop(partition, offset);
            }
            Task::Refuse(job, why) => {
                let code = ErrorCode::SettingsInvalid;
                let message = format!("{why}. {}", code.recording_advice());
                self.fail(&job, StatusError { code, message }, partition, offset)?;
            }
            Task::GiveUp(job) => self.give_up(&job, partition, offset)?,
            Task::Take(job) => return self.take(job, partition, offset),
            Task::Move(job) => {
                self.desk.put(&job, partition.1)?;
                self.pass(partition, offset)?;
            }
        }
        Ok(())
    }

    /// Nothing is left to do for this record.
    fn pass(&mut self, partition: &Partition, offset: i64) -> Result<(), Unwritten> {
        self.reader.commit([(partition, offset + 1)]).map_err(Unwritten::Kafka)?;
        self.pop(partition, offset);
        Ok(())
    }

    pub(super) fn pop(&mut self, partition: &Partition, offset: i64) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.pop(offset);
            self.regulate(partition);
        }
    }

    /// It may well be what kills workers, and whoever takes it next would die, too.
    fn give_up(&mut self, job: &Job, partition: &Partition, offset: i64) -> Result<(), Unwritten> {
        let deaths = self.deaths(&job.id);
        let message = format!(
            "its worker died {deaths} times in it. Look at the workers' memory limits and at the file; then retry the job."
        );
        self.fail(job, StatusError { code: ErrorCode::Internal, message }, partition, offset)
    }

    /// It failed for good without an attempt of this worker's: no further one would mend that.
    fn fail(
        &mut self,
        job: &Job,
        error: StatusError,
        partition: &Partition,
        offset: i64,
    ) -> Result<(), Unwritten> {
        tracing::error!(job = %job.id, code = error.code.as_str(), "failed for good: {}", error.message);
        let epoch = self.book.epoch(&job.id);
        let status = JobStatus { epoch, error: Some(error), ..self.status(job, JobState::Failed) };
        self.desk.settle(&status, &self.reader, (partition, offset))?;
        self.metrics.ended(Ended::Failed);
        self.pop(partition, offset);
        Ok(())
    }

    fn take(&mut self, job: Job, partition: &Partition, offset: i64) -> Result<(), Unwritten> {
        let ready = match Ready::of_runner(&self.runner, &job.camera()) {
            Ok(ready) => ready,
            Err(CameraRefused::Settings { reason, .. }) => {
                return self.carry_out(Task::Refuse(job, reason), partition, offset);
            }
            Err(refused) => return self.carry_out(Task::Refuse(job, refused.to_string()), partition, offset),
        };
        let status = self.status(&job, JobState::Claimed);
        let place = self.desk.claim(&status, &self.reader, (partition, offset))?;
        let epoch = u64::try_from(place.offset).unwrap_or(0) + self.book.base(place.partition);
        tracing::info!(job = %job.id, epoch, attempt = job.attempt, uri = %without_queries(&job.uri), "claimed");
        let reach = self.options.reach.clone();
        let attempt = Attempt::begin(&self.runner, &job, ready, epoch, reach)
            .map_err(|error| Unwritten::Kafka(KafkaFault::no_thread(&error)))?;
        let place = (partition.clone(), offset);
        self.active.push(Active::new(job, status.added_at, place, (epoch, status.deaths), attempt));
        Ok(())
    }

    /// What is said of a job now.
    pub(super) fn status(&self, job: &Job, state: JobState) -> JobStatus {
        let since = now();
        let added_at = self.book.added_at(&job.id).or_else(|| self.written_at(&job.id)).unwrap_or(since);
        let (pod, deaths) = (Some(self.options.pod.clone()), self.deaths(&job.id));
        JobStatus { pod, deaths, ..JobStatus::of(job, state, added_at, since) }
    }

    /// How many workers died in it so far.
    fn deaths(&self, job: &str) -> u32 {
        self.book.known(job).map_or(0, |known| known.deaths_by_now())
    }

    /// When the record at some head was written.
    fn written_at(&self, job: &str) -> Option<Timestamp> {
        let is_of = |content: &Content| content.job().is_some_and(|of| of.id == job);
        let heads = self.queues.values().filter_map(super::queue::Queue::head);
        let head = heads.into_iter().find(|head| is_of(&head.content))?;
        Some(Timestamp::from_micros(head.timestamp_ms.saturating_mul(1000)))
    }
}
