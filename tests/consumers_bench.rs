//! What events and rows cost: records per CPU second of the whole process, librdkafka's threads included, by stages; rows a second
//! into PostgreSQL; how long a start takes among 1,000 cameras. By scripts/bench-consumers.sh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/archived.rs"]
mod archived;
#[path = "support/chance.rs"]
mod chance;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sightline.rs"]
mod sightline;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use archived::{DETECTIONS, EVENTS, Produced};
use chance::{Chance, setting};
use kafka::{Kafka, KafkaKind};
use postgres::Postgres;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use serde_json::json;
use sightline::{Sightline, command, output, wait_for};
use sightline_consumers::events::rules::PartitionState;
use sightline_consumers::seen::Seen;

const PARTITIONS: i32 = 8;

/// CPU seconds of a process so far, all of its threads.
fn cpu(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // utime and stime are the 14th and 15th field, in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn told(what: &str, records: u64, seconds: f64) {
    let each = seconds * 1e6 / records as f64;
    println!("{what:<58} {:>9.0} records/CPU-s  {each:>6.1} µs", records as f64 / seconds);
}

/// What begins a camera: two zones and two lines over which its objects go.
fn beginning(camera: &str) -> [Produced; 2] {
    let zone = |id: &str, x: f64| json!({"id": id, "polygon": [[x, 0.1], [x + 0.3, 0.1], [x + 0.3, 0.9], [x, 0.9]], "dwell_s": 10});
    let line = |id: &str, x: f64| json!({"id": id, "from": [x, 0.0], "to": [x, 1.0]});
    let spec = json!({"schema": "spec/1", "camera": camera, "epoch": 1827, "generation": 1, "anchor": "bottom_center",
        "zones": [zone("left", 0.1), zone("right", 0.5)], "lines": [line("first", 0.3), line("second", 0.7)],
        "model": {"name": "bench", "sha256": "", "head": "end2end", "input": [384, 640], "classes": []}});
    let started = json!({"schema": "stream/1", "camera": camera, "epoch": 1827, "state": "started", "clock": "ntp",
        "at": "2026-11-23T18:00:00.000Z"});
    [spec, started].map(|record| Produced {
        key: camera.as_bytes().to_vec(),
        schema: Some(record["schema"].as_str().unwrap().to_owned()),
        value: Some(record.to_string().into_bytes()),
    })
}

fn asking(bootstrap: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group).set("auto.offset.reset", "earliest");
    config.create().unwrap()
}

/// Records that lie in a topic, and how many of them the group has not committed.
fn ends_and_lag(bootstrap: &str, group: &str, topic: &str) -> (u64, i64) {
    let (asking, patience) = (asking(bootstrap, group), Duration::from_secs(10));
    let mut partitions = rdkafka::TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, PARTITIONS - 1);
    let committed = asking.committed_offsets(partitions, patience).unwrap();
    let of = |partition: i32| {
        let (_, end) = asking.fetch_watermarks(topic, partition, patience).unwrap();
        let at = committed.find_partition(topic, partition).unwrap().offset().to_raw().unwrap_or(0).max(0);
        (end, end - at)
    };
    let all = (0..PARTITIONS).map(of);
    all.fold((0, 0), |(ends, lags), (end, lag)| (ends + end as u64, lags + lag))
}

fn wait_until_done(bootstrap: &str, group: &str, topic: &str) {
    wait_for("all to be done", || {
        std::thread::sleep(Duration::from_millis(200));
        (ends_and_lag(bootstrap, group, topic).1 == 0).then_some(())
    });
}

