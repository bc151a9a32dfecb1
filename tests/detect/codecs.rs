//! Each codec and container gives exactly its frames.

use super::*;
use media::{H264, Make};

const FRAMES: u64 = 30;

const KINDS: [(&str, &str, &str, bool); 6] = [
    ("h264-b.mp4", "x264enc speed-preset=superfast b-adapt=false bframes=3 ! h264parse", "mp4mux", true),
    (
        "h265-b.mkv",
        "x265enc speed-preset=ultrafast option-string=bframes=3:b-adapt=0 ! h265parse",
        "matroskamux",
        false,
    ),
    ("mjpeg.avi", "jpegenc", "avimux", false),
    ("mjpeg.mov", "jpegenc", "qtmux", true),
    (
        "h264.ts",
        "x264enc speed-preset=superfast b-adapt=false bframes=2 key-int-max=10 ! h264parse",
        "mpegtsmux",
        true,
    ),
    ("h264.mkv", H264, "matroskamux", false),
];

/// One clip of each kind, named after it.
fn clips(folder: &Path) -> Vec<String> {
    let clip = data("clips/udacity_solidWhiteRight.mp4");
    let make = |(name, encoder, mux, audio): (&str, &str, &str, bool)| {
        let to = folder.join(name);
        Make { frames: FRAMES, size: (480, 270), encoder, mux, audio }.from(&clip, &to);
        text(&to).to_owned()
    };
    let mut files = KINDS.map(make).to_vec();
    // MPEG-4 part 2, with B-frames and with sound that goes on for longer.
    for name in ["mpeg4.mp4", "mpeg4.avi"] {
        let to = folder.join(name);
        let made = std::process::Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-i",
                text(&clip),
                "-f",
                "lavfi",
                "-i",
                "sine=d=4",
                "-frames:v",
                &FRAMES.to_string(),
            ])
            .args([
                "-vf",
                "scale=480:270",
                "-c:v",
                "mpeg4",
                "-b:v",
                "2M",
                "-bf",
                "2",
                "-c:a",
                "mp2",
                text(&to),
            ])
            .output()
            .expect("ffmpeg");
        assert!(made.status.success(), "{}", stderr(&made));
        files.push(text(&to).to_owned());
    }
    files
}

#[test]
fn every_codec_and_container_gives_exactly_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let files = clips(folder.path());
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let output = detect(&files, &["--no-track"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let all = frames::parse(&stdout(&output));
    for (epoch, file) in files.iter().enumerate() {
        let lines: Vec<_> = all.iter().filter(|line| line.epoch == epoch as u64).cloned().collect();
        assert_eq!(lines.len() as u64, FRAMES, "{file}: {}", stderr(&output));
        assert_eq!(frames::check_order(&lines), FRAMES, "{file}");
        assert!(lines.iter().all(|line| line.skipped.is_empty() && line.camera == *file), "{file}");
        assert!(lines.iter().all(|line| (line.width, line.height) == (480, 270)), "{file}");
        // 25 frames a second, whatever clock the container has; AVI has none, and B-frames blur the ends.
        let long = lines.last().unwrap().pts_us - lines[0].pts_us;
        let expected = (FRAMES as i64 - 1) * 40_000;
        assert!((long - expected).abs() < 100_000, "{file}: {long} µs, not {expected}");
    }

    let sampled = detect(&files, &["--no-track", "--fps", "5"]);
    assert!(sampled.status.success(), "{}", stderr(&sampled));
    let all = frames::parse(&stdout(&sampled));
    let said = stderr(&sampled);
    let skipped: Vec<u64> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("skipped: ")?.strip_suffix(" sampling")?.parse().ok())
        .collect();
    assert_eq!(skipped.len(), files.len(), "{said}");
    for ((epoch, file), skipped) in files.iter().enumerate().zip(skipped) {
        let lines: Vec<_> = all.iter().filter(|line| line.epoch == epoch as u64).cloned().collect();
        // Closes line by line; what came after the last one is in the summary.
        frames::check_order(&lines);
        // B-frames in AVI have no pts that could be relied on to 40 ms.
        if !file.ends_with("mpeg4.avi") {
            assert_eq!(lines.len(), 6, "{file}: 5 of 25 a second");
            assert!(lines.iter().skip(1).all(|line| line.skipped.get("sampling") == Some(&4)), "{file}");
        }
        assert_eq!(lines.len() as u64 + skipped, FRAMES, "{file}: {said}");
    }
}

#[test]
fn a_size_that_changes_on_the_way_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let clip = data("clips/udacity_solidWhiteRight.mp4");
    let (first, second) = (folder.path().join("a.ts"), folder.path().join("b.ts"));
    for (to, size) in [(&first, (640, 360)), (&second, (480, 270))] {
        Make { frames: 20, size, encoder: H264, mux: "mpegtsmux", audio: false }.from(&clip, to);
    }
    let both = folder.path().join("both.ts");
    std::fs::write(&both, [std::fs::read(first).unwrap(), std::fs::read(second).unwrap()].concat()).unwrap();
    let drawn = folder.path().join("drawn.mp4");
    let lines = lines(&[text(&both)], &["--annotate", text(&drawn)]);
    frames::check_order(&lines);
    let sizes: Vec<_> = lines.iter().map(|line| (line.width, line.height)).collect();
    let expected: Vec<_> = [(640, 360); 20].into_iter().chain([(480, 270); 20]).collect();
    assert_eq!(sizes, expected);
    let drawn = media::decode(&drawn);
    assert_eq!((drawn.width, drawn.height, drawn.frames.len()), (640, 360, 40), "one size, all frames");
}
