//! What the scenes have in common: the sample through the real pipeline, records played again, consumers and how far they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use serde_json::{Value, json};

use crate::kafka::{Kafka, KafkaKind};
use crate::kcat::{self, Record};
use crate::postgres::Postgres;
use crate::sightline::{Metrics, Sightline, command, output, wait_for};

pub(crate) const DETECTIONS: &str = "sightline.detections";
pub(crate) const EVENTS: &str = "sightline.events";

/// One scene at a time: two cores carry one.
static STAGE: Mutex<()> = Mutex::new(());

pub(crate) fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the pipeline wrote of the sample clip, detected once for all scenes.
pub(crate) fn recorded() -> &'static [Record] {
    static RECORDED: OnceLock<Vec<Record>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let broker = started();
        detect(&broker, 1);
        kcat::read(&broker.bootstrap, DETECTIONS)
    })
}

pub(crate) fn sample(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(file)
}

pub(crate) fn truth() -> Value {
    serde_json::from_slice(&std::fs::read(sample("junction.truth.json")).unwrap()).unwrap()
}

pub(crate) fn started() -> Kafka {
    let broker = Kafka::start(KafkaKind::Plain);
    let made = output(&["topics", "apply", "--kafka", &broker.bootstrap, "--partitions", "6"]);
    assert!(made.status.success(), "{made:?}");
    broker
}

pub(crate) fn consumer(bootstrap: &str, more: &[&str]) -> Sightline {
    let args = ["consume", "events", "--kafka", bootstrap, "--http", "127.0.0.1:0"];
    Sightline::spawn(command(&[&args[..], more].concat()))
}

pub(crate) fn store(bootstrap: &str, database: &Postgres, more: &[&str]) -> Sightline {
    let url = database.url();
    let args = ["consume", "store", "--kafka", bootstrap, "--database", &url, "--http", "127.0.0.1:0"];
    Sightline::spawn(command(&[&args[..], more].concat()))
}

/// The tables, row by row in the order of their keys, without when they were written.
pub(crate) fn tables(database: &Postgres) -> BTreeMap<&'static str, Vec<String>> {
    let dump = |(table, key): (&'static str, &str)| {
        let rows =
            database.query(&format!("SELECT to_jsonb(t) - 'written_at' FROM {table} AS t ORDER BY {key}"));
        (table, rows.lines().map(str::to_owned).collect())
    };
    let keys = [
        ("events", "id COLLATE \"C\", at"),
        ("tracks", "track_key COLLATE \"C\", last_seen"),
        ("detections_per_minute", "camera COLLATE \"C\", label COLLATE \"C\", minute"),
    ];
    keys.into_iter().map(dump).collect()
}

/// The sample clip, once, as so many cameras with its zones and lines, through the real pipeline.
pub(crate) fn detect(broker: &Kafka, cameras: usize) {
    let truth = truth();
    let clip = sample("junction.mp4").to_string_lossy().into_owned();
    let cameras: Vec<_> = (0..cameras)
        .map(|n| {
            json!({"id": format!("camera-{n}"), "source": {"uri": clip, "play": "once"},
                   "zones": truth["zones"], "lines": truth["lines"], "labels": {"site": "junction"}})
        })
        .collect();
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), json!({"cameras": cameras}).to_string()).unwrap();
    let (file, model) = (file.path().to_string_lossy().into_owned(), sample("junction.onnx"));
    let args =
        ["pipeline", "--kafka", &broker.bootstrap, "--cameras", &file, "--model", model.to_str().unwrap()];
    let mut pipeline = Sightline::spawn(command(&[&args[..], &["--http", "127.0.0.1:0"]].concat()));
    let http = pipeline.http();
    wait_for("all cameras to end", || {
        let ended = Metrics::scrape(&http).sum("sightline_pipeline_cameras", &[("state", "ended")]);
        (ended == cameras.len() as f64).then_some(())
    });
    pipeline.signal("TERM");
    assert!(pipeline.wait().0.success());
}

/// A group, and what it reads.
pub(crate) const EVENTS_GROUP: (&str, &str) = ("sightline.sightline-events", DETECTIONS);
pub(crate) const ROLLUPS_GROUP: (&str, &str) = ("sightline.sightline-store-rollups", DETECTIONS);
pub(crate) const ROWS_GROUP: (&str, &str) = ("sightline.sightline-store-events", EVENTS);

/// Waits until the consumers have taken all there is, by the offsets that their group has committed.
pub(crate) fn wait_until_done(bootstrap: &str, (group, topic): (&str, &str)) {
    wait_for(&format!("{group} to commit all there is"), || {
        (lag(bootstrap, (group, topic)) == 0).then_some(())
    });
}

