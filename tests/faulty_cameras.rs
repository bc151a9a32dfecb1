//! The test camera's faults, one by one: each does what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/decoding.rs"]
mod decoding;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/media.rs"]
mod media;
#[path = "support/sightline.rs"]
mod sightline;
#[path = "support/viewer.rs"]
mod viewer;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camera::Camera;
use decoding::Decoding;
use media::Make;
use sightline::{Sightline, command, data, fast_model, output, wait_for};
use viewer::{Packet, SenderReport, Silence, Viewer};

const H264: &str = "clips/udacity_solidWhiteRight.mp4";
const H264_B: &str = "clips/one-by-one-person_a.mp4";
const H265_B: &str = "clips/retail02_a.mp4";

/// Longer than any pause between two packets of a camera that is well, on a busy machine.
const PAUSE: Duration = Duration::from_secs(2);
/// Ticks of RTP's clock for video in a second.
const RTP_CLOCK: f64 = 90_000.0;

fn serve(clip: &str, options: &[&str]) -> Camera {
    Camera::serve(&data(clip), &[&["--loops", "forever"], options].concat())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_stall_sends_nothing_and_keeps_the_connection() {
    let mut camera = serve(H264, &["--report-interval", "0.3"]);
    let mut viewer = Viewer::play(camera.port());
    let (before, _) = viewer.access_unit();
    viewer.sender_report();
    camera.tell("fault stall");
    let (_, silence) = viewer.drain(PAUSE);
    assert_eq!(silence, Silence::Nothing);
    assert_eq!(viewer.request("GET_PARAMETER", "", &[]).status, 200, "it answers all the same");
    camera.tell("fault none");
    let (after, packets) = viewer.access_unit();
    let passed = f64::from(after.wrapping_sub(before)) / RTP_CLOCK;
    assert!(passed > PAUSE.as_secs_f64(), "the camera's time went on: {passed} s");
    // Of H.264: parameter sets come before a keyframe.
    assert!(packets.iter().any(|packet| packet.payload[0] & 0x1F == 7), "{packets:?}");
}

#[test]
fn a_camera_that_stalls_from_the_start_gives_no_picture() {
    let mut camera = serve(H264, &["--fault", "stall"]);
    let mut viewer = Viewer::play(camera.port());
    let (packets, silence) = viewer.drain(PAUSE);
    assert!(packets.is_empty() && silence == Silence::Nothing, "{packets:?}");
    camera.tell("fault none");
    viewer.access_unit();
    let decoding = Decoding::start(&camera.uri(""), "h264", "tcp");
    decoding.next();
}

#[test]
fn connections_are_reset_or_closed() {
    let mut camera = serve(H264, &[]);
    for (line, how) in [("reset", Silence::Reset), ("hang-up", Silence::Closed)] {
        let mut viewer = Viewer::play(camera.port());
        viewer.access_unit();
        camera.tell(line);
        assert_eq!(viewer.drain(PAUSE).1, how, "{line}");
    }
    let mut viewer = Viewer::play(camera.port());
    viewer.access_unit();
}

#[test]
fn a_frozen_camera_repeats_its_picture_bit_by_bit() {
    for (clip, codec) in [(H264, "h264"), (H265_B, "h265")] {
        let mut camera = serve(clip, &[]);
        let decoding = Decoding::start(&camera.uri(""), codec, "tcp");
        decoding.next();
        camera.tell("fault freeze");
        let mut last = decoding.next();
        let mut same = 0;
        while same < 15 {
            let picture = decoding.next();
            same = if picture.hash == last.hash { same + 1 } else { 0 };
            assert!(picture.pts > last.pts, "its time goes on");
            last = picture;
        }
        camera.tell("fault none");
        let moving = decoding.wait_for("another picture", |picture| picture.hash != last.hash);
        assert_ne!(decoding.next().hash, moving.hash);
    }
}

#[test]
fn a_black_camera_is_black_and_not_frozen() {
    for (clip, codec) in [(H264, "h264"), (H265_B, "h265")] {
        let mut camera = serve(clip, &[]);
        let decoding = Decoding::start(&camera.uri(""), codec, "tcp");
        let before = decoding.next();
        camera.tell("fault black");
        let mut last = decoding.wait_for("black", |picture| picture.brightness < 20.0);
        for _ in 0..10 {
            let picture = decoding.next();
            assert!(picture.brightness < 20.0 && picture.hash != last.hash, "{picture:?}");
            assert_eq!((picture.width, picture.height), (before.width, before.height));
            last = picture;
        }
        camera.tell("fault none");
        decoding.wait_for("light", |picture| picture.brightness > 30.0);
    }
}

#[test]
fn garbage_does_not_decode_and_what_follows_does() {
    for (clip, codec) in [(H264, "h264"), (H265_B, "h265")] {
        let mut camera = serve(clip, &["--fault", "garbage"]);
        let decoding = Decoding::start(&camera.uri(""), codec, "tcp");
        assert!(decoding.next_within(PAUSE).is_none(), "{codec}");
        let mut viewer = Viewer::play(camera.port());
        viewer.access_unit();
        camera.tell("fault none");
        decoding.next();
    }
}

#[test]
fn a_camera_dies_in_the_middle_of_a_frame() {
    let mut camera = serve(H264, &[]);
    let mut viewer = Viewer::play(camera.port());
    viewer.access_unit();
    camera.tell("fault die");
    let (packets, silence) = viewer.drain(PAUSE);
    assert!(matches!(silence, Silence::Closed | Silence::Reset), "{silence:?}");
    let last = packets.iter().rev().find_map(|packet| match packet {
        Packet::Rtp(packet) => Some(packet),
        Packet::Rtcp(_) => None,
    });
    assert!(!last.expect("packets").marker, "the last access unit is cut short");
    assert_eq!(camera.wait_for_end().code(), Some(1));
    let again = serve(H264, &["--port", &camera.port().to_string()]);
    assert_eq!(again.port(), camera.port());
    Viewer::play(again.port()).access_unit();
}

#[test]
fn a_second_session_is_refused_while_the_first_is_open() {
    let camera = serve(H264, &["--fault", "refuse-sessions"]);
    let mut first = Viewer::play(camera.port());
    first.access_unit();
    let mut second = Viewer::connect(camera.port());
    assert_eq!(second.describe().status, 200);
    assert_eq!(second.setup().status, 453);
    assert_eq!(first.request("TEARDOWN", "", &[]).status, 200);
    assert_eq!(second.setup().status, 200);
}

#[test]
fn a_silent_camera_accepts_and_a_babbling_one_talks_nonsense() {
    let mut camera = serve(H264, &["--fault", "silent"]);
    let mut viewer = Viewer::connect(camera.port());
    assert_eq!(viewer.drain(PAUSE).1, Silence::Nothing);
    camera.tell("fault babble");
    let mut noise = Vec::new();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", camera.port())).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut noise).unwrap();
    assert!(!noise.is_empty() && !noise.starts_with(b"RTSP"), "{noise:?}");
    camera.tell("fault none");
    Viewer::play(camera.port()).access_unit();
}

#[test]
fn password_and_path_change_while_it_runs() {
    let mut camera = serve(H264, &["--user", "ann", "--password", "old", "--auth", "basic"]);
    let basic = |password: &str| {
        format!("Basic {}", gstreamer::glib::base64_encode(format!("ann:{password}").as_bytes()))
    };
    let status = |password: &str| {
        let mut viewer = Viewer::connect(camera.port());
        let headers = [("Accept", "application/sdp"), ("Authorization", &basic(password))];
        viewer.request("DESCRIBE", "", &headers).status
    };
    assert_eq!((status("old"), status("new")), (200, 401));
    camera.tell("password new");
    let status = |port: u16, password: &str| {
        let mut viewer = Viewer::connect(port);
        let headers = [("Accept", "application/sdp"), ("Authorization", &basic(password))];
        viewer.request("DESCRIBE", "", &headers).status
    };
    assert_eq!((status(camera.port(), "old"), status(camera.port(), "new")), (401, 200));
    camera.tell("path /garden");
    assert_eq!(status(camera.port(), "new"), 404);
    camera.tell("path /cam");
    assert_eq!(status(camera.port(), "new"), 200);
}

#[test]
fn sender_reports_tell_the_time_that_the_camera_has() {
    let interval = ["--report-interval", "0.3"];
    let mut camera = serve(H264, &interval);
    let mut viewer = Viewer::play(camera.port());
    let right = viewer.sender_report().time - now();
    assert!(right.abs() < 1.0, "{right} s off");
    camera.tell("clock +3600");
    let ahead = wait_for_report(&mut viewer, |report| report.time > now() + 1800.0).time - now();
    assert!((3599.0..3601.0).contains(&ahead), "{ahead} s ahead");
    camera.tell("clock -7200");
    let behind = wait_for_report(&mut viewer, |report| report.time < now() - 1800.0).time - now();
    assert!((-3601.0..-3599.0).contains(&behind), "{behind} s behind");

    let camera = serve(H264, &[&interval[..], &["--sender-report-offset", "1970"]].concat());
    let time = Viewer::play(camera.port()).sender_report().time;
    assert!((0.0..60.0).contains(&time), "{time} s after 1970 began");

    let camera = serve(H264, &[&interval[..], &["--no-sender-reports"]].concat());
    let mut viewer = Viewer::play(camera.port());
    let mut reports = 0;
    while reports < 3 {
        if let Packet::Rtcp(bytes) = viewer.packet() {
            assert_eq!(bytes[1], 201, "a receiver report: {bytes:?}");
            assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 1, "of nothing received");
            reports += 1;
        }
    }
}

