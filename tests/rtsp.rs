//! RTSP cameras, read by `detect`: the tests' own camera serves real clips as they are encoded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/clips.rs"]
mod clips;
#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/sightline.rs"]
mod sightline;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use camera::Camera;
use lossy::{Loss, LossyRelay};
use serde_json::Value;
use sightline::{Sightline, command, data, fast_model, output};

const H264: &str = "clips/udacity_solidWhiteRight.mp4";
const H264_B_FRAMES: &str = "clips/one-by-one-person_a.mp4";
const H265: &str = "clips/retail02_a.mp4";
/// RTP packets of the first picture of `H264`, and some more.
const FIRST_KEYFRAME: u64 = 50;
/// A picture's place on RTP's clock of 90 kHz, taken down to µs, is off by less than this.
const RTP_TICK_US: i64 = 12;

fn detect(input: &str, out: &Path, more: &[&str]) -> Output {
    let (model, out) = (fast_model(), out.to_string_lossy().into_owned());
    output(&[&["detect", input, "--model", &model, "--out", &out, "--no-track"][..], more].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn frames(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks `seq − previous seq = 1 + Σ skipped` over all records; gives the access units that they account for.
fn account(frames: &[Value]) -> u64 {
    let mut accounted = 0;
    for frame in frames {
        let skipped = frame["skipped"].as_object();
        let skipped: u64 =
            skipped.into_iter().flat_map(|of| of.values()).map(|count| count.as_u64().unwrap()).sum();
        accounted += 1 + skipped;
        assert_eq!(frame["seq"].as_u64(), Some(accounted - 1), "{frame}");
    }
    accounted
}

struct Scene {
    clip: PathBuf,
    frames: usize,
    /// Times real time: slow enough for a busy machine to detect in nearly all frames.
    speed: f64,
    auth: &'static str,
    transport: &'static str,
}

/// Plays a clip by file and by RTSP. A live camera may lose frames where the machine is too slow, but not
/// many, and each is counted.
fn gives_the_same(scene: &Scene) {
    let Scene { ref clip, frames: count, speed, auth, transport } = *scene;
    let dir = tempfile::tempdir().unwrap();
    let (by_file, by_rtsp) = (dir.path().join("file.jsonl"), dir.path().join("rtsp.jsonl"));
    let (frame_count, pace) = (count.to_string(), speed.to_string());
    let options = [
        "--user",
        "ann",
        "--password",
        "s3c/r:t",
        "--auth",
        auth,
        "--frames",
        &frame_count,
        "--speed",
        &pace,
    ];
    let mut camera = Camera::serve(clip, &[&options[..], &["--transport", transport]].concat());
    let read = detect(&camera.uri("ann:s3c%2Fr:t"), &by_rtsp, &["--transport", transport]);
    assert!(read.status.success(), "{read:?}");
    assert_eq!(camera.sent(), count as u64);
    let read = detect(&clip.to_string_lossy(), &by_file, &[]);
    assert!(read.status.success(), "{read:?}");

    let (by_file, by_rtsp) = (frames(&by_file), frames(&by_rtsp));
    let pts = |frame: &Value| frame["pts_us"].as_i64().unwrap();
    let start = pts(&by_file[0]);
    let expected: BTreeMap<i64, &Value> = by_file.iter().map(|frame| (pts(frame) - start, frame)).collect();
    assert!(account(&by_rtsp) <= count as u64, "more than was sent");
    assert!(by_rtsp.len() * 20 >= count * 19, "{} of {count} frames", by_rtsp.len());
    assert!(
        by_rtsp.iter().any(|frame| !frame["detections"].as_array().unwrap().is_empty()),
        "nothing to compare"
    );
    for frame in &by_rtsp {
        let at = (pts(frame) as f64 * speed).round() as i64;
        let (_, same) = expected
            .range(at - RTP_TICK_US..=at + RTP_TICK_US)
            .next()
            .unwrap_or_else(|| panic!("no frame of the file at {at} µs: {frame}"));
        assert_eq!(frame["detections"], same["detections"], "at {at} µs");
        assert_eq!((&frame["width"], &frame["height"]), (&same["width"], &same["height"]));
    }
}

#[test]
fn h264_over_tcp_gives_what_the_file_gives() {
    gives_the_same(&Scene { clip: data(H264), frames: 80, speed: 0.3, auth: "digest", transport: "tcp" });
}

#[test]
fn h265_over_tcp_gives_what_the_file_gives() {
    gives_the_same(&Scene { clip: data(H265), frames: 60, speed: 0.2, auth: "basic", transport: "tcp" });
}

#[test]
fn pictures_out_of_order_have_the_times_of_the_file_over_udp_too() {
    let (dir, transport) = (tempfile::tempdir().unwrap(), "udp");
    let clip = dir.path().join("start.mp4");
    clips::cut(&data(H264_B_FRAMES), 100, &clip);
    gives_the_same(&Scene { clip, frames: 90, speed: 0.4, auth: "digest", transport });
}

/// Access units that were read by UDP, skipped ones counted.
fn counted_by_udp(uri: &str) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let read = detect(uri, &out, &["--transport", "udp", "--fps", "5"]);
    assert!(read.status.success(), "{read:?}");
    // The summary counts what was skipped behind the last record, too.
    let summary = String::from_utf8_lossy(&read.stdout).into_owned();
    let skipped =
        summary.lines().find_map(|line| line.trim().strip_prefix("skipped: ")).expect("the skipped");
    let count = |part: &str| part.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number");
    let skipped: u64 = skipped.split(", ").map(count).sum();
    account(&frames(&out));
    frames(&out).len() as u64 + skipped
}

#[test]
fn udp_loses_nothing_uncounted() {
    let mut camera = Camera::serve(&data(H264), &["--transport", "udp", "--frames", "80"]);
    assert_eq!(counted_by_udp(&camera.uri("")), camera.sent());
}

#[test]
fn pictures_that_are_lost_on_udp_are_counted() {
    // At this loss some pictures lose all of their packets.
    for (seed, lost) in [(1, 0.05), (2, 0.3), (3, 0.2)] {
        let mut camera = Camera::serve(&data(H264), &["--transport", "udp", "--frames", "100"]);
        let relay =
            LossyRelay::to(camera.port(), Loss { seed, first: FIRST_KEYFRAME, lost, ..Loss::default() });
        let (counted, sent) = (counted_by_udp(&relay.uri(&camera.uri(""))), camera.sent());
        // Of what is lost at the very end nobody hears.
        assert!(counted <= sent && counted + 1 >= sent, "{counted} of {sent} at a loss of {lost}");
    }
}

#[test]
fn mjpeg_is_read_and_its_pictures_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let camera = Camera::serve(&data(H264), &["--mjpeg", "--frames", "20", "--speed", "0.2"]);
    let read = detect(&camera.uri(""), &out, &[]);
    assert!(read.status.success(), "{read:?}");
    // RFC 2435 counts a picture's size in blocks of 8: 540 lines arrive as 544.
    assert!(String::from_utf8_lossy(&read.stdout).contains("960x544 mjpeg"), "{read:?}");
    let frames = frames(&out);
    assert!(account(&frames) >= 19, "{}", frames.len());
    assert!(frames.iter().any(|frame| !frame["detections"].as_array().unwrap().is_empty()));
}

/// The sample's camera is joined somewhere between two keyframes, 2 s apart. Decoders make something of what comes before the
/// next one: grey, with what moved on it.
#[test]
fn who_comes_between_two_keyframes_is_shown_no_broken_picture() {
    let sample = |file: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(file).to_string_lossy().into_owned()
    };
    let mut camera = Camera::serve(Path::new(&sample("junction.mp4")), &["--on-air", "--loops", "forever"]);
    let began = camera.began();
    sightline::wait_for("a second between two keyframes", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        ((now.as_micros() as i64 - began) % 2_000_000 > 1_000_000).then_some(())
    });
    let args = ["detect", &camera.uri(""), "--model", &sample("junction.onnx"), "--out", "-"];
    let first = Sightline::piped(command(&args)).lines(1).pop().unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    // Truly there are 16 at least at any time.
    let seen = first["detections"].as_array().unwrap().len();
    println!("{seen} objects in the first picture, behind {}", first["skipped"]);
    assert!(seen >= 12, "{first}");
}

