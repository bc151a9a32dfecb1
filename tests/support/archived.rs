//! What is produced for an archive, and how it is read back.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::chance::Chance;

pub const DETECTIONS: &str = "sightline.detections";
pub const EVENTS: &str = "sightline.events";
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Produced {
    pub key: Vec<u8>,
    pub schema: Option<String>,
    pub value: Option<Vec<u8>>,
}

impl Produced {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Self {
            key: text("camera").unwrap_or_default().into_bytes(),
            schema: text("schema"),
            value: Some(value.to_string().into_bytes()),
        }
    }

    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }
}

fn fraction(chance: &mut Chance, of: usize) -> f64 {
    chance.below(of + 1) as f64 / of as f64
}

/// From the beginning of a day that changes after each 700.
fn time(n: u64) -> String {
    let day = 20_780 + n / 700;
    let micros = day as i64 * 86_400_000_000 + (n % 700) as i64 * 200_000;
    sightline_schema::Timestamp::from_micros(micros).to_string()
}

fn detection(chance: &mut Chance) -> Value {
    let sides: Vec<_> = (0..4).map(|_| fraction(chance, 100_000)).collect();
    let label = ["person", "car", "Fußgänger", "dog \"x\"\n"][chance.below(4)];
    let mut detection = json!({"class_id": chance.below(80), "label": label, "confidence": fraction(chance, 10_000), "box": sides});
    if chance.below(5) > 0 {
        let state = ["tentative", "confirmed"][chance.below(2)];
        let age = chance.below(100_000) as f64 / 10.0;
        detection["track"] = json!({"id": chance.below(1 << 30), "state": state, "age_s": age});
    }
    detection
}

pub fn frame(chance: &mut Chance, camera: &str, seq: u64) -> Produced {
    let detections: Vec<_> = (0..chance.below(12)).map(|_| detection(chance)).collect();
    let mut frame = json!({"schema": "frame/1", "camera": camera, "epoch": 1827, "seq": seq, "captured_at": time(seq),
        "pts_us": seq * 200_000, "width": 1920, "height": 1080, "detections": detections});
    if chance.below(2) == 0 {
        frame["skipped"] = json!({"sampling": chance.below(9) + 1, "static": 2});
    }
    Produced::of(&frame)
}

pub fn happened(chance: &mut Chance, camera: &str, seq: u64) -> Produced {
    let sides = [0.41, 0.30212, 0.46, fraction(chance, 100_000)];
    let mut event = json!({"schema": "event/1", "id": format!("{camera}/1827/{seq}/57/zone_left/dock"), "type": "zone_left",
        "camera": camera, "epoch": 1827, "seq": seq, "generation": 4, "at": time(seq)});
    match chance.below(3) {
        0 => {
            event["type"] = "track_ended".into();
            event["track_key"] = format!("{camera}/1827/57").into();
            event["first_seen"] = time(seq).into();
            event["last_seen"] = time(seq + 1).into();
            event["path"] = json!([[0.1, 0.2], [0.5, 0.25]]);
            event["best"] =
                json!({"epoch": 1827, "seq": seq, "at": time(seq), "confidence": 0.9, "box": sides});
            event["labels"] = json!({"site": "hq", "floor": "2"});
        }
        1 => {
            for (name, value) in [
                ("class_id", json!(0)),
                ("label", json!("person")),
                ("confidence", json!(0.8741)),
                ("zone", json!("dock")),
                ("duration_s", json!(12.345)),
                ("vanished", json!(true)),
                ("box", json!(sides)),
                ("snapshot", json!("a/1/2.jpg")),
                ("model", json!({"name": "yolo26n", "sha256": "9f0c"})),
            ] {
                event[name] = value;
            }
        }
        _ => {
            event["type"] = "camera_down".into();
            event["error"] = "unreachable".into();
        }
    }
    Produced::of(&event)
}

