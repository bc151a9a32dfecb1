//! `sightline track`: the tracker alone, on MOT rows and on `frame/1` lines.

use super::*;
use std::io::Write as _;
use std::process::Stdio;

const CLIP: &str = "one-by-one-person_a";
const VIDEO: [&str; 4] = ["--size", "768x432", "--fps", "10"];

#[test]
fn mot_rows_come_back_with_identities() {
    let folder = tempfile::tempdir().unwrap();
    let (dets, out) = (data(&format!("tracks/{CLIP}.dets.txt")), folder.path().join("tracks.txt"));
    let output = sightline::output(&[&["track", text(&dets), "--out", text(&out)], &VIDEO[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("1000 frames, 3566 detections, "), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    assert_eq!(names_in(folder.path()), ["tracks.txt"]);
    let given = std::fs::read_to_string(&dets).unwrap();
    let rows = |text: &str| -> Vec<Vec<f64>> {
        text.lines().map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
    };
    let (given, tracks) = (rows(&given), rows(&std::fs::read_to_string(&out).unwrap()));
    assert!(tracks.len() > 800, "{} rows", tracks.len());
    assert!(tracks.iter().all(|row| row[1] >= 1.0), "each has an identity");
    assert!(tracks.is_sorted_by(|a, b| a[0] <= b[0]), "in order of frames");
    // Frame, confidence and class are those of a detection that was given.
    for row in tracks.iter().step_by(50) {
        assert!(given.iter().any(|det| (det[0], det[6], det[7]) == (row[0], row[6], row[7])), "{row:?}");
    }

    // The same by standard input and output.
    let mut child = sightline::command(&[&["track", "-"], &VIDEO[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = std::fs::read(&dets).unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert_eq!(stdout(&output), std::fs::read_to_string(&out).unwrap());
}

#[test]
fn frame_lines_are_tracked_as_detect_does() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    media::Make { frames: 40, size: (960, 540), encoder: media::H264, mux: "mp4mux", audio: false }
        .from(&data("clips/udacity_solidWhiteRight.mp4"), &clip);
    let (alone, tracked) = (folder.path().join("alone.jsonl"), folder.path().join("tracked.jsonl"));
    // The tracker sees weak detections too.
    let output = sightline::output(&[
        "detect",
        text(&clip),
        "-m",
        &fast_model(),
        "--no-track",
        "--confidence",
        "0.1",
        "--out",
        text(&alone),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = sightline::output(&["track", text(&alone), "--out", text(&tracked)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let live = lines(&[text(&clip)], &["--confidence", "0.1"]);
    let tracked = frames::read(&tracked);
    assert_eq!(tracked.len(), 40);
    let ids = |frames: &[Frame]| -> Vec<Vec<(String, Option<u64>)>> {
        let of = |frame: &Frame| {
            frame
                .detections
                .iter()
                .map(|d| (d.label.clone(), d.track.as_ref().map(|track| track.id)))
                .collect()
        };
        frames.iter().map(of).collect()
    };
    assert_eq!(ids(&tracked), ids(&live));
    assert!(live.iter().flat_map(|line| &line.detections).any(|detection| detection.track.is_some()));
}

#[test]
fn what_cannot_be_tracked_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.txt");
    let dets = data(&format!("tracks/{CLIP}.dets.txt"));
    let prose = folder.path().join("prose.txt");
    std::fs::write(&prose, "not a row\n").unwrap();
    let run = |dets: &Path, more: &[&str]| {
        let output = sightline::output(&[&["track", text(dets), "--out", text(&out)], more].concat());
        assert!(!out.exists());
        (output.status.code(), stderr(&output))
    };
    let (code, said) = run(&dets, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("give both (--size WxH --fps N)"), "{said}");
    let (code, said) = run(&dets, &["--size", "768", "--fps", "10"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("give WIDTHxHEIGHT, as in 1280x720"), "{said}");
    let (code, said) = run(&prose, &VIDEO);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("prose.txt: line 1: "), "{said}");
    let (code, said) = run(Path::new("/no/such/dets.txt"), &VIDEO);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/no/such/dets.txt: No such file"), "{said}");
    let output =
        sightline::output(&[&["track", text(&dets), "--out", "/no/such/out.txt"], &VIDEO[..]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let output = sightline::output(&[&["track", text(&dets), "--out", "/dev/full"], &VIDEO[..]].concat());
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}
