//! Objects of a real S3-compatible server, and of servers that misbehave.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::queue::*;
use crate::registry::{Files, Registry};
use crate::s3::{S3, SECRET};
use crate::sightline::command;

fn registry(bootstrap: &str, files: &Files, environment: impl FnOnce(&mut Command)) -> Registry {
    let tokens = files.path("tokens");
    let mut command = command(&[
        "registry",
        "--kafka",
        bootstrap,
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--tokens",
        tokens.to_str().unwrap(),
        "--allow-bucket",
        "s3://clips,s3://archive/2026",
    ]);
    environment(&mut command);
    let mut registry = Registry::of(command, files);
    registry.process.wait_for_line("ready cameras=");
    registry.process.wait_for_line("jobs are read");
    registry
}

fn outcomes(report: &Value) -> Vec<String> {
    let told = |item: &Value| match item["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => item["uri"].as_str().unwrap().to_owned(),
    };
    report["items"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn prefixes_patterns_and_objects_of_a_bucket_become_jobs() {
    let s3 = S3::start();
    let names = [
        "2026-11-23/gate_20261123_184012.mp4",
        "2026-11-23/gate_20261123_194012.mkv",
        "2026-11-23/notes.txt",
        "2026-11-24/yard 1#.mp4",
        "2026-11-24x.mp4",
        "raw/a.rec",
        "raw/b/c.rec",
    ];
    clips(&s3.bucket("clips"), &names);
    clips(&s3.bucket("archive"), &["2026/a.mp4", "2027/a.mp4"]);
    let (broker, files) = started();
    let registry = registry(&broker.bootstrap, &files, |command| s3.environment(command, SECRET));
    let added = |uris: Value| {
        let report = add(&registry, &json!({"uris": uris}));
        (outcomes(&report), report)
    };
    let [first, second] = [names[0], names[1]].map(|name| format!("s3://clips/{name}"));
    let yard = "s3://clips/2026-11-24/yard%201%23.mp4";
    let (seen, report) = added(json!([
        "s3://clips/2026-11-23/",
        "s3://clips/2026-11-24",
        "s3://clips/2026-11-24/yard 1%23.mp4"
    ]));
    assert_eq!(seen, [&first, &second, yard, yard]);
    let items = report["items"].as_array().unwrap();
    assert_eq!((&items[2]["outcome"], &items[3]["outcome"]), (&json!("added"), &json!("there")));
    assert_eq!((&items[0]["start_is_guess"], &report["passed_over"]), (&json!(true), &json!(1)));
    let (seen, _) =
        added(json!(["s3://clips/raw/*.rec", "s3://clips/**/*.rec", "s3://clips/2026-11-2?/*_1[89]*.mp4"]));
    assert_eq!(seen, ["s3://clips/raw/a.rec", "s3://clips/raw/a.rec", "s3://clips/raw/b/c.rec", &first]);
    let (seen, report) = added(json!([
        "s3://archive/2026/",
        "s3://archive/2027/",
        "s3://archive/*/a.mp4",
        "s3://clips/none",
        "s3://clips/none/",
        "s3://clips/**.avi",
        "s3://other/a"
    ]));
    assert_eq!(seen[0], "s3://archive/2026/a.mp4");
    for (said, wanted) in seen[1..].iter().zip([
        "s3://archive/2027/ lies outside the buckets that are allowed",
        "s3://archive/ lies outside the buckets that are allowed",
        "there is no object of this name, and none below it; look whether it is still there",
        "there is no video below it",
        "nothing fits this pattern",
        "s3://other/a lies outside the buckets",
    ]) {
        assert!(said.contains(wanted), "{said}");
    }
    assert_eq!((&report["added"], &report["refused"]), (&json!(1), &json!(6)));

    // A page goes on where the one before ended.
    let mut request = json!({"uris": ["s3://clips/"], "limit": 2, "start": START});
    let mut seen = Vec::new();
    loop {
        let report = add(&registry, &request);
        assert!(report["items"].as_array().unwrap().len() <= 2);
        seen.extend(outcomes(&report));
        match report["next"].as_str() {
            Some(next) => request["cursor"] = next.into(),
            None => break,
        }
    }
    assert_eq!(seen, [&first, &second, yard, "s3://clips/2026-11-24x.mp4"]);

    let added = registry.cli(&[
        "job",
        "add",
        "s3://clips/2026-11-23/",
        "--start-from-name",
        "*_%Y%m%d_%H%M%S.*",
        "--output",
        "json",
    ]);
    let report: Value = serde_json::from_slice(&added.stdout).unwrap_or_else(|_| panic!("{added:?}"));
    assert_eq!(report["items"][1]["start"], "2026-11-23T19:40:12.000Z");
}

#[test]
fn credentials_that_may_not_are_said_without_being_shown() {
    let s3 = S3::start();
    clips(&s3.bucket("clips"), &["a.mp4"]);
    let (broker, files) = started();
    let registry = registry(&broker.bootstrap, &files, |command| s3.environment(command, "wrong-secret"));
    let report = add(&registry, &json!({"uris": ["s3://clips/a.mp4", "s3://clips/", "s3://clips/*.mp4"]}));
    for said in outcomes(&report) {
        assert!(said.contains("403") && said.contains("check the credentials in its environment"), "{said}");
        assert!(!said.contains("wrong-secret"), "{said}");
    }
    assert_eq!(report["refused"], 3);
}

#[test]
fn a_store_that_is_down_or_breaks_off_is_a_sentence_and_others_go_on() {
    // Answers in turn as told by the test, for as long as it runs.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let Ok(length) = stream.read(&mut head) else { continue };
            let asked = String::from_utf8_lossy(&head[..length]).into_owned();
            if asked.contains("busy") {
                let body = "<Error><Code>SlowDown</Code></Error>";
                let answer = format!(
                    "HTTP/1.1 503 Slow Down\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Who asked may be gone.
                let _ = stream.write_all(answer.as_bytes());
            }
            // Else it breaks off without a word.
        }
    });
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4"]);
    let (broker, files) = started();
    let registry = registry(&broker.bootstrap, &files, |command| {
        command
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "correct-horse");
        command.env("SIGHTLINE_ALLOW_FILE_ROOT", folder.path().canonicalize().unwrap());
    });
    let local = folder.path().canonicalize().unwrap().join("a.mp4");
    let report = add(&registry, &json!({"uris": ["s3://clips/busy/", "s3://clips/broken/", local]}));
    let said = outcomes(&report);
    assert!(said[0].contains("cannot list busy in s3://clips: the store answers with 503"), "{}", said[0]);
    assert!(
        said[1].contains("the store does not answer") && said[1].contains("try again when it answers"),
        "{}",
        said[1]
    );
    assert_eq!((&report["added"], &report["refused"]), (&json!(1), &json!(2)));
    assert!(!report.to_string().contains("correct-horse"));
}
