//! `consume events` on a real Kafka: what truly happened in the sample scene, and nothing else, whoever dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/chance.rs"]
mod chance;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/sightline.rs"]
mod sightline;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chance::{Chance, setting};
use kafka::{Kafka, KafkaKind};
use kcat::Record;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use serde_json::{Value, json};
use sightline::{Metrics, Sightline, command, documented, output, wait_for};

const DETECTIONS: &str = "sightline.detections";
const EVENTS: &str = "sightline.events";

/// One scene at a time: two cores carry one.
static STAGE: Mutex<()> = Mutex::new(());

fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the pipeline wrote of the sample clip, detected once for all scenes.
fn recorded() -> &'static [Record] {
    static RECORDED: OnceLock<Vec<Record>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let broker = started();
        detect(&broker, 1);
        kcat::read(&broker.bootstrap, DETECTIONS)
    })
}

fn sample(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(file)
}

fn truth() -> Value {
    serde_json::from_slice(&std::fs::read(sample("junction.truth.json")).unwrap()).unwrap()
}

fn started() -> Kafka {
    let broker = Kafka::start(KafkaKind::Plain);
    let made = output(&["topics", "apply", "--kafka", &broker.bootstrap, "--partitions", "6"]);
    assert!(made.status.success(), "{made:?}");
    broker
}

fn consumer(bootstrap: &str, more: &[&str]) -> Sightline {
    let args = ["consume", "events", "--kafka", bootstrap, "--http", "127.0.0.1:0"];
    Sightline::spawn(command(&[&args[..], more].concat()))
}