#[test]
fn a_camera_is_probed_before_it_is_registered() {
    let camera = Camera::serve(&data(H264), &["--user", "ann", "--password", "right", "--loops", "forever"]);
    let model = fast_model();
    let probe = |more: &[&str]| output(&[&["probe", &camera.uri("ann:right"), "--fps", "2"], more].concat());
    let probed = probe(&["--model", &model]);
    assert!(probed.status.success(), "{probed:?}");
    let said = String::from_utf8_lossy(&probed.stdout).into_owned();
    for line in [
        "video       h264 high 3.1, 960x540, 25 frames/s, 2.",
        "keyframes   every 1.2 s (30 pictures)",
        "references  without B-frames; each picture is needed by another",
        "clock       sender reports, ",
        "decoder     avdec_h264, ",
        "detector    ",
        "advice      a sub-stream of 640x360 would be wiser: at 2 pictures a second, decoding and detecting takes ",
    ] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line}: {said}");
    }
    let probed = probe(&["--output", "json", "--seconds", "1"]);
    let value: Value = serde_json::from_slice(&probed.stdout).unwrap();
    assert_eq!(value["video"]["codec"], "h264", "{value}");
    assert!(value["decode_cpu_ms"].as_f64().unwrap() > 0.1, "{value}");
    let refused = output(&["probe", &camera.uri("ann:wr0ng")]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(stderr(&refused).contains("refuses the user or the password (auth_failed)"), "{refused:?}");
    assert!(!stderr(&refused).contains("wr0ng"), "{refused:?}");
}

