#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::names::parse_python;
use super::*;

const FREE: Option<u64> = None;

fn tensor(name: &str, element: Element, dims: &[Option<u64>]) -> TensorFacts {
    TensorFacts { name: name.into(), element, dims: dims.to_vec() }
}

fn fixed(dims: &[u64]) -> Vec<Option<u64>> {
    dims.iter().copied().map(Some).collect()
}

/// A model of one picture input and one output.
fn model(input: &[Option<u64>], output: &[Option<u64>], metadata: &[(&str, &str)]) -> ModelDescription {
    ModelDescription {
        inputs: vec![tensor("images", Element::F32, input)],
        outputs: vec![tensor("output0", Element::F32, output)],
        metadata: metadata.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
    }
}

fn square(side: u64) -> Vec<Option<u64>> {
    fixed(&[1, 3, side, side])
}

const ANY_SIZE: [Option<u64>; 4] = [FREE, Some(3), FREE, FREE];

/// `{0: 'c0', …}` as an exporter writes it.
fn literal(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|id| format!("{id}: 'c{id}'")).collect();
    format!("{{{}}}", names.join(", "))
}

fn named(count: usize) -> Overrides {
    Overrides { names: Some((0..count).map(|id| format!("c{id}")).collect()), ..Overrides::default() }
}

fn asked(head: Head) -> Overrides {
    Overrides { head: Some(head), ..named(80) }
}

fn sized(text: &str) -> Overrides {
    Overrides { imgsz: Some(text.parse().unwrap()), ..Overrides::default() }
}

fn head_of(model: &ModelDescription, overrides: &Overrides) -> Result<Head, Refusal> {
    understand(model, overrides).map(|plan| plan.head)
}

fn ultralytics(input: &[Option<u64>], output: &[Option<u64>], end2end: &str) -> ModelDescription {
    let names = literal(80);
    let metadata =
        [("stride", "32"), ("task", "detect"), ("names", &names), ("end2end", end2end), ("channels", "3")];
    model(input, output, &metadata)
}

fn yolov5(input: &[Option<u64>], output: &[Option<u64>]) -> ModelDescription {
    model(input, output, &[("stride", "32"), ("names", &literal(80))])
}

fn deim() -> ModelDescription {
    ModelDescription {
        inputs: vec![
            tensor("images", Element::F32, &[FREE, Some(3), Some(320), Some(320)]),
            tensor("orig_target_sizes", Element::I64, &[FREE, Some(2)]),
        ],
        outputs: vec![
            tensor("labels", Element::I64, &[FREE, FREE]),
            tensor("boxes", Element::F32, &[FREE, FREE, Some(4)]),
            tensor("scores", Element::F32, &[FREE, FREE]),
        ],
        metadata: BTreeMap::new(),
    }
}

/// What the eight models of the test data say of themselves, and that naming the right head never hurts.
#[test]
fn real_models_are_told() {
    let none = Overrides::default();
    let fp16 = {
        let mut model = yolov5(&square(640), &fixed(&[1, 25_200, 85]));
        model.inputs[0].element = Element::F16;
        model.outputs[0].element = Element::F16;
        model
    };
    let cases = [
        (deim(), named(80), Head::Detr),
        (ultralytics(&square(320), &fixed(&[1, 84, 2100]), "False"), none.clone(), Head::Yolov8),
        (ultralytics(&square(640), &fixed(&[1, 300, 6]), "True"), none.clone(), Head::End2end),
        (fp16, none.clone(), Head::Yolov5),
        (yolov5(&ANY_SIZE, &[FREE, FREE, FREE]), none.clone(), Head::Yolov5),
        (ultralytics(&square(640), &fixed(&[1, 84, 8400]), "False"), none, Head::Yolov8),
        (model(&square(416), &fixed(&[1, 3549, 85]), &[]), named(80), Head::Yolox),
    ];
    for (model, overrides, head) in cases {
        let plan = understand(&model, &overrides).unwrap();
        assert_eq!((plan.head, plan.classes.len(), plan.stride), (head, 80, 32));
        assert_eq!(plan.images, "images");
        assert_eq!(plan.element, model.inputs[0].element);
        let said = Overrides { head: Some(head), ..overrides };
        assert_eq!(understand(&model, &said).unwrap(), plan);
    }
}

