//! What archiving costs in CPU time, against reading alone and parsing alone. By scripts/bench-archive.sh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/archived.rs"]
mod archived;
#[path = "support/chance.rs"]
mod chance;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/sightline.rs"]
mod sightline;

use std::time::{Duration, Instant};

use archived::{DETECTIONS, files, is_done};
use chance::{Chance, setting};
use kafka::{Kafka, KafkaKind};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sightline::{Sightline, output, wait_for};
use sightline_schema::FrameResult;

/// What is wanted of one second of one core, librdkafka's threads included.
const WANTED: f64 = 40_000.0;

/// CPU seconds of a process so far, all of its threads.
fn cpu(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // utime and stime are the 14th and 15th field, in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[test]
#[ignore = "a bench: it wants a quiet machine"]
fn archiving_costs_little() {
    let count = setting("ARCHIVE_RECORDS", 400_000);
    let kafka = Kafka::start(KafkaKind::Plain);
    let made = output(&["topics", "apply", "--kafka", &kafka.bootstrap, "--partitions", "8"]);
    assert!(made.status.success(), "{made:?}");
    let mut chance = Chance::by("ARCHIVE_SEED");
    // Objects that move a little from frame to frame, as real ones do.
    let scenes: Vec<_> = (0..40).map(|camera| archived::moving(&mut chance, camera, 10)).collect();
    let (mut bytes, mut sample) = (0, Vec::new());
    for from in (0..count).step_by(50_000) {
        let records: Vec<_> = (from..(from + 50_000).min(count))
            .map(|n| scenes[n as usize % scenes.len()].at(n / scenes.len() as u64))
            .collect();
        bytes += records.iter().map(archived::Produced::bytes).sum::<usize>();
        archived::produce(&kafka.bootstrap, DETECTIONS, &records);
        if sample.is_empty() {
            sample = records;
        }
    }
    println!("{count} frame/1 records of 10 tracked detections, {} bytes each", bytes as u64 / count);

    let told = |what: &str, records: u64, seconds: f64| {
        let per_second = records as f64 / seconds;
        println!("{what}: {per_second:.0} records per CPU second ({seconds:.2} s)");
        per_second
    };
    let before = cpu("self");
    for record in &sample {
        let frame: FrameResult = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        assert_eq!(frame.detections.len(), 10);
    }
    told("baseline: parsing alone, into the schema's own types", sample.len() as u64, cpu("self") - before);

    let before = cpu("self");
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap)
        .set("group.id", "bench")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    reader.subscribe(&[DETECTIONS]).unwrap();
    let (mut read, deadline) = (0, Instant::now() + Duration::from_secs(120));
    while read < count {
        assert!(Instant::now() < deadline, "{read} of {count} read");
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) {
            read += u64::from(message.payload_len() > 0);
        }
    }
    drop(reader);
    told("baseline: reading alone, librdkafka", count, cpu("self") - before);

    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    let args = ["consume", "archive", "--kafka", &kafka.bootstrap, "--http", "127.0.0.1:0", "--to", to];
    let more = ["--topics", "detections", "--roll-seconds", "5"];
    let begun = Instant::now();
    let archive = Sightline::spawn(sightline::command(&[&args[..], &more].concat()));
    wait_for("all to be archived", || {
        std::thread::sleep(Duration::from_millis(200));
        is_done(&kafka.bootstrap, DETECTIONS).then_some(())
    });
    let (seconds, took) = (cpu(&archive.id().to_string()), begun.elapsed().as_secs_f64());
    let status = std::fs::read_to_string(format!("/proc/{}/status", archive.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned();
    let files = files(dir.path(), DETECTIONS);
    let written: u64 = files.iter().map(|file| file.bytes).sum();
    let reached = told("archiving, start included", count, seconds);
    println!(
        "  {took:.1} s by the clock, {peak} of memory at most, {} files, {:.1} bytes per record: a {:.0}th of the JSON",
        files.len(),
        written as f64 / count as f64,
        bytes as f64 / written as f64
    );
    assert!(reached >= WANTED, "{reached:.0} records per CPU second, wanted {WANTED}");
}