/// So many records of detections of some cameras, with all that stands between them, and a fifth as many events.
pub fn messages(chance: &mut Chance, count: u64) -> (Vec<Produced>, Vec<Produced>) {
    let mut detections = Vec::new();
    for n in 0..count {
        let camera = format!("camera-{}", chance.below(24));
        let between = |value: Value| Produced::of(&value);
        detections.push(match n % 50 {
            0 => between(json!({"schema": "spec/1", "camera": camera, "epoch": 1827, "generation": 4, "anchor": "bottom_center",
                "zones": [{"id": "dock", "name": "Dock", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 0.9]]}],
                "model": {"name": "yolo26n", "sha256": "9f", "head": "end2end", "input": [384, 640], "classes": ["person"]}})),
            1 => between(json!({"schema": "stream/1", "camera": camera, "epoch": 1827, "state": "started", "clock": "ntp", "at": time(n)})),
            2 => between(json!({"schema": "gap/1", "camera": camera, "epoch": 1827, "before": {"seq": 0, "captured_at": time(n)},
                "frames": null, "reason": "pod_lost"})),
            3 => between(json!({"schema": "tick/1", "camera": camera, "epoch": 1827, "at": time(n), "state": "retrying"})),
            _ => frame(chance, &camera, n),
        });
    }
    let events = (0..count / 5).map(|n| happened(chance, &format!("camera-{}", n % 24), n)).collect();
    (detections, events)
}

/// What nobody should write. Eight of them can't be read.
pub fn bad(schema: &str) -> Vec<Produced> {
    let known = if schema == "frame/1" {
        json!({"schema": "frame/1", "camera": "camera-0", "epoch": 1, "seq": 1, "captured_at": time(1), "pts_us": 0, "width": 2,
            "height": 2, "detections": [{"class_id": 0, "label": "person", "confidence": 0.5, "box": [0, 0, 1, 1]}]})
    } else {
        json!({"schema": "event/1", "id": "x", "type": "camera_up", "camera": "camera-0", "epoch": 1, "seq": 1, "generation": 1,
            "at": time(1), "best": {"epoch": 1, "seq": 1, "at": time(1), "confidence": 0.5, "box": [0, 0, 1, 1]}})
    };
    let with = |name: &str, value: Value| {
        let mut changed = known.clone();
        changed[name] = value;
        changed
    };
    let text = |text: &str| Produced {
        key: b"camera-0".to_vec(),
        schema: Some(schema.to_owned()),
        value: Some(text.as_bytes().to_vec()),
    };
    let big = "x".repeat(if schema == "frame/1" { 10 << 20 } else { 500 << 10 });
    let mut later =
        if schema == "frame/1" { with("detections", known["detections"].clone()) } else { known.clone() };
    if schema == "frame/1" {
        later["detections"][0]["mask"] = json!({"rle": [1, 2.5, "3"]});
    } else {
        later["best"]["crop"] = json!("x.jpg");
    }
    vec![
        // Not to be read.
        text("no JSON at all"),
        text(""),
        text(&known.to_string().replace("\"seq\":1", "\"seq\":NaN")),
        text(&known.to_string().replace("\"epoch\":1", "\"wrong\":1")),
        text("{\"camera\":\"wrong\",\"camera\":\"twice\"}"),
        text("[\"wrong\"]"),
        Produced { key: vec![0xff, 0x00], schema: None, value: Some(vec![0xff, 0xfe, 0x00]) },
        text(&format!("{{\"schema\":\"{schema}\",\"wrong\":\"{big}\"}}")),
        // To be read, and more than is known.
        Produced::of(&with("schema", json!("frame/2"))),
        Produced::of(&with("schema", json!("something/else"))),
        Produced::of(&with("colour", json!({"r": 1, "big": 123_456_789_012_345_678_u64}))),
        Produced::of(&later),
        Produced::of(&json!({"schema": "later/9", "camera": "camera-1", "text": big})),
        Produced { key: b"camera-0".to_vec(), schema: None, value: Some(known.to_string().into_bytes()) },
        Produced { key: b"another key".to_vec(), ..Produced::of(&known) },
        Produced { key: b"camera-0".to_vec(), schema: None, value: None },
        Produced { key: Vec::new(), schema: None, value: Some(b"{}".to_vec()) },
    ]
}

