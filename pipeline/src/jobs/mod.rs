//! Recorded video: a worker takes the jobs of its pool off the queue, one attempt each, until each is done or given up.
//!
//! `decide` says what becomes of the record at the head of a partition, `book` is what `job-status` says, `pace` how long a job
//! still takes (all pure); `attempt` reads one recording, `desk` writes. This file and `heads` and `active` are the one thread that
//! does it all, in turn: membership, claims and decisions must agree. `docs/adr/0013-jobs.md` says why it is so.

mod active;
mod attempt;
mod book;
mod decide;
mod desk;
mod heads;
mod metrics;
mod pace;
mod places;
mod queue;
mod receive;

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sightline_schema::Topics;
use sightline_service::kafka::{
    DeadLetters, From, KafkaFault, KafkaSettings, Partition, Reader, ReaderOptions, Step, Tail,
};
use sightline_service::shutdown::Shutdown;

use self::active::Active;
use self::book::Book;
use self::desk::Desk;
pub use self::metrics::WorkerMetrics;
use self::queue::Queue;
use crate::reach::Reach;
use crate::run::Runner;

/// One look at the queue, and one at the statuses.
const LOOK: Duration = Duration::from_millis(50);
/// For reading the statuses at the start; a stop waits for it.
const START: Duration = Duration::from_secs(60);
/// For reading the statuses to where they end now.
const REFRESH: Duration = Duration::from_secs(5);
/// Records that were read and not looked at, at most.
const MOST_BYTES: usize = 8 << 20;
/// What could not be written is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Behind the grace, for the last words of jobs that are left.
const GOODBYE: Duration = Duration::from_secs(10);

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    pub settings: KafkaSettings,
    pub topics: Topics,
    pub pool: String,
    /// The name of this process in statuses.
    pub pod: String,
    /// A name that no other process has.
    pub process: String,
    /// So many jobs at once.
    pub parallel: usize,
    /// A stop waits this long for jobs that end in it.
    pub drain: Duration,
    /// How long a job waits before its second attempt, its third, …: there is one attempt more than waits.
    pub backoff: Vec<Duration>,
    /// Where jobs may lead.
    pub reach: Reach,
}

/// Works off the jobs of a pool.
pub struct Worker {
    options: WorkerOptions,
    runner: Runner,
    reader: Reader,
    tail: Tail,
    book: Book,
    desk: Desk,
    dead_letters: DeadLetters,
    metrics: WorkerMetrics,
    queues: BTreeMap<Partition, Queue>,
    active: Vec<Active>,
    /// All that lay in the statuses then was read.
    fresh: Instant,
    counted: Instant,
    left_behind: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Reads the statuses, and joins the group.
    pub fn start(options: WorkerOptions, runner: Runner, metrics: WorkerMetrics) -> Result<Self, KafkaFault> {
        let WorkerOptions { settings, topics, pool, .. } = &options;
        let (status_topic, jobs_topic) = (topics.job_status(), topics.jobs(pool));
        let cluster = sightline_service::kafka::cluster(settings, REFRESH)?;
        let partitions = cluster.topics.get(&jobs_topic).map_or(1, |size| size.partitions);
        let fresh = Instant::now();
        let mut tail = Tail::open(settings, &[status_topic.as_str()], START)?;
        let mut book = Book::default();
        tail.catch_up(START, |record| book.take(&record, true))?;
        let desk = Desk::new(settings, topics, pool, partitions, &options.process)?;
        let dead_letters = DeadLetters::new(settings, topics.dead_letter())?;
        let reading = ReaderOptions {
            group: topics.jobs_group(pool),
            topics: vec![jobs_topic],
            from: From::Earliest,
            most_bytes: MOST_BYTES,
        };
        let reader = Reader::join(settings, &reading)?;
        Ok(Self {
            options,
            runner,
            reader,
            tail,
            book,
            desk,
            dead_letters,
            metrics,
            queues: BTreeMap::new(),
            active: Vec::new(),
            fresh,
            counted: Instant::now(),
            left_behind: Vec::new(),
        })
    }

    /// Works until the process stops, and then a little longer for what ends in that time. Gives the threads that were told to end
    /// and may still run.
    pub fn run(mut self, shutdown: &Shutdown) -> (Vec<JoinHandle<()>>, Result<(), KafkaFault>) {
        let outcome = self.work(shutdown);
        let Self { mut active, mut left_behind, .. } = self;
        // Where it can't go on, what it was at is begun anew by whoever takes it.
        active.iter_mut().for_each(Active::leave);
        left_behind.extend(active.into_iter().filter_map(Active::into_thread));
        (left_behind, outcome)
    }

    fn work(&mut self, shutdown: &Shutdown) -> Result<(), KafkaFault> {
        while !shutdown.is_set() {
            self.look()?;
            self.look_at_heads();
        }
        self.drain()
    }

    /// One look at everything but new work.
    fn look(&mut self) -> Result<(), KafkaFault> {
        let mut wait = LOOK;
        while let Some(step) = self.reader.next(wait)? {
            wait = Duration::ZERO;
            self.take_step(step);
        }
        let Self { tail, book, .. } = self;
        tail.poll(Duration::ZERO, |record| book.take(&record, false));
        self.desk.renew_if_fatal();
        self.follow_active();
        self.count();
        Ok(())
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Assigned(partitions) => {
                for partition in partitions {
                    self.reader.release(&partition);
                    self.queues.insert(partition, Queue::default());
                }
            }
            Step::Records(batch) => self.receive(&batch),
            // A job in work goes on: who gets the partition sees it in the statuses, and waits.
            Step::Revoked(partitions, _answer) | Step::Lost(partitions, _answer) => {
                for partition in partitions {
                    self.queues.remove(&partition);
                }
            }
        }
    }

    /// Reads the statuses to where they end now.
    fn refresh(&mut self) -> Result<(), KafkaFault> {
        let began = Instant::now();
        let Self { tail, book, .. } = self;
        let ends = tail.ends(REFRESH)?;
        tail.reach(&ends, REFRESH, |record| book.take(&record, false))?;
        self.fresh = began;
        Ok(())
    }

    fn count(&mut self) {
        if self.counted.elapsed() < AGAIN {
            return;
        }
        self.counted = Instant::now();
        let waiting = self.queues.values().map(Queue::len).sum::<usize>();
        let left = self.active.iter().filter_map(Active::time_left).max().unwrap_or_default();
        self.metrics.now(self.active.len(), waiting.saturating_sub(self.active.len()), left.as_secs_f64());
    }

    /// Finishes what ends within the grace, and leaves the rest to others.
    fn drain(&mut self) -> Result<(), KafkaFault> {
        let grace = self.options.drain;
        let deadline = Instant::now() + grace;
        for active in &mut self.active {
            let left = active.time_left();
            let left_s = left.map(|left| left.as_secs());
            if pace::is_worth_finishing(left, grace) {
                tracing::info!(job = %active.job.id, left_s, grace_s = grace.as_secs(), "stopping: finishing it first");
            } else {
                tracing::info!(job = %active.job.id, left_s, grace_s = grace.as_secs(), "stopping: left to another worker");
                active.leave();
            }
        }
        let mut is_late = false;
        while !self.active.is_empty() && Instant::now() < deadline + GOODBYE {
            if !is_late && Instant::now() >= deadline {
                is_late = true;
                for active in &mut self.active {
                    tracing::warn!(job = %active.job.id, "did not end in time; left to another worker");
                    active.leave();
                }
            }
            self.look()?;
        }
        Ok(())
    }
}
