//! Records that are written all or not at all, by one writer at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, TopicPartitionList};
use sightline_schema::{CONTENT_TYPE_JSON, HEADER_CONTENT_TYPE, HEADER_SCHEMA, Message};

use super::brokers::lasting;
use super::config::{KafkaSettings, code_of};
use super::fault::{FaultKind, KafkaFault};
use super::link::Link;
use super::producer::{Context, Delivered};

/// An open transaction holds back every reader of its partitions: the broker ends one whose writer is gone after this.
const TRANSACTION: Duration = Duration::from_secs(10);
/// How long a step may take before the transaction is given up.
const STEP: Duration = Duration::from_secs(5);

/// A record of a transaction.
#[derive(Clone, Debug)]
pub struct Write {
    pub topic: String,
    pub key: String,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub schema: &'static str,
    /// Where the key alone does not decide.
    pub partition: Option<i32>,
}

impl Write {
    /// A message under its key. Fails where it can't be written as JSON.
    pub fn of<M: Message>(topic: String, message: &M) -> Result<Self, serde_json::Error> {
        let value = Some(serde_json::to_vec(message)?);
        Ok(Self { topic, key: message.key().into_owned(), value, schema: M::SCHEMA, partition: None })
    }

    pub fn tombstone(topic: String, key: impl Into<String>, schema: &'static str) -> Self {
        Self { topic, key: key.into(), value: None, schema, partition: None }
    }
}

/// Why a transaction was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another writer of the same name began: this one is over.
    #[error("{0}")]
    Fenced(KafkaFault),
    /// Nothing was written. The next may be.
    #[error("{0}")]
    Refused(KafkaFault),
    /// Whether it was written is not known: no answer came. Make a new writer, which settles it.
    #[error("{0}")]
    Unknown(KafkaFault),
}

/// The offsets of a consumer that a transaction commits, by which the group's coordinator knows whether the consumer is
/// still a member: it refuses the transaction of one that was replaced.
pub struct GroupOffsets<'a> {
    pub offsets: &'a TopicPartitionList,
    pub metadata: &'a ConsumerGroupMetadata,
}

/// What became of each record, once it is known.
type Reports = Arc<Mutex<Vec<Option<Result<Delivered, KafkaFault>>>>>;

/// The one writer of its name. Making a second one ends what the first has open, and fences it.
pub struct Writer {
    producer: ThreadedProducer<Context>,
}

impl Writer {
    /// `name` is the transactional id. Waits up to `timeout` for the coordinator.
    pub fn new(settings: &KafkaSettings, name: &str, timeout: Duration) -> Result<Self, KafkaFault> {
        let link = Link::new(settings.bootstrap());
        let mut config: ClientConfig = settings.producer_config(0);
        let bound = TRANSACTION.as_millis().to_string();
        config
            .set("transactional.id", name)
            .set("transaction.timeout.ms", &bound)
            .set("message.timeout.ms", &bound);
        lasting(&mut config);
        let producer: ThreadedProducer<Context> = config
            .create_with_context(Context::new(Arc::clone(&link)))
            .map_err(|error| KafkaFault::of_client(&error))?;
        producer.client().context().reminds(producer.client());
        producer.init_transactions(timeout).map_err(|error| fault("begin as the writer", &error))?;
        Ok(Self { producer })
    }

