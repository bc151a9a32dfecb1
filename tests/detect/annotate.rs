//! `--annotate`: what was seen, with boxes drawn.

use super::*;
use media::{Make, decode};

/// Mean difference of two frames on the lines of boxes, and away from boxes and captions.
fn differences(a: &[u8], b: &[u8], width: usize, boxes: &[[usize; 4]]) -> (f64, f64) {
    // Captions stand above the boxes, and run to their right.
    const CAPTION: (usize, usize) = (140, 40);
    let (mut on, mut away) = ((0.0, 0.0), (0.0, 0.0));
    for (index, (p, q)) in a.chunks_exact(3).zip(b.chunks_exact(3)).enumerate() {
        let (x, y) = (index % width, index / width);
        let difference: i32 = p.iter().zip(q).map(|(p, q)| (i32::from(*p) - i32::from(*q)).abs()).sum();
        let is_on = |&[x_min, y_min, x_max, y_max]: &[usize; 4]| {
            let inside = (x_min..=x_max).contains(&x) && (y_min..=y_max).contains(&y);
            inside && (x == x_min || x == x_max || y == y_min || y == y_max)
        };
        let is_near = |&[x_min, y_min, x_max, y_max]: &[usize; 4]| {
            (x_min.saturating_sub(CAPTION.0)..=x_max + CAPTION.0).contains(&x)
                && (y_min.saturating_sub(CAPTION.1)..=y_max + CAPTION.1).contains(&y)
        };
        if boxes.iter().any(is_on) {
            on = (on.0 + f64::from(difference), on.1 + 1.0);
        } else if !boxes.iter().any(is_near) {
            away = (away.0 + f64::from(difference), away.1 + 1.0);
        }
    }
    (on.0 / f64::max(on.1, 1.0), away.0 / f64::max(away.1, 1.0))
}

fn boxes(frame: &Frame) -> Vec<[usize; 4]> {
    let inside = |value: f64, side: u32| (value.round() as usize).min(side as usize - 1);
    let rect = |detection| {
        let [x_min, y_min, x_max, y_max] = frame.pixels(detection);
        [
            inside(x_min, frame.width),
            inside(y_min, frame.height),
            inside(x_max, frame.width),
            inside(y_max, frame.height),
        ]
    };
    frame.detections.iter().map(rect).collect()
}

#[test]
fn a_drawn_video_has_every_frame_and_boxes_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let (short, drawn) = (folder.path().join("short.mp4"), folder.path().join("drawn.mp4"));
    // An odd width of chroma rows, which encoders pad.
    let make = Make {
        frames: 25,
        size: (954, 540),
        encoder: "x264enc speed-preset=ultrafast quantizer=18 pass=quant ! h264parse",
        mux: "mp4mux",
        audio: false,
    };
    make.from(&data("clips/udacity_solidWhiteRight.mp4"), &short);
    let output = detect(&[text(&short)], &["--annotate", text(&drawn)]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("OpenH264"), "an encoder's own words are nobody's business: {said}");
    let lines = frames::parse(&stdout(&output));
    assert_eq!(names_in(folder.path()), ["drawn.mp4", "short.mp4"]);
    let (plain, drawn) = (decode(&short), decode(&drawn));
    assert_eq!((drawn.width, drawn.height, drawn.frames.len()), (954, 540, 25));
    let mut looked_at = 0;
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.detections.is_empty()) {
        let (on, away) = differences(&plain.frames[index], &drawn.frames[index], 954, &boxes(line));
        assert!(on > 100.0 && away < 30.0, "frame {index}: {on:.0} on the lines, {away:.0} away from them");
        looked_at += 1;
    }
    assert!(looked_at >= 10, "{looked_at} frames with boxes");
}

#[test]
fn a_drawn_picture_is_a_jpeg_and_several_inputs_fill_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("drawn.jpg");
    let bus = picture("bus");
    let lines = lines(&[&bus], &["--annotate", text(&drawn)]);
    assert!(std::fs::read(&drawn).unwrap().starts_with(b"\xff\xd8\xff"));
    let (plain, drawn) = (decode(Path::new(&bus)), decode(&drawn));
    assert_eq!((drawn.width, drawn.height), (810, 1080));
    let (on, away) = differences(&plain.frames[0], &drawn.frames[0], 810, &boxes(&lines[0]));
    assert!(on > 150.0 && away < 12.0, "{on:.0} on the lines, {away:.0} away from them");

    let many = folder.path().join("many");
    let output =
        detect(&[&bus, "/no/such.mp4", "test://ball?frames=5&size=320x240"], &["--annotate", text(&many)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names_in(&many), ["000-bus.jpg", "002-ball_frames_5_size_320x240.mp4"]);
    assert_eq!(decode(&many.join("002-ball_frames_5_size_320x240.mp4")).frames.len(), 5);
}

#[test]
fn a_drawing_that_cannot_be_written_is_exit_5_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = detect(&[&picture("bus")], &["--annotate", "/no/such/folder/x.jpg"]);
    assert_eq!(nowhere.status.code(), Some(5), "{}", stderr(&nowhere));
    assert!(stderr(&nowhere).contains("/no/such/folder/x.jpg: can't be written: "), "{}", stderr(&nowhere));
    let model = fast_model();
    let drawn = folder.path().join("drawn.mp4");
    let limited = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sightline")])
        .args(["detect", "test://snow?frames=100&size=640x360", "-m", &model, "--annotate", text(&drawn)])
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(5), "{}", stderr(&limited));
    assert!(stderr(&limited).contains("drawn.mp4: can't be written: "), "{}", stderr(&limited));
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
    // A name that promises another kind of file than is written.
    for (input, name, kind) in [
        (picture("bus"), "bus.mp4", ".jpg"),
        (picture("bus"), "bus.png", ".jpg"),
        ("test://ball?frames=3".to_owned(), "ball.jpg", ".mp4"),
    ] {
        let output = detect(&[&input], &["--annotate", text(&folder.path().join(name))]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(&format!("which is drawn into a {kind}; name")),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
    // Nothing to draw: nothing is made.
    let none = folder.path().join("none");
    let output = detect(&["/no/a.mp4", "/no/b.mp4"], &["--annotate", text(&none)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
}