fn wait_for_report(viewer: &mut Viewer, fits: impl Fn(&SenderReport) -> bool) -> SenderReport {
    loop {
        let report = viewer.sender_report();
        if fits(&report) {
            return report;
        }
    }
}

#[test]
fn a_clock_that_drifts_is_told_by_packets_and_reports_alike() {
    // Much more than any real clock: it shows at once.
    let camera = serve(H264, &["--report-interval", "0.3", "--drift", "100000"]);
    let mut viewer = Viewer::play(camera.port());
    let first = viewer.sender_report();
    let last = wait_for_report(&mut viewer, |report| report.time > first.time + 3.0);
    let told = last.time - first.time;
    let sampled = f64::from(last.timestamp.wrapping_sub(first.timestamp)) / RTP_CLOCK;
    let passed = (last.seen - first.seen).as_secs_f64();
    assert!((told / passed - 1.1).abs() < 0.05, "{told} s told in {passed} s");
    assert!((sampled / passed - 1.1).abs() < 0.05, "{sampled} s sampled in {passed} s");
}

#[test]
fn b_frames_come_in_the_order_of_decoding() {
    let camera = serve(H264_B, &["--speed", "4"]);
    let mut viewer = Viewer::play(camera.port());
    let stamps: Vec<_> = (0..30).map(|_| viewer.access_unit().0).collect();
    assert!(!stamps.is_sorted(), "{stamps:?}");
    let decoding = Decoding::start(&camera.uri(""), "h264", "tcp");
    let shown: Vec<_> = (0..30).map(|_| decoding.next().pts.expect("a time")).collect();
    assert!(shown.is_sorted_by(|a, b| a < b), "{shown:?}");
}

