//! The tests' own bad networks, one by one: each does what it says, and what `detect` says of some.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/camera.rs"]
mod camera;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/decoding.rs"]
mod decoding;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/sightline.rs"]
mod sightline;
#[path = "support/viewer.rs"]
mod viewer;

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use camera::Camera;
use certificates::Authority;
use decoding::Decoding;
use lossy::{Loss, LossyRelay};
use relay::Relay;
use sightline::{data, fast_model, output};
use viewer::{Packet, Rtp, Silence, Viewer};

const CLIP: &str = "clips/udacity_solidWhiteRight.mp4";
const PAUSE: Duration = Duration::from_secs(2);

fn serve(options: &[&str]) -> Camera {
    Camera::serve(&data(CLIP), options)
}

fn rtp(packets: &[Packet]) -> Vec<&Rtp> {
    let rtp = packets.iter().map(|packet| match packet {
        Packet::Rtp(packet) => Some(packet),
        Packet::Rtcp(_) => None,
    });
    rtp.flatten().collect()
}

#[test]
fn a_stalled_connection_is_silent_and_goes_on_without_a_gap() {
    let camera = serve(&["--loops", "forever"]);
    let relay = Relay::to(camera.port());
    let mut viewer = Viewer::play(relay.port());
    let (_, before) = viewer.access_unit();
    relay.stall();
    let (packets, silence) = viewer.drain(PAUSE);
    assert_eq!(silence, Silence::Nothing);
    let last = rtp(&packets).last().map_or(before.last().unwrap().sequence, |packet| packet.sequence);
    relay.resume();
    let (_, after) = viewer.access_unit();
    assert_eq!(after[0].sequence, last.wrapping_add(1));
}

#[test]
fn a_camera_that_dies_during_a_stall_is_not_noticed() {
    let camera = serve(&["--loops", "forever"]);
    let relay = Relay::to(camera.port());
    let mut viewer = Viewer::play(relay.port());
    viewer.access_unit();
    relay.stall();
    camera.kill();
    assert_eq!(viewer.drain(PAUSE).1, Silence::Nothing);
    relay.resume();
    assert!(matches!(viewer.drain(PAUSE).1, Silence::Closed | Silence::Reset));
}

#[test]
fn connections_are_reset_refused_and_cut_in_the_middle() {
    let camera = serve(&["--loops", "forever"]);
    let relay = Relay::to(camera.port());
    let mut viewer = Viewer::play(relay.port());
    viewer.access_unit();
    relay.reset();
    assert_eq!(viewer.drain(PAUSE).1, Silence::Reset);

    let mut viewer = Viewer::play(relay.port());
    viewer.access_unit();
    let before = relay.passed();
    relay.cut_after(30_001);
    let (packets, silence) = viewer.drain(PAUSE);
    assert_eq!(silence, Silence::Closed);
    assert!(!rtp(&packets).is_empty());
    assert_eq!(relay.passed() - before, 30_001);

    relay.refuse(true);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
    let refused = std::io::Read::read(&mut stream, &mut [0]);
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    relay.refuse(false);
    Viewer::play(relay.port()).access_unit();
    assert_eq!(relay.connected(), 3);
}

#[test]
fn what_is_delayed_comes_late_and_what_is_throttled_comes_slowly() {
    let camera = serve(&["--loops", "forever"]);
    let relay = Relay::to(camera.port());
    relay.delay(Duration::from_millis(300));
    let asked = Instant::now();
    let mut viewer = Viewer::connect(relay.port());
    assert_eq!(viewer.describe().status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(600), "there and back: {:?}", asked.elapsed());
    relay.delay(Duration::ZERO);

    let mut viewer = Viewer::play(relay.port());
    viewer.access_unit();
    let (before, since) = (relay.passed(), Instant::now());
    // The clip has about 300 kB a second.
    relay.throttle(Some(50_000.0));
    while since.elapsed() < PAUSE {
        viewer.packet();
    }
    let rate = (relay.passed() - before) as f64 / since.elapsed().as_secs_f64();
    assert!((30_000.0..60_000.0).contains(&rate), "{rate} bytes a second");
}