/// What a person reads of a camera that can't be opened.
fn refused(uri: &str, within: Duration) -> String {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let begun = Instant::now();
    let read = detect(uri, &out, &[]);
    assert!(begun.elapsed() < within, "it took {:?}", begun.elapsed());
    assert_eq!(read.status.code(), Some(1), "{read:?}");
    stderr(&read)
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    for auth in ["basic", "digest"] {
        let camera = Camera::serve(&data(H264), &["--user", "ann", "--password", "right", "--auth", auth]);
        let said = refused(&camera.uri("ann:wr0ng-one"), Duration::from_secs(60));
        assert!(said.contains("refuses the user or the password (auth_failed)"), "{said}");
        assert!(!said.contains("wr0ng-one"), "{said}");
        let said = refused(&camera.uri(""), Duration::from_secs(60));
        assert!(said.contains("wants a user and a password (auth_failed)"), "{said}");
    }
}

/// An RTSP server that refuses every password. Gives how often one was sent.
fn refuses_all(listener: &TcpListener, scheme: &str) -> usize {
    let (stream, _) = listener.accept().unwrap();
    let (mut answers, mut sent) = (stream.try_clone().unwrap(), 0);
    let mut request: Vec<String> = Vec::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if !line.is_empty() {
            request.push(line);
            continue;
        }
        let header = |name: &str| request.iter().find(|line| line.starts_with(name));
        sent += usize::from(header("Authorization").is_some());
        let cseq = header("CSeq").unwrap();
        let answer = match request[0].starts_with("OPTIONS") {
            true => format!("RTSP/1.0 200 OK\r\n{cseq}\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n"),
            false => format!("RTSP/1.0 401 Unauthorized\r\n{cseq}\r\nWWW-Authenticate: {scheme}\r\n\r\n"),
        };
        answers.write_all(answer.as_bytes()).unwrap();
        request.clear();
    }
    sent
}

#[test]
fn a_refused_password_is_not_tried_until_the_camera_locks_the_account() {
    for scheme in ["Basic realm=\"cam\"", "Digest realm=\"cam\", nonce=\"b1946ac9\""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("rtsp://ann:wr0ng@{}/cam", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || refuses_all(&listener, scheme));
        let said = refused(&uri, Duration::from_secs(30));
        assert!(said.contains("refuses the user or the password (auth_failed)"), "{said}");
        let sent = serving.join().unwrap();
        assert_eq!(sent, 1, "{scheme}");
    }
}

#[test]
fn a_camera_that_is_not_there_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = refused(&format!("rtsp://127.0.0.1:{port}/cam"), Duration::from_secs(30));
    assert!(said.contains("can't be connected to: refused, or no such host (unreachable)"), "{said}");
}

#[test]
fn an_unknown_path_is_not_found() {
    let camera = Camera::serve(&data(H264), &[]);
    let said = refused(&camera.uri("").replace("/cam", "/garden"), Duration::from_secs(30));
    assert!(said.contains("/garden: it does not exist (not_found)"), "{said}");
}

#[test]
fn a_camera_that_accepts_and_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("rtsp://{}/cam", silent.local_addr().unwrap());
    let said = refused(&uri, Duration::from_secs(40));
    assert!(said.contains("(timeout)"), "{said}");
}

#[test]
fn a_camera_that_breaks_off_is_an_error_and_what_was_seen_stays() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let camera = Camera::serve(&data(H264), &["--loops", "forever"]);
    let (uri, model) = (camera.uri(""), fast_model());
    let lines = out.to_string_lossy().into_owned();
    let mut args = command(&["detect", &uri, "--model", &model, "--out", &lines]);
    args.env("SIGHTLINE_FPS", "5");
    let reading = Sightline::spawn(args);
    wait_for_results(dir.path());
    camera.kill();
    let (status, said) = reading.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("broke off the connection (unreachable)"), "{said}");
    account(&frames(&out));
}

#[test]
fn ctrl_c_ends_a_camera_and_keeps_what_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let camera = Camera::serve(&data(H264), &["--loops", "forever"]);
    let (uri, model) = (camera.uri(""), fast_model());
    let lines = out.to_string_lossy().into_owned();
    let reading = Sightline::spawn(command(&["detect", &uri, "--model", &model, "--out", &lines]));
    wait_for_results(dir.path());
    reading.signal("INT");
    let (status, said) = reading.wait();
    assert_eq!(status.code(), Some(130), "{said}");
    let frames = frames(&out);
    assert!(!frames.is_empty());
    account(&frames);
}

/// Results are written aside, and grow there.
fn wait_for_results(dir: &Path) {
    sightline::wait_for("results", || {
        let aside = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
        aside.filter_map(|entry| entry.metadata().ok()).any(|file| file.len() > 0).then_some(())
    });
}
