//! No password is ever shown: everything that is printed, logged, written and published is looked through, with
//! GStreamer and Sightline telling all they can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/clips.rs"]
mod clips;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/sightline.rs"]
mod sightline;
#[path = "support/web.rs"]
mod web;

use std::process::Command;

use camera::Camera;
use gstreamer::glib;
use sightline::{Sightline, command, data, fast_model, get, wait_for};
use sightline_service::kafka::EmbeddedBroker;
use web::Web;

const CLIP: &str = "clips/udacity_solidWhiteRight.mp4";
const USER: &str = "ann";

struct Password {
    plain: &'static str,
    /// As it is typed into a URI.
    typed: &'static str,
}

const RIGHT: Password = Password { plain: "s3c/r:t&7 +", typed: "s3c%2Fr:t%267%20+" };
const WRONG: Password = Password { plain: "wr0ng/one?", typed: "wr0ng%2Fone%3F" };

impl Password {
    fn login(&self) -> String {
        format!("{USER}:{}", self.typed)
    }

    /// As it is, typed, fully encoded, and as Basic authentication sends it.
    fn forms(&self) -> [Vec<u8>; 4] {
        let byte =
            |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
        let encoded: String = self.plain.bytes().map(byte).collect();
        let basic = glib::base64_encode(format!("{USER}:{}", self.plain).as_bytes());
        [
            self.plain.as_bytes().to_vec(),
            self.typed.as_bytes().to_vec(),
            encoded.into_bytes(),
            basic.as_bytes().to_vec(),
        ]
    }
}

/// Fails where any form of a password stands in it.
fn assert_silent(what: &str, told: &[u8]) {
    for form in [RIGHT, WRONG].iter().flat_map(Password::forms) {
        let Some(at) = told.windows(form.len()).position(|window| window == form) else { continue };
        let start = told[..at].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let line = String::from_utf8_lossy(&told[start..(at + 200).min(told.len())]).into_owned();
        panic!("{what} shows {:?}: {line}", String::from_utf8_lossy(&form));
    }
}

/// GStreamer and Sightline tell everything.
fn talkative(args: &[&str]) -> Command {
    let mut command = command(&[&["--log-filter", "trace"], args].concat());
    command.env("GST_DEBUG", "9").env("GST_DEBUG_NO_COLOR", "1").env("RUST_BACKTRACE", "1");
    command
}

fn detect_is_silent(uri: &str, code: i32) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let (model, out_arg) = (fast_model(), out.to_string_lossy().into_owned());
    let told = talkative(&["detect", uri, "--model", &model, "--out", &out_arg]).output().unwrap();
    let tail = String::from_utf8_lossy(&told.stderr[told.stderr.len().saturating_sub(500)..]).into_owned();
    assert_eq!(told.status.code(), Some(code), "{tail}");
    // The logs are there at all, down to the request.
    for sign in ["GST_ELEMENT_FACTORY", "TRACE", "uri"] {
        assert!(told.stderr.windows(sign.len()).any(|w| w == sign.as_bytes()), "no {sign} in the log");
    }
    assert_silent("standard output", &told.stdout);
    assert_silent("standard error", &told.stderr);
    if code == 0 {
        let lines = std::fs::read(&out).unwrap();
        assert!(lines.starts_with(b"{"));
        assert_silent("--out", &lines);
    }
}

#[test]
fn detect_shows_no_password_of_an_rtsp_camera() {
    for auth in ["basic", "digest"] {
        let options = ["--user", USER, "--password", RIGHT.plain, "--auth", auth, "--frames", "3"];
        let camera = Camera::serve(&data(CLIP), &options);
        detect_is_silent(&camera.uri(&RIGHT.login()), 0);
        detect_is_silent(&camera.uri(&WRONG.login()), 1);
    }
}

#[test]
fn detect_shows_no_password_of_a_web_server() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    clips::cut(&data(CLIP), 3, &clip);
    let basic = glib::base64_encode(format!("{USER}:{}", RIGHT.plain).as_bytes());
    let web = Web::serve(std::fs::read(&clip).unwrap(), Some(format!("Basic {basic}")));
    detect_is_silent(&web.uri(&RIGHT.login(), "clip.mp4"), 0);
    detect_is_silent(&web.uri(&WRONG.login(), "clip.mp4"), 1);
}

#[test]
fn a_pipeline_publishes_no_password() {
    let options = ["--user", USER, "--password", RIGHT.plain, "--auth", "basic", "--loops", "forever"];
    let camera = Camera::serve(&data(CLIP), &options);
    let broker =
        EmbeddedBroker::start(&[("sightline.detections", 1), ("sightline.camera-status", 1)]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cameras = dir.path().join("cameras.yaml");
    let text = format!(
        "cameras:\n  - id: right\n    source: {{uri: \"{}\"}}\n  - id: wrong\n    source: {{uri: \"{}\"}}\n  \
         - id: apart\n    source: {{uri: \"{}\"}}\n    credentials: {{user: {USER}, password: \"{}\"}}\n",
        camera.uri(&RIGHT.login()),
        camera.uri(&WRONG.login()),
        camera.uri(""),
        WRONG.plain,
    );
    std::fs::write(&cameras, text).unwrap();
    // Kafka's client tells all it can, too. The broker asks for no login, but the client holds one.
    let (config, spool) = (dir.path().join("kafka.properties"), dir.path().join("spool"));
    let login = format!("debug=all\nsasl.username={USER}\nsasl.password={}\n", WRONG.plain);
    std::fs::write(&config, login).unwrap();
    let [cameras, config, spool] =
        [&cameras, &config, &spool].map(|path| path.to_string_lossy().into_owned());
    let model = fast_model();
    let args = ["pipeline", "--cameras", &cameras, "--kafka", broker.bootstrap_servers(), "--model", &model];
    let more = ["--http", "127.0.0.1:0", "--kafka-config", &config, "--spool", &spool];
    let mut running = Sightline::spawn(talkative(&[&args[..], &more].concat()));
    let http = running.http();
    let read = |topic: &str| kcat::read(broker.bootstrap_servers(), topic);
    let refused = |camera: &str, records: &[kcat::Record]| {
        records.iter().any(|r| r.key == camera && r.value["error"]["code"] == "auth_failed")
    };
    wait_for("results, and two refusals", || {
        let (detections, statuses) = (read("sightline.detections"), read("sightline.camera-status"));
        let seen = detections.iter().any(|record| record.schema() == "frame/1" && record.key == "right");
        (seen && refused("wrong", &statuses) && refused("apart", &statuses)).then_some(())
    });
    for topic in ["sightline.detections", "sightline.camera-status"] {
        for record in read(topic) {
            assert_silent(topic, format!("{record:?} {}", record.value).as_bytes());
        }
    }
    // Results that nobody acknowledges come to lie on the disk.
    drop(broker);
    let spooled = wait_for("a spool with something in it", || {
        let files =
            std::fs::read_dir(&spool).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        Some(files.collect::<Vec<_>>().concat()).filter(|bytes| bytes.len() > 1_000)
    });
    assert_silent("the spool", &spooled);
    assert_silent("/metrics", get(&http, "/metrics").1.as_bytes());
    assert_silent("/readyz", get(&http, "/readyz").1.as_bytes());
    running.signal("TERM");
    let (status, told) = running.wait();
    assert!(status.success(), "{status}");
    assert_silent("standard error", told.as_bytes());
    assert!(told.contains("librdkafka"), "Kafka's client told something");
}