#[test]
fn yolov5_and_yolox_are_told_by_anchors_or_metadata() {
    let with =
        |input: &[Option<u64>], output: &[Option<u64>]| head_of(&model(input, output, &[]), &named(80));
    assert_eq!(with(&square(640), &fixed(&[1, 25_200, 85])), Ok(Head::Yolov5));
    assert_eq!(with(&square(640), &fixed(&[1, 8400, 85])), Ok(Head::Yolox));
    assert_eq!(with(&fixed(&[1, 3, 384, 640]), &fixed(&[1, 15_120, 85])), Ok(Head::Yolov5));
    // P6: 102,000 at 1280.
    assert_eq!(with(&square(1280), &fixed(&[1, 102_000, 85])), Ok(Head::Yolov5));

    let free = [FREE, FREE, Some(85)];
    let refusal = with(&ANY_SIZE, &free).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the model's output output0 [?, ?, 85] may be that of a yolov5 or yolox model; name it with --head"
    );
    assert_eq!(head_of(&yolov5(&ANY_SIZE, &free), &Overrides::default()), Ok(Head::Yolov5));
    for head in [Head::Yolov5, Head::Yolox] {
        assert_eq!(head_of(&model(&ANY_SIZE, &free, &[]), &asked(head)), Ok(head));
    }
    // One anchor a cell and yolov5's metadata disagree.
    let both = yolov5(&square(640), &fixed(&[1, 8400, 85]));
    assert!(matches!(head_of(&both, &Overrides::default()), Err(Refusal::AmbiguousHead { .. })));
}

#[test]
fn few_rows_of_six_are_end_to_end() {
    let with =
        |output: &[Option<u64>], names: usize| head_of(&model(&square(640), output, &[]), &named(names));
    assert_eq!(with(&fixed(&[1, 300, 6]), 80), Ok(Head::End2end));
    assert_eq!(with(&[FREE, Some(300), Some(6)], 1), Ok(Head::End2end));
    // One class.
    assert_eq!(with(&fixed(&[1, 25_200, 6]), 1), Ok(Head::Yolov5));
    assert_eq!(with(&fixed(&[1, 8400, 6]), 1), Ok(Head::Yolox));
    // Two classes.
    assert_eq!(with(&fixed(&[1, 6, 8400]), 2), Ok(Head::Yolov8));
    // A dynamic export names its last dimension.
    let dynamic = ultralytics(&ANY_SIZE, &[FREE, Some(300), FREE], "True");
    assert_eq!(head_of(&dynamic, &Overrides::default()), Ok(Head::End2end));
    assert!(matches!(
        head_of(&model(&ANY_SIZE, &[FREE, FREE, Some(6)], &[]), &named(80)),
        Err(Refusal::AmbiguousHead { .. })
    ));
}

#[test]
fn yolov8_is_told_dynamic_and_transposed() {
    let dynamic = ultralytics(&ANY_SIZE, &[FREE, Some(84), FREE], "False");
    assert_eq!(head_of(&dynamic, &Overrides::default()), Ok(Head::Yolov8));
    let transposed = model(&square(640), &fixed(&[1, 8400, 84]), &[]);
    assert_eq!(head_of(&transposed, &named(80)), Ok(Head::Yolov8));
    // As many as a transposed one of 80 classes, but no grid: RT-DETR as Ultralytics exports it.
    let queries = model(&square(640), &fixed(&[1, 300, 84]), &[("task", "detect")]);
    assert!(matches!(head_of(&queries, &named(80)), Err(Refusal::UnknownHead { .. })));
}

#[test]
fn detr_is_told_whatever_the_order_and_names() {
    let mut model = deim();
    model.inputs.reverse();
    model.outputs.rotate_left(1);
    model.outputs[0].name = "b".into();
    model.inputs[0].name = "size".into();
    let plan = understand(&model, &named(80)).unwrap();
    assert_eq!((plan.head, plan.images.as_str()), (Head::Detr, "images"));
    assert_eq!(plan.original_size.as_deref(), Some("size"));
    let outputs = Outputs::Detr { labels: "labels".into(), boxes: "b".into(), scores: "scores".into() };
    assert_eq!(plan.outputs, outputs);
    assert_eq!(plan.preprocess.fit, Fit::Stretch);
}