/// All rows of all there is are in the database.
pub(crate) fn wait_until_stored(bootstrap: &str) {
    [EVENTS_GROUP, ROLLUPS_GROUP, ROWS_GROUP].iter().for_each(|group| wait_until_done(bootstrap, *group));
}

pub(crate) fn lag(bootstrap: &str, (group, topic): (&str, &str)) -> i64 {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let asking: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create().unwrap();
    let patience = Duration::from_secs(10);
    let mut partitions = rdkafka::TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, 5);
    let Ok(committed) = asking.committed_offsets(partitions, patience) else { return i64::MAX };
    let behind = |partition: i32| {
        let end = asking.fetch_watermarks(topic, partition, patience).map_or(i64::MAX, |(_, end)| end);
        let at = committed.find_partition(topic, partition).unwrap().offset().to_raw().unwrap_or(-1001);
        if end == 0 { 0 } else { end - at.max(0) }
    };
    (0..6).map(behind).fold(0, i64::saturating_add)
}

/// Events by id, each as it is written; what is written twice is the same.
pub(crate) fn events(bootstrap: &str) -> BTreeMap<String, Value> {
    let mut events = BTreeMap::new();
    for Record { value, key, headers, .. } in kcat::read(bootstrap, EVENTS) {
        assert_eq!(value["camera"], key.as_str());
        assert_eq!(
            (&headers["ce_id"], &headers["ce_specversion"]),
            (&value["id"].as_str().unwrap().to_owned(), &"1.0".to_owned())
        );
        let id = value["id"].as_str().unwrap().to_owned();
        if let Some(before) = events.insert(id.clone(), value.clone()) {
            assert_eq!(before, value, "{id} was written twice, and not alike");
        }
    }
    events
}

/// Records as they came, for as many cameras as `copies` makes of each.
pub(crate) fn copies(records: &[Record], copies: usize) -> Vec<(String, String, String)> {
    let mut made = Vec::new();
    for record in records {
        for n in 0..copies {
            let id = format!("{}-{n}", record.key);
            let mut value = record.value.clone();
            value["camera"] = id.as_str().into();
            made.push((id, record.schema().to_owned(), value.to_string()));
        }
    }
    made
}

/// Writes records in their order, evenly over this time.
pub(crate) fn play(bootstrap: &str, records: &[(String, String, String)], over: Duration, base_ms: i64) {
    // Runs that are compared are asked of the partition's time alike.
    play_to(bootstrap, DETECTIONS, records, over, |n| base_ms + n as i64);
}

pub(crate) fn play_to(
    bootstrap: &str,
    topic: &str,
    records: &[(String, String, String)],
    over: Duration,
    timestamp: impl Fn(usize) -> i64,
) {
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", "zstd")
        .set("linger.ms", "50")
        .create()
        .unwrap();
    let begun = Instant::now();
    for (n, (camera, schema, value)) in records.iter().enumerate() {
        let due = over.mul_f64(n as f64 / records.len() as f64);
        if n % 100 == 0 {
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let headers = OwnedHeaders::new().insert(Header { key: "sightline-schema", value: Some(schema) });
        let mut record = BaseRecord::to(topic)
            .key(camera.as_str())
            .payload(value.as_str())
            .headers(headers)
            .timestamp(timestamp(n));
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// What comes of consumers that nothing happens to.
pub(crate) struct Undisturbed {
    pub(crate) events: BTreeMap<String, Value>,
    pub(crate) orders: BTreeMap<String, Vec<String>>,
    pub(crate) tables: BTreeMap<&'static str, Vec<String>>,
}

pub(crate) fn undisturbed(records: &[(String, String, String)], base_ms: i64) -> Undisturbed {
    let (broker, database) = (started(), Postgres::start());
    play(&broker.bootstrap, records, Duration::ZERO, base_ms);
    let _events = consumer(&broker.bootstrap, &[]);
    let _store = store(&broker.bootstrap, &database, &[]);
    wait_until_stored(&broker.bootstrap);
    Undisturbed {
        events: events(&broker.bootstrap),
        orders: orders(&broker.bootstrap),
        tables: tables(&database),
    }
}

/// The events of each camera in the order in which they were first written.
pub(crate) fn orders(bootstrap: &str) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Record { key, value, .. } in kcat::read(bootstrap, EVENTS) {
        let id = value["id"].as_str().unwrap().to_owned();
        if seen.insert(id.clone()) {
            orders.entry(key).or_default().push(id);
        }
    }
    orders
}
