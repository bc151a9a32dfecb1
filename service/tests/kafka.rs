//! The Kafka client against a real Apache Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../tests/support/kafka.rs"]
mod support;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use sightline_schema::TopicSpec;
use sightline_service::kafka::{
    self, Change, Delivered, Difference, FaultKind, KafkaFault, KafkaSettings, LinkState, Member, Producer,
    Write, WriteError, Writer,
};
use sightline_service::telemetry::{self, LogFormat};
use support::{Kafka, KafkaKind, PASSWORD};

/// Generous: two busy cores.
const DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn topics_are_made_once_checked_and_required() {
    let broker = Kafka::start(KafkaKind::Plain);
    let settings = KafkaSettings::plain(&broker.bootstrap);
    let wanted = [topic("sightline.detections", 6), compacted("sightline.camera-status", 6)];
    let names = ["sightline.detections", "sightline.camera-status"];

    let error = kafka::require(&settings, &names, DEADLINE).unwrap_err();
    assert_eq!(error.kind, FaultKind::UnknownTopic);
    assert!(
        error.sentence.starts_with("topics sightline.detections, sightline.camera-status do not exist"),
        "{error}"
    );
    assert!(
        error.sentence.ends_with(&format!("with: sightline topics apply --kafka {}", broker.bootstrap)),
        "{error}"
    );
    let missing: Vec<_> = names.map(|name| Difference::Missing { topic: name.to_owned() }).into();
    assert_eq!(kafka::check(&settings, &wanted, 1, DEADLINE).unwrap(), missing);

    let report = kafka::apply(&settings, &wanted, 1, DEADLINE).unwrap();
    let made: Vec<_> = names.map(|name| Change::Created { topic: name.to_owned(), partitions: 6 }).into();
    assert_eq!((report.done, report.left), (made, vec![]));
    assert_eq!(kafka::check(&settings, &wanted, 1, DEADLINE).unwrap(), []);
    kafka::require(&settings, &names, DEADLINE).unwrap();
    assert_eq!(kafka::apply(&settings, &wanted, 1, DEADLINE).unwrap(), kafka::Report::default());

    // Somebody wants other settings and other partitions, and set one that is none of ours.
    let mut other = [topic("sightline.detections", 6), compacted("sightline.camera-status", 12)];
    other[0].config = vec![("cleanup.policy", "delete".to_owned()), ("segment.ms", "1234567".to_owned())];
    kafka::apply(&settings, &other, 1, DEADLINE).unwrap();
    other[0].config = vec![("retention.ms", "7200000".to_owned())];
    let retention = Difference::Config {
        topic: names[0].to_owned(),
        key: "retention.ms",
        wanted: "7200000".to_owned(),
        found: Some("3600000".to_owned()),
    };
    let partitions = Difference::Partitions { topic: names[1].to_owned(), wanted: 12, found: 6 };
    assert_eq!(
        kafka::check(&settings, &other, 1, DEADLINE).unwrap(),
        [retention.clone(), partitions.clone()]
    );
    assert_eq!(retention.to_string(), "topic sightline.detections has retention.ms=3600000, not 7200000");
    let report = kafka::apply(&settings, &other, 1, DEADLINE).unwrap();
    let altered = Change::Altered {
        topic: names[0].to_owned(),
        key: "retention.ms",
        from: Some("3600000".to_owned()),
        to: "7200000".to_owned(),
    };
    assert_eq!((report.done, report.left), (vec![altered], vec![partitions.clone()]));
    // A change of one setting leaves the others.
    other[0].config = vec![("retention.ms", "7200000".to_owned()), ("segment.ms", "1234567".to_owned())];
    assert_eq!(kafka::check(&settings, &other, 1, DEADLINE).unwrap(), [partitions]);

    // One copy where three are wanted, and what that would mean for writes.
    let safe = [topic(names[0], 6).with_copies(3)];
    let copies = Difference::Copies { topic: names[0].to_owned(), wanted: 3, found: 1 };
    let in_sync = Difference::Config {
        topic: names[0].to_owned(),
        key: "min.insync.replicas",
        wanted: "2".to_owned(),
        found: Some("1".to_owned()),
    };
    let differences = kafka::check(&settings, &safe, 3, DEADLINE).unwrap();
    assert!(differences.contains(&copies) && differences.contains(&in_sync), "{differences:?}");
    assert!(copies.to_string().starts_with("topic sightline.detections has 1 of 3 copies; "), "{copies}");
    assert_eq!(in_sync.to_string(), "topic sightline.detections has min.insync.replicas=1, not 2");

    let error = kafka::apply(&settings, &[topic("sightline.three", 1)], 3, DEADLINE).unwrap_err();
    assert_eq!(
        error.sentence,
        "cannot make topic sightline.three with 3 copies: 1 brokers answer; give another --replication"
    );
}