#[test]
fn what_is_no_detector_of_pictures_is_refused() {
    let refusal = |model: &ModelDescription| understand(model, &named(80)).unwrap_err();
    let good = || ultralytics(&square(640), &fixed(&[1, 84, 8400]), "False");

    for task in ["segment", "pose", "obb", "classify"] {
        let mut model = good();
        model.metadata.insert("task".into(), task.into());
        assert_eq!(refusal(&model), Refusal::Task { task: task.into() });
    }
    let mut gray = good();
    gray.inputs[0].dims[1] = Some(1);
    assert!(refusal(&gray).to_string().contains("takes 1 channels"));
    let mut bytes = good();
    bytes.inputs[0].element = Element::Other("uint8".into());
    assert!(refusal(&bytes).to_string().contains("of type uint8; float32 or float16"));
    let mut text = good();
    text.inputs[0].dims.truncate(2);
    assert!(matches!(refusal(&text), Refusal::NoPictureInput { .. }));
    let mut more = good();
    more.inputs.push(tensor("threshold", Element::F32, &[]));
    assert!(matches!(refusal(&more), Refusal::UnknownInput { .. }));
    let classifier = model(&square(224), &fixed(&[1, 1000]), &[]);
    assert!(matches!(refusal(&classifier), Refusal::UnknownHead { .. }));
    assert!(matches!(refusal(&ModelDescription::default()), Refusal::NoPictureInput { .. }));
}

#[test]
fn names_are_needed_and_have_to_agree() {
    let nameless = model(&square(416), &fixed(&[1, 3549, 85]), &[]);
    let refusal = understand(&nameless, &Overrides::default()).unwrap_err();
    assert_eq!(refusal.to_string(), "the yolox model names no classes; give them with --names FILE");
    let refusal = understand(&nameless, &named(79)).unwrap_err();
    assert!(matches!(refusal, Refusal::NamesCount { names: 79, classes: 80, .. }), "{refusal}");
    let v8 = ultralytics(&square(640), &fixed(&[1, 84, 8400]), "False");
    for head in [None, Some(Head::Yolov8)] {
        let refusal = understand(&v8, &Overrides { head, ..named(1) }).unwrap_err();
        assert!(matches!(refusal, Refusal::NamesCount { names: 1, classes: 80, .. }), "{refusal}");
    }
    // A person's names are stronger than the metadata, readable or not.
    assert_eq!(understand(&v8, &named(80)).unwrap().classes[79], "c79");
    let broken = model(&square(640), &fixed(&[1, 84, 8400]), &[("names", "{0: 'a")]);
    assert!(understand(&broken, &named(80)).is_ok());
    assert!(matches!(understand(&broken, &Overrides::default()), Err(Refusal::Names(_))));
}

#[test]
fn a_head_that_cannot_be_is_refused() {
    let v8 = ultralytics(&square(640), &fixed(&[1, 84, 8400]), "False");
    let v5 = yolov5(&square(640), &fixed(&[1, 25_200, 85]));
    let end2end = ultralytics(&square(640), &fixed(&[1, 300, 6]), "True");
    for (model, right) in
        [(&v8, Head::Yolov8), (&v5, Head::Yolov5), (&end2end, Head::End2end), (&deim(), Head::Detr)]
    {
        for head in Head::ALL {
            let told = head_of(model, &asked(head));
            if head == right {
                assert_eq!(told, Ok(right));
            } else {
                assert!(matches!(told, Err(Refusal::HeadDoesNotFit { .. })), "{right} as {head}: {told:?}");
            }
        }
    }
    let refusal = head_of(&v8, &asked(Head::Yolox)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "--head yolox does not fit the model: it gives 85 values an anchor for 80 classes, and the output is \
         output0 [1, 84, 8400]; leave it out, or name another"
    );
}

