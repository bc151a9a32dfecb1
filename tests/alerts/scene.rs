//! What the tests of alerts have in common: a broker with topics, events, a rules file, the consumer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::{Value, json};

use crate::kafka::{Kafka, KafkaKind};
use crate::sightline::{Metrics, Sightline, command, output, wait_for};

pub(crate) const EVENTS: &str = "sightline.events";
pub(crate) const PARTITIONS: i32 = 4;
/// Must be seen nowhere but on its way to the receiver.
pub(crate) const SECRET: &str = "whsec_c2lnbmVkLWJ5LXRoaXMtc2VjcmV0LVMzQ1IzVC0xMjM=";
pub(crate) const OTHER_SECRET: &str = "whsec_YW5vdGhlci1zZWNyZXQtdGhhdC1jb21lcy1hZnRlcg==";
pub(crate) const TOKEN: &str = "S3CR3T-token-of-the-target";

pub(crate) struct Scene {
    pub(crate) broker: Kafka,
    pub(crate) folder: tempfile::TempDir,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let broker = Kafka::start(KafkaKind::Plain);
        let partitions = PARTITIONS.to_string();
        let made = output(&["topics", "apply", "--kafka", &broker.bootstrap, "--partitions", &partitions]);
        assert!(made.status.success(), "{made:?}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &broker.bootstrap)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "20000000")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self { broker, folder, producer }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A webhook as a target, with more settings.
    pub(crate) fn webhook(&self, url: &str, more: Value) -> Value {
        let mut target = json!({"webhook": url, "secret_file": self.file("secret")});
        for (key, value) in more.as_object().unwrap() {
            target[key] = value.clone();
        }
        target
    }

    pub(crate) fn rules(&self, targets: Value, rules: Value) -> PathBuf {
        let path = self.file("alerts.yaml");
        std::fs::write(&path, json!({"targets": targets, "rules": rules}).to_string()).unwrap();
        path
    }

    /// One rule for all of `zone_entered`.
    pub(crate) fn all_to(&self, targets: Value) -> PathBuf {
        let names: Vec<_> = targets.as_object().unwrap().keys().cloned().collect();
        self.rules(targets, json!([{"name": "all", "to": names, "types": ["zone_entered"]}]))
    }

    pub(crate) fn consume(&self, rules: &std::path::Path, more: &[&str]) -> Sightline {
        let rules = rules.to_string_lossy();
        let args = ["consume", "alerts", "--kafka", &self.broker.bootstrap, "--http", "127.0.0.1:0"];
        Sightline::spawn(command(&[&args[..], &["--rules", &rules], more].concat()))
    }

    /// From the beginning: what is written before it has joined counts, too.
    pub(crate) fn consume_all(&self, rules: &std::path::Path) -> Sightline {
        self.consume(rules, &["--from", "earliest"])
    }

    pub(crate) fn write(&self, event: &Value) {
        self.write_as(event["camera"].as_str().unwrap(), event.to_string().as_bytes(), "event/1");
    }

    pub(crate) fn write_as(&self, key: &str, value: &[u8], schema: &str) {
        let headers = OwnedHeaders::new().insert(Header { key: "sightline-schema", value: Some(schema) });
        let mut record = BaseRecord::to(EVENTS).key(key).payload(value).headers(headers);
        while let Err((error, back)) = self.producer.send(record) {
            assert!(error.to_string().contains("ull"), "{error}");
            record = back;
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }

    /// Where the topic ends, and how much of it a target's group has committed.
    pub(crate) fn ends_and_committed(&self, consumer: &str) -> (i64, i64) {
        let group = format!("sightline.sightline-{consumer}");
        let asking: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.broker.bootstrap)
            .set("group.id", group)
            .create()
            .unwrap();
        let patience = Duration::from_secs(30);
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(EVENTS, 0, PARTITIONS - 1);
        // A young broker does not know at once who coordinates the group.
        let committed = wait_for("the offsets of the group", || {
            asking.committed_offsets(partitions.clone(), patience).ok()
        });
        let end = |partition| asking.fetch_watermarks(EVENTS, partition, patience).unwrap().1;
        let at = |partition| {
            let at = committed.find_partition(EVENTS, partition).unwrap().offset();
            at.to_raw().unwrap_or_default().max(0)
        };
        ((0..PARTITIONS).map(end).sum(), (0..PARTITIONS).map(at).sum())
    }

    pub(crate) fn wait_until_done(&self, consumer: &str) {
        wait_for(&format!("{consumer} to commit all there is"), || {
            let (ends, committed) = self.ends_and_committed(consumer);
            (ends == committed).then_some(())
        });
    }

    /// All that lies in the topic of dead letters.
    pub(crate) fn dead_letters(&self) -> Vec<Letter> {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.broker.bootstrap)
            .set("group.id", "reader of dead letters")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let topic = "sightline.dead-letter";
        let (begin, end) = reader.fetch_watermarks(topic, 0, Duration::from_secs(30)).unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
        reader.assign(&assignment).unwrap();
        let mut letters = Vec::new();
        while (letters.len() as i64) < end - begin {
            let Some(message) = reader.poll(Duration::from_secs(30)) else { panic!("no dead letter") };
            let message = message.unwrap();
            let headers = message.headers().unwrap().iter();
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            letters.push(Letter {
                headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
                value: message.payload().unwrap_or_default().to_vec(),
            });
        }
        letters
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) value: Vec<u8>,
}

impl Letter {
    pub(crate) fn why(&self) -> &str {
        &self.headers["sightline-why"]
    }
}

/// Somebody enters the dock.
pub(crate) fn event(camera: &str, n: usize) -> Value {
    json!({
        "schema": "event/1", "id": format!("{camera}/1/{n}/7/zone_entered/dock"), "type": "zone_entered",
        "camera": camera, "epoch": 1, "seq": n, "generation": 1, "at": "2026-11-23T22:30:00.000Z",
        "track_key": format!("{camera}/1/7"), "class_id": 0, "label": "person", "confidence": 0.8741, "zone": "dock",
        "labels": {"site": "hq"}
    })
}

pub(crate) fn metrics(consumer: &mut Sightline) -> Metrics {
    Metrics::scrape(&consumer.http())
}

/// What was said anywhere holds nothing that is a secret.
pub(crate) fn assert_no_secret(what: &str, text: &str) {
    let decoded = ["S3CR3T", "whsec_", "signed-by-this", "another-secret"];
    for secret in [SECRET, OTHER_SECRET, TOKEN].iter().chain(&decoded) {
        assert!(!text.contains(secret), "{what} shows {secret}:\n{text}");
    }
}