/// The sample clip, once, as so many cameras with its zones and lines, through the real pipeline.
fn detect(broker: &Kafka, cameras: usize) {
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

/// Waits until the consumers have taken all there is, by the offsets that their group has committed.
fn wait_until_done(bootstrap: &str, group: &str) {
    wait_for(&format!("{group} to commit all there is"), || (lag(bootstrap, group) == 0).then_some(()));
}

fn lag(bootstrap: &str, group: &str) -> i64 {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let asking: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create().unwrap();
    let patience = Duration::from_secs(10);
    let mut partitions = rdkafka::TopicPartitionList::new();
    partitions.add_partition_range(DETECTIONS, 0, 5);
    let Ok(committed) = asking.committed_offsets(partitions, patience) else { return i64::MAX };
    let behind = |partition: i32| {
        let end = asking.fetch_watermarks(DETECTIONS, partition, patience).map_or(i64::MAX, |(_, end)| end);
        let at = committed.find_partition(DETECTIONS, partition).unwrap().offset().to_raw().unwrap_or(-1001);
        if end == 0 { 0 } else { end - at.max(0) }
    };
    (0..6).map(behind).fold(0, i64::saturating_add)
}

/// Events by id, each as it is written; what is written twice is the same.
fn events(bootstrap: &str) -> BTreeMap<String, Value> {
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

type Row = (String, String, String, String);

/// Type, label, place and how, with the time in milliseconds since `begin`.
fn rows<'a>(events: impl Iterator<Item = &'a Value>, begin: i64) -> Vec<(Row, i64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows: Vec<_> = events
        .filter(|event| event["line"].is_string() || event["zone"].is_string())
        .map(|event| {
            let place = if event["line"].is_string() { text(&event["line"]) } else { text(&event["zone"]) };
            let how = match event {
                event if event["direction"].is_string() => text(&event["direction"]),
                event if event["appeared"] == true => "appeared".to_owned(),
                event if event["vanished"] == true => "vanished".to_owned(),
                _ => String::new(),
            };
            ((text(&event["type"]), text(&event["label"]), place, how), millis(&event["at"]) - begin)
        })
        .collect();
    rows.sort();
    rows
}

fn millis(time: &Value) -> i64 {
    let time: sightline_schema::Timestamp = serde_json::from_value(time.clone()).unwrap();
    time.as_micros() / 1000
}

fn expected(truth: &Value) -> Vec<(Row, i64)> {
    let ms = |frame: &Value| frame.as_i64().unwrap() * 1000 / truth["fps"].as_i64().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut rows = Vec::new();
    for crossing in truth["crossings"].as_array().unwrap() {
        let row = ["label", "line", "direction"].map(|field| text(&crossing[field]));
        let [label, line, direction] = row;
        rows.push((("line_crossed".to_owned(), label, line, direction), ms(&crossing["frame"])));
    }
    for visit in truth["visits"].as_array().unwrap() {
        let (label, zone) = (text(&visit["label"]), text(&visit["zone"]));
        let mark = |name: &str| if visit[name] == true { name.to_owned() } else { String::new() };
        rows.push((
            ("zone_entered".to_owned(), label.clone(), zone.clone(), mark("appeared")),
            ms(&visit["enter"]),
        ));
        rows.push((("zone_left".to_owned(), label, zone, mark("vanished")), ms(&visit["leave"])));
    }
    rows.sort();
    rows
}

#[test]
fn the_events_of_the_sample_are_what_truly_happened() {
    let _stage = stage();
    let broker = started();
    let cameras = setting("EVENT_CAMERAS", 2) as usize;
    let mut consumer = consumer(&broker.bootstrap, &[]);
    detect(&broker, cameras);
    wait_until_done(&broker.bootstrap, "sightline.sightline-events");
    let http = consumer.http();
    wait_for("no lag", || {
        let samples = Metrics::scrape(&http).samples;
        let mut lags =
            samples.iter().filter(|sample| sample.name == "sightline_consumer_lag_records").peekable();
        (lags.peek().is_some() && lags.all(|lag| lag.value == 0.0)).then_some(())
    });
    let mut described = documented("sightline_consumer");
    described.retain(|name, _| !name.starts_with("sightline_consumer_archive_"));
    assert_eq!(Metrics::scrape(&http).described(), described);
    let events = events(&broker.bootstrap);
    let truth = expected(&truth());
    for n in 0..cameras {
        let id = format!("camera-{n}");
        let first = kcat::read(&broker.bootstrap, DETECTIONS)
            .into_iter()
            .find(|record| record.key == id && record.schema() == "frame/1")
            .unwrap();
        let found = rows(
            events.values().filter(|event| event["camera"] == id.as_str()),
            millis(&first.value["captured_at"]),
        );
        let kinds = |rows: &[(Row, i64)]| rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>();
        let (have, want) = (kinds(&found), kinds(&truth));
        let missing: Vec<_> = want.iter().filter(|row| count(&have, row) < count(&want, row)).collect();
        let extra: Vec<_> = found.iter().filter(|(row, _)| count(&have, row) > count(&want, row)).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{id}: missing {missing:#?}, extra {extra:#?}");
        for ((row, at), (_, wanted)) in found.iter().zip(&truth) {
            assert!((at - wanted).abs() <= 300, "{id}: {row:?} at {at} ms, not {wanted}");
        }
        println!("{id}: {} rows, all of them as they truly were", found.len());
    }
    drop(consumer);

    // What went by, for people and for scripts.
    let tail = |more: &[&str]| {
        let mut args =
            vec!["tail", "--kafka", &broker.bootstrap, "--since", "earliest", "--camera", "camera-0"];
        args.extend(more);
        let mut tail = Sightline::piped(command(&args));
        let lines = tail.lines(50);
        tail.signal("TERM");
        lines
    };
    let is_of_it = |line: &String| line.contains("camera-0") && !line.contains("camera-1");
    let text = tail(&["events", "--output", "text"]);
    assert!(text.iter().all(is_of_it) && text.iter().any(|line| line.contains("line_crossed")), "{text:?}");
    for (what, schema) in [("events", "event/1"), ("detections", "frame/1")] {
        let lines = tail(&[what]);
        let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(values.iter().all(|value| value["camera"] == "camera-0"), "{lines:?}");
        assert!(values.iter().any(|value| value["schema"] == schema), "{lines:?}");
    }
}

fn count(rows: &[Row], row: &Row) -> usize {
    rows.iter().filter(|other| *other == row).count()
}

/// Records as they came, for as many cameras as `copies` makes of each.
fn copies(records: &[Record], copies: usize) -> Vec<(String, String, String)> {
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
fn play(bootstrap: &str, records: &[(String, String, String)], over: Duration, base_ms: i64) {
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
        // Both runs are asked of the partition's time alike.
        let timestamp = base_ms + n as i64;
        let mut record = BaseRecord::to(DETECTIONS)
            .key(camera.as_str())
            .payload(value.as_str())
            .headers(headers)
            .timestamp(timestamp);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// The events of one consumer that nothing happens to.
fn undisturbed(records: &[(String, String, String)], base_ms: i64) -> BTreeMap<String, Value> {
    let broker = started();
    play(&broker.bootstrap, records, Duration::ZERO, base_ms);
    let _consumer = consumer(&broker.bootstrap, &[]);
    wait_until_done(&broker.bootstrap, "sightline.sightline-events");
    events(&broker.bootstrap)
}

/// Consumers are killed, put to sleep past their session, and the broker is killed, while records come; the events are those
/// of one consumer that nothing happened to, byte by byte.
#[test]
fn consumers_that_die_and_sleep_give_the_same_events() {
    let _stage = stage();
    let seconds = setting("EVENT_SECONDS", 60);
    let records = copies(recorded(), 24);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let base_ms = now.as_millis() as i64 - 60_000;
    let undisturbed = undisturbed(&records, base_ms);
    assert!(undisturbed.len() > 24 * 100, "{}", undisturbed.len());

    let mut broker = started();
    let bootstrap = broker.bootstrap.clone();
    let mut chance = Chance::by("EVENT_SEED");
    let mut consumers: Vec<_> = (0..3).map(|_| consumer(&bootstrap, &[])).collect();
    let over = Duration::from_secs(seconds);
    let begun = Instant::now();
    let (mut kills, mut sleeps, mut restarts) = (0, 0, 0);
    std::thread::scope(|scope| {
        let playing = scope.spawn(|| play(&bootstrap, &records, over, base_ms));
        let mut asleep: Option<(usize, Instant)> = None;
        while begun.elapsed() < over || !playing.is_finished() {
            std::thread::sleep(Duration::from_millis(2000 + chance.below(3000) as u64));
            let done = begun.elapsed().as_secs_f64() / over.as_secs_f64();
            if let Some((who, since)) = asleep
                && since.elapsed() > Duration::from_secs(14)
            {
                println!("{:>5.1} s: consumer {who} wakes", begun.elapsed().as_secs_f64());
                consumers[who].signal("CONT");
                asleep = None;
            }
            let who = chance.below(3);
            let is_asleep = asleep.is_some_and(|(sleeper, _)| sleeper == who);
            if restarts == 0 && done > 0.5 {
                println!("{:>5.1} s: the broker is killed", begun.elapsed().as_secs_f64());
                broker.kill9();
                std::thread::sleep(Duration::from_secs(2));
                broker.start_again();
                restarts += 1;
            } else if asleep.is_none() && sleeps < 2 && done > [0.1, 0.6][sleeps] {
                println!("{:>5.1} s: consumer {who} sleeps", begun.elapsed().as_secs_f64());
                consumers[who].signal("STOP");
                asleep = Some((who, Instant::now()));
                sleeps += 1;
            } else if !is_asleep {
                println!("{:>5.1} s: consumer {who} is killed", begun.elapsed().as_secs_f64());
                consumers[who].signal("KILL");
                consumers[who] = consumer(&bootstrap, &[]);
                kills += 1;
            }
        }
        if let Some((who, _)) = asleep {
            consumers[who].signal("CONT");
        }
    });
    assert!(
        kills >= 3 && sleeps >= 1 && restarts == 1,
        "{kills} kills, {sleeps} sleeps, {restarts} restarts"
    );
    wait_until_done(&bootstrap, "sightline.sightline-events");
    let disturbed = events(&bootstrap);
    let ids = |events: &BTreeMap<String, Value>| events.keys().cloned().collect::<BTreeSet<_>>();
    let (have, want) = (ids(&disturbed), ids(&undisturbed));
    let missing: Vec<_> = want.difference(&have).take(5).collect();
    let extra: Vec<_> = have.difference(&want).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, extra {extra:?}");
    for (id, event) in &undisturbed {
        assert_eq!(&disturbed[id], event);
    }
    println!(
        "{} events of {} records alike, over {kills} kills, {sleeps} sleeps and a restart of the broker",
        have.len(),
        records.len()
    );
}

/// An owner that sleeps between building a checkpoint and committing it, while a successor writes further ones, is refused.
#[test]
fn a_consumer_that_slept_on_its_checkpoint_writes_nothing() {
    let _stage = stage();
    let records = copies(recorded(), 6);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let base_ms = now.as_millis() as i64 - 60_000;
    let undisturbed = undisturbed(&records, base_ms);
    for point in ["claim-written", "claim-offsets"] {
        let broker = started();
        let bootstrap = broker.bootstrap.as_str();
        let sleeper = {
            let mut command = command(&["consume", "events", "--kafka", bootstrap, "--http", "127.0.0.1:0"]);
            command.env("SIGHTLINE_STOP_AT", point);
            Sightline::spawn(command)
        };
        let half = records.len() / 2;
        play(bootstrap, &records[..half], Duration::from_secs(8), base_ms);
        wait_for("it to sleep", || sleeper.stderr().contains(&format!("stopped at {point}")).then_some(()));
        let mut successor = consumer(bootstrap, &[]);
        let http = successor.http();
        let commits = || Metrics::scrape(&http).sum("sightline_consumer_commits_total", &[]);
        wait_for("the successor to have all", || {
            (commits() >= 1.0 && lag(bootstrap, "sightline.sightline-events") == 0).then_some(())
        });
        sleeper.signal("CONT");
        // By the group, whose generation went on, or by the broker, which ended its transaction meanwhile.
        wait_for("it to be refused", || {
            let said = sleeper.stderr();
            (said.contains("a checkpoint was not written") || said.contains("beginning anew")).then_some(())
        });
        play(bootstrap, &records[half..], Duration::from_secs(2), base_ms + half as i64);
        wait_until_done(bootstrap, "sightline.sightline-events");
        let disturbed = events(bootstrap);

        assert_eq!(disturbed, undisturbed, "{point}");
        println!("{point}: {} events alike", disturbed.len());
    }
}
