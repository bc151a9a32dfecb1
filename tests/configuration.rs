//! Settings: which wins, and what is refused. Cameras from a file: every mistake is a sentence, and a password is never
//! seen again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/clips.rs"]
mod clips;
#[path = "support/sightline.rs"]
mod sightline;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sightline::{Sightline, command, data, fast_model, get, wait_for};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

/// Refuses at once, naming the address it took.
fn which_kafka(more: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = command(&[&["topics", "check"], more].concat());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    stderr(&output)
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "sightline.yaml", "kafka: file:x\n");
    let variable = ("SIGHTLINE_KAFKA", "variable:x");
    let with_file = ["--config", config.as_str()];
    assert!(
        which_kafka(&[&with_file[..], &["--kafka", "flag:x"]].concat(), &[variable])
            .contains("\"flag:x\" names")
    );
    assert!(which_kafka(&with_file, &[variable]).contains("\"variable:x\" names"));
    assert!(which_kafka(&with_file, &[]).contains("\"file:x\" names"));
    assert!(which_kafka(&[], &[("SIGHTLINE_CONFIG", &config)]).contains("\"file:x\" names"));
    assert!(which_kafka(&[], &[]).contains("--kafka"), "nothing gives it: it is asked for");

    for (text, sentence) in [
        ("kafak: k:9092\n", "kafak: there is no flag --kafak"),
        ("kafka: {host: k}\n", "kafka: give a text, a number, true or false, or a list"),
        ("kafka: [\n", "it holds `flag: value` lines"),
        ("confidence: 1.5\n", "give a number from 0 to 1"),
    ] {
        let config = write(folder.path(), "bad.yaml", text);
        let refused = command(&["up", "test://ball", "--config", &config]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{text}: {refused:?}");
        assert!(stderr(&refused).contains(sentence), "{text}: {refused:?}");
    }
    let absent = which_kafka(&["--config", "/no/such/file.yaml"], &[]);
    assert!(absent.contains("/no/such/file.yaml: No such file"), "{absent}");
}

