//! The records of one partition that were read and are not done, in order.

use std::collections::VecDeque;
use std::time::Instant;

use sightline_schema::Job;

/// Reading goes no further while so many wait: a record or two is all that a worker needs to see.
const ENOUGH: usize = 2;

/// A record that is not done.
pub(super) struct Pending {
    pub(super) offset: i64,
    /// Milliseconds since 1970, by whoever wrote it.
    pub(super) timestamp_ms: i64,
    pub(super) content: Content,
    pub(super) received: Instant,
    /// Since when it is the first.
    pub(super) head_since: Instant,
}

/// What a record turned out to be.
pub(super) enum Content {
    Job(Job),
    /// It can't be taken as it is written: why.
    Refused(Job, String),
    /// Nobody's: why. A copy of it lies among the dead letters.
    Unreadable(String),
}

impl Content {
    /// What it is about, where that can be read.
    pub(super) fn job(&self) -> Option<&Job> {
        match self {
            Self::Job(job) | Self::Refused(job, _) => Some(job),
            Self::Unreadable(_) => None,
        }
    }
}

/// Of one partition.
#[derive(Default)]
pub(super) struct Queue {
    records: VecDeque<Pending>,
    /// Another look is not worth it before.
    pub(super) not_before: Option<Instant>,
}

impl Queue {
    pub(super) fn push(&mut self, pending: Pending) {
        self.records.push_back(pending);
    }

    pub(super) fn head(&self) -> Option<&Pending> {
        self.records.front()
    }

    /// The record at the head is done.
    pub(super) fn pop(&mut self, offset: i64) {
        if self.records.front().is_some_and(|head| head.offset == offset) {
            self.records.pop_front();
            self.not_before = None;
            if let Some(head) = self.records.front_mut() {
                head.head_since = Instant::now();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= ENOUGH
    }
}
