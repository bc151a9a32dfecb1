//! What the tests have in common: a broker with topics, cameras, and the processes that are traced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::collector::Told;
use crate::kafka::{Kafka, KafkaKind};
use crate::kcat::{self, Record};
use crate::sightline::{Metrics, Sightline, command, output, wait_for};

pub(crate) const DETECTIONS: &str = "sightline.detections";
pub(crate) const EVENTS: &str = "sightline.events";

pub(crate) fn sample(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(file)
}

pub(crate) struct Scene {
    pub(crate) broker: Kafka,
    pub(crate) folder: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let broker = Kafka::start(KafkaKind::Plain);
        let made = output(&["topics", "apply", "--kafka", &broker.bootstrap, "--partitions", "4"]);
        assert!(made.status.success(), "{made:?}");
        Self { broker, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// Cameras by their ids and sources, with the zones and lines of the sample clip.
    pub(crate) fn cameras(&self, sources: &[(&str, Value)]) -> String {
        let truth: Value =
            serde_json::from_slice(&std::fs::read(sample("junction.truth.json")).unwrap()).unwrap();
        let cameras: Vec<_> = sources
            .iter()
            .map(|(id, source)| {
                json!({"id": id, "source": source, "zones": truth["zones"], "lines": truth["lines"]})
            })
            .collect();
        let file = self.path("cameras.yaml");
        std::fs::write(&file, json!({"cameras": cameras}).to_string()).unwrap();
        file
    }

    pub(crate) fn pipeline(&self, cameras: &str, more: &[&str]) -> Sightline {
        let model = sample("junction.onnx").to_string_lossy().into_owned();
        self.run(&["pipeline", "--cameras", cameras, "--model", &model], more)
    }

    /// A command that reads or writes there, with its probes on a free port.
    pub(crate) fn run(&self, what: &[&str], more: &[&str]) -> Sightline {
        let on = ["--kafka", &self.broker.bootstrap, "--http", "127.0.0.1:0"];
        Sightline::spawn(command(&[what, &on[..], more].concat()))
    }

    /// Frames as they were written.
    pub(crate) fn frames(&self) -> Vec<Record> {
        let mut records = kcat::read(&self.broker.bootstrap, DETECTIONS);
        records.retain(|record| record.schema() == "frame/1");
        records
    }
}

/// Until all cameras of a pipeline have ended.
pub(crate) fn wait_for_end(http: &str, cameras: f64) {
    wait_for("the cameras' end", || {
        let ended = Metrics::scrape(http).sum("sightline_pipeline_cameras", &[("state", "ended")]);
        (ended == cameras).then_some(())
    });
}

/// HTTP probes of a process that logs JSON.
pub(crate) fn http(process: &mut Sightline) -> String {
    let line = process.wait_for_line("\"http\":");
    let line: Value = serde_json::from_str(&line).unwrap();
    line["http"].as_str().unwrap().to_owned()
}

/// SIGTERM, and a good end. Gives all it said.
pub(crate) fn stop(process: Sightline) -> String {
    process.signal("TERM");
    let (status, said) = process.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    said
}

/// By their traces.
pub(crate) fn traces(told: Vec<Told>) -> BTreeMap<String, Vec<Told>> {
    let mut traces = BTreeMap::<String, Vec<Told>>::new();
    told.into_iter().for_each(|span| traces.entry(span.trace.clone()).or_default().push(span));
    traces
}
