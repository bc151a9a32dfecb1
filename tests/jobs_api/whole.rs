//! From a bucket to results: added by the API, worked off by a worker, seen by a terminal.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kcat;
use crate::queue::*;
use crate::registry::Registry;
use crate::s3::{S3, SECRET};
use crate::sightline::{Sightline, command};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

#[test]
fn what_is_added_from_a_bucket_is_worked_off_and_said_to_be_done() {
    let s3 = S3::start();
    let clips = s3.bucket("clips").join("day");
    std::fs::create_dir_all(&clips).unwrap();
    std::fs::copy(sample("junction.mp4"), clips.join("gate_20261123_184012.mp4")).unwrap();
    std::fs::write(clips.join("empty_20261123_184012.mp4"), b"").unwrap();
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let tokens = files.path("tokens");
    let mut command_of_registry = command(&[
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
        "s3://clips",
    ]);
    s3.environment(&mut command_of_registry, SECRET);
    let mut registry = Registry::of(command_of_registry, &files);
    registry.process.wait_for_line("ready cameras=");
    registry.process.wait_for_line("jobs are read");

    let added = registry.cli(&[
        "job",
        "add",
        "s3://clips/day/",
        "--start-from-name",
        "*_%Y%m%d_%H%M%S.mp4",
        "--fps",
        "5",
        "--label",
        "camera=gate-3",
    ]);
    assert!(added.status.success(), "{added:?}");
    let model = sample("junction.onnx");
    let mut worker = command(&[
        "worker",
        "--kafka",
        bootstrap,
        "--http",
        "127.0.0.1:0",
        "--model",
        model.to_str().unwrap(),
        "--allow-bucket",
        "s3://clips",
        "--retry-after",
        "1",
    ]);
    s3.environment(&mut worker, SECRET);
    let _worker = Sightline::spawn(worker);
    let watched = registry.cli(&["job", "watch", "--until-over", "--label", "camera=gate-3"]);
    let said = String::from_utf8_lossy(&watched.stdout).into_owned();
    assert_eq!(watched.status.code(), Some(1), "the empty one failed: {watched:?}");
    assert!(said.contains("0 queued, 0 in work, 0 waiting, 1 done, 1 failed"), "{said}");

    let page = registry.get("/v1/jobs").json();
    let of = |name: &str| {
        let items = page["items"].as_array().unwrap().iter();
        let found = items.clone().find(|item| item["status"]["uri"].as_str().unwrap().contains(name));
        found.unwrap_or_else(|| panic!("{page}")).clone()
    };
    let (good, empty) = (of("gate_"), of("empty_"));
    assert_eq!((&good["status"]["state"], &good["provisional"]), (&json!("done"), &json!(false)));
    assert_eq!(
        (&empty["status"]["state"], &empty["status"]["error"]["code"]),
        (&json!("failed"), &json!("no_video"))
    );
    let id = good["status"]["job"].as_str().unwrap();
    let results: Vec<Value> = kcat::read(bootstrap, "sightline.detections")
        .into_iter()
        .filter(|record| record.key == id)
        .map(|record| record.value)
        .collect();
    let frames: Vec<_> = results.iter().filter(|record| record["schema"] == "frame/1").collect();
    assert_eq!(frames[0]["captured_at"], "2026-11-23T18:40:12.000Z", "the time in its name");
    assert_eq!(good["status"]["progress"]["frames"].as_u64(), Some(frames.len() as u64));
    assert!(results.iter().any(|record| record["schema"] == "stream/1" && record["complete"] == true));

    // Added again it is known; the failed one is tried again, by the settings that it has.
    let again = registry.cli(&[
        "job",
        "add",
        "s3://clips/day/",
        "--start-from-name",
        "*_%Y%m%d_%H%M%S.mp4",
        "--fps",
        "5",
        "--label",
        "camera=gate-3",
    ]);
    assert!(
        String::from_utf8_lossy(&again.stdout).contains("0 added, 2 there already, 0 refused"),
        "{again:?}"
    );
    std::fs::copy(sample("junction.mp4"), clips.join("empty_20261123_184012.mp4")).unwrap();
    let retried = registry.cli(&["job", "retry", empty["status"]["job"].as_str().unwrap()]);
    assert!(retried.status.success(), "{retried:?}");
    let watched = registry.cli(&["job", "watch", "--until-over"]);
    assert!(watched.status.success(), "{watched:?}");
}
