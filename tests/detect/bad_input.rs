//! Bad clips and pictures: a sentence that names the file, the reason and the next step; the others run.

use super::*;
use media::{H264, Make};

/// A bad file and what has to be said of it.
struct Bad {
    name: &'static str,
    bytes: Vec<u8>,
    reason: &'static str,
    advice: &'static str,
    /// Lines that come before the end of what can be read.
    gives_lines: bool,
}

fn clip_of(folder: &Path, name: &str, mux: &str) -> Vec<u8> {
    let path = folder.join(name);
    let make = Make { frames: 75, size: (320, 180), encoder: H264, mux, audio: false };
    make.from(&data("clips/udacity_solidWhiteRight.mp4"), &path);
    std::fs::read(path).unwrap()
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn all(folder: &Path) -> Vec<Bad> {
    let index_last = clip_of(folder, "last.mp4", "mp4mux");
    let index_first = clip_of(folder, "first.mp4", "mp4mux faststart=true");
    let sound = folder.join("sound.mp4");
    media::run(&format!(
        "audiotestsrc num-buffers=60 ! voaacenc ! aacparse ! mp4mux ! filesink location=\"{}\"",
        text(&sound)
    ));
    let sound = std::fs::read(sound).unwrap();
    let jpeg = std::fs::read(data("images/bus.jpg")).unwrap();
    let mut wide = Vec::new();
    {
        let mut encoder = png::Encoder::new(&mut wide, 30_000, 4);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&vec![0; 30_000 * 4 * 3]).unwrap();
    }
    let bad = |name, bytes, reason, advice| Bad { name, bytes, reason, advice, gives_lines: false };
    vec![
        bad("empty.mp4", vec![], "the file is empty", "copy it again"),
        bad(
            "prose.mp4",
            b"Not a film, but words.\n".repeat(40),
            "is not video",
            "Name a file that holds video",
        ),
        bad("sound.mp4", sound, "no video, only audio", "Name a file that holds video"),
        bad("cut-last.mp4", half(&index_last), "was cut off before its index", "copy or export it again"),
        Bad { gives_lines: true, ..bad("cut-first.mp4", half(&index_first), "cut off: ", "copy it again") },
        bad("cut.jpg", half(&jpeg), "the JPEG is cut off or damaged", "copy it again"),
        bad("cut.png", half(&wide), "30000x4 pixels", "scale it down"),
        bad("wide.png", wide, "30000x4 pixels; at most 16384 a side", "scale it down"),
        bad(
            "noise.jpg",
            [b"\xff\xd8\xff\xe0".as_slice(), &[7; 500]].concat(),
            "the JPEG is cut off or damaged",
            "copy it again",
        ),
    ]
}

#[test]
fn each_says_what_is_wrong_and_disturbs_nobody() {
    let making = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bad = all(making.path());
    let mut inputs = vec![picture("bus")];
    for file in &bad {
        let path = folder.path().join(file.name);
        std::fs::write(&path, &file.bytes).unwrap();
        inputs.push(text(&path).to_owned());
    }
    inputs.push(text(folder.path()).to_owned());
    inputs.push(picture("zidane"));
    let before = names_in(folder.path());
    let output = detect(&inputs.iter().map(String::as_str).collect::<Vec<_>>(), &["--no-track"]);
    let said = stderr(&output);
    println!("{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (file, path) in bad.iter().zip(&inputs[1..]) {
        let sentence = said.lines().find(|line| line.starts_with(&format!("sightline: {path}: ")));
        let sentence = sentence.unwrap_or_else(|| panic!("nothing of {path}:\n{said}"));
        assert!(
            sentence.contains(file.reason) && sentence.contains(file.advice),
            "{}: {sentence}",
            file.name
        );
    }
    let of_folder = format!("{}: it is a directory; name the files in it", text(folder.path()));
    assert!(said.contains(&of_folder), "{said}");
    let lines = frames::parse(&stdout(&output));
    let (first, last) = (&lines[0], lines.last().unwrap());
    assert_eq!((first.epoch, first.detections.len()), (0, 5));
    assert_eq!(last.epoch, inputs.len() as u64 - 1);
    assert!(!last.detections.is_empty());
    for (index, file) in bad.iter().enumerate() {
        let some = lines.iter().any(|line| line.epoch == index as u64 + 1);
        assert_eq!(some, file.gives_lines, "{}", file.name);
    }
    assert_eq!(names_in(folder.path()), before, "nothing is left beside them");
    assert!(!said.contains("panicked") && !said.contains("CRITICAL"), "{said}");
}

#[test]
fn holes_in_a_stream_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = clip_of(folder.path(), "whole.ts", "mpegtsmux");
    // A storm over the middle third: packets that are none.
    let (from, to) = (bytes.len() / 3 / 188 * 188, bytes.len() / 2 / 188 * 188);
    bytes.drain(from..to);
    let holed = folder.path().join("holed.ts");
    std::fs::write(&holed, bytes).unwrap();
    let lines = lines(&[text(&holed)], &["--no-track"]);
    let counted = frames::check_order(&lines);
    assert!(
        lines.len() as u64 <= counted && counted < 75 && lines.len() > 30,
        "{} of {counted}",
        lines.len()
    );
}
