//! The queue as a foreign client sees it: jobs written by kcat, statuses read by kcat, workers beside.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kcat::{self, Record};
use crate::scene::{sample, truth};
use crate::sightline::{Sightline, command};

pub(crate) const JOBS: &str = "sightline.jobs.default";
pub(crate) const STATUS: &str = "sightline.job-status";
pub(crate) const JOBS_GROUP: (&str, &str) = ("sightline.sightline-jobs-default", JOBS);
/// As `scene::started` makes the topics.
pub(crate) const PARTITIONS: u32 = 6;
/// When every clip began.
pub(crate) const START: &str = "2026-03-01T12:00:00.000Z";

/// A job for a file, with the zones and lines of the sample.
pub(crate) fn job(id: &str, uri: &str) -> Value {
    let truth = truth();
    json!({"schema": "job/1", "id": id, "uri": uri, "pool": "default", "start": START, "attempt": 1,
           "spec": {"zones": truth["zones"], "lines": truth["lines"]}, "labels": {"site": "junction"}})
}

/// Writes a record as a foreign client does.
pub(crate) fn put(bootstrap: &str, topic: &str, partition: u32, key: &str, schema: &str, value: &str) {
    let partition = partition.to_string();
    let header = format!("sightline-schema={schema}");
    let args =
        ["-P", "-b", bootstrap, "-t", topic, "-p", &partition, "-k", key, "-H", &header, "-D", "\u{1}"];
    let mut kcat = Command::new("kcat").args(args).stdin(Stdio::piped()).spawn().unwrap();
    kcat.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(kcat.wait().unwrap().success(), "kcat writes to {topic}");
}

pub(crate) fn add(bootstrap: &str, partition: u32, job: &Value) {
    let id = job["id"].as_str().unwrap();
    put(bootstrap, JOBS, partition, id, "job/1", &job.to_string());
}

pub(crate) fn cancel(bootstrap: &str, id: &str) {
    let partition = kcat::partition(id, PARTITIONS);
    let value = json!({"schema": "job-cancel/1", "job": id, "at": START, "who": "ops"});
    put(bootstrap, STATUS, partition, &format!("cancel.{id}"), "job-cancel/1", &value.to_string());
}

/// A worker that may read this folder.
pub(crate) fn worker(bootstrap: &str, folder: &Path, more: &[&str]) -> Sightline {
    Sightline::spawn(worker_command(bootstrap, folder, more))
}

pub(crate) fn worker_command(bootstrap: &str, folder: &Path, more: &[&str]) -> Command {
    let (model, folder) = (sample("junction.onnx"), folder.to_string_lossy().into_owned());
    let args = ["worker", "--kafka", bootstrap, "--http", "127.0.0.1:0", "--model", model.to_str().unwrap()];
    command(&[&args[..], &["--allow-file-root", &folder], more].concat())
}

/// The newest status of each job, as compaction would keep it.
pub(crate) fn statuses(bootstrap: &str) -> BTreeMap<String, Value> {
    let said = kcat::read(bootstrap, STATUS).into_iter();
    said.filter(|record| record.schema() == "job-status/1")
        .map(|Record { key, value, .. }| (key, value))
        .collect()
}

pub(crate) fn state(bootstrap: &str, id: &str) -> String {
    statuses(bootstrap).get(id).map_or(String::new(), |status| status["state"].as_str().unwrap().to_owned())
}