/// Hashes of the first pictures, as they are shown.
fn pictures(uri: &str, protocols: &str) -> Vec<u64> {
    let decoding = Decoding::start(uri, "h264", protocols);
    let mut hashes: Vec<u64> = Vec::new();
    while !decoding.is_over() {
        hashes.extend(decoding.next_within(Duration::from_millis(500)).map(|picture| picture.hash));
    }
    hashes
}

#[test]
fn packets_out_of_order_and_twice_are_put_right() {
    let camera = serve(&["--frames", "60"]);
    let expected = pictures(&camera.uri(""), "tcp");
    assert_eq!(expected.len(), 60);
    let relay =
        LossyRelay::to(camera.port(), Loss { seed: 7, late: 0.1, by: 3, twice: 0.1, ..Loss::default() });
    let mut found = pictures(&relay.uri(&camera.uri("")), "udp");
    let counts = relay.counts();
    assert!(
        counts.late.load(Ordering::SeqCst) > 10 && counts.twice.load(Ordering::SeqCst) > 10,
        "{counts:?}"
    );
    // One of the last three packets may still wait for others.
    found.truncate(59);
    assert_eq!(found, expected[..found.len()]);
    assert!(found.len() >= 58, "{} pictures", found.len());
}

#[test]
fn detect_reads_through_five_percent_of_loss() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let camera = serve(&["--frames", "100"]);
    // The first keyframe, of 33 packets, comes whole.
    let loss = Loss { seed: 5, first: 50, lost: 0.05, ..Loss::default() };
    let relay = LossyRelay::to(camera.port(), loss);
    let (uri, model, lines) = (relay.uri(&camera.uri("")), fast_model(), out.to_string_lossy().into_owned());
    let read = output(&[
        "detect",
        &uri,
        "--transport",
        "udp",
        "--model",
        &model,
        "--out",
        &lines,
        "--no-track",
        "--fps",
        "5",
    ]);
    assert!(read.status.success(), "{read:?}");
    let counts = relay.counts();
    let (sent, lost) = (counts.sent.load(Ordering::SeqCst), counts.lost.load(Ordering::SeqCst));
    let part = lost as f64 / sent as f64;
    assert!(sent > 500 && (0.03..0.07).contains(&part), "{lost} of {sent}");
    let frames = frames::read(&out);
    assert!(frames.len() > 5, "{} frames", frames.len());
    assert!(frames::check_order(&frames) <= 100);
}

#[test]
fn a_camera_shows_its_certificate_and_a_wrong_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    for (name, fits) in [("IP:127.0.0.1", true), ("DNS:elsewhere.example", false)] {
        let options = authority.sign(name).options();
        let camera = serve(&options.each_ref().map(String::as_str));
        let mut client = Command::new("openssl");
        client.args(["s_client", "-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile"]);
        client.arg(authority.certificate()).arg("-connect").arg(format!("127.0.0.1:{}", camera.port()));
        let shaken = client.stdin(Stdio::null()).output().expect("openssl runs");
        assert_eq!(shaken.status.success(), fits, "{name}: {shaken:?}");

        // This machine trusts neither.
        let model = fast_model();
        let read =
            output(&["detect", &camera.uri(""), "--model", &model, "--out", "/dev/null", "--no-track"]);
        let said = String::from_utf8_lossy(&read.stderr);
        assert_eq!(read.status.code(), Some(1), "{said}");
        assert_eq!(camera.plays(), 0);
        Decoding::start(&camera.uri(""), "h264", "tcp").next();
    }
}

#[test]
fn a_camera_that_talks_nonsense_is_told() {
    let camera = serve(&["--fault", "babble"]);
    let model = fast_model();
    let read = output(&["detect", &camera.uri(""), "--model", &model, "--out", "/dev/null", "--no-track"]);
    let said = String::from_utf8_lossy(&read.stderr);
    assert_eq!(read.status.code(), Some(1), "{said}");
    assert!(said.contains("(unreachable)"), "{said}");
}