#[test]
#[ignore = "a bench: it wants a quiet machine"]
fn what_events_and_rows_cost() {
    let (count, cameras) = (setting("BENCH_RECORDS", 400_000), setting("BENCH_CAMERAS", 1_000));
    let kafka = Kafka::start(KafkaKind::Plain);
    let bootstrap = kafka.bootstrap.as_str();
    let made = output(&["topics", "apply", "--kafka", bootstrap, "--partitions", &PARTITIONS.to_string()]);
    assert!(made.status.success(), "{made:?}");
    let mut chance = Chance::by("BENCH_SEED");
    let scenes: Vec<_> =
        (0..cameras).map(|camera| archived::moving(&mut chance, camera as usize, 10)).collect();
    let first: Vec<_> =
        scenes.iter().flat_map(|scene| beginning(&String::from_utf8_lossy(&scene.at(0).key))).collect();
    archived::produce(bootstrap, DETECTIONS, &first);
    let mut sample = first;
    for from in (0..count).step_by(50_000) {
        let records: Vec<_> = (from..(from + 50_000).min(count))
            .map(|n| scenes[(n % cameras) as usize].at(n / cameras))
            .collect();
        archived::produce(bootstrap, DETECTIONS, &records);
        if from == 0 {
            sample.extend(records);
        }
    }
    let bytes: usize = sample.iter().map(Produced::bytes).sum();
    println!(
        "{count} frame/1 records of 10 tracked detections, {} bytes each, {cameras} cameras with 2 zones and 2 lines",
        bytes / sample.len()
    );

    // Stages, each with those before it.
    let before = cpu("self");
    let reader = asking(bootstrap, "bench");
    reader.subscribe(&[DETECTIONS]).unwrap();
    let (mut read, deadline) = (0, Instant::now() + Duration::from_secs(120));
    while read < count {
        assert!(Instant::now() < deadline, "{read} of {count} read");
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) {
            read += u64::from(!message.payload().unwrap_or_default().is_empty());
        }
    }
    drop(reader);
    told("fetch and decompress (librdkafka alone, zstd)", count, cpu("self") - before);
    let parse = |record: &Produced| {
        let (value, schema) = (record.value.as_deref().unwrap(), record.schema.as_deref());
        assert!(Seen::parse(value, schema).is_ok());
    };
    let before = cpu("self");
    sample.iter().for_each(parse);
    told("parse", sample.len() as u64, cpu("self") - before);
    let (mut state, mut events) = (PartitionState::new(), Vec::new());
    let before = cpu("self");
    for (offset, record) in sample.iter().enumerate() {
        let seen = Seen::parse(record.value.as_deref().unwrap(), record.schema.as_deref()).unwrap();
        state.take(&seen, offset as i64, 1_795_459_212_000 + offset as i64, &mut events);
    }
    told("parse and state", sample.len() as u64, cpu("self") - before);
    println!("  {:.2} events a record", events.len() as f64 / sample.len() as f64);

    // All of it, in a process of its own. What is beyond the stages above: batches handed from thread to thread, events made,
    // compressed and written, and checkpoints.
    let group = "sightline.sightline-events";
    let start =
        || Sightline::spawn(command(&["consume", "events", "--kafka", bootstrap, "--http", "127.0.0.1:0"]));
    let (begun, consumer) = (Instant::now(), start());
    wait_until_done(bootstrap, group, DETECTIONS);
    let (took, seconds) = (begun.elapsed().as_secs_f64(), cpu(&consumer.id().to_string()));
    told("consume events: all, with produce and checkpoints", count, seconds);
    let (events, _) = ends_and_lag(bootstrap, "sightline.sightline-store-events", EVENTS);
    println!("  {took:.1} s by the clock, {events} events written");
    consumer.signal("TERM");
    assert!(consumer.wait().0.success());

    // Live again.
    let (begun, again) = (Instant::now(), start());
    wait_for("its state", || again.stderr().contains("taken up where they were left").then_some(()));
    println!("live again among {cameras} cameras: {:.2} s after its start", begun.elapsed().as_secs_f64());
    drop(again);

    // The rules once more, in Python.
    let mut oracle = Command::new(".deps/oracle/bin/python")
        .args(["-B", "tests/oracle/events.py"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let part = &sample[..sample.len().min(10_000)];
    let begun = Instant::now();
    {
        let mut input = std::io::BufWriter::new(oracle.stdin.take().unwrap());
        writeln!(input, "{}", json!({"from_the_beginning": true})).unwrap();
        for (n, record) in part.iter().enumerate() {
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap());
            writeln!(input, "{{\"timestamp_ms\":{},\"record\":{value}}}", 1_795_459_212_000 + n as i64)
                .unwrap();
        }
        writeln!(input, "{}", json!({"end": true})).unwrap();
    }
    assert!(oracle.wait().unwrap().success());
    told("for scale: parse and state in Python", part.len() as u64, begun.elapsed().as_secs_f64());

    // Rows.
    let database = Postgres::start();
    let url = database.url();
    let args = [
        "consume",
        "store",
        "--kafka",
        bootstrap,
        "--database",
        &url,
        "--only",
        "events",
        "--http",
        "127.0.0.1:0",
    ];
    let (begun, store) = (Instant::now(), Sightline::spawn(command(&args)));
    wait_until_done(bootstrap, "sightline.sightline-store-events", EVENTS);
    let (took, seconds) = (begun.elapsed().as_secs_f64(), cpu(&store.id().to_string()));
    let rows: u64 = database.query("SELECT count(*) FROM events").parse().unwrap();
    println!(
        "consume store: {rows} events in {took:.1} s, start included: {:.0} a second; {:.1} µs of CPU each beside PostgreSQL's",
        rows as f64 / took,
        seconds * 1e6 / rows as f64
    );
}
