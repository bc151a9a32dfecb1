//! Models: what each is told to be, what is refused and why, class names in every form.

use super::*;
use onnx::Model;
use serde_json::Value;

/// File, flags, head, input height and width, precision.
type Known = (&'static str, &'static [&'static str], &'static str, [Option<u64>; 2], &'static str);

const NAMES: &str = "--names";
const MODELS: [Known; 8] = [
    ("deimv2_atto-320", &[NAMES], "detr", [Some(320), Some(320)], "float32"),
    ("yolo11n-320-int8dyn", &[], "yolov8", [Some(320), Some(320)], "float32"),
    ("yolo26n-640-e2e-int8dyn", &[], "end2end", [Some(640), Some(640)], "float32"),
    ("yolov5n-640-fp16", &[], "yolov5", [Some(640), Some(640)], "float16"),
    ("yolov5n-dyn-fp32", &[], "yolov5", [None, None], "float32"),
    ("yolov8n-640-fp32deq", &[], "yolov8", [Some(640), Some(640)], "float32"),
    ("yolov8n-640-int8dyn", &[], "yolov8", [Some(640), Some(640)], "float32"),
    ("yolox_nano-416", &[NAMES], "yolox", [Some(416), Some(416)], "float32"),
];

/// The model's file, and its flags with the file of names put in.
fn given(name: &str, flags: &[&str]) -> (String, Vec<String>) {
    let path = data(&format!("models/{name}.onnx"));
    let names = || text(&data("coco80_names.json")).to_owned();
    let flags = flags.iter().flat_map(|flag| [(*flag).to_owned(), names()]).collect();
    (text(&path).to_owned(), flags)
}

fn inspect(path: &str, more: &[&str]) -> Output {
    sightline::output(&[&["model", "inspect", path], more].concat())
}

#[test]
fn every_model_is_told_and_its_own_head_is_never_an_error() {
    for (name, flags, head, input_hw, precision) in MODELS {
        let (path, flags) = given(name, flags);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let said = inspect(&path, &flags);
        assert!(said.status.success(), "{name}: {}{}", stdout(&said), stderr(&said));
        let words = stdout(&said);
        for line in [format!("head      {head}"), "classes   80: person, bicycle, car".to_owned()] {
            assert!(words.lines().any(|said| said.starts_with(&line)), "{name}: {words}");
        }
        assert!(
            words.contains(precision) && words.contains("images [") && words.contains("MB, runs on cpu"),
            "{words}"
        );
        let json = inspect(&path, &[&flags[..], &["--output", "json"]].concat());
        let value: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(value["head"], head, "{name}");
        assert_eq!(value["input_hw"], serde_json::json!(input_hw), "{name}");
        assert_eq!(value["classes"].as_array().map(Vec::len), Some(80), "{name}");
        assert_eq!(value["inputs"][0]["type"], precision, "{name}");
        assert!(value.get("refused").is_none(), "{name}");
        for asked in ["yolov8", "yolov5", "yolox", "end2end", "detr"] {
            let answer = inspect(&path, &[&flags[..], &["--head", asked]].concat());
            if (head, asked) == ("yolox", "yolov5") {
                // Decoded heads with objectness and one anchor a cell have YOLOX's shape.
                continue;
            }
            if asked == head {
                assert!(answer.status.success(), "{name} is {asked}: {}", stdout(&answer));
            } else {
                assert_eq!(answer.status.code(), Some(3), "{name} is no {asked}: {}", stdout(&answer));
                assert!(stdout(&answer).contains("refused   "), "{}", stdout(&answer));
            }
            if asked != head && name == "yolov5n-dyn-fp32" {
                // Its file names no dimension of the output: what it is, is seen by running it.
                let bus = picture("bus");
                let run =
                    [&["detect", &bus, "-m", &path, "--out", "-", "--head", asked], &flags[..]].concat();
                let output = sightline::output(&run);
                assert_eq!(output.status.code(), Some(3), "{name} is no {asked}: {output:?}");
                assert!(stderr(&output).contains("does not fit the model"), "{}", stderr(&output));
                assert!(output.stdout.is_empty());
            }
        }
        if input_hw[0].is_some() {
            let answer = inspect(&path, &[&flags[..], &["--imgsz", "192x256"]].concat());
            assert_eq!(answer.status.code(), Some(3), "{name}: {}", stdout(&answer));
            let (h, w) = (input_hw[0].unwrap(), input_hw[1].unwrap());
            assert!(stdout(&answer).contains(&format!("fixed at {h}x{w}")), "{}", stdout(&answer));
        }
    }
}

#[test]
fn a_dynamic_model_runs_at_the_size_asked_for_height_first() {
    let (path, _) = given("yolov5n-dyn-fp32", &[]);
    let run = |more: &[&str]| {
        let output =
            sightline::output(&[&["detect", &picture("bus"), "-m", &path, "--out", "-"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        frames::parse(&stdout(&output)).remove(0)
    };
    // 810x1080: upright it fits, lying there is room for a small one only.
    let (upright, lying) = (run(&["--imgsz", "640x480"]), run(&["--imgsz", "96x640"]));
    let surest = |frame: &Frame| frame.detections.iter().map(|found| found.confidence).fold(0.0, f64::max);
    assert!(
        labels(&upright).iter().filter(|label| **label == "person").count() >= 3,
        "{:?}",
        labels(&upright)
    );
    assert!(surest(&lying) < surest(&upright) - 0.1, "{:?}", labels(&lying));
    // The longer side alone is rectangular by the picture: the same shape, the same result.
    let boxes = |frame: &Frame| frame.detections.iter().map(|found| found.fractions).collect::<Vec<_>>();
    assert_eq!(boxes(&run(&["--imgsz", "640"])), boxes(&upright));
    for (size, sentence) in [("384x600", "384x600"), ("100", "100")] {
        let refused = sightline::output(&["detect", &picture("bus"), "-m", &path, "--imgsz", size]);
        assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
        let side = sentence.rsplit('x').next().unwrap();
        assert!(
            stderr(&refused).contains(&format!("--imgsz {side} is no multiple of the model's stride 32"))
        );
    }
}

#[test]
fn names_come_as_a_list_an_object_or_lines() {
    let folder = tempfile::tempdir().unwrap();
    let list: Vec<String> =
        serde_json::from_slice(&std::fs::read(data("coco80_names.json")).unwrap()).unwrap();
    let mine: Vec<String> = list.iter().map(|name| format!("my {name}")).collect();
    let object: serde_json::Map<String, Value> =
        mine.iter().enumerate().map(|(id, name)| (id.to_string(), Value::from(name.as_str()))).collect();
    let forms = [
        ("list.json", serde_json::to_string(&mine).unwrap()),
        ("object.json", serde_json::to_string(&object).unwrap()),
        ("lines.txt", mine.join("\n") + "\n"),
    ];
    let (path, _) = given("yolox_nano-416", &[]);
    let run = |names: &Path| {
        sightline::output(&[
            "detect",
            &picture("bus"),
            "-m",
            &path,
            "--names",
            text(names),
            "--out",
            "-",
            "--iou",
            "0.45",
        ])
    };
    for (name, content) in &forms {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let output = run(&file);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let lines = frames::parse(&stdout(&output));
        assert_eq!(
            labels(&lines[0]),
            ["my bus", "my person", "my person", "my person", "my person"],
            "{name}"
        );
        // They override the model's own.
        let own = sightline::output(&[
            "detect",
            &picture("bus"),
            "-m",
            &fast_model(),
            "--names",
            text(&file),
            "--classes",
            "my bus",
            "--out",
            "-",
        ]);
        assert_eq!(labels(&frames::parse(&stdout(&own))[0]), ["my bus"]);
    }
    let few = folder.path().join("few.txt");
    std::fs::write(&few, "a\nb\n").unwrap();
    let output = run(&few);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("there are 2 class names, but the model tells 80 classes apart"),
        "{}",
        stderr(&output)
    );
    let output = run(&folder.path().join("absent.txt"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("absent.txt: No such file"), "{}", stderr(&output));
}

#[test]
fn files_that_are_no_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = std::fs::read(fast_model()).unwrap();
    let cases: [(&str, Option<Vec<u8>>, &str); 5] = [
        ("absent.onnx", None, "there is no such file; check the path"),
        ("empty.onnx", Some(vec![]), "the file is empty; copy or export it again"),
        (
            "cut.onnx",
            Some(model[..model.len() / 2].to_vec()),
            "it is no ONNX model that can be run, or it was cut off",
        ),
        ("prose.onnx", Some(b"Not a model.\n".repeat(99)), "it is no ONNX model that can be run"),
        ("jpeg.onnx", Some(std::fs::read(data("images/bus.jpg")).unwrap()), "copy or export it again"),
    ];
    for (name, bytes, sentence) in cases {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let out = folder.path().join("out.jsonl");
        let output = sightline::output(&["detect", &picture("bus"), "-m", text(&path), "--out", text(&out)]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.starts_with(&format!("sightline: model {}: ", text(&path))) && said.contains(sentence),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "one sentence: {said}");
        assert!(!out.exists());
        let inspected = inspect(text(&path), &[]);
        assert_eq!(inspected.status.code(), Some(3), "{}", stderr(&inspected));
        assert!(stderr(&inspected).contains(sentence));
    }
}

#[test]
fn models_that_are_not_understood_are_refused() {
    const TWO: &[(&str, &str)] = &[("names", "{0: 'cat', 1: 'dog'}")];
    let made =
        |input: &'static [u64], output: &'static [u64], metadata: &'static [(&'static str, &'static str)]| {
            Model { input, output, values: vec![], metadata }.to_bytes()
        };
    let cases = [
        (made(&[1, 3, 64, 64], &[1, 7, 7, 30], TWO), "no known head has such outputs: output0 [1, 7, 7, 30]"),
        (made(&[1, 1, 64, 64], &[1, 6, 84], TWO), "takes 1 channels; pictures have 3"),
        (made(&[1, 4, 64, 64], &[1, 6, 84], TWO), "takes 4 channels; pictures have 3"),
        (made(&[1, 3, 64, 64], &[1, 6, 84], &[]), "names no classes; give them with --names FILE"),
        (
            made(&[1, 3, 64, 64], &[1, 9, 84], TWO),
            "there are 2 class names, but the model tells 5 classes apart",
        ),
        (
            made(&[1, 3, 64, 64], &[1, 6, 84], &[("names", "{0: 'cat', 1: 'dog'}"), ("task", "segment")]),
            "the model's task is segment",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.onnx");
    for (bytes, sentence) in cases {
        std::fs::write(&path, bytes).unwrap();
        let output = sightline::output(&["detect", &picture("bus"), "-m", text(&path), "--out", "-"]);
        assert_eq!(output.status.code(), Some(3), "{sentence}: {}", stderr(&output));
        assert!(stderr(&output).contains(sentence), "{sentence}: {}", stderr(&output));
        let inspected = inspect(text(&path), &["--output", "json"]);
        assert_eq!(inspected.status.code(), Some(3), "{sentence}");
        let value: Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert!(value["refused"].as_str().unwrap().contains(sentence), "{value}");
        assert!(value["inputs"][0]["shape"].is_array());
    }
}

#[test]
fn a_flood_of_boxes_is_bounded() {
    // `[1, 4 + 1, 33600]`: every anchor is sure, each somewhere else.
    const ANCHORS: usize = 33_600;
    let row = |value: &dyn Fn(usize) -> f32| (0..ANCHORS).map(value).collect::<Vec<_>>();
    let values = [
        row(&|i| (i % 210) as f32 * 6.0),
        row(&|i| (i / 210) as f32 * 8.0),
        row(&|_| 5.0),
        row(&|_| 7.0),
        row(&|i| 0.9 - i as f32 * 1e-6),
    ]
    .concat();
    let model = Model {
        input: &[1, 3, 1280, 1280],
        output: &[1, 5, ANCHORS as u64],
        values,
        metadata: &[("names", "['thing']")],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flood.onnx");
    std::fs::write(&path, model.to_bytes()).unwrap();
    let output =
        sightline::output(&["detect", &picture("bus"), "-m", text(&path), "--head", "yolov8", "--out", "-"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = frames::parse(&stdout(&output));
    assert!((100..=300).contains(&lines[0].detections.len()), "{}", lines[0].detections.len());
}