#[test]
fn yes_and_no_can_be_said_in_the_file_and_taken_back_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("people.mp4");
    // Somebody comes into view after 6 s.
    clips::cut(&data("clips/one-by-one-person_a.mp4"), 90, &clip);
    let model = fast_model();
    let text = format!("model: {model}\nno-track: true\nclasses: [person, car]\nfps: 5\nworkers: 1\n");
    let config = write(folder.path(), "sightline.yaml", &text);
    let results = |variables: &[(&str, &str)]| {
        let mut command = command(&["detect", clip.to_str().unwrap(), "--config", &config, "--out", "-"]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let by_file = results(&[]);
    assert!(by_file.contains("person") && !by_file.contains("\"track\""), "{by_file}");
    assert_eq!(by_file.lines().count(), 45, "5 of 10 frames a second");
    assert!(results(&[("SIGHTLINE_NO_TRACK", "false")]).contains("\"track\""));
}

fn pipeline(cameras: &str) -> Command {
    let model = fast_model();
    command(&[
        "pipeline",
        "--kafka",
        "127.0.0.1:1",
        "--cameras",
        cameras,
        "--model",
        &model,
        "--http",
        "127.0.0.1:0",
    ])
}

#[test]
fn a_mistake_among_the_cameras_is_a_sentence_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let url = "rtsp://ann:tr0ub4dor@10.255.255.1/stream";
    for (text, sentences) in [
        (
            "cameras: [{id: gate, source: a.mp4, colour: red}]",
            &["unknown field `colour`", "docs/CONFIGURATION.md"][..],
        ),
        (
            &format!("cameras: [{{id: gate, source: {{uri: '{url}', latency: 3}}}}]"),
            &["unknown field `latency`", "docs/CONFIGURATION.md"],
        ),
        (
            &format!("cameras: [{{id: gate, source: '{url}'}}, {{id: gate, source: b.mp4}}]"),
            &["\"gate\"", "used by two"],
        ),
        (
            "cameras: [{id: gate, source: a.mp4, sampling: {mode: adaptive, min_fps: 1, max_fps: 5}}]",
            &["\"gate\"", "adaptive is not available yet; use fps, every_frame or keyframes"],
        ),
        (
            "cameras: [{id: gate, source: a.mp4, detect: {classes: [persn]}}]",
            &["camera gate", "no class persn in the model; it knows: person, bicycle"],
        ),
        (
            &format!("cameras: [{{id: gate, source: '{url}', credentials: {{user: bob, password: x}}}}]"),
            &["\"gate\"", "other credentials"],
        ),
        (
            "cameras: [{id: gate, source: 'rtsp://10.255.255.1/s', credentials: {secret: gate}}]",
            &["camera gate", "credentials.secret gate", "give --secrets, or user and password"],
        ),
        ("cameras: [{id: Gate 3, source: a.mp4}]", &["\"Gate 3\" is not a DNS label"]),
        ("cameras:\n- id: gate\n  source: [a.mp4\n- id: b\n", &["line"]),
        (&format!("cameras: '{url}'"), &["docs/CONFIGURATION.md"]),
        ("cams: []", &["unknown field `cams`", "docs/CONFIGURATION.md"]),
    ] {
        let cameras = write(folder.path(), "cameras.yaml", text);
        let refused = pipeline(&cameras).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{text}: {refused:?}");
        let said = stderr(&refused);
        for sentence in sentences {
            assert!(said.contains(sentence), "{text}: {sentence:?} in {said}");
        }
        assert!(!said.contains("tr0ub4dor"), "{said}");
        assert!(said.contains("cameras.yaml") || said.contains("camera gate"), "{said}");
    }
    let absent = pipeline("/no/such/cameras.yaml").output().unwrap();
    assert_eq!(absent.status.code(), Some(2));
    assert!(stderr(&absent).contains("/no/such/cameras.yaml: No such file"), "{absent:?}");
}

#[test]
fn a_password_in_an_address_is_never_seen_again() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens at port 1: the camera fails at once, and says so with its address.
    let cameras = write(
        folder.path(),
        "cameras.yaml",
        "cameras: [{id: gate, source: 'rtsp://ann:tr0ub4dor@127.0.0.1:1/stream'}]\n",
    );
    let model = fast_model();
    let args = ["up", "rtsp://bob:tr0ub4dor@127.0.0.1:1/other", "--cameras", &cameras, "--model", &model];
    let more = ["--http", "127.0.0.1:0", "--log-filter", "trace"];
    let mut running = Sightline::spawn(command(&[&args[..], &more].concat()));
    let http = running.http();
    let line = running.wait_for_line("and how cameras fare:");
    let kcat = line.split_once("cameras fare:").unwrap().1.trim().to_owned();
    for camera in ["gate", "127-0-0-1-1-other"] {
        wait_for("an error of each camera", || {
            let labels = [("camera", camera)];
            let errors =
                sightline::Metrics::scrape(&http).sum("sightline_pipeline_camera_errors_total", &labels);
            (errors > 0.0).then_some(())
        });
    }
    let read = |line: &str| {
        let output = Command::new("sh").arg("-c").arg(format!("timeout 100 {line} -e")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let statuses = wait_for("statuses of both", || {
        let read = read(&kcat);
        (read.matches("\"retrying\"").count() >= 2).then_some(read)
    });
    let detections = read(&kcat.replace("camera-status", "detections"));
    let probes = get(&http, "/metrics").1 + &get(&http, "/readyz").1;
    running.signal("TERM");
    let (_, said) = running.wait();
    assert!(said.contains("rtsp://127.0.0.1:1/stream"), "the address itself is shown: {said}");
    for text in [said, statuses, detections, probes] {
        assert!(!text.contains("tr0ub4dor"), "a password is shown");
    }
}