/// The same pictures in 1080p and in 720p.
fn two_sizes(dir: &Path) -> (PathBuf, PathBuf) {
    let clip = |name: &str, size| {
        let to = dir.join(name);
        let make = Make { frames: 25, size, encoder: media::H264, mux: "mp4mux", audio: false };
        make.from(&data(H264), &to);
        to
    };
    (clip("1080p.mp4", (1920, 1080)), clip("720p.mp4", (1280, 720)))
}

#[test]
fn the_size_changes_within_a_session_and_the_codec_by_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (large, small) = two_sizes(dir.path());
    let (small, h265) = (small.to_string_lossy(), data(H265_B));
    let mut camera =
        Camera::serve(&large, &["--loops", "2", "--then", &small, "--then", &h265.to_string_lossy()]);
    let decoding = Decoding::start(&camera.uri(""), "h264", "tcp");
    let mut sizes = Vec::new();
    let mut last = None;
    while let Some(picture) = decoding.next_within(PAUSE) {
        assert!(picture.pts > last, "its time goes on");
        last = picture.pts;
        sizes.push(picture.height);
    }
    assert_eq!(camera.sent(), 100);
    assert_eq!(sizes, [[1080; 50], [720; 50]].concat());
    assert!(decoding.is_over(), "{:?}", decoding.messages());
    let decoding = Decoding::start(&camera.uri(""), "h265", "tcp");
    decoding.next();
}

