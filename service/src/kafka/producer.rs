//! The one way into Kafka: an idempotent producer whose every record reports back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use sightline_schema::{CONTENT_TYPE_JSON, HEADER_CONTENT_TYPE, HEADER_SCHEMA};

use super::brokers::lasting;
use super::config::{KafkaSettings, code_of};
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkContext, LinkState};

/// Records wait this long for company, so that zstd has something to compress (2.9× alone, 8.7× by sixty-four).
pub const LINGER_MS: u32 = 100;
pub const LOW_LATENCY_LINGER_MS: u32 = 5;

/// How long one question for metadata waits while no broker answers; a producer's drop waits as long at most.
const ASK: Duration = Duration::from_secs(1);
/// Silence for this long at start is "no broker answers", even when no connection was refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an acknowledged record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub partition: i32,
    pub offset: i64,
}

/// Called exactly once for every record that was taken, per partition in the order of the offsets, on the producer's
/// own thread (on the dropping one for what a drop throws away): keep it short, and let it hold no `Producer`. A panic
/// in it is caught and logged.
pub type OnDelivery = Box<dyn FnOnce(Result<Delivered, KafkaFault>) + Send>;

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Backpressure: a file waits and tries again, a live camera counts a drop.
    #[error("the Kafka client's queue is full")]
    QueueFull,
    /// No record will be taken any more; make a new producer.
    #[error("{0}")]
    Fatal(KafkaFault),
    /// This record, not the next.
    #[error("{0}")]
    Other(KafkaFault),
}

/// A record that was not taken, and its callback, uncalled.
pub struct Refused {
    pub error: SendError,
    pub on_delivery: OnDelivery,
}

/// An idempotent producer with `acks=all`: per key, records arrive once and in the order of `send`, through broker
/// restarts and however long they take. Share it by `Arc`; threads may send at once.
///
/// After a fatal error (idempotence can't be kept: the broker forgot this producer, or lost what it had acknowledged)
/// every `send` gives `SendError::Fatal`, and records in the queue report `FaultKind::Fatal`. Then drop it and make a
/// new one: records sent to the new one may repeat some of the old one's, which readers drop by `seq`.
///
/// Dropping it throws away what is still queued, with `FaultKind::Purged` to each callback: `flush` first.
pub struct Producer {
    /// Gone only while dropping: the watcher ends before it.
    inner: ThreadedProducer<Context>,
    in_flight: Arc<InFlight>,
    pub(super) link: Arc<Link>,
    watcher: Option<JoinHandle<()>>,
}

impl Producer {
    /// Connects in the background; a broker may be absent, records then wait in the queue.
    pub fn new(settings: &KafkaSettings, linger_ms: u32) -> Result<Producer, KafkaFault> {
        let mut producer = Self::with(&settings.producer_config(linger_ms), Link::new(settings.bootstrap()))?;
        let watched = (producer.inner.clone(), Arc::clone(&producer.link));
        let watcher = thread::Builder::new()
            .name("kafka link".to_owned())
            .spawn(move || watch(&watched.0, &watched.1))
            .map_err(|error| KafkaFault::new(FaultKind::Other, format!("cannot start a thread: {error}")))?;
        producer.watcher = Some(watcher);
        Ok(producer)
    }

    /// One more, beside this one, that never writes past a failure: once a record can't be written, none behind it in
    /// its partition is, and the client can't go on. For whoever keeps the records and sends them again by the next.
    /// It holds whatever it is given: the giver bounds that. Both share what is known of the link.
    pub fn gapless(&self, settings: &KafkaSettings, linger_ms: u32) -> Result<Producer, KafkaFault> {
        Self::with(&settings.results_config(linger_ms), Arc::clone(&self.link))
    }

    fn with(config: &ClientConfig, link: Arc<Link>) -> Result<Producer, KafkaFault> {
        let context = Context::new(Arc::clone(&link));
        let in_flight = Arc::clone(&context.in_flight);
        let mut config = config.clone();
        lasting(&mut config);
        let inner: ThreadedProducer<Context> =
            config.create_with_context(context).map_err(|error| KafkaFault::of_client(&error))?;
        inner.client().context().reminds(inner.client());
        Ok(Producer { inner, in_flight, link, watcher: None })
    }

    /// Takes a record into the queue; never blocks. `key` decides the partition, as Java's clients compute it.
    /// `schema` is `frame/1` or the like. Payload and key are copied.
    pub fn send(
        &self,
        topic: &str,
        key: &str,
        payload: &[u8],
        schema: &'static str,
        on_delivery: OnDelivery,
    ) -> Result<(), Refused> {
        self.send_or_forget(topic, key, Some(payload), schema, on_delivery)
    }

