//! RTSP servers that are none of ours, read by `detect`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/clips.rs"]
mod clips;
#[path = "support/foreign.rs"]
mod foreign;
#[path = "support/frames.rs"]
mod frames;
#[path = "support/sightline.rs"]
mod sightline;

use std::path::Path;
use std::process::Output;

use foreign::Foreign;
use frames::Frame;
use sightline::{Sightline, command, data, fast_model, output};

const CLIP: &str = "clips/udacity_solidWhiteRight.mp4";
const FRAMES: u64 = 60;
/// A picture's place on RTP's clock of 90 kHz, taken down to µs, is off by less than this.
const RTP_TICK_US: i64 = 12;

fn detect(input: &str, out: &Path, more: &[&str]) -> Output {
    let (model, out) = (fast_model(), out.to_string_lossy().into_owned());
    output(&[&["detect", input, "--model", &model, "--out", &out, "--no-track"][..], more].concat())
}

fn refused(uri: &str, transport: &str) -> String {
    let out = detect(uri, Path::new("/dev/null"), &["--transport", transport]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// What the summary says was skipped, behind the last record too.
fn skipped(read: &Output) -> u64 {
    let summary = String::from_utf8_lossy(&read.stdout);
    let skipped = summary.lines().find_map(|line| line.trim().strip_prefix("skipped: ")).unwrap_or_default();
    skipped.split(", ").filter_map(|part| part.split(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn aio_over_tcp_gives_what_the_file_gives() {
    let dir = tempfile::tempdir().unwrap();
    let [clip, by_file, by_rtsp] = ["clip.mp4", "file.jsonl", "rtsp.jsonl"].map(|name| dir.path().join(name));
    clips::cut(&data(CLIP), FRAMES, &clip);
    let server = Foreign::aio(&clip);
    let live = detect(&server.uri(""), &by_rtsp, &["--fps", "8"]);
    assert!(detect(&clip.to_string_lossy(), &by_file, &[]).status.success());
    let (expected, found) = (frames::read(&by_file), frames::read(&by_rtsp));
    assert!(found.len() > 10, "{} frames: {live:?}", found.len());
    assert!(frames::check_order(&found) <= FRAMES);
    assert_eq!(found.len() as u64 + skipped(&live), FRAMES, "{live:?}");
    let start = expected[0].pts_us;
    let same = |frame: &Frame| {
        let at = |other: &&Frame| (other.pts_us - start - frame.pts_us).abs() <= RTP_TICK_US;
        expected.iter().find(at).unwrap_or_else(|| panic!("the file has no frame at {} µs", frame.pts_us))
    };
    for frame in &found {
        let boxes = |frame: &Frame| -> Vec<_> {
            frame.detections.iter().map(|of| (of.class_id, of.confidence, of.fractions)).collect()
        };
        assert_eq!(boxes(frame), boxes(same(frame)), "at {} µs", frame.pts_us);
    }
}

#[test]
fn vlc_over_udp_is_read_in_order_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let server = Foreign::vlc(&data(CLIP), None);
    let (uri, model, lines) = (server.uri(""), fast_model(), out.to_string_lossy().into_owned());
    let args = [
        "detect",
        &uri,
        "--transport",
        "udp",
        "--fps",
        "5",
        "--model",
        &model,
        "--out",
        &lines,
        "--no-track",
    ];
    let reading = Sightline::spawn(command(&args));
    sightline::wait_for("ten results", || {
        // Results are written aside, and grow there.
        let aside = std::fs::read_dir(dir.path()).unwrap().filter_map(Result::ok);
        let texts = aside.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        (texts.map(|text| text.lines().count()).sum::<usize>() >= 10).then_some(())
    });
    reading.signal("INT");
    let (status, said) = reading.wait();
    assert_eq!(status.code(), Some(130), "{said}");
    let frames = frames::read(&out);
    assert!(frames::check_order(&frames) > frames.len() as u64, "what is not wanted is counted");
    assert!(frames.iter().any(|frame| !frame.detections.is_empty()), "nothing seen");
}

#[test]
fn what_vlc_does_not_offer_and_what_it_wants_is_told() {
    let open = Foreign::vlc(&data(CLIP), None);
    let said = refused(&open.uri(""), "tcp");
    assert!(said.contains("sends nothing over tcp; set transport to udp (rejected)"), "{said}");
    let locked = Foreign::vlc(&data(CLIP), Some(("ann", "s3cret")));
    for login in ["", "ann:s3cret"] {
        let said = refused(&locked.uri(login), "udp");
        assert!(
            said.contains("gives an answer that is no proper RTSP") && !said.contains("s3cret"),
            "{said}"
        );
    }
}