#[test]
fn the_next_clip_comes_when_told() {
    let mut camera = serve(H264, &["--then", &data(H264_B).to_string_lossy()]);
    let decoding = Decoding::start(&camera.uri(""), "h264", "tcp");
    assert_eq!(decoding.next().width, 960);
    camera.tell("next");
    decoding.wait_for("the other", |picture| picture.width == 768);
    let decoding = Decoding::start(&camera.uri(""), "h264", "tcp");
    assert_eq!(decoding.next().width, 768, "and for those who come later");
}

#[test]
fn a_camera_may_tell_no_frame_rate() {
    let with = serve(H264, &[]);
    let without = serve(H264, &["--no-frame-rate"]);
    let fps = |camera: &Camera| Decoding::start(&camera.uri(""), "h264", "tcp").next().fps;
    assert_eq!((fps(&with), fps(&without)), (25, 0));
    assert!(!Viewer::connect(without.port()).describe().body.contains("framerate"));
}

fn detect(uri: &str, out: &Path) -> (Option<i32>, String) {
    let (model, out) = (fast_model(), out.to_string_lossy().into_owned());
    let read = output(&["detect", uri, "--model", &model, "--out", &out, "--no-track"]);
    (read.status.code(), String::from_utf8_lossy(&read.stderr).into_owned())
}

#[test]
fn detect_reads_on_where_the_size_changes() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let (large, small) = two_sizes(dir.path());
    let camera = Camera::serve(&large, &["--speed", "0.5", "--then", &small.to_string_lossy()]);
    let (status, said) = detect(&camera.uri(""), &out);
    assert_eq!(status, Some(0), "{said}");
    let frames = frames::read(&out);
    assert!(frames::check_order(&frames) <= 50);
    let heights: Vec<_> = frames.iter().map(|frame| frame.height).collect();
    let change = heights.iter().position(|height| *height == 720).expect("the smaller ones");
    assert!(change > 10 && heights.len() > 30, "{heights:?}");
    assert!(heights[..change].iter().all(|height| *height == 1080), "{heights:?}");
    assert!(heights[change..].iter().all(|height| *height == 720), "{heights:?}");
}

#[test]
fn detect_says_that_a_camera_allows_no_further_session() {
    let camera = serve(H264, &["--fault", "refuse-sessions"]);
    let mut first = Viewer::play(camera.port());
    first.access_unit();
    let (status, said) = detect(&camera.uri(""), Path::new("/dev/null"));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("accepts no further session (rejected)"), "{said}");
}

#[test]
fn detect_keeps_what_it_saw_before_a_reset() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let mut camera = serve(H264, &[]);
    let (uri, model, lines) = (camera.uri(""), fast_model(), out.to_string_lossy().into_owned());
    let reading =
        Sightline::spawn(command(&["detect", &uri, "--model", &model, "--out", &lines, "--no-track"]));
    wait_for("results", || {
        // Results are written aside, and grow there.
        let aside = std::fs::read_dir(dir.path()).unwrap().filter_map(Result::ok);
        aside.filter_map(|entry| entry.metadata().ok()).any(|file| file.len() > 0).then_some(())
    });
    camera.tell("reset");
    let (status, said) = reading.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    // GStreamer warns and ends, or gives an error, as it comes.
    assert!(said.contains("(unreachable)"), "{said}");
    frames::check_order(&frames::read(&out));
}