    /// The same; without a payload it is a tombstone.
    pub fn send_or_forget(
        &self,
        topic: &str,
        key: &str,
        payload: Option<&[u8]>,
        schema: &'static str,
        on_delivery: OnDelivery,
    ) -> Result<(), Refused> {
        self.send_record((topic, None), key, payload, headers(schema, &[]), on_delivery)
    }

    /// The same to a partition of the caller's choice, whatever the key.
    pub fn send_to(
        &self,
        (topic, partition): (&str, i32),
        key: &str,
        payload: &[u8],
        schema: &'static str,
        on_delivery: OnDelivery,
    ) -> Result<(), Refused> {
        self.send_record((topic, Some(partition)), key, Some(payload), headers(schema, &[]), on_delivery)
    }

    /// The same with more headers.
    pub fn send_with(
        &self,
        topic: &str,
        key: &str,
        payload: &[u8],
        (schema, more): (&'static str, &[(&str, &str)]),
        on_delivery: OnDelivery,
    ) -> Result<(), Refused> {
        self.send_record((topic, None), key, Some(payload), headers(schema, more), on_delivery)
    }

    fn send_record(
        &self,
        (topic, partition): (&str, Option<i32>),
        key: &str,
        payload: Option<&[u8]>,
        headers: OwnedHeaders,
        on_delivery: OnDelivery,
    ) -> Result<(), Refused> {
        let mut record: BaseRecord<'_, str, [u8], _> =
            BaseRecord::with_opaque_to(topic, Box::new(Mutex::new(on_delivery))).key(key).headers(headers);
        record.payload = payload;
        record.partition = partition;
        // Counted before: its report may come before `send` returns.
        self.in_flight.add();
        self.inner.send(record).map_err(|(error, record)| {
            self.in_flight.remove();
            Refused {
                error: self.send_error(&error, topic),
                on_delivery: record.delivery_opaque.into_inner().unwrap_or_else(PoisonError::into_inner),
            }
        })
    }

    /// The same with bytes for a key, and headers as they are given.
    pub(super) fn send_as_it_is(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: OwnedHeaders,
        on_delivery: OnDelivery,
    ) -> Result<(), Refused> {
        let record = BaseRecord::with_opaque_to(topic, Box::new(Mutex::new(on_delivery)))
            .key(key)
            .payload(payload)
            .headers(headers);
        self.in_flight.add();
        self.inner.send(record).map_err(|(error, record)| {
            self.in_flight.remove();
            Refused {
                error: self.send_error(&error, topic),
                on_delivery: record.delivery_opaque.into_inner().unwrap_or_else(PoisonError::into_inner),
            }
        })
    }

    fn send_error(&self, error: &KafkaError, topic: &str) -> SendError {
        match code_of(error) {
            RDKafkaErrorCode::QueueFull => SendError::QueueFull,
            RDKafkaErrorCode::Fatal => SendError::Fatal(
                self.fatal().unwrap_or_else(|| KafkaFault::of_record(RDKafkaErrorCode::Fatal, topic)),
            ),
            code => SendError::Other(KafkaFault::of_record(code, topic)),
        }
    }

    /// Waits until all is reported back, at most `timeout`. How many records are still in flight.
    pub fn flush(&self, timeout: Duration) -> usize {
        // Not librdkafka's flush: it would run callbacks on this thread, too, and so out of order. What it does more is
        // not to linger, which is a tenth of a second.
        self.in_flight.wait_for_none(timeout)
    }

    /// Records taken whose callback has not returned yet.
    pub fn in_flight(&self) -> usize {
        *self.in_flight.count()
    }

    /// Whether a broker answers. While none does, a warning says why every 10 s.
    pub fn link(&self) -> LinkState {
        self.link.state()
    }

    /// The fatal error, once there is one.
    pub fn fatal(&self) -> Option<KafkaFault> {
        let (_, reason) = self.inner.client().fatal_error()?;
        Some(KafkaFault::new(FaultKind::Fatal, format!("the Kafka client can't go on: {reason}")))
    }
}

fn headers(schema: &str, more: &[(&str, &str)]) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(2 + more.len())
        .insert(Header { key: HEADER_CONTENT_TYPE, value: Some(CONTENT_TYPE_JSON) })
        .insert(Header { key: HEADER_SCHEMA, value: Some(schema) });
    more.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }))
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            self.link.close();
            let _ = watcher.join();
        }
    }
}

/// While it is not known that a broker answers, asks for metadata: librdkafka reports connections that fail, none that
/// succeed.
fn watch(producer: &ThreadedProducer<Context>, link: &Link) {
    let start = Instant::now();
    loop {
        link.wait_for_doubt();
        if link.is_closed() {
            return;
        }
        match producer.client().fetch_metadata(None, ASK) {
            Ok(found) if !found.brokers().is_empty() => link.confirmed(),
            none => {
                tracing::trace!(error = ?none.err(), "no metadata");
                link.refuted();
                if start.elapsed() > PATIENCE && link.state() == LinkState::Connecting {
                    link.silent();
                }
                link.log_down(Instant::now());
                link.pause(Duration::from_millis(200));
            }
        }
    }
}

