//! The queue as a foreign client sees it, and a worker's words written by kcat.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kafka::{Kafka, KafkaKind};
use crate::kcat::{self, Record};
use crate::registry::{Files, Registry, apply_topics};

pub(crate) const JOBS: &str = "sightline.jobs.default";
pub(crate) const STATUS: &str = "sightline.job-status";
/// As `apply_topics` makes them.
pub(crate) const PARTITIONS: u32 = 6;
pub(crate) const START: &str = "2026-11-23T18:40:12.000Z";

pub(crate) fn started() -> (Kafka, Files) {
    let broker = Kafka::start(KafkaKind::Plain);
    apply_topics(&broker.bootstrap);
    (broker, Files::new())
}

/// A registry that may look at this folder.
pub(crate) fn registry(bootstrap: &str, files: &Files, folder: &Path) -> Registry {
    let mut registry = Registry::start(bootstrap, files, &["--allow-file-root", folder.to_str().unwrap()]);
    registry.process.wait_for_line("jobs are read");
    registry
}

/// Files of one byte.
pub(crate) fn clips(folder: &Path, names: &[&str]) {
    for name in names {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
}

/// Adds, and gives the report.
pub(crate) fn add(registry: &Registry, request: &Value) -> Value {
    let answer = registry.send("POST", "/v1/jobs", request);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The one job of one file.
pub(crate) fn add_one(registry: &Registry, uri: &str) -> String {
    let report = add(registry, &json!({"uris": [uri], "start": START}));
    report["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned()
}

/// Writes a record as a foreign client does.
pub(crate) fn put(bootstrap: &str, topic: &str, partition: u32, key: &str, value: &Value) {
    let (partition, header) =
        (partition.to_string(), format!("sightline-schema={}", value["schema"].as_str().unwrap()));
    let args =
        ["-P", "-b", bootstrap, "-t", topic, "-p", &partition, "-k", key, "-H", &header, "-D", "\u{1}"];
    let mut kcat = Command::new("kcat").args(args).stdin(Stdio::piped()).spawn().unwrap();
    kcat.stdin.take().unwrap().write_all(value.to_string().as_bytes()).unwrap();
    assert!(kcat.wait().unwrap().success(), "kcat writes to {topic}");
}

/// A worker says something of a job.
pub(crate) fn say(bootstrap: &str, id: &str, state: &str, more: Value) {
    let mut status = json!({"schema": "job-status/1", "job": id, "state": state, "attempt": 1, "pool": "default",
        "uri": "file:///a.mp4", "start": START, "added_at": START, "since": START, "pod": "worker-1"});
    for (name, value) in more.as_object().unwrap() {
        status[name] = value.clone();
    }
    put(bootstrap, STATUS, kcat::partition(id, PARTITIONS), id, &status);
}

/// The records of a topic that has no tombstones, of this key.
pub(crate) fn of(bootstrap: &str, topic: &str, key: &str) -> Vec<Record> {
    kcat::read(bootstrap, topic).into_iter().filter(|record| record.key == key).collect()
}
