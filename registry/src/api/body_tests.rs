#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;
use sightline_schema::Credentials;

use super::*;

fn field(value: Value) -> String {
    camera(value, None).err().unwrap().field
}

#[test]
fn what_is_wrong_with_a_camera_is_named_by_its_field() {
    let with = |name: &str, value: Value| {
        let mut camera = json!({"id": "gate", "source": "rtsp://10.0.0.5/1"});
        camera[name] = value;
        camera
    };
    assert_eq!(field(with("colour", json!(1))), "colour");
    assert_eq!(field(with("zones", json!([{"id": "z", "polygon": [], "colour": 1}]))), "zones[0].colour");
    assert_eq!(field(with("detect", json!({"confidence": "high"}))), "detect.confidence");
    assert_eq!(field(with("name", json!(7))), "name");
    assert_eq!(field(with("zones", json!([{"id": "z", "polygon": [[0, 0], [1, 1]]}]))), "zones[0].polygon");
    assert_eq!(field(with("id", json!("Gate"))), "id");
    assert_eq!(field(json!([])), "");
    assert!(camera(json!({"id": "gate"}), None).err().unwrap().reason.contains("streams"));
}

#[test]
fn an_id_comes_from_the_path_or_agrees_with_it() {
    let given = camera(json!({"source": "rtsp://10.0.0.5/1", "generation": 4}), Some("gate")).ok().unwrap();
    assert_eq!((given.camera.id.as_str(), given.generation), ("gate", Some(4)));
    let error = camera(json!({"id": "yard", "source": "x"}), Some("gate")).err().unwrap();
    assert_eq!(error.field, "id");
}

fn patched(current: &Camera, patch: Value) -> Camera {
    let Value::Object(patch) = patch else { panic!("an object") };
    camera(merged(current, patch).unwrap(), None).ok().unwrap().camera
}

#[test]
fn a_merge_patch_changes_what_it_names() {
    let mut current = Camera::new("gate", "rtsp://10.0.0.5/1");
    current.labels.insert("site".into(), "hq".into());
    current.credentials = Some(Credentials::Secret { secret: "gate".into() });
    let named = patched(&current, json!({"name": "Gate", "labels": {"floor": "2"}}));
    assert_eq!((named.name.as_str(), named.labels.len()), ("Gate", 2));
    assert_eq!(named.credentials, current.credentials);
    assert!(patched(&named, json!({"labels": null, "name": null})).labels.is_empty());
    let inline = patched(&current, json!({"credentials": {"user": "ann", "password": "p"}}));
    assert!(inline.credentials.unwrap().is_inline());
    assert_eq!(patched(&current, json!({"credentials": null})).credentials, None);
    let elsewhere = patched(&current, json!({"source": "rtsp://ann:p@10.0.0.6/1"}));
    assert_eq!(elsewhere.streams[0].uri, "rtsp://10.0.0.6/1");
    assert!(elsewhere.credentials.unwrap().is_inline());
    let both = json!({"source": "x", "streams": []});
    assert!(merged(&current, both.as_object().unwrap().clone()).is_err());
}

#[test]
fn an_import_is_a_list_or_an_object_with_one() {
    assert_eq!(items(json!([1, 2])).unwrap().len(), 2);
    assert_eq!(items(json!({"cameras": [1]})).unwrap().len(), 1);
    for bad in
        [json!({}), json!({"cameras": 1}), json!({"cameras": [], "colour": 1}), json!("x"), json!(null)]
    {
        items(bad).unwrap_err();
    }
}

#[test]
fn media_types_are_read_without_their_parameters() {
    let of = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, text.parse().unwrap());
        media_type(&headers)
    };
    assert_eq!(of("Application/JSON; charset=utf-8"), "application/json");
    assert_eq!(of("application/json; charset=\"UTF-8\""), "application/json");
    assert_eq!(of("application/json; charset=latin1"), "");
    assert_eq!(media_type(&HeaderMap::new()), "");
}

#[test]
fn no_password_is_shown_in_what_is_wrong() {
    for bad in [
        json!({"id": "gate", "source": ["rtsp://ann:hunter2@10.0.0.5/1"]}),
        json!({"id": "gate", "source": "x", "credentials": {"user": "ann", "password": ["hunter2"]}}),
        json!({"id": "gate", "source": "rtsp://a:b@h/1", "credentials": {"user": "ann", "password": "hunter2"}}),
        json!({"id": "gate", "name": {"x": "rtsp://ann:hunter2@h"}, "source": "x"}),
    ] {
        let error = camera(bad, None).err().unwrap();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