/// Counts by itself: librdkafka's own count holds its events, too.
#[derive(Debug, Default)]
struct InFlight {
    count: Mutex<usize>,
    none: Condvar,
}

impl InFlight {
    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) {
        *self.count() += 1;
    }

    fn remove(&self) {
        let mut count = self.count();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.none.notify_all();
        }
    }

    fn wait_for_none(&self, timeout: Duration) -> usize {
        let waited = self.none.wait_timeout_while(self.count(), timeout, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

pub(crate) struct Context {
    link: LinkContext,
    in_flight: Arc<InFlight>,
}

impl Context {
    pub(crate) fn new(link: Arc<Link>) -> Context {
        Context { link: LinkContext::new(link), in_flight: Arc::default() }
    }

    pub(super) fn reminds<C: ClientContext>(&self, client: &Client<C>) {
        self.link.reminds(client);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.link.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.link.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }
}

impl ProducerContext for Context {
    /// A `Mutex` because librdkafka's bindings want what they carry to be `Sync`.
    type DeliveryOpaque = Box<Mutex<OnDelivery>>;

    fn delivery(&self, result: &DeliveryResult<'_>, on_delivery: Self::DeliveryOpaque) {
        let report = || {
            let outcome = match result {
                Ok(record) => {
                    self.link.link.up();
                    Ok(Delivered { partition: record.partition(), offset: record.offset() })
                }
                Err((error, record)) => Err(KafkaFault::of_record(code_of(error), record.topic())),
            };
            on_delivery.into_inner().unwrap_or_else(PoisonError::into_inner)(outcome);
        };
        // An unwinding panic would end the thread that all reports come on.
        if catch_unwind(AssertUnwindSafe(report)).is_err() {
            tracing::error!("a delivery callback panicked; its record's report is lost");
        }
        self.in_flight.remove();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::kafka::EmbeddedBroker;

    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn every_record_reports_where_it_lies_and_a_panic_in_a_callback_ends_nothing() {
        let broker = EmbeddedBroker::start(&[("detections", 1)]).unwrap();
        let producer = Producer::new(&KafkaSettings::plain(broker.bootstrap_servers()), 5).unwrap();
        let (sender, receiver) = mpsc::channel();
        for number in 0..100_i64 {
            let sender = sender.clone();
            let on_delivery: OnDelivery = Box::new(move |outcome| {
                sender.send((number, outcome)).unwrap();
                assert_ne!(number, 50, "a panic in a callback");
            });
            producer
                .send("detections", "gate-3", b"{}", "frame/1", on_delivery)
                .map_err(|r| r.error)
                .unwrap();
        }
        for number in 0..100 {
            let delivered = Delivered { partition: 0, offset: number };
            assert_eq!(receiver.recv_timeout(DEADLINE).unwrap(), (number, Ok(delivered)));
        }
        assert_eq!(producer.flush(DEADLINE), 0);
        assert_eq!(producer.link(), LinkState::Up);
    }

    #[test]
    fn a_full_queue_gives_the_callback_back_and_a_drop_reports_what_was_queued() {
        let mut settings = KafkaSettings::load_with("127.0.0.1:1", None, []).unwrap();
        settings = settings.with_property("queue.buffering.max.messages", "10");
        let producer = Producer::new(&settings, 5).unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut refused = 0;
        for _ in 0..15 {
            let sender = sender.clone();
            let on_delivery: OnDelivery = Box::new(move |outcome| sender.send(outcome).unwrap());
            if let Err(back) = producer.send("detections", "gate-3", b"{}", "frame/1", on_delivery) {
                assert_eq!(back.error, SendError::QueueFull);
                refused += 1;
                drop(back.on_delivery);
            }
        }
        assert_eq!((refused, producer.in_flight()), (5, 10));
        assert_eq!(producer.flush(Duration::from_millis(10)), 10);
        drop((producer, sender));
        let kinds: Vec<_> = receiver.iter().map(|outcome| outcome.unwrap_err().kind).collect();
        assert_eq!(kinds, [FaultKind::Purged; 10]);
    }

    #[test]
    fn an_absent_broker_is_a_sentence() {
        let producer = Producer::new(&KafkaSettings::plain("127.0.0.1:1"), 5).unwrap();
        let fault = producer.link.await_down();
        assert_eq!(fault.to_string(), "no broker answers at 127.0.0.1:1 (connection refused)");
        assert_eq!(fault.kind, FaultKind::Unreachable);
    }
}
