//! The queues of pools: `job/1` on the partition with the least to do, by a producer of its own and without a
//! transaction, whose end would read as lag for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use sightline_schema::{Job, JobStatus, Topics};
use sightline_service::kafka::{
    KafkaFault, KafkaSettings, LOW_LATENCY_LINGER_MS, Lag, Producer, SendError, Spread, read_partitions,
};

/// One question to Kafka.
const ANSWER: Duration = Duration::from_secs(5);
/// A queue of a pool is read to its end once, at start.
const READING: Duration = Duration::from_secs(30);
/// What could not be sent is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// Puts jobs into queues, and keeps those that are not acknowledged.
pub(super) struct Queue {
    settings: KafkaSettings,
    topics: Topics,
    producer: Option<Producer>,
    lags: BTreeMap<String, Lag>,
    /// Not sent yet, or refused.
    waiting: BTreeMap<String, Job>,
    /// Sent, and not acknowledged.
    under_way: BTreeMap<String, Job>,
    reports: (Sender<Report>, Receiver<Report>),
    tried: Option<Instant>,
}

type Report = (String, Result<(), KafkaFault>);

impl Queue {
    pub(super) fn new(settings: KafkaSettings, topics: Topics) -> Self {
        Self {
            settings,
            topics,
            producer: None,
            lags: BTreeMap::new(),
            waiting: BTreeMap::new(),
            under_way: BTreeMap::new(),
            reports: mpsc::channel(),
            tried: None,
        }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.waiting.contains_key(id) || self.under_way.contains_key(id)
    }

    /// How many are not acknowledged yet.
    pub(super) fn left(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// Sends these, and waits a while for the acknowledgements. What is not acknowledged is tried again by `go_on`.
    pub(super) fn put(&mut self, jobs: Vec<Job>, patience: Duration) {
        self.waiting.extend(jobs.into_iter().map(|job| (job.id.clone(), job)));
        self.send();
        let deadline = Instant::now() + patience;
        while !self.under_way.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.1.recv_timeout(left) {
                Ok(report) => self.take(report),
                Err(_) => break,
            }
        }
    }

    /// Looks after what is left.
    pub(super) fn go_on(&mut self) {
        while let Ok(report) = self.reports.1.try_recv() {
            self.take(report);
        }
        if !self.waiting.is_empty() && self.tried.is_none_or(|tried| tried.elapsed() >= AGAIN) {
            self.send();
        }
    }

    fn take(&mut self, (id, outcome): Report) {
        let job = self.under_way.remove(&id);
        if let (Err(fault), Some(job)) = (outcome, job) {
            tracing::warn!(job = id, "not in its queue yet: {fault}; trying again");
            self.waiting.insert(id, job);
        }
    }

    fn send(&mut self) {
        self.tried = Some(Instant::now());
        let pools: BTreeSet<String> = self.waiting.values().map(|job| job.pool.clone()).collect();
        for pool in pools {
            if let Err(fault) = self.send_to(&pool) {
                let jobs = self.waiting.values().filter(|job| job.pool == pool).count();
                tracing::warn!(pool, jobs, "not in their queue yet: {fault}; trying again");
            }
        }
    }

    fn send_to(&mut self, pool: &str) -> Result<(), KafkaFault> {
        let topic = self.topics.jobs(pool);
        let lag = match self.lags.remove(pool) {
            Some(lag) => lag,
            None => Lag::new(&self.settings, &self.topics.jobs_group(pool), &topic)?,
        };
        let partitions = lag.ask(ANSWER)?;
        self.lags.insert(pool.to_owned(), lag);
        let turn = rand::rng().random_range(0..partitions.len().max(1));
        let mut spread = Spread::new(partitions.iter().map(|lag| lag.records()).collect(), turn);
        let ids: Vec<_> =
            self.waiting.values().filter(|job| job.pool == pool).map(|job| job.id.clone()).collect();
        for id in ids {
            let Some(partition) = spread.place() else {
                return Err(KafkaFault::unknown_topic(&topic));
            };
            let Some(job) = self.waiting.remove(&id) else { continue };
            if !self.send_one((&topic, partition), job)? {
                break;
            }
        }
        Ok(())
    }

    /// `false`: the client takes no more for now.
    fn send_one(&mut self, (topic, partition): (&str, i32), job: Job) -> Result<bool, KafkaFault> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => Producer::new(&self.settings, LOW_LATENCY_LINGER_MS)?,
        };
        let payload = match serde_json::to_vec(&job) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(job = job.id, %error, "can't be written as JSON");
                self.producer = Some(producer);
                return Ok(true);
            }
        };
        let (id, reports) = (job.id.clone(), self.reports.0.clone());
        let told = id.clone();
        // Who asked may be gone.
        let on_delivery =
            move |outcome: Result<_, KafkaFault>| drop(reports.send((told, outcome.map(|_| ()))));
        self.under_way.insert(id.clone(), job);
        let sent =
            producer.send_to((topic, partition), &id, &payload, Job::schema_name(), Box::new(on_delivery));
        let Err(refused) = sent else {
            self.producer = Some(producer);
            return Ok(true);
        };
        if let Some(job) = self.under_way.remove(&id) {
            self.waiting.insert(id, job);
        }
        match refused.error {
            SendError::QueueFull => {
                self.producer = Some(producer);
                Ok(false)
            }
            // The next is made by a new one.
            SendError::Fatal(fault) => Err(fault),
            SendError::Other(fault) => {
                self.producer = Some(producer);
                Err(fault)
            }
        }
    }
}

/// Those of a pool's jobs that are not over and lie in front of nobody in its queue: who wrote them died before it put them
/// there, or Kafka has thrown the old records away. What is worked at lies there until it is over.
pub(super) fn missing(
    settings: &KafkaSettings,
    topics: &Topics,
    pool: &str,
    queued: &[std::sync::Arc<JobStatus>],
) -> Result<Vec<String>, KafkaFault> {
    let topic = topics.jobs(pool);
    let lags = Lag::new(settings, &topics.jobs_group(pool), &topic)?.ask(ANSWER)?;
    let next: BTreeMap<i32, i64> = lags.iter().map(|lag| (lag.partition, lag.next)).collect();
    let partitions: Vec<i32> = lags.iter().filter(|lag| lag.records() > 0).map(|lag| lag.partition).collect();
    let mut missing: BTreeSet<String> = queued.iter().map(|status| status.job.clone()).collect();
    read_partitions(settings, &topic, &partitions, READING, |record| {
        if next.get(&record.partition).is_some_and(|next| record.offset >= *next)
            && let Some(id) = record.id()
        {
            missing.remove(id);
        }
    })?;
    Ok(missing.into_iter().collect())
}
