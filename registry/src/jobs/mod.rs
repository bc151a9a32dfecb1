//! Recorded files that are worked off once: added, listed, cancelled and retried. What is known of them lies in Kafka, on
//! `job-status`; what is to be done lies in the queues of pools.

mod desk;
mod expand;
mod keep;
mod queue;
mod start;
mod state;
mod view;
mod wish;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sightline_schema::Topics;
use sightline_service::kafka::{KafkaFault, KafkaSettings, Writer};
use sightline_service::shutdown::{Cause, Shutdown};

use self::desk::Clerk;
pub(crate) use self::desk::{Done, JobDesk};
pub(crate) use self::expand::{Cursor, File, Looking, Places, Refused};
pub(crate) use self::start::NamePattern;
pub(crate) use self::state::Known;
use self::view::Follower;
pub(crate) use self::view::JobsView;
pub(crate) use self::wish::{Outcome, Wish};
use self::work::Work;
use crate::desk::TakenOver;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// What could not be begun is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Who waits for a registry waits this long for jobs, too.
const BEGIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// What is known of jobs, and the desk where they are added. Cameras do not wait for it.
#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) view: JobsView,
    pub(crate) places: Arc<Places>,
    desk: OnceLock<JobDesk>,
    waits_for: Mutex<Option<String>>,
}

impl Jobs {
    /// Where jobs are added, once all that lies in the topic was read.
    pub(crate) fn desk(&self) -> Result<&JobDesk, Problem> {
        self.desk.get().ok_or_else(|| {
            let why = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            Problem::unavailable(format!("what is known of jobs is not read yet{why}; try again"))
        })
    }

    /// Until jobs can be added, or it is known why not; and not for long.
    pub(crate) fn wait_for_begin(&self, shutdown: &Shutdown) {
        let deadline = Instant::now() + BEGIN;
        let is_told = || self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        while self.desk.get().is_none() && !is_told() && Instant::now() < deadline {
            if shutdown.wait_timeout(LOOK) {
                return;
            }
        }
    }

    /// Takes over from whoever wrote before, reads everything, and works until `shutdown`, or until another registry takes
    /// over. What is over is forgotten after `keep`.
    pub(crate) fn start(
        self: &Arc<Self>,
        settings: KafkaSettings,
        topics: Topics,
        metrics: Metrics,
        keep: Option<Duration>,
        shutdown: Shutdown,
    ) -> std::io::Result<JoinHandle<Result<(), TakenOver>>> {
        let jobs = self.clone();
        let work = move || {
            let clerk = Clerk {
                settings,
                topics,
                view: jobs.view.clone(),
                metrics,
                keep,
                shutdown: shutdown.clone(),
            };
            let outcome = jobs.work(clerk);
            shutdown.set(Cause::Finished);
            outcome
        };
        std::thread::Builder::new().name("jobs".to_owned()).spawn(work)
    }

    fn work(&self, clerk: Clerk) -> Result<(), TakenOver> {
        let (settings, topics, shutdown) =
            (clerk.settings.clone(), clerk.topics.clone(), clerk.shutdown.clone());
        let (writer, follower) = loop {
            match self.open(&clerk) {
                Ok(opened) => break opened,
                Err(fault) => {
                    let mut waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
                    let why = fault.to_string();
                    if waits_for.as_ref() != Some(&why) {
                        tracing::warn!("jobs can't be added yet: {why}; trying again");
                    }
                    *waits_for = Some(why);
                }
            }
            if shutdown.wait_timeout(AGAIN) {
                return Ok(());
            }
        };
        let (desk, waiting) = desk::desk();
        let work = Work::new(clerk, writer, follower.partitions());
        std::thread::scope(|scope| {
            scope.spawn(|| follower.run(&shutdown));
            scope.spawn(|| self.queue_missing(&settings, &topics, &desk));
            // It is set once.
            let _ = self.desk.set(desk.clone());
            tracing::info!(jobs = self.view.read(|state| state.jobs.len()), "jobs are read");
            let outcome = work.run(&waiting);
            shutdown.set(Cause::Finished);
            outcome
        })
    }

    /// In this order: nobody writes any more what is read now to its end.
    fn open(&self, clerk: &Clerk) -> Result<(Writer, Follower), KafkaFault> {
        let writer = clerk.writer()?;
        Ok((writer, Follower::open(&clerk.settings, &clerk.topics.job_status(), &clerk.view)?))
    }

    /// Puts into the queues what a registry that died did not, and what lay there for longer than Kafka keeps it, be it begun.
    fn queue_missing(&self, settings: &KafkaSettings, topics: &Topics, desk: &JobDesk) {
        let mut pools: BTreeMap<String, Vec<_>> = BTreeMap::new();
        self.view.read(|state| {
            for (_, _, status) in state.all().filter(|(_, _, status)| !status.state.is_over()) {
                pools.entry(status.pool.clone()).or_default().push(status.clone());
            }
        });
        for (pool, queued) in pools {
            match queue::missing(settings, topics, &pool, &queued) {
                Ok(missing) => {
                    if !missing.is_empty() {
                        tracing::warn!(
                            pool,
                            jobs = missing.len(),
                            "jobs that are not over lie in no queue; they go there now"
                        );
                    }
                    for id in missing {
                        // Nobody waits for it.
                        drop(desk.hand_in(Wish::Queue(id), "registry"));
                    }
                }
                Err(fault) => tracing::warn!(pool, "whether all jobs are in the queue is not known: {fault}"),
            }
        }
    }
}