/// So many records of 9 MB that nothing makes smaller.
pub fn incompressible(chance: &mut Chance, count: usize) -> Vec<Produced> {
    let noise = |chance: &mut Chance| (0..9 << 20).map(|_| chance.below(256) as u8).collect();
    let one = |chance: &mut Chance| Produced {
        key: b"camera-0".to_vec(),
        schema: None,
        value: Some(noise(chance)),
    };
    (0..count).map(|_| one(chance)).collect()
}

pub fn produce(bootstrap: &str, topic: &str, records: &[Produced]) {
    play(bootstrap, topic, records, Duration::ZERO);
}

/// Writes records in their order, evenly over this time.
pub fn play(bootstrap: &str, topic: &str, records: &[Produced], over: Duration) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", "zstd")
        .set("message.max.bytes", "12000000")
        .create()
        .unwrap();
    let begun = Instant::now();
    for (n, record) in records.iter().enumerate() {
        let due = over.mul_f64(n as f64 / records.len() as f64);
        if n % 20 == 0 {
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let mut made = BaseRecord::<[u8], [u8]>::to(topic).key(record.key.as_slice());
        if let Some(value) = &record.value {
            made = made.payload(value);
        }
        if let Some(schema) = &record.schema {
            made = made
                .headers(OwnedHeaders::new().insert(Header { key: "sightline-schema", value: Some(schema) }));
        }
        while let Err((_, back)) = producer.send(made) {
            made = back;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

fn asking(bootstrap: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap()
}

/// Where each partition ends.
fn ends(asking: &BaseConsumer, topic: &str) -> Vec<i64> {
    let metadata = asking.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions = metadata.topics()[0].partitions().len() as i32;
    (0..partitions).map(|number| asking.fetch_watermarks(topic, number, PATIENCE).unwrap().1).collect()
}

/// Whether the archive's group has committed all there is of the topic.
pub fn is_done(bootstrap: &str, topic: &str) -> bool {
    let group = format!("sightline.sightline-archive-{}", topic.trim_start_matches("sightline."));
    is_done_by(bootstrap, topic, &group)
}

/// The same of another group.
pub fn is_done_by(bootstrap: &str, topic: &str, group: &str) -> bool {
    let asking = asking(bootstrap, group);
    let ends = ends(&asking, topic);
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, ends.len() as i32 - 1);
    let Ok(committed) = asking.committed_offsets(partitions, PATIENCE) else { return false };
    ends.iter().enumerate().all(|(number, end)| {
        let at = committed.find_partition(topic, number as i32).unwrap().offset().to_raw().unwrap_or(-1);
        *end == 0 || at == *end
    })
}

/// What the comparison found.
#[derive(Debug)]
pub struct Found {
    pub files: u64,
    pub bytes: u64,
    pub rows: u64,
    pub raw: u64,
}

/// Reads the archive below `root` back by DuckDB and pandas, and compares it with the topic, record by record.
pub fn verify(bootstrap: &str, root: &Path, topic: &str) -> Found {
    let expected = tempfile::NamedTempFile::new().unwrap();
    dump(bootstrap, topic, expected.path());
    let read = python("read.py", &[root, topic.as_ref(), expected.path()]);
    let found: Value = serde_json::from_str(&read).unwrap();
    let number = |name: &str| found[name].as_u64().unwrap();
    Found { files: number("files"), bytes: number("bytes"), rows: number("rows"), raw: number("raw") }
}

/// Runs the queries of the handbook; each finds something.
pub fn query(root: &Path) -> String {
    python("queries.py", &[root, &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md")])
}

fn python(script: &str, args: &[&Path]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join(".deps/archive-readers/bin/python");
    assert!(
        python.exists(),
        "this test reads by DuckDB and pandas: run scripts/setup.sh test (make test does)"
    );
    let ended =
        Command::new(python).arg(here.join("tests/archive").join(script)).args(args).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{script} {args:?}: {out}\n{said}");
    out.into_owned()
}

/// All that is in a topic, a JSON object a line.
fn dump(bootstrap: &str, topic: &str, to: &Path) {
    let reading = asking(bootstrap, "reading-back");
    let ends = ends(&reading, topic);
    let mut assigned = TopicPartitionList::new();
    for number in 0..ends.len() {
        assigned.add_partition_offset(topic, number as i32, Offset::Beginning).unwrap();
    }
    reading.assign(&assigned).unwrap();
    let mut out = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    let mut missing: i64 = ends.iter().sum();
    let deadline = Instant::now() + Duration::from_secs(60);
    while missing > 0 {
        assert!(Instant::now() < deadline, "{missing} records of {topic} do not come");
        let Some(Ok(message)) = reading.poll(Duration::from_millis(200)) else { continue };
        missing -= 1;
        let header = message.headers().and_then(|headers| {
            headers.iter().find(|header| header.key == "sightline-schema").and_then(|header| header.value)
        });
        let line = json!({
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": message.timestamp().to_millis(),
            "key": message.key().map(base64),
            "value": message.payload().map(base64),
            "schema": header.map(String::from_utf8_lossy),
        });
        writeln!(out, "{line}").unwrap();
    }
    out.flush().unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| three.get(n).map_or(0, |byte| u32::from(*byte));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n > three.len() { '=' } else { digit as char });
        }
    }
    text
}

/// A file of the archive.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    pub bytes: u64,
    pub written: SystemTime,
}