#[test]
fn imgsz_is_held_against_the_model() {
    let still = ultralytics(&square(640), &fixed(&[1, 84, 8400]), "False");
    let plan = understand(&still, &Overrides::default()).unwrap();
    assert_eq!(plan.fixed_input(), Some(InputSize { height: 640, width: 640 }));
    assert_eq!(plan.input_for((1920, 1080)), InputSize { height: 640, width: 640 });
    for same in ["640", "640x640"] {
        assert!(understand(&still, &sized(same)).is_ok());
    }
    for other in ["320", "384x640"] {
        assert!(matches!(understand(&still, &sized(other)), Err(Refusal::StaticInput { .. })));
    }

    let mut free = ultralytics(&ANY_SIZE, &[FREE, Some(84), FREE], "False");
    let size = |model: &ModelDescription, overrides: &Overrides| {
        understand(model, overrides).unwrap().input_for((1920, 1080)).to_string()
    };
    assert_eq!(size(&free, &Overrides::default()), "384x640");
    assert_eq!(size(&free, &sized("320")), "192x320");
    assert_eq!(size(&free, &sized("640x640")), "640x640");
    assert_eq!(understand(&free, &Overrides::default()).unwrap().fixed_input(), None);
    let refusal = understand(&free, &sized("360x640")).unwrap_err();
    assert_eq!(refusal.to_string(), "--imgsz 360 is no multiple of the model's stride 32; 384 would be");
    free.metadata.insert("imgsz".into(), "[320, 320]".into());
    assert_eq!(size(&free, &Overrides::default()), "192x320");
    free.metadata.insert("stride".into(), "64".into());
    assert_eq!(size(&free, &sized("1280")), "768x1280");
    assert!(understand(&free, &sized("96")).is_err());

    for wrong in ["", "x", "640x", "0", "-1", "640x0", "1x2x3", "99999999999", "640.0"] {
        assert!(wrong.parse::<ImageSize>().is_err(), "{wrong}");
    }
    assert_eq!("384x640".parse(), Ok(ImageSize::Exact(InputSize { height: 384, width: 640 })));
}

#[test]
fn python_literals_are_read() {
    let read = |text: &str| parse_python(text).map(|names| names.join("|"));
    assert_eq!(read("{0: 'person', 1: \"it's\"}").unwrap(), "person|it's");
    assert_eq!(
        read(r#"{0: 'a\'b', 1: 'c\\d', 2: '\x41\u00e9\U0001F600\n', 3: '\d'}"#).unwrap(),
        "a'b|c\\d|Aé😀\n|\\d"
    );
    assert_eq!(read("  ['a' , \"b, c]\",\n'd',] ").unwrap(), "a|b, c]|d");
    assert_eq!(read("('a', 'b')").unwrap(), "a|b");
    assert_eq!(read(r#"{"0": "a", '2': 'c'}"#).unwrap(), "a|class 1|c");
    assert_eq!(read("{1: 'b', 0: 'a'}").unwrap(), "a|b");
    for wrong in [
        "",
        "{",
        "[",
        "person",
        "{0: 'a'",
        "{0 'a'}",
        "{0: a}",
        "{'x': 'a'}",
        "{-1: 'a'}",
        "{0: 'a'} b",
        "{0: 'a', 0: 'b'}",
        "{0: ''}",
        "{}",
        "[]",
        "{99999999: 'a'}",
        "{0: 'a\\",
        "{0: '\\xé'}",
        "{0: '\\ud800'}",
        "{0: None}",
        "['a' 'b']",
    ] {
        assert!(parse_python(wrong).is_err(), "{wrong}");
    }
    let error = parse_python("{0: 'a', 1 'b'}").unwrap_err();
    assert_eq!(error.to_string(), "at byte 11, a colon behind the class id was expected");
}

#[test]
fn names_files_are_read() {
    let read = |text: &str| parse_names_file(text).map(|names| names.join("|"));
    assert_eq!(read("[\"a\", \"b c\"]").unwrap(), "a|b c");
    assert_eq!(read("\u{feff}{\"1\": \"b\", \"0\": \"a\"}\n").unwrap(), "a|b");
    assert_eq!(read("a\r\n b c \n\nd").unwrap(), "a|b c|d");
    for wrong in [
        "",
        " \n",
        "[]",
        "{}",
        "[1]",
        "[\"\"]",
        "{\"a\": \"b\"}",
        "{\"0\": 1}",
        "[\"a\"",
        "{\"70000\": \"a\"}",
    ] {
        assert!(parse_names_file(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn strides_are_read_however_written() {
    assert_eq!(parse_stride("32"), Some(32));
    assert_eq!(parse_stride("32.0"), Some(32));
    assert_eq!(parse_stride("[8, 16, 64]"), Some(64));
    assert_eq!(parse_stride("tensor([ 8., 16., 32.])"), Some(32));
    assert_eq!(parse_stride("none"), None);
    assert_eq!(parse_stride("0"), None);
}