    /// Writes all or nothing. Where each record lies, in order; with `group`, only while its consumer is a member.
    ///
    /// The generation is checked when the offsets arrive, so every record is acknowledged before they are sent: one that
    /// was still on its way would escape the check.
    pub fn write(
        &mut self,
        records: &[Write],
        group: Option<GroupOffsets<'_>>,
    ) -> Result<Vec<Delivered>, WriteError> {
        self.producer.begin_transaction().map_err(|error| self.sort(&error))?;
        let written = self.send(records).and_then(|delivered| {
            fault_point("claim-written");
            if let Some(GroupOffsets { offsets, metadata }) = group {
                self.producer
                    .send_offsets_to_transaction(offsets, metadata, STEP)
                    .map_err(|error| self.sort(&error))?;
                fault_point("claim-offsets");
            }
            Ok(delivered)
        });
        match written {
            Ok(delivered) => match self.producer.commit_transaction(STEP) {
                Ok(()) => Ok(delivered),
                Err(error) => Err(self.end(&error)),
            },
            Err(WriteError::Refused(fault)) => {
                // What is not ended now is ended by the broker, or by the next of the same name.
                match self.producer.abort_transaction(STEP) {
                    Ok(()) => Err(WriteError::Refused(fault)),
                    Err(error) => Err(match self.sort(&error) {
                        WriteError::Refused(_) => WriteError::Unknown(fault),
                        other => other,
                    }),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// Whether this is still the one writer of its name: begins a transaction with a tombstone that no reader ever sees
    /// and takes it back, which the coordinator lets nobody do who was fenced. For a writer that has had nothing to
    /// write for a while.
    pub fn check(&mut self, topic: &str) -> Result<(), WriteError> {
        self.producer.begin_transaction().map_err(|error| self.sort(&error))?;
        let sent = self.send(&[Write::tombstone(topic.to_owned(), "_writer", "none")]);
        match self.producer.abort_transaction(STEP) {
            Ok(()) => sent.map(|_| ()),
            Err(error) => Err(match (self.sort(&error), sent) {
                (WriteError::Refused(fault), _) => WriteError::Unknown(fault),
                (other, _) => other,
            }),
        }
    }

    fn send(&self, records: &[Write]) -> Result<Vec<Delivered>, WriteError> {
        let delivered: Reports = Arc::new(Mutex::new(vec![None; records.len()]));
        for (at, record) in records.iter().enumerate() {
            let told = delivered.clone();
            let on_delivery: super::OnDelivery = Box::new(move |outcome| {
                if let Some(slot) = told.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
                    *slot = Some(outcome);
                }
            });
            self.send_one(record, on_delivery)?;
        }
        let deadline = Instant::now() + STEP;
        loop {
            let waiting = {
                let delivered = delivered.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(fault) = delivered.iter().find_map(|slot| slot.as_ref()?.as_ref().err().cloned())
                {
                    return Err(self.fatal().unwrap_or(WriteError::Refused(fault)));
                }
                delivered.iter().filter(|slot| slot.is_none()).count()
            };
            if waiting == 0 {
                let delivered = delivered.lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(delivered
                    .iter()
                    .filter_map(|slot| slot.as_ref()?.as_ref().ok().copied())
                    .collect());
            }
            if Instant::now() >= deadline {
                let sentence = format!("no broker took {waiting} records within {} s", STEP.as_secs());
                let late = KafkaFault::new(FaultKind::Unreachable, sentence);
                return Err(self.fatal().unwrap_or(WriteError::Refused(late)));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn send_one(&self, record: &Write, on_delivery: super::OnDelivery) -> Result<(), WriteError> {
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: HEADER_CONTENT_TYPE, value: Some(CONTENT_TYPE_JSON) })
            .insert(Header { key: HEADER_SCHEMA, value: Some(record.schema) });
        let mut given = BaseRecord::with_opaque_to(&record.topic, Box::new(Mutex::new(on_delivery)))
            .key(&record.key)
            .headers(headers);
        if let Some(value) = &record.value {
            given = given.payload(value);
        }
        if let Some(partition) = record.partition {
            given = given.partition(partition);
        }
        let deadline = Instant::now() + STEP;
        loop {
            match self.producer.send(given) {
                Ok(()) => return Ok(()),
                Err((error, back))
                    if code_of(&error) == RDKafkaErrorCode::QueueFull && Instant::now() < deadline =>
                {
                    given = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => {
                    let fault = KafkaFault::of_record(code_of(&error), &record.topic);
                    return Err(self.fatal().unwrap_or(WriteError::Refused(fault)));
                }
            }
        }
    }

    /// A commit that failed: aborted where Kafka says that nothing was written, unknown where nobody knows.
    fn end(&self, error: &KafkaError) -> WriteError {
        let sorted = self.sort(error);
        let retriable = matches!(error, KafkaError::Transaction(inner) if inner.is_retriable());
        match sorted {
            WriteError::Refused(fault) if retriable => WriteError::Unknown(fault),
            WriteError::Refused(fault) => match self.producer.abort_transaction(STEP) {
                Ok(()) => WriteError::Refused(fault),
                Err(error) => match self.sort(&error) {
                    WriteError::Refused(_) => WriteError::Unknown(fault),
                    other => other,
                },
            },
            other => other,
        }
    }

    fn fatal(&self) -> Option<WriteError> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(of_fatal(code, &reason))
    }

    fn sort(&self, error: &KafkaError) -> WriteError {
        if let Some(fatal) = self.fatal() {
            return fatal;
        }
        if is_fenced(code_of(error)) {
            return WriteError::Fenced(fault("write", error));
        }
        WriteError::Refused(fault("write", error))
    }
}

fn of_fatal(code: RDKafkaErrorCode, reason: &str) -> WriteError {
    if is_fenced(code) {
        let sentence =
            "another process began to write under the same name, or this one was away for too long"
                .to_owned();
        return WriteError::Fenced(KafkaFault::new(FaultKind::Fatal, sentence));
    }
    WriteError::Unknown(KafkaFault::new(FaultKind::Fatal, format!("the Kafka client can't go on: {reason}")))
}

/// A writer whose transaction took too long is fenced by the broker itself, by the same words.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

fn fault(verb: &str, error: &KafkaError) -> KafkaFault {
    let code = code_of(error);
    let kind = match code {
        RDKafkaErrorCode::OperationTimedOut
        | RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::RequestTimedOut => FaultKind::Unreachable,
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::TopicAuthorizationFailed => FaultKind::NotAuthorized,
        _ => FaultKind::Other,
    };
    KafkaFault::new(kind, format!("cannot {verb}: {error}"))
}

/// In builds with assertions, stops this very process where the environment says so, once: what a machine that sleeps
/// looks like from outside. `SIGHTLINE_STOP_AT=NAME`.
pub fn fault_point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicBool, Ordering};
        static STOPPED: AtomicBool = AtomicBool::new(false);
        if std::env::var("SIGHTLINE_STOP_AT").is_ok_and(|at| at == name)
            && !STOPPED.swap(true, Ordering::SeqCst)
        {
            tracing::warn!("stopped at {name}, until somebody continues this process");
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
