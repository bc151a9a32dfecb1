#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;
use crate::InlineCredentials;

/// As in the design.
fn gate() -> Value {
    json!({
        "schema": "camera/1", "id": "gate-3", "generation": 4, "name": "North gate",
        "streams": [
            {"role": "detect", "uri": "rtsp://10.0.0.5/stream2", "transport": "tcp", "latency_ms": 200},
            {"role": "main", "uri": "rtsp://10.0.0.5/stream1"}
        ],
        "credentials": {"secret": "gate-3"},
        "sampling": {"mode": "fps", "fps": 5},
        "detect": {
            "classes": ["person", "car"], "confidence": 0.25, "class_confidence": {"car": 0.4}, "iou": 0.7,
            "min_area": 0.0005, "max_area": 0.9
        },
        "masks": [{"id": "tree", "polygon": [[0, 0], [0.2, 0], [0.2, 0.3]]}],
        "privacy": [{"id": "window", "polygon": [[0.8, 0], [1, 0], [1, 0.2]]}],
        "zones": [{
            "id": "dock", "name": "Dock", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 0.9], [0.1, 0.9]],
            "classes": ["person"], "dwell_s": 30
        }],
        "lines": [{"id": "entrance", "name": "Entrance", "from": [0.2, 0.4], "to": [0.8, 0.4], "classes": ["person"]}],
        "anchor": "bottom_center", "pool": "default", "labels": {"site": "hq"}, "enabled": true
    })
}

fn parse(json: Value) -> Result<Camera, String> {
    serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut camera = gate();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match camera.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
        object => object[field] = value,
    }
    camera
}

fn inline(user: &str, password: &str) -> Option<Credentials> {
    Some(Credentials::Inline(InlineCredentials { user: user.into(), password: password.into() }))
}

#[test]
fn the_designs_example_is_read_and_usable() {
    let camera = parse(gate()).unwrap();
    camera.validate().unwrap();
    assert_eq!(camera.sampling, Sampling::Fps { fps: 5.0 });
    assert_eq!(camera.stream(Role::Main).unwrap().uri, "rtsp://10.0.0.5/stream1");
    assert_eq!(camera.zones[0].dwell_s, Some(30.0));
}

#[test]
fn little_is_needed() {
    let camera =
        parse(json!({"id": "a", "streams": [{"role": "detect", "uri": "rtsp://10.0.0.5/1"}]})).unwrap();
    assert_eq!(camera, Camera::new("a", "rtsp://10.0.0.5/1"));
    assert_eq!((camera.generation, camera.enabled, camera.pool.as_str()), (1, true, "default"));
    assert_eq!(camera.sampling, Sampling::EveryFrame);
    assert_eq!((camera.detect.confidence, camera.detect.iou), (0.25, 0.7));
    assert_eq!((camera.streams[0].transport, camera.streams[0].latency_ms), (Transport::Tcp, 200));
    camera.validate().unwrap();
}

#[test]
fn a_source_means_one_stream_to_detect_on() {
    let wanted = Camera::new("a", "rtsp://10.0.0.5/1");
    assert_eq!(parse(json!({"id": "a", "source": {"uri": "rtsp://10.0.0.5/1"}})).unwrap(), wanted);
    assert_eq!(parse(json!({"id": "a", "source": "rtsp://10.0.0.5/1"})).unwrap(), wanted);
    let error = parse(json!({"id": "a", "source": "x", "streams": []})).unwrap_err();
    assert!(error.contains("streams"), "{error}");
    assert!(parse(json!({"id": "a"})).unwrap_err().contains("streams"));
}

#[test]
fn unknown_fields_are_named() {
    for (pointer, field) in [
        ("/colour", "colour"),
        ("/streams/0/colour", "colour"),
        ("/credentials/colour", "colour"),
        ("/sampling/colour", "colour"),
        ("/detect/colour", "colour"),
        ("/masks/0/colour", "colour"),
        ("/privacy/0/colour", "colour"),
        ("/zones/0/colour", "colour"),
        ("/lines/0/colour", "colour"),
    ] {
        let error = parse(with(pointer, json!(1))).unwrap_err();
        assert!(error.contains(&format!("unknown field `{field}`")), "{pointer}: {error}");
    }
    let file =
        serde_json::from_value::<CameraFile>(json!({"cameras": [], "colour": 1})).unwrap_err().to_string();
    assert!(file.contains("unknown field `colour`"), "{file}");
}

