//! What a worker writes: claims and statuses, in transactions with the offset of the record where one is done, and records again.

use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Job, JobStatus, Timestamp, Topics};
use sightline_service::kafka::{
    FaultKind, KafkaFault, KafkaSettings, LOW_LATENCY_LINGER_MS, Partition, Producer, Reader, SendError,
    Write, WriteError, Writer,
};

use super::places::Places;

/// For the coordinator of transactions.
const START: Duration = Duration::from_secs(10);
/// One record to lie in Kafka.
const ARRIVAL: Duration = Duration::from_secs(5);

/// Why something was not written: said, and tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    #[error("this worker is no member of its group at the moment")]
    NoMember,
    #[error("another worker has claimed it")]
    Superseded,
    #[error("{0}")]
    Kafka(KafkaFault),
    #[error("it can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The one place where a worker writes to `jobs.<pool>` and `job-status`.
pub(super) struct Desk {
    settings: KafkaSettings,
    status_topic: String,
    jobs_topic: String,
    places: Places,
    name: String,
    writer: Option<Writer>,
    producer: Producer,
}

/// Where a claim lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl Desk {
    /// `process` is a name that no other process has: the group fences, not the writer.
    pub(super) fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        pool: &str,
        partitions: i32,
        process: &str,
    ) -> Result<Self, KafkaFault> {
        Ok(Self {
            settings: settings.clone(),
            status_topic: topics.job_status(),
            jobs_topic: topics.jobs(pool),
            places: Places::new(settings, topics.jobs_group(pool), topics.jobs(pool), partitions),
            name: topics.worker_writer(process),
            writer: None,
            producer: Producer::new(settings, LOW_LATENCY_LINGER_MS)?,
        })
    }

    /// Says something of a job, bound to nothing.
    pub(super) fn say_unbound(&mut self, status: &JobStatus) -> Result<(), Unwritten> {
        self.write(status, None).map(drop)
    }

    /// Says something of a job while this worker holds a partition, whose offset stays: refused where it was replaced meanwhile.
    pub(super) fn say(
        &mut self,
        status: &JobStatus,
        reader: &Reader,
        (partition, next): (&Partition, i64),
    ) -> Result<(), Unwritten> {
        self.write(status, Some((reader, partition, next))).map(drop)
    }

    /// Claims a record, whose offset stays: refused where this worker was replaced meanwhile.
    pub(super) fn claim(
        &mut self,
        status: &JobStatus,
        reader: &Reader,
        (partition, offset): (&Partition, i64),
    ) -> Result<Place, Unwritten> {
        self.write(status, Some((reader, partition, offset)))
    }

    /// Says how a record ended, and commits past it.
    pub(super) fn settle(
        &mut self,
        status: &JobStatus,
        reader: &Reader,
        (partition, offset): (&Partition, i64),
    ) -> Result<(), Unwritten> {
        self.write(status, Some((reader, partition, offset + 1))).map(drop)
    }

    fn write(
        &mut self,
        status: &JobStatus,
        group: Option<(&Reader, &Partition, i64)>,
    ) -> Result<Place, Unwritten> {
        let record = Write::of(self.status_topic.clone(), status)?;
        let position = match group {
            None => None,
            Some((reader, partition, next)) => {
                Some(reader.position([(partition, next)]).ok_or(Unwritten::NoMember)?)
            }
        };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::new(&self.settings, &self.name, START).map_err(Unwritten::Kafka)?),
        };
        let written =
            writer.write(&[record], position.as_ref().map(sightline_service::kafka::Position::offsets));
        let error = match written {
            Ok(delivered) => {
                let place = delivered.first().map(|at| Place { partition: at.partition, offset: at.offset });
                let missing = || KafkaFault::new(FaultKind::Other, "the broker gave no offset".to_owned());
                return place.ok_or_else(|| Unwritten::Kafka(missing()));
            }
            Err(error) => error,
        };
        Err(Unwritten::Kafka(match error {
            WriteError::Refused(fault) => fault,
            // A new one settles what became of it.
            WriteError::Fenced(fault) | WriteError::Unknown(fault) => {
                self.writer = None;
                fault
            }
        }))
    }

    /// Writes a record at the tail of the partition with the least to do, another than `not_in` where there is one, and waits
    /// until it lies there. No transaction: the end of one would read as lag for ever. Who dies behind it leaves two records
    /// of one attempt, and whoever comes to the second passes it over.
    pub(super) fn put(&mut self, job: &Job, not_in: i32) -> Result<(), Unwritten> {
        let payload = serde_json::to_vec(job)?;
        let partition = self.places.choose(not_in);
        let (told, heard) = std::sync::mpsc::channel();
        let deadline = Instant::now() + ARRIVAL;
        let mut on_delivery: sightline_service::kafka::OnDelivery = Box::new(move |outcome| {
            // Nobody waits any more after a write that took too long.
            let _ = told.send(outcome);
        });
        let place = (self.jobs_topic.as_str(), partition);
        loop {
            match self.producer.send_to(place, &job.id, &payload, Job::schema_name(), on_delivery) {
                Ok(()) => break,
                Err(refused) => match refused.error {
                    SendError::QueueFull if Instant::now() < deadline => on_delivery = refused.on_delivery,
                    SendError::QueueFull => return Err(Unwritten::Kafka(late(&self.jobs_topic))),
                    SendError::Fatal(fault) | SendError::Other(fault) => return Err(Unwritten::Kafka(fault)),
                },
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        match heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(outcome) => outcome.map(drop).map_err(Unwritten::Kafka),
            Err(_) => Err(Unwritten::Kafka(late(&self.jobs_topic))),
        }
    }

    /// Makes a new client where this one can't go on.
    pub(super) fn renew_if_fatal(&mut self) {
        if let Some(fault) = self.producer.fatal() {
            match Producer::new(&self.settings, LOW_LATENCY_LINGER_MS) {
                Ok(producer) => {
                    tracing::warn!("{fault}; records go out by a new client");
                    self.producer = producer;
                }
                Err(error) => tracing::error!("{fault}, and there is no new one: {error}"),
            }
        }
    }
}

fn late(topic: &str) -> KafkaFault {
    let sentence = format!("topic {topic} took no record within {} s", ARRIVAL.as_secs());
    KafkaFault::new(FaultKind::Unreachable, sentence)
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}
