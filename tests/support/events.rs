//! Events of one's own in the topic, and a reader of server-sent events.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

pub const TOPIC: &str = "sightline.events";
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// `2026-11-23T18:40:12.033Z`
pub fn time(ms: i64) -> String {
    sightline_schema::Timestamp::from_micros(ms * 1000).to_string()
}

/// What could have happened: number `n` of a camera, at this time. All kinds of fields, and names that nobody should give.
pub fn event(camera: &str, n: usize, at_ms: i64) -> Value {
    let at = time(at_ms);
    let more = match n % 4 {
        0 => json!({"type": "line_crossed", "line": "in", "direction": "forward", "label": "person"}),
        1 => {
            json!({"type": "zone_left", "zone": "dock", "duration_s": 12.345, "vanished": true, "label": "car"})
        }
        2 => json!({"type": "track_ended", "label": "o'neil \"x\"; \\ ü", "first_seen": time(at_ms - 4000),
            "last_seen": at, "path": [[0.1, 0.2], [0.3, 0.45678]],
            "best": {"epoch": 7, "seq": 3, "at": time(at_ms - 2000), "confidence": 0.9123,
                     "box": [0.41, 0.3021, 0.457, 0.5188]}}),
        _ => json!({"type": "camera_down", "error": "unreachable"}),
    };
    let mut event = json!({"schema": "event/1", "id": format!("{camera}/7/{n}/{}", more["type"].as_str().unwrap()),
        "camera": camera, "epoch": 7, "seq": n, "generation": 4, "at": at, "labels": {"site": "hq"}});
    if n % 4 != 3 {
        let of_track = json!({"model": {"name": "yolo26n", "sha256": "9f0c"}, "track_key": format!("{camera}/7/57"), "class_id": 2, "confidence": 0.8741,
            "box": [0.41, 0.3, 0.46, 0.52]});
        event.as_object_mut().unwrap().extend(of_track.as_object().unwrap().clone());
    }
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// Writes as `consume events` does: in transactions, whose ends lie in the partitions, too.
pub struct Teller(BaseProducer);

impl Teller {
    pub fn new(bootstrap: &str, name: &str) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", name)
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        Self(producer)
    }

    /// All of them, or none.
    pub fn tell(&self, events: &[Value]) {
        self.try_tell(events, true);
    }

    /// As if they had never been written.
    pub fn take_back(&self, events: &[Value]) {
        self.try_tell(events, false);
    }

    fn try_tell(&self, events: &[Value], commits: bool) {
        self.0.begin_transaction().unwrap();
        for event in events {
            let (key, value) = (event["camera"].as_str().unwrap(), event.to_string());
            let headers =
                OwnedHeaders::new().insert(Header { key: "sightline-schema", value: Some("event/1") });
            let mut record = BaseRecord::to(TOPIC).key(key).payload(&value).headers(headers);
            while let Err((error, back)) = self.0.send(record) {
                let is_full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
                assert!(is_full, "{error}");
                self.0.poll(Duration::from_millis(20));
                record = back;
            }
        }
        if commits {
            self.0.commit_transaction(PATIENCE).unwrap();
        } else {
            self.0.flush(PATIENCE).unwrap();
            self.0.abort_transaction(PATIENCE).unwrap();
        }
    }
}

/// One of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub id: Option<String>,
    pub event: String,
    pub data: Value,
}

/// A stream of server-sent events; dropping it breaks the connection.
pub struct Stream {
    lines: std::io::Lines<BufReader<Box<dyn std::io::Read + Send + Sync>>>,
    /// As browsers keep it: of events, and of lines that are none.
    pub last_id: Option<String>,
}

impl Stream {
    /// `api` is `http://127.0.0.1:PORT`. Refused, what was said.
    pub fn try_open(
        api: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, (u16, Value)> {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        // Longer than any test: what hangs is a failure, not a wait for ever.
        let config = config.timeout_recv_body(Some(Duration::from_secs(100))).build();
        let mut request = ureq::Agent::new_with_config(config).get(format!("{api}{path}"));
        for (name, value) in headers.iter().chain(&[("authorization", format!("Bearer {token}").as_str())]) {
            request = request.header(*name, *value);
        }
        let mut answer = request.call().unwrap_or_else(|error| panic!("{path}: {error}"));
        if answer.status() != 200 {
            return Err((
                answer.status().as_u16(),
                serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap(),
            ));
        }
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let reader: Box<dyn std::io::Read + Send + Sync> = Box::new(answer.into_body().into_reader());
        let last_id =
            headers.iter().find(|(name, _)| *name == "last-event-id").map(|(_, id)| (*id).to_owned());
        Ok(Self { lines: BufReader::new(reader).lines(), last_id })
    }

    pub fn open(api: &str, path: &str, token: &str, headers: &[(&str, &str)]) -> Self {
        Self::try_open(api, path, token, headers).unwrap_or_else(|(status, said)| panic!("{status}: {said}"))
    }

    /// From behind the last id.
    pub fn again(api: &str, path: &str, token: &str, last_id: Option<&str>) -> Self {
        let header: Vec<_> = last_id.iter().map(|id| ("last-event-id", *id)).collect();
        Self::open(api, path, token, &header)
    }

    /// Breaks the connection, and goes on from the last id by another.
    pub fn break_off(&mut self, api: &str, path: &str, token: &str) {
        let nothing: Box<dyn std::io::Read + Send + Sync> = Box::new(std::io::empty());
        self.lines = BufReader::new(nothing).lines();
        *self = Self::again(api, path, token, self.last_id.as_deref());
    }

    /// The next one; none where the stream ended, or broke.
    pub fn next(&mut self) -> Option<Sent> {
        let (mut id, mut event, mut data) = (None, "message".to_owned(), String::new());
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => {
                    assert!(!error.to_string().contains("timeout"), "{error}");
                    return None;
                }
            };
            if line.is_empty() {
                if id.is_some() {
                    self.last_id.clone_from(&id);
                }
                if !data.is_empty() {
                    return Some(Sent { id, event, data: serde_json::from_str(&data).unwrap() });
                }
                (id, event) = (None, "message".to_owned());
                continue;
            }
            match line.split_once(':').unwrap() {
                ("id", value) => id = Some(value.trim_start().to_owned()),
                ("event", value) => event = value.trim_start().to_owned(),
                ("data", value) => data.push_str(value.strip_prefix(' ').unwrap_or(value)),
                _ => {}
            }
        }
    }

    /// Up to where what happens is told as it happens.
    pub fn until_ready(&mut self) -> Vec<Value> {
        let mut before = Vec::new();
        loop {
            let sent = self.next().expect("a stream that goes on");
            if sent.event == "ready" {
                return before;
            }
            before.push(sent.data);
        }
    }

    /// So many events, without the words between.
    pub fn take(&mut self, count: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let sent = self.next().expect("a stream that goes on");
            if sent.event != "ready" {
                assert_eq!(sent.data["type"], sent.event.as_str());
                taken.push(sent.data);
            }
        }
        taken
    }
}