#[test]
fn another_schema_is_refused() {
    let error = parse(with("/schema", json!("camera/2"))).unwrap_err();
    assert!(error.contains("camera/2") && error.contains("camera/1"), "{error}");
}

#[test]
fn a_sampling_mode_takes_its_own_fields_alone() {
    for bad in [
        json!({"mode": "fps"}),
        json!({"mode": "fps", "fps": 5, "max_fps": 7}),
        json!({"mode": "every_frame", "fps": 5}),
        json!({"mode": "keyframes", "fps": 5}),
        json!({"mode": "adaptive", "min_fps": 5}),
        json!({"mode": "sometimes"}),
        json!({"fps": 5}),
        json!("every_frame"),
    ] {
        parse(with("/sampling", bad.clone())).expect_err(&bad.to_string());
    }
    assert_eq!(parse(with("/sampling", json!({"mode": "keyframes"}))).unwrap().sampling, Sampling::Keyframes);
}

#[test]
fn passwords_in_uris_are_taken_out_on_reading() {
    let camera = parse(json!({"id": "a", "streams": [
        {"role": "detect", "uri": "rtsp://u:hunter2@10.0.0.5/2"},
        {"role": "main", "uri": "rtsp://u:hunter2@10.0.0.5/1"}
    ]}))
    .unwrap();
    assert_eq!(camera.streams[0].uri, "rtsp://10.0.0.5/2");
    assert_eq!(camera.streams[1].uri, "rtsp://10.0.0.5/1");
    assert_eq!(camera.credentials, inline("u", "hunter2"));
    let written = serde_json::to_string(&camera).unwrap();
    assert!(!written.contains("hunter2") && !written.contains("credentials"), "{written}");
    assert!(!format!("{camera:?}").contains("hunter2"));
}

#[test]
fn a_stream_put_together_by_hand_does_not_show_its_password() {
    let stream = StreamSpec::detect("rtsp://u:hunter2@10.0.0.5/2");
    assert!(!format!("{stream:?}").contains("hunter2"));
}

#[test]
fn taking_credentials_keeps_those_that_are_there() {
    let mut camera = Camera::new("a", "rtsp://u:p@10.0.0.5/2");
    assert_eq!(camera.credentials, inline("u", "p"));
    camera.streams[0].uri = "rtsp://x:y@10.0.0.5/2".into();
    camera.take_credentials();
    assert_eq!(camera.credentials, inline("u", "p"));
    assert_eq!(camera.streams[0].uri, "rtsp://10.0.0.5/2");
}

#[test]
fn contradicting_credentials_are_refused_and_not_shown() {
    for camera in [
        json!({"id": "a", "source": "rtsp://u:hunter2@h/1", "credentials": {"secret": "s"}}),
        json!({"id": "a", "source": "rtsp://u:hunter2@h/1", "credentials": {"user": "u", "password": "other"}}),
        json!({"id": "a", "streams": [{"uri": "rtsp://u:hunter2@h/1"}, {"role": "main", "uri": "rtsp://u:x@h/1"}]}),
    ] {
        let error = parse(camera).unwrap_err();
        assert!(error.contains("\"a\"") && error.contains("uri") && !error.contains("hunter2"), "{error}");
    }
    parse(json!({"id": "a", "source": "rtsp://u:p@h/1", "credentials": {"user": "u", "password": "p"}}))
        .unwrap();
}