/// The files of a topic, by name.
pub fn files(root: &Path, topic: &str) -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root.join(topic)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let is_ours = path.file_name().unwrap().to_string_lossy().starts_with(topic);
            match meta.is_dir() {
                true => folders.push(path),
                false if is_ours && path.extension().is_some_and(|ending| ending == "parquet") => {
                    files.push(File { path, bytes: meta.len(), written: meta.modified().unwrap() });
                }
                false => {}
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Objects of one camera that move a little from frame to frame.
pub struct Moving {
    camera: String,
    /// Class, where it was, how fast it is, fractions of the frame and of it a second.
    objects: Vec<(usize, [f64; 4], f64)>,
}

pub fn moving(chance: &mut Chance, camera: usize, objects: usize) -> Moving {
    let object = |chance: &mut Chance| {
        let at = [
            fraction(chance, 1000) * 0.8,
            fraction(chance, 1000) * 0.8,
            0.02 + fraction(chance, 1000) * 0.1,
            0.1,
        ];
        (chance.below(4), at, fraction(chance, 1000) * 0.02)
    };
    Moving { camera: format!("camera-{camera:03}"), objects: (0..objects).map(|_| object(chance)).collect() }
}

impl Moving {
    /// Its n-th frame, five in a second; what jitters does by n alone.
    pub fn at(&self, n: u64) -> Produced {
        let round = |value: f64, by: f64| (value * by).round() / by;
        let seconds = n as f64 / 5.0;
        let detections: Vec<_> = self
            .objects
            .iter()
            .enumerate()
            .map(|(i, (class, [x, y, wide, high], speed))| {
                let jitter = |k: u64| ((n * 7919 + i as u64 * 104_729 + k * 1299) % 1000) as f64 / 1e6 * 2.0;
                let x = (x + speed * seconds) % 0.85 + jitter(1);
                let sides = [x, y + jitter(2), x + wide + jitter(3), y + high + jitter(4)].map(|side| round(side.clamp(0.0, 1.0), 1e5));
                let label = ["person", "car", "bicycle", "truck"][*class];
                json!({"class_id": class, "label": label, "confidence": round(0.6 + jitter(5) * 150.0, 1e4), "box": sides,
                    "track": {"id": n / 100 * 10 + i as u64, "state": "confirmed", "age_s": round((n % 100) as f64 / 5.0, 10.0)}})
            })
            .collect();
        let at =
            sightline_schema::Timestamp::from_micros(1_795_459_212_033_000 + n as i64 * 200_000).to_string();
        Produced::of(
            &json!({"schema": "frame/1", "camera": self.camera, "epoch": 1827, "seq": n * 5, "captured_at": at,
            "pts_us": n * 200_000, "width": 1920, "height": 1080, "skipped": {"sampling": 5}, "detections": detections}),
        )
    }
}
