//! JSON Schemas: generated from the types, and the examples hold to them.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use sightline_schema::{
    Camera, CameraFile, FrameResult, Gap, GapReason, Message, SpecRecord, Status, StreamRecord, Tick,
};

use crate::{check, docs_folder, examples, file_name};

/// What is written under this schema. A reader's unknown fields are allowed.
pub(crate) fn message_schema<T: Message + JsonSchema>() -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    let object = schema.ensure_object();
    object.insert("title".to_owned(), T::SCHEMA.into());
    // serde writes it as a tag, which the derived schema does not know of.
    let mut properties = Map::from_iter([("schema".to_owned(), json!({"const": T::SCHEMA}))]);
    properties.extend(
        object["properties"].as_object().unwrap().clone().into_iter().filter(|(name, _)| name != "schema"),
    );
    object["properties"] = properties.into();
    let required = object["required"].as_array().unwrap().iter().filter(|name| **name != "schema").cloned();
    object["required"] = std::iter::once(json!("schema")).chain(required).collect();
    // Zones and lines are also settings, where an unknown field is a mistake; in a message it is a later version.
    let open = |schema: &mut Schema| {
        if schema.get("additionalProperties") == Some(&json!(false)) {
            schema.remove("additionalProperties");
        }
    };
    RecursiveTransform(open).transform(&mut schema);
    schema
}

/// What may stand in a `cameras.yaml`.
fn camera_file_schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<CameraFile>();
    schema.insert("title".to_owned(), "cameras.yaml".into());
    schema
}

fn check_schema(name: &str, schema: &Schema) {
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    check(&docs_folder().join("schema").join(name), &text);
}

fn check_message<T: Message + JsonSchema>(examples: &[T]) {
    let schema = message_schema::<T>();
    check_schema(&file_name(T::SCHEMA), &schema);
    for example in examples {
        hold(&schema, &serde_json::to_value(example).unwrap());
    }
}

fn hold(schema: &Schema, value: &Value) {
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{value}: {errors:?}");
}

fn refuse(schema: &Schema, value: &Value) {
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    assert!(!validator.is_valid(value), "{value} was let through");
}

#[test]
fn the_schemas_are_those_of_the_types() {
    check_message(&[examples::camera(), Camera::new("a", "rtsp://10.0.0.5/1")]);
    check_message(&[examples::frame(), FrameResult { detections: Vec::new(), ..examples::frame() }]);
    check_message(&[examples::spec()]);
    check_message(&[examples::stream(), StreamRecord { complete: Some(true), ..examples::stream() }]);
    let gaps = GapReason::ALL.map(|reason| Gap { reason, ..examples::gap() });
    check_message(&[&gaps[..], &[examples::counted_gap()]].concat());
    check_message(&[examples::tick(), Tick { error: None, ..examples::tick() }]);
    let [claimed, retrying] = examples::more_statuses();
    check_message(&[examples::status(), claimed, retrying]);
    check_message(&[examples::placement()]);
    check_message(&[examples::pod()]);
    check_message(&[examples::base()]);
    check_message(&[examples::audit()]);
    check_message(&[[examples::event()].as_slice(), &examples::more_events()].concat());
    check_message(&[examples::checkpoint()]);
    check_message(&[examples::job()]);
    check_message(&[[examples::job_status()].as_slice(), &examples::more_job_statuses()].concat());
    check_message(&[examples::job_cancel()]);
    check_schema("cameras-file.json", &camera_file_schema());
}

#[test]
fn a_written_camera_never_says_source_or_password() {
    let schema = message_schema::<Camera>();
    assert!(schema.pointer("/properties/source").is_none());
    assert!(!serde_json::to_string(&schema).unwrap().contains("\"password\""));
}

#[test]
fn a_frame_schema_refuses_what_no_frame_is() {
    let schema = message_schema::<FrameResult>();
    let good = serde_json::to_value(examples::frame()).unwrap();
    for (pointer, bad) in [
        ("/schema", json!("frame/2")),
        ("/seq", json!(-1)),
        ("/captured_at", json!(17)),
        ("/detections", json!(null)),
        ("/detections/0/confidence", json!(1.5)),
        ("/detections/0/box", json!([0.1, 0.2, 0.3])),
        ("/detections/0/box", json!([0.1, 0.2, 0.3, 1.1])),
        ("/detections/0/track/state", json!("lost")),
    ] {
        let mut frame = good.clone();
        *frame.pointer_mut(pointer).unwrap() = bad;
        refuse(&schema, &frame);
    }
    for field in ["schema", "camera", "epoch", "seq", "captured_at", "detections"] {
        let mut frame = good.clone();
        frame.as_object_mut().unwrap().remove(field);
        refuse(&schema, &frame);
    }
    let mut later = good;
    later["weather"] = json!("rain");
    hold(&schema, &later);
}

#[test]
fn spec_zones_of_a_later_version_are_let_through() {
    let schema = message_schema::<SpecRecord>();
    let mut later = serde_json::to_value(examples::spec()).unwrap();
    later["zones"][0]["colour"] = json!("red");
    hold(&schema, &later);
    refuse(&message_schema::<Status>(), &later);
}

#[test]
fn the_camera_file_schema_takes_what_is_read() {
    let schema = camera_file_schema();
    for camera in [
        json!({"id": "a", "source": "rtsp://10.0.0.5/1"}),
        json!({"id": "a", "source": {"uri": "rtsp://10.0.0.5/1", "transport": "udp"}}),
        json!({"id": "a", "streams": [{"role": "detect", "uri": "clip.mp4", "play": "loop"}]}),
        json!({"id": "a", "source": "x", "credentials": {"user": "u", "password": "p"}}),
        json!({"id": "a", "source": "x", "credentials": {"secret": "s"}, "sampling": {"mode": "keyframes"}}),
        serde_json::to_value(examples::camera()).unwrap(),
    ] {
        let file = json!({"cameras": [camera]});
        hold(&schema, &file);
        serde_json::from_value::<CameraFile>(file).unwrap();
    }
    for camera in [
        json!({"id": "a"}),
        json!({"id": "A", "source": "x"}),
        json!({"id": "a", "source": "x", "streams": [{"uri": "y"}]}),
        json!({"id": "a", "source": "x", "colour": "red"}),
        json!({"id": "a", "source": {"uri": "x", "colour": "red"}}),
        json!({"id": "a", "source": "x", "credentials": {"secret": "s", "user": "u"}}),
        json!({"id": "a", "source": "x", "sampling": {"mode": "fps"}}),
        json!({"id": "a", "source": "x", "sampling": {"mode": "keyframes", "fps": 5}}),
    ] {
        refuse(&schema, &json!({"cameras": [camera]}));
    }
}