#[test]
fn a_uri_in_the_wrong_place_does_not_show_its_password() {
    for camera in [
        json!({"id": "a", "streams": ["rtsp://u:hunter2@h/1"]}),
        json!({"id": "a", "source": "x", "detect": "rtsp://u:hunter2@h/1"}),
        json!({"id": ["rtsp://u:hunter2@h/1"], "source": "x"}),
        json!("rtsp://u:hunter2@h/1"),
    ] {
        let error = parse(camera).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = serde_json::from_str::<CameraFile>(r#"{"cameras": "rtsp://u:hunter2@h/1"}"#).unwrap_err();
    assert!(error.to_string().contains("rtsp://h/1"), "{error}");
}

#[test]
fn what_can_not_be_used_is_refused_with_camera_field_reason_and_next_step() {
    let long = "a".repeat(64);
    for (pointer, bad, field, reason) in [
        ("/pool", json!("a/b"), "pool", "DNS label"),
        ("/streams/0/uri", json!(" "), "streams[0].uri", "empty"),
        ("/streams/0/role", json!("main"), "streams", "2 have the role main"),
        ("/streams/1/role", json!("detect"), "streams", "2 have the role detect"),
        ("/streams", json!([]), "streams", "none has the role detect"),
        ("/streams/0/play", json!("loop"), "streams[0].play", "for files"),
        ("/sampling/fps", json!(0), "sampling.fps", "0 is not above 0"),
        ("/sampling/fps", json!(-1), "sampling.fps", "-1 is not above 0"),
        ("/sampling/fps", json!(240.5), "sampling.fps", "at most 240"),
        (
            "/sampling",
            json!({"mode": "adaptive", "min_fps": 1, "max_fps": 5}),
            "sampling.mode",
            "sampling mode adaptive is not available yet; use fps, every_frame or keyframes",
        ),
        ("/detect/confidence", json!(1.01), "detect.confidence", "1.01"),
        ("/detect/iou", json!(-0.1), "detect.iou", "-0.1"),
        ("/detect/class_confidence/car", json!(25), "detect.class_confidence.car", "25"),
        ("/detect/min_area", json!(0.95), "detect.min_area", "0.95 is more than max_area 0.9"),
        ("/detect/min_area", json!(-1), "detect.min_area", "-1"),
        ("/detect/max_area", json!(2), "detect.max_area", "2"),
        ("/masks/0/id", json!("a b"), "masks[0].id", "DNS label"),
        ("/masks/0/polygon", json!([[0, 0], [1, 1]]), "masks[0].polygon", "has 2 points"),
        ("/privacy/0/polygon", json!([]), "privacy[0].polygon", "has 0 points"),
        ("/zones/0/polygon/1", json!([640, 360]), "zones[0].polygon[1]", "[640, 360] lies outside"),
        ("/zones/0/polygon", json!([[0, 0], [1, 1], [1, 0], [0, 1]]), "zones[0].polygon", "crosses itself"),
        ("/masks/0/polygon", json!([[0, 0], [1, 0], [0.5, 0]]), "masks[0].polygon", "crosses itself"),
        (
            "/zones/0/polygon",
            json!([[0, 0], [0, 0], [1, 0], [0, 1]]),
            "zones[0].polygon[1]",
            "repeats the point",
        ),
        (
            "/zones/0/polygon",
            json!([[0, 0], [1, 0], [0, 1], [0, 0]]),
            "zones[0].polygon[0]",
            "repeats the point",
        ),
        ("/zones/0/classes", json!(["person", "person"]), "zones[0].classes[1]", "there twice"),
        ("/lines/0/classes", json!([" "]), "lines[0].classes[0]", "is empty"),
        ("/detect/classes", json!(["car", "car"]), "detect.classes[1]", "there twice"),
        ("/name", json!("x".repeat(257)), "name", "257 bytes"),
        ("/zones/0/name", json!("x".repeat(257)), "zones[0].name", "257 bytes"),
        ("/lines/0/name", json!("x".repeat(257)), "lines[0].name", "257 bytes"),
        ("/streams/0/uri", json!("x".repeat(2049)), "streams[0].uri", "2049 bytes"),
        ("/streams/0/uri", json!("rtsp://a/\n"), "streams[0].uri", "control characters"),
        ("/streams/0/latency_ms", json!(60_001), "streams[0].latency_ms", "60001 is more"),
        ("/labels", json!({"a b": "x"}), "labels", "no name of a label"),
        ("/labels", json!({"": "x"}), "labels", "no name of a label"),
        ("/labels/site", json!("x".repeat(257)), "labels.site", "257 bytes"),
        ("/credentials", json!({"secret": "../etc"}), "credentials.secret", "no name of a secret"),
        ("/credentials", json!({"secret": ""}), "credentials.secret", "no name of a secret"),
        ("/credentials", json!({"user": "u", "password": "x".repeat(257)}), "credentials", "longer than 256"),
        ("/zones/0/dwell_s", json!(0), "zones[0].dwell_s", "above 0"),
        ("/lines/0/from", json!([0.5, -0.1]), "lines[0].from", "outside"),
        ("/lines/0/to", json!([0.2, 0.4]), "lines[0]", "begins where it ends"),
        ("/lines/0/to", json!([1e30, 0.4]), "lines[0].to", "outside"),
        ("/id", json!("Gate"), "id", "DNS label"),
        ("/id", json!(""), "id", "DNS label"),
        ("/id", json!("-a"), "id", "DNS label"),
        ("/id", json!("a-"), "id", "DNS label"),
        ("/id", json!("a.b"), "id", "DNS label"),
        ("/id", json!("törn"), "id", "DNS label"),
        ("/id", json!(long), "id", "DNS label"),
    ] {
        let camera = parse(with(pointer, bad)).unwrap();
        let error = camera.validate().expect_err(pointer);
        assert_eq!((error.camera.as_str(), error.field.as_str()), (camera.id.as_str(), field));
        let shown = error.to_string();
        assert!(shown.contains(reason) && shown.contains(&format!("camera {:?}", camera.id)), "{shown}");
        assert!(!error.next_step.is_empty());
    }
    let many = |n: usize| (0..n).map(|i| (format!("l{i}"), "x".to_owned())).collect();
    let mut camera = parse(gate()).unwrap();
    camera.labels = many(65);
    assert_eq!(camera.validate().unwrap_err().field, "labels");
    camera.labels = many(64);
    camera.validate().unwrap();
    let corner = |i: usize| crate::Point { x: i as f32 / 512.0, y: (i * i) as f32 / 262_144.0 };
    camera.masks[0].polygon = (0..257).map(corner).collect();
    assert!(camera.validate().unwrap_err().reason.contains("257 points"));
    camera.masks[0].polygon.pop();
    camera.validate().unwrap();
    for good in ["a", "0", "gate-3", &long[..63]] {
        parse(with("/id", json!(good))).unwrap().validate().unwrap();
    }
}

#[test]
fn ids_are_used_once_in_a_list() {
    for list in ["masks", "privacy", "zones", "lines"] {
        let mut camera = gate();
        let first = camera[list][0].clone();
        camera[list].as_array_mut().unwrap().push(first);
        let error = parse(camera).unwrap().validate().unwrap_err();
        assert_eq!(error.field, format!("{list}[1].id"));
        assert!(error.reason.contains("used twice"), "{error}");
    }
}

#[test]
fn a_number_that_is_none_is_refused() {
    let mut camera = parse(gate()).unwrap();
    camera.detect.confidence = f32::NAN;
    assert_eq!(camera.validate().unwrap_err().field, "detect.confidence");
    camera = parse(gate()).unwrap();
    camera.sampling = Sampling::Fps { fps: f64::NAN };
    assert_eq!(camera.validate().unwrap_err().field, "sampling.fps");
    camera = parse(gate()).unwrap();
    camera.zones[0].dwell_s = Some(f64::INFINITY);
    assert_eq!(camera.validate().unwrap_err().field, "zones[0].dwell_s");
    camera = parse(gate()).unwrap();
    camera.masks[0].polygon[2].x = f32::NAN;
    assert_eq!(camera.validate().unwrap_err().field, "masks[0].polygon[2]");
}

#[test]
fn a_file_uses_each_id_once() {
    let mut file = CameraFile { cameras: vec![Camera::new("a", "x"), Camera::new("b", "y")] };
    file.validate().unwrap();
    file.cameras.push(Camera::new("a", "z"));
    let error = file.validate().unwrap_err();
    assert_eq!(
        error.to_string(),
        "camera \"a\", id: is used by two cameras; give each camera an id of its own"
    );
    file.cameras[1].id = "B".into();
    assert_eq!(file.validate().unwrap_err().camera, "B");
}

#[test]
fn files_may_be_played_in_a_loop() {
    let camera = parse(json!({"id": "a", "source": {"uri": "clips/gate.mp4", "play": "loop"}})).unwrap();
    camera.validate().unwrap();
    assert_eq!(camera.streams[0].play, Some(Play::Loop));
}
