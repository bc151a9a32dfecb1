//! Several cameras in one process: what one does or fails to do is nothing to the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/clips.rs"]
mod clips;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/sightline.rs"]
mod sightline;

use std::net::TcpListener;
use std::path::Path;

use camera::Camera;
use kcat::Record;
use serde_json::Value;
use sightline::{Sightline, command, data, fast_model, wait_for};
use sightline_service::kafka::EmbeddedBroker;

const CLIP: &str = "clips/udacity_solidWhiteRight.mp4";
const DETECTIONS: &str = "sightline.detections";
const STATUS: &str = "sightline.camera-status";

/// `pipeline` on a broker of the test's own, which outlives it.
struct Running {
    broker: EmbeddedBroker,
    process: Sightline,
    _dir: tempfile::TempDir,
}

impl Running {
    fn cameras(yaml: &str) -> Self {
        Self::on(EmbeddedBroker::start(&[(DETECTIONS, 2), (STATUS, 2)]).unwrap(), yaml)
    }

    fn on(broker: EmbeddedBroker, yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cameras.yaml");
        std::fs::write(&file, yaml).unwrap();
        let (model, file) = (fast_model(), file.to_string_lossy().into_owned());
        let args = ["pipeline", "--cameras", &file, "--kafka", broker.bootstrap_servers(), "--model", &model];
        let process =
            Sightline::spawn(command(&[&args[..], &["--http", "127.0.0.1:0", "--pod", "here"]].concat()));
        Self { broker, process, _dir: dir }
    }

    fn read(&self, topic: &str, camera: &str) -> Vec<Value> {
        let of_camera = |record: Record| (record.key == camera).then_some(record.value);
        kcat::read(self.broker.bootstrap_servers(), topic).into_iter().filter_map(of_camera).collect()
    }

    fn statuses(&self, camera: &str) -> Vec<Value> {
        self.read(STATUS, camera)
    }

    fn frames(&self, camera: &str) -> Vec<Value> {
        self.read(DETECTIONS, camera).into_iter().filter(|record| record["schema"] == "frame/1").collect()
    }

    fn wait_for_frames(&self, camera: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} frames of {camera}"), || {
            Some(self.frames(camera)).filter(|frames| frames.len() >= count)
        })
    }

    fn stop(self) -> (EmbeddedBroker, String) {
        self.process.signal("TERM");
        let (status, said) = self.process.wait();
        assert!(status.success(), "{status}: {said}");
        (self.broker, said)
    }
}

#[test]
fn what_nobody_saw_while_no_process_ran_is_a_gap() {
    let served = Camera::serve(&data(CLIP), &["--loops", "forever", "--speed", "0.4"]);
    let yaml = format!(
        "cameras: [{{id: gate, source: {{uri: \"{}\"}}, sampling: {{mode: fps, fps: 2}}}}]",
        served.uri("")
    );
    let running = Running::cameras(&yaml);
    let before = running.wait_for_frames("gate", 4);
    running.process.signal("KILL");
    let Running { broker, process, .. } = running;
    process.wait();
    let mut statuses = kcat::read(broker.bootstrap_servers(), STATUS).into_iter().map(|record| record.value);
    let told = statuses.rfind(|status| status["last"].is_object()).unwrap();
    // Longer than two results are apart.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let running = Running::on(broker, &yaml);
    let epoch = before[0]["epoch"].as_u64().unwrap();
    let told_anew = wait_for("frames of the next epoch", || {
        let records = running.read(DETECTIONS, "gate");
        let of_next = |record: &Value| record["epoch"].as_u64() > Some(epoch);
        let next: Vec<_> = records.into_iter().filter(of_next).collect();
        kinds(&next).contains(&"frame").then_some(next)
    });
    assert_eq!(kinds(&told_anew)[..4], ["spec", "started", "gap", "frame"]);
    let (gap, first) = (&told_anew[2], &told_anew[3]);
    assert_eq!((&gap["reason"], &gap["frames"]), (&"pod_lost".into(), &Value::Null), "{gap}");
    assert_eq!(
        (&gap["after"]["epoch"], &gap["after"]["seq"]),
        (&told["epoch"], &told["last"]["seq"]),
        "{gap}"
    );
    assert_eq!((&gap["before"]["seq"], &first["seq"]), (&0.into(), &0.into()), "{gap}");
    assert_eq!(gap["before"]["captured_at"], first["captured_at"]);
    running.stop();
}

/// What a camera tells in `detections`, kind by kind: `spec`, `started`, `frame`, `tick`, `ended`.
fn kinds(records: &[Value]) -> Vec<&str> {
    let kind = |record: &Value| match record["schema"].as_str().unwrap() {
        "stream/1" => record["state"].as_str().map(|state| match state {
            "started" => "started",
            "running" => "running",
            _ => "ended",
        }),
        "spec/1" => Some("spec"),
        "frame/1" => Some("frame"),
        "tick/1" => Some("tick"),
        "gap/1" => Some("gap"),
        _ => None,
    };
    records.iter().map(|record| kind(record).unwrap_or("another")).collect()
}

