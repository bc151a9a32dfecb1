//! The newest accepted changes: of cameras and of jobs each so many, since one folder of recordings is as many changes as
//! a year of cameras.

use std::collections::VecDeque;
use std::sync::Arc;

use sightline_schema::{Audit, Job};

/// How many changes of a kind are kept in memory; the topic has them all.
pub(crate) const AUDITS: usize = 10_000;

/// An accepted change, by where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Audited {
    pub audit: Arc<Audit>,
    pub partition: i32,
    pub offset: i64,
    /// Its place among all that were read.
    order: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Audits {
    /// Oldest first.
    cameras: VecDeque<Audited>,
    jobs: VecDeque<Audited>,
    read: u64,
}

impl Audits {
    pub(crate) fn add(&mut self, audit: Audit, partition: i32, offset: i64) {
        self.read += 1;
        let order = self.read;
        let kind = if Job::is_id(&audit.camera) { &mut self.jobs } else { &mut self.cameras };
        if kind.len() == AUDITS {
            kind.pop_front();
        }
        kind.push_back(Audited { audit: Arc::new(audit), partition, offset, order });
    }

    /// Newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Audited> {
        let mut cameras = self.cameras.iter().rev().peekable();
        let mut jobs = self.jobs.iter().rev().peekable();
        std::iter::from_fn(move || match (cameras.peek(), jobs.peek()) {
            (Some(camera), Some(job)) if camera.order < job.order => jobs.next(),
            (None, _) => jobs.next(),
            _ => cameras.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use sightline_schema::{AuditAction, Timestamp};

    use super::*;

    #[test]
    fn jobs_push_no_change_of_a_camera_out() {
        let mut audits = Audits::default();
        let mut add = |camera: &str, offset: i64| {
            let audit = Audit {
                who: "ops".to_owned(),
                at: Timestamp::from_micros(0),
                action: AuditAction::Created,
                camera: camera.to_owned(),
                generation: None,
                fields: Vec::new(),
                placement: None,
            };
            audits.add(audit, 0, offset);
        };
        add("gate", 0);
        for offset in 1..=AUDITS as i64 + 5 {
            add("job-1", offset);
        }
        add("yard", -1);
        let newest: Vec<_> = audits.newest().map(|audited| audited.offset).collect();
        assert_eq!(newest.len(), AUDITS + 2);
        assert_eq!((newest[0], newest[1], newest[AUDITS], newest[AUDITS + 1]), (-1, AUDITS as i64 + 5, 6, 0));
    }
}