#[test]
fn records_carry_headers_and_lie_where_java_would_put_them() {
    let broker = Kafka::start(KafkaKind::Plain);
    let settings = KafkaSettings::plain(&broker.bootstrap);
    kafka::apply(&settings, &[topic("detections", 48)], 1, DEADLINE).unwrap();
    let producer = Producer::new(&settings, kafka::LOW_LATENCY_LINGER_MS).unwrap();

    // Kafka's own UtilsTest.testMurmur2.
    let java = [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    for (key, hash) in java {
        let report = send(&producer, "detections", key, b"{\"schema\":\"frame/1\"}");
        let delivered = report.recv_timeout(DEADLINE).unwrap().unwrap();
        assert_eq!(delivered.partition, (hash & 0x7fff_ffff) % 48, "{key}");
        assert_eq!(delivered.offset, 0);
    }
    assert_eq!(producer.link(), LinkState::Up);

    let records = read(&settings, "detections", 48, java.len());
    for record in records {
        assert!(java.iter().any(|(key, _)| *key == record.key), "{}", record.key);
        let wanted = [("content-type", "application/json"), ("sightline-schema", "frame/1")];
        assert_eq!(record.headers, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(record.payload, "{\"schema\":\"frame/1\"}");
    }

    // A topic that is not there is a sentence, after librdkafka has waited for it to appear.
    let report = send(&producer, "absent", "gate-3", b"{}");
    let fault = report.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnknownTopic);
    assert_eq!(
        fault.sentence,
        "cannot write to topic absent: the topic does not exist; make it with: sightline topics apply"
    );
    // And one record that is too large is refused alone.
    let refused = producer.send("detections", "gate-3", &vec![b' '; 2_000_000], "frame/1", Box::new(|_| {}));
    let error = refused.map_err(|refused| refused.error).unwrap_err();
    let allowed = "larger than max.message.bytes of the topic, or message.max.bytes of the client, allows";
    assert!(error.to_string().ends_with(allowed), "{error}");
}

#[test]
fn scram_over_tls_works_and_what_is_wrong_is_said_without_the_password() {
    let logs = logs();
    let broker = Kafka::start(KafkaKind::ScramTls);
    let client = broker.client.clone().unwrap();
    let load = |more: &[(&str, &str)]| {
        let variables = more.iter().chain(&[("SIGHTLINE_KAFKA_DEBUG", "all")]);
        let variables: Vec<_> =
            variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        KafkaSettings::load_with(&broker.bootstrap, Some(&client.properties), variables).unwrap()
    };
    let mut shown = String::new();

    let settings = load(&[]);
    shown.push_str(&format!("{settings:?} {:?}", settings.producer_config(5)));
    kafka::apply(&settings, &[topic("detections", 1)], 1, DEADLINE).unwrap();
    let producer = Producer::new(&settings, 5).unwrap();
    let report = send(&producer, "detections", "gate-3", b"{}");
    assert_eq!(report.recv_timeout(DEADLINE).unwrap(), Ok(Delivered { partition: 0, offset: 0 }));
    let missing = kafka::require(&settings, &["absent"], DEADLINE).unwrap_err().sentence;
    assert!(missing.ends_with(&format!(
        "{} --kafka-config {}",
        broker.bootstrap,
        client.properties.display()
    )));
    shown.push_str(&missing);

    let wrong = "wrong-horse-battery";
    let settings = load(&[("SIGHTLINE_KAFKA_SASL_PASSWORD", wrong)]);
    shown.push_str(&format!("{settings:?}"));
    for fault in faults(&settings) {
        shown.push_str(&fault.sentence);
        assert_eq!(fault.kind, FaultKind::Authentication, "{fault}");
        assert!(
            fault.sentence.starts_with(&format!("the broker at {} refuses the login (", broker.bootstrap))
        );
        assert!(
            fault.sentence.ends_with("; check sasl.username, sasl.password and sasl.mechanism"),
            "{fault}"
        );
    }

    let settings = load(&[("SIGHTLINE_KAFKA_SSL_CA_LOCATION", client.other_ca.to_str().unwrap())]);
    for fault in faults(&settings) {
        shown.push_str(&fault.sentence);
        assert_eq!(fault.kind, FaultKind::Tls, "{fault}");
        assert_eq!(
            fault.sentence,
            format!(
                "TLS with the broker at {} fails (its certificate is not signed by a known CA, or is for another \
                 name); check ssl.ca.location",
                broker.bootstrap
            )
        );
    }

    // No login and no TLS at all, the commonest mistake, and TLS without a login.
    let plain = KafkaSettings::plain(&broker.bootstrap);
    for settings in [plain, load(&[("SIGHTLINE_KAFKA_SECURITY_PROTOCOL", "SSL")])] {
        let asked = kafka::cluster(&settings, Duration::from_secs(2)).unwrap_err();
        for fault in [asked, down(&Producer::new(&settings, 5).unwrap())] {
            shown.push_str(&fault.sentence);
            assert_eq!(
                fault.sentence,
                format!(
                    "the broker at {} ends new connections; does it want TLS or a login, or neither? check \
                     security.protocol in --kafka-config",
                    broker.bootstrap
                )
            );
        }
    }

    let logged = logs.text();
    assert!(logged.contains("SCRAM"), "librdkafka's debug lines are there");
    for secret in [PASSWORD, wrong] {
        for (place, text) in [("logs", &logged), ("sentences", &shown)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a password in the {place}");
        }
    }
}

#[test]
fn a_broker_that_is_absent_at_start_is_said_and_waited_for() {
    let logs = logs();
    let mut broker = Kafka::prepare(KafkaKind::Plain);
    let settings = KafkaSettings::plain(&broker.bootstrap);
    let refused = format!("no broker answers at {} (connection refused)", broker.bootstrap);
    let error = kafka::cluster(&settings, Duration::from_secs(1)).unwrap_err();
    assert_eq!((error.kind, error.sentence), (FaultKind::Unreachable, refused.clone()));

    let started = Instant::now();
    let producer = Producer::new(&settings, 100).unwrap();
    let reports: Vec<_> = (0..500)
        .map(|number| send(&producer, "detections", "gate-3", number.to_string().as_bytes()))
        .collect();
    let fault = down(&producer);
    assert_eq!((fault.kind, fault.sentence), (FaultKind::Unreachable, refused.clone()));
    assert_eq!(producer.in_flight(), 500);
    let warnings =
        || logs.text().lines().filter(|line| line.contains("WARN") && line.contains(&refused)).count();
    // A broker that is back within a second is not worth a line; this one takes longer.
    while warnings() == 0 {
        assert!(started.elapsed() < DEADLINE, "no warning");
        std::thread::sleep(Duration::from_millis(20));
    }

    // The topic comes before the producer's patience with an unknown one (30 s) ends.
    broker.start_again();
    let seconds = started.elapsed().as_secs() as usize;
    kafka::apply(&settings, &[topic("detections", 4)], 1, DEADLINE).unwrap();
    for (number, report) in reports.iter().enumerate() {
        let delivered = report.recv_timeout(DEADLINE).unwrap().unwrap();
        assert_eq!(delivered.offset, number as i64);
    }
    assert_eq!(producer.flush(DEADLINE), 0);
    assert_eq!(producer.link(), LinkState::Up);
    assert_eq!(payloads(&settings, 4, 500), numbers(0..500));

    let warnings = warnings();
    assert!(warnings <= 2 + seconds / 10, "{warnings} warnings in {seconds} s");
}

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_and_repeats_nothing() {
    let mut broker = Kafka::start(KafkaKind::Plain);
    let settings = KafkaSettings::plain(&broker.bootstrap);
    kafka::apply(&settings, &[topic("detections", 4)], 1, DEADLINE).unwrap();
    let producer = Producer::new(&settings, 0).unwrap();
    let (offsets, reported) = mpsc::channel();
    let ending = AtomicBool::new(false);
    // Sends without a pause, so that a kill hits requests of which the broker has kept some and answered none.
    let pump = || {
        let mut sent: usize = 0;
        while !ending.load(Ordering::Relaxed) {
            if producer.in_flight() >= 2000 {
                std::thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            let offsets = offsets.clone();
            let on_delivery = Box::new(move |outcome: Result<Delivered, KafkaFault>| {
                offsets.send(outcome.map(|delivered| delivered.offset)).unwrap_or_default();
            });
            let taken =
                producer.send("detections", "gate-3", sent.to_string().as_bytes(), "frame/1", on_delivery);
            taken.map_err(|refused| refused.error).unwrap();
            sent += 1;
        }
        sent
    };
    let mut next = 0;
    let mut take = |count: usize| {
        for _ in 0..count {
            assert_eq!(reported.recv_timeout(DEADLINE).unwrap(), Ok(next), "in order, each once");
            next += 1;
        }
    };
    let sent = std::thread::scope(|scope| {
        let pumping = scope.spawn(pump);
        // Also when an assertion below fails: the scope waits for the pump.
        let ends = Ends(&ending);
        for _ in 0..3 {
            take(5000);
            broker.kill9();
            down(&producer);
            broker.start_again();
        }
        take(5000);
        drop(ends);
        pumping.join().unwrap()
    });
    assert_eq!(producer.flush(DEADLINE), 0);
    take(sent - 20_000);
    assert_eq!(payloads(&settings, 4, sent), numbers(0..sent));

    // A clean stop, too.
    broker.stop();
    let last = send(&producer, "detections", "gate-3", b"last");
    broker.start_again();
    assert_eq!(last.recv_timeout(DEADLINE).unwrap().unwrap().offset, sent as i64);
    assert_eq!(producer.link(), LinkState::Up);
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Producer>();
    shared::<kafka::EmbeddedBroker>();
};

fn topic(name: &str, partitions: i32) -> TopicSpec {
    let config = vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", "3600000".to_owned())];
    TopicSpec { name: name.to_owned(), partitions, config }
}

fn compacted(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, config: vec![("cleanup.policy", "compact".to_owned())] }
}

/// Where the record's report comes.
fn send(
    producer: &Producer,
    topic: &str,
    key: &str,
    payload: &[u8],
) -> mpsc::Receiver<Result<Delivered, KafkaFault>> {
    let (sender, receiver) = mpsc::channel();
    let on_delivery = Box::new(move |outcome| sender.send(outcome).unwrap_or_default());
    producer.send(topic, key, payload, "frame/1", on_delivery).map_err(|refused| refused.error).unwrap();
    receiver
}

/// The fault by a question and by a producer's link.
fn faults(settings: &KafkaSettings) -> [KafkaFault; 2] {
    let asked = kafka::cluster(settings, DEADLINE).unwrap_err();
    [asked, down(&Producer::new(settings, 5).unwrap())]
}

fn down(producer: &Producer) -> KafkaFault {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let LinkState::Down(fault) = producer.link() {
            return fault;
        }
        assert!(Instant::now() < deadline, "the link is still {:?}", producer.link());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

struct Record {
    key: String,
    payload: String,
    headers: Vec<(String, String)>,
}

/// `count` records, and that no more follow; per partition in order.
fn read(settings: &KafkaSettings, topic: &str, partitions: i32, count: usize) -> Vec<Record> {
    let mut config = settings.client_config();
    config.set("group.id", "test").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    let mut records = Vec::new();
    let mut ended = 0;
    let deadline = Instant::now() + DEADLINE;
    while ended < partitions {
        assert!(Instant::now() < deadline, "{} of {count} records", records.len());
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => records.push(Record {
                key: text(message.key()),
                payload: text(message.payload()),
                headers: message
                    .headers()
                    .map(|headers| headers.iter().map(|h| (h.key.to_owned(), text(h.value))).collect())
                    .unwrap_or_default(),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    assert_eq!(records.len(), count);
    records
}

fn payloads(settings: &KafkaSettings, partitions: i32, count: usize) -> Vec<String> {
    read(settings, "detections", partitions, count).into_iter().map(|record| record.payload).collect()
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Everything that this process logs, at debug.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logs() -> Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    LOGS.get_or_init(|| {
        let logs = Logs::default();
        let writer = logs.clone();
        let subscriber =
            telemetry::subscriber(LogFormat::Text, "trace", false, move || writer.clone()).unwrap();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        logs
    })
    .clone()
}

/// What fences a pod that slept is the group's metadata, and nothing else.
#[test]
fn a_member_that_was_replaced_writes_nothing_and_without_the_groups_metadata_it_would() {
    let broker = Kafka::start(KafkaKind::Plain);
    let settings = KafkaSettings::plain(&broker.bootstrap);
    let topics = [topic("slots", 2), compacted("claims", 1)];
    kafka::apply(&settings, &topics, 1, DEADLINE).unwrap();
    let settle = |member: &Member| {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let held = member.poll(Duration::from_millis(50));
            if held.is_settled && held.slots.len() == 2 {
                return held;
            }
            assert!(Instant::now() < deadline, "it holds {:?}", held.slots);
        }
    };
    let claim = |who: &str| Write {
        topic: "claims".to_owned(),
        key: "gate-3".to_owned(),
        value: Some(who.as_bytes().to_vec()),
        schema: "status/1",
        partition: None,
    };
    let seen = || {
        let mut seen = Vec::new();
        kafka::read_to_end(&settings, "claims", DEADLINE, |entry| {
            seen.push(String::from_utf8(entry.value.unwrap().to_vec()).unwrap());
        })
        .unwrap();
        seen
    };

    let first = Member::join(&settings, "sharing", "slots").unwrap();
    let old = settle(&first);
    let mut writer = Writer::new(&settings, "pod-one", DEADLINE).unwrap();
    writer.write(&[claim("one, a member")], old.offsets()).unwrap();
    // It goes, another comes; what it remembers of itself is of before.
    first.leave();
    let second = Member::join(&settings, "sharing", "slots").unwrap();
    let new = settle(&second);
    let mut successor = Writer::new(&settings, "pod-two", DEADLINE).unwrap();
    successor.write(&[claim("two, a member")], new.offsets()).unwrap();

    let refused = writer.write(&[claim("one, replaced")], old.offsets()).unwrap_err();
    assert!(matches!(refused, WriteError::Refused(_)), "{refused:?}");
    assert_eq!(seen(), ["one, a member", "two, a member"]);
    // The same without the metadata: a zombie would count.
    writer.write(&[claim("one, replaced, unfenced")], None).unwrap();
    assert_eq!(seen(), ["one, a member", "two, a member", "one, replaced, unfenced"]);
}