/// `seq − previous seq = 1 + Σ skipped`, pts and capture times rise; gives Σ skipped for a reason.
fn account(frames: &[Value], reason: &str) -> u64 {
    let (mut accounted, mut of_reason) = (0, 0);
    for frame in frames {
        let skipped = frame["skipped"].as_object();
        let all: u64 =
            skipped.into_iter().flat_map(|of| of.values()).map(|count| count.as_u64().unwrap()).sum();
        of_reason += frame["skipped"][reason].as_u64().unwrap_or(0);
        accounted += 1 + all;
        assert_eq!(frame["seq"].as_u64(), Some(accounted - 1), "{frame}");
    }
    assert!(frames.is_sorted_by_key(|frame| frame["captured_at"].as_str().unwrap()), "captured_at went back");
    let pts: Vec<_> = frames.iter().map(|frame| frame["pts_us"].as_i64().unwrap()).collect();
    assert!(pts.is_sorted_by(|a, b| a < b), "pts did not rise");
    of_reason
}

#[test]
fn a_camera_that_fails_is_retried_alone() {
    let clip = data(CLIP);
    let good = Camera::serve(&clip, &["--loops", "forever", "--speed", "0.4"]);
    let guarded = Camera::serve(&clip, &["--user", "ann", "--password", "right"]);
    let main = Camera::serve(&clip, &[]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = Running::cameras(&format!(
        "cameras:
  - id: good
    streams: [{{role: detect, uri: \"{good}\"}}, {{role: main, uri: \"{main}\"}}]
  - id: refused
    source: {{uri: \"rtsp://127.0.0.1:{nobody}/cam\"}}
  - id: locked
    source: {{uri: \"{locked}\"}}
  - id: off
    enabled: false
    source: {{uri: \"{main}\"}}
",
        good = good.uri(""),
        main = main.uri(""),
        locked = guarded.uri("ann:wrong"),
    ));
    let retried = |camera: &str| {
        let retries = |status: &&Value| status["state"] == "retrying";
        running.statuses(camera).iter().filter(retries).count()
    };
    wait_for("two retries of one, one of the other", || {
        (retried("refused") >= 2 && retried("locked") >= 1).then_some(())
    });
    let seen = running.frames("good").len();
    running.wait_for_frames("good", seen + 10);
    // A tick every 5 s, for want of frames.
    wait_for("a tick of the refused", || {
        kinds(&running.read(DETECTIONS, "refused")).contains(&"tick").then_some(())
    });

    let status = |camera: &str, state: &str| {
        let found = running.statuses(camera).into_iter().rfind(|status| status["state"] == state);
        found.unwrap_or_else(|| panic!("{camera} was never {state}"))
    };
    for (camera, code, sentence) in [
        ("refused", "unreachable", "can't be connected to: refused, or no such host"),
        ("locked", "auth_failed", "refuses the user or the password"),
    ] {
        let status = status(camera, "retrying");
        assert_eq!(status["error"]["code"], code, "{status}");
        assert!(status["error"]["message"].as_str().unwrap().contains(sentence), "{status}");
        assert!(status["retry_at"].as_str() > status["since"].as_str(), "{status}");
        assert!(running.frames(camera).is_empty());
    }
    for tick in running.read(DETECTIONS, "refused") {
        assert_eq!((&tick["schema"], &tick["state"]), (&"tick/1".into(), &"retrying".into()), "{tick}");
        assert_eq!(tick["error"], "unreachable");
    }
    let states: Vec<_> =
        running.statuses("good").iter().map(|status| status["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states[..3], ["claimed", "connecting", "running"], "and nothing happened to it: {states:?}");
    assert!(!states.contains(&"retrying".to_owned()), "{states:?}");
    let first = running.frames("good").swap_remove(0);
    let ran = status("good", "running");
    assert_eq!((&ran["first"], &ran["clock"]), (&first["captured_at"], &"ntp".into()), "{ran}");
    assert!(ran["clock_offset_ms"].as_i64().unwrap().abs() < 1_000, "its camera runs here: {ran}");
    assert!(ran["error"].is_null() && ran["retry_at"].is_null(), "{ran}");
    assert_eq!(states_of(&running.statuses("off")), ["disabled"]);
    assert!(running.read(DETECTIONS, "off").is_empty());
    assert_eq!((good.plays(), main.plays(), guarded.plays()), (1, 0, 0), "sessions");

    let told = running.read(DETECTIONS, "good");
    assert_eq!(kinds(&told)[..3], ["spec", "started", "frame"]);
    let (broker, _) = running.stop();
    let told: Vec<_> = kcat::read(broker.bootstrap_servers(), DETECTIONS)
        .into_iter()
        .filter_map(|record| (record.key == "good").then_some(record.value))
        .collect();
    assert_eq!(kinds(&told).last(), Some(&"ended"));
    assert!(told.last().unwrap()["complete"] != true, "a camera is never complete");
    account(&told.into_iter().filter(|record| record["schema"] == "frame/1").collect::<Vec<_>>(), "overload");
}

fn states_of(statuses: &[Value]) -> Vec<&str> {
    statuses.iter().map(|status| status["state"].as_str().unwrap()).collect()
}

#[test]
fn sampling_and_settings_hold_for_each_camera() {
    let clip = data(CLIP);
    let served = Camera::serve(&clip, &["--loops", "forever"]);
    let uri = served.uri("");
    let running = Running::cameras(&format!(
        "cameras:
  - {{id: keys, source: {{uri: \"{uri}\"}}, sampling: {{mode: keyframes}}}}
  - {{id: slow, source: {{uri: \"{uri}\"}}, sampling: {{mode: fps, fps: 2}}, detect: {{classes: [car]}}}}
  - id: masked
    source: {{uri: \"{uri}\"}}
    sampling: {{mode: fps, fps: 2}}
    masks: [{{id: all, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}]
  - {{id: large, source: {{uri: \"{uri}\"}}, sampling: {{mode: fps, fps: 2}}, detect: {{min_area: 0.5}}}}
"
    ));
    // A keyframe each round of the clip, or more.
    let keys = running.wait_for_frames("keys", 3);
    assert!(account(&keys, "undecoded") >= 2, "keyframes come one after the other: {keys:?}");
    let slow = running.wait_for_frames("slow", 8);
    assert!(account(&slow, "sampling") >= 6 * 7, "of 25 frames a second, 2 are wanted");
    for pair in slow.windows(2) {
        let [before, after] = [0, 1].map(|n: usize| pair[n]["pts_us"].as_i64().unwrap());
        assert!(after - before >= 450_000, "{before} and {after} µs are too close for 2 a second");
    }
    let labels = |frames: &[Value]| -> Vec<String> {
        let detections = frames.iter().flat_map(|frame| frame["detections"].as_array().unwrap());
        detections.map(|detection| detection["label"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!labels(&slow).is_empty() && labels(&slow).iter().all(|label| label == "car"));
    for camera in ["masked", "large"] {
        let frames = running.wait_for_frames(camera, 8);
        account(&frames, "sampling");
        assert_eq!(labels(&frames), Vec::<String>::new(), "{camera}");
    }
    let running_status = |camera: &str| {
        let found =
            running.statuses(camera).into_iter().rfind(|s| s["state"] == "running" && s["video"].is_object());
        found.unwrap_or_else(|| panic!("{camera} does not say what its video is"))["video"].clone()
    };
    assert_eq!(running_status("keys")["plan"], "keyframes");
    let video = running_status("slow");
    assert_eq!(
        (&video["plan"], &video["codec"], &video["decoder"]),
        (&"all".into(), &"h264".into(), &"avdec_h264".into())
    );
    running.stop();
}

#[test]
fn a_file_ends_complete_or_goes_on_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    clips::cut(&data(CLIP), 10, &clip);
    let running = Running::cameras(&files(&clip));
    let rounds = wait_for("three rounds", || {
        let told = running.read(DETECTIONS, "loop");
        (kinds(&told).iter().filter(|kind| **kind == "started").count() >= 3).then_some(told)
    });
    assert_eq!(kinds(&rounds)[..3], ["spec", "started", "frame"]);
    let frames: Vec<_> = rounds.iter().filter(|record| record["schema"] == "frame/1").cloned().collect();
    account(&frames, "overload");
    // Two rounds are over; what a busy machine could not look at is counted.
    assert!(frames.last().unwrap()["seq"].as_u64() >= Some(15), "{frames:?}");
    assert!(rounds.iter().all(|record| record["epoch"] == rounds[0]["epoch"]), "it stays in its epoch");

    let once = wait_for("the end of the other", || {
        Some(running.read(DETECTIONS, "once")).filter(|told| kinds(told).contains(&"ended"))
    });
    assert_eq!(kinds(&once), [&["spec", "started"][..], &["frame"; 10], &["ended"]].concat());
    assert_eq!(once.last().unwrap()["complete"], true);
    let frames: Vec<_> = once.iter().filter(|record| record["schema"] == "frame/1").cloned().collect();
    account(&frames, "overload");
    assert!(frames.iter().all(|frame| frame["skipped"].is_null()), "a file loses nothing");
    assert_eq!(
        (&once[1]["clock"], &states_of(&running.statuses("once")).last()),
        (&"file".into(), &Some(&"ended"))
    );
    running.stop();
}

fn files(clip: &Path) -> String {
    let uri = clip.display();
    format!(
        "cameras:\n  - {{id: once, source: {{uri: \"{uri}\", play: once}}}}\n  - {{id: loop, source: {{uri: \"{uri}\", play: loop}}}}\n"
    )
}
