//! The API against its own OpenAPI document, asked by somebody else's tool: no 5xx, and every answer as described.
//!
//! `scripts/setup.sh test` installs schemathesis into `.deps`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/sightline.rs"]
mod sightline;

use std::path::Path;
use std::process::Command;

use kafka::{Kafka, KafkaKind};
use postgres::Postgres;
use registry::{Files, Registry, apply_topics, produce, wait_until};
use serde_json::json;
use sightline::{Metrics, Sightline};

#[test]
fn every_answer_is_as_the_document_says_and_none_is_a_fault_of_ours() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/schemathesis/bin/schemathesis");
    assert!(tool.exists(), "schemathesis is missing: run scripts/setup.sh test (make test does)");
    let broker = Kafka::start(KafkaKind::Plain);
    apply_topics(&broker.bootstrap);
    let files = Files::new();
    let database = Postgres::start();
    let url = database.url();
    let args =
        ["consume", "store", "--kafka", &broker.bootstrap, "--database", &url, "--http", "127.0.0.1:0"];
    let store = Sightline::spawn(sightline::command(&args));
    produce(&broker.bootstrap, "sightline.events", "gate", &event(&files));
    wait_until("a row is there", || {
        database.try_query("SELECT id FROM events").is_ok_and(|id| !id.is_empty())
    });
    drop(store);
    let mut registry = Registry::start(&broker.bootstrap, &files, &["--database", &url]);
    registry.process.wait_for_line("jobs are read");
    assert_eq!(
        registry.send("POST", "/v1/cameras", &json!({"id": "gate", "source": "test://ball"})).status,
        201
    );
    let job = json!({"uris": ["test://ball"], "start": "2026-11-23T18:40:12Z"});
    assert_eq!(registry.send("POST", "/v1/jobs", &job).status, 200);
    let mut command = Command::new(tool);
    command.current_dir(files.folder.path());
    command.args(["run", &format!("{}/openapi.json", registry.api)]);
    command.args(["--header", &format!("Authorization: Bearer {}", files.token("admin"))]);
    command.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,\
        response_schema_conformance,response_headers_conformance",
    ]);
    // A stream of events has no end; a probe opens what it is told.
    for path in ["/v1/cameras:watch", "/v1/events:watch", "/v1/jobs:watch", "/v1/cameras:probe"] {
        command.args(["--exclude-path", path]);
    }
    command.args(["--max-examples", "20", "--seed", "7", "--request-timeout", "30", "--no-color"]);
    command.args(["--generation-database", "none", "--workers", "1"]);
    let run = command.output().expect("schemathesis starts");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    let metrics = Metrics::scrape(&registry.http);
    let faults = metrics.samples.iter().filter(|sample| {
        sample.name.ends_with("requests_total")
            && sample.labels.get("status").is_some_and(|status| status.starts_with('5'))
    });
    assert_eq!(faults.count(), 0);
    assert!(metrics.sum("sightline_registry_requests_total", &[]) > 300.0);
}

/// A record that says that something happened.
fn event(files: &Files) -> std::path::PathBuf {
    let path = files.path("event");
    let event = json!({"schema": "event/1", "id": "gate/1/2/camera_up", "type": "camera_up", "camera": "gate", "epoch": 1,
        "seq": 2, "generation": 3, "at": "2026-11-23T18:40:12.033Z"});
    std::fs::write(&path, event.to_string()).unwrap();
    path
}
