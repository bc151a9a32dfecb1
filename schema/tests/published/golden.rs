//! Examples: serialisation gives the golden bytes, and reading them gives the example again.

use std::fmt::Debug;
use std::fs;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sightline_schema::{
    Camera, DetectionsRecord, ErrorCode, FrameResult, Message, Point, RecordError, SpecRecord,
};

use crate::{check, docs_folder, examples, file_name, golden_folder};

fn check_golden<T: Message + DeserializeOwned + PartialEq + Debug>(example: &T) {
    let wanted = serde_json::to_string(example).unwrap() + "\n";
    let path = golden_folder().join(file_name(T::SCHEMA));
    check(&path, &wanted);
    let read: T = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(read, *example);
    assert!(wanted.starts_with(&format!("{{\"schema\":\"{}\",", T::SCHEMA)), "schema comes first: {wanted}");
}

#[test]
fn every_message_is_as_it_was() {
    check_golden(&examples::camera());
    check_golden(&examples::frame());
    check_golden(&examples::spec());
    check_golden(&examples::stream());
    check_golden(&examples::gap());
    check_golden(&examples::tick());
    check_golden(&examples::status());
    check_golden(&examples::placement());
    check_golden(&examples::pod());
    check_golden(&examples::base());
    check_golden(&examples::audit());
    check_golden(&examples::event());
    check_golden(&examples::checkpoint());
    check_golden(&examples::job());
    check_golden(&examples::job_status());
    check_golden(&examples::job_cancel());
}

/// The document shows each message as the golden file has it, but broken into lines.
#[test]
fn the_document_shows_the_golden_examples() {
    let text = fs::read_to_string(docs_folder().join("MESSAGES.md")).unwrap();
    let shown: Vec<Value> = text
        .split("```json\n")
        .skip(1)
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect();
    for name in [
        "camera-1",
        "frame-1",
        "spec-1",
        "stream-1",
        "gap-1",
        "tick-1",
        "status-1",
        "placement-1",
        "pod-1",
        "base-1",
        "audit-1",
        "event-1",
        "checkpoint-1",
        "job-1",
        "job-status-1",
        "job-cancel-1",
    ] {
        let golden = fs::read_to_string(golden_folder().join(name).with_extension("json")).unwrap();
        let golden: Value = serde_json::from_str(&golden).unwrap();
        assert!(shown.contains(&golden), "docs/MESSAGES.md does not show schema/golden/{name}.json");
    }
}

#[test]
fn a_reader_tells_records_apart() {
    let records = [
        DetectionsRecord::Frame(examples::frame()),
        DetectionsRecord::Spec(examples::spec()),
        DetectionsRecord::Stream(examples::stream()),
        DetectionsRecord::Gap(examples::gap()),
        DetectionsRecord::Gap(examples::counted_gap()),
        DetectionsRecord::Tick(examples::tick()),
    ];
    for record in records {
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(DetectionsRecord::parse(&json).unwrap(), record);
        assert_eq!(DetectionsRecord::parse_as(record.schema_name(), &json).unwrap(), record);
        assert_eq!((record.camera(), record.epoch()), ("gate-3", 1827));
    }
}

#[test]
fn a_reader_passes_over_what_a_later_version_writes() {
    let mut later = serde_json::to_value(examples::spec()).unwrap();
    later["weather"] = json!("rain");
    later["zones"][0]["colour"] = json!("red");
    later["lines"][0]["colour"] = json!("red");
    later["model"]["colour"] = json!("red");
    assert_eq!(serde_json::from_value::<SpecRecord>(later).unwrap(), examples::spec());
    let mut later = serde_json::to_value(examples::frame()).unwrap();
    later["skipped"]["rain"] = json!(1);
    later["detections"][0]["mask"] = json!([]);
    later["detections"][0]["track"]["speed"] = json!(1);
    assert_eq!(serde_json::from_value::<FrameResult>(later).unwrap(), examples::frame());

    let later = DetectionsRecord::parse(br#"{"schema":"rain/1","camera":"gate-3","epoch":1827}"#);
    assert!(matches!(later, Err(RecordError::UnknownSchema(schema)) if schema == "rain/1"));
}

#[test]
fn what_is_broken_says_so() {
    for broken in [&b""[..], b"[]", b"{}", b"\xff", br#"{"schema":"frame/1","camera":"a"}"#] {
        let error = DetectionsRecord::parse(broken).unwrap_err();
        assert!(matches!(error, RecordError::Invalid { .. }), "{error}");
    }
}

#[test]
fn empty_fields_are_left_out() {
    let [claimed, retrying] = examples::more_statuses();
    assert_eq!(
        serde_json::to_string(&claimed).unwrap(),
        "{\"schema\":\"status/1\",\"camera\":\"gate-3\",\"generation\":4,\"pod\":\"pipeline-2\",\
         \"state\":\"claimed\",\"since\":\"2026-11-23T18:40:11.120Z\"}"
    );
    for status in [claimed, retrying] {
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<sightline_schema::Status>(&json).unwrap(), status);
    }
    let mut spec = examples::spec();
    (spec.zones, spec.lines, spec.labels) = Default::default();
    let json = serde_json::to_value(&spec).unwrap();
    assert!(["zones", "lines", "labels"].iter().all(|field| json.get(field).is_none()), "{json}");
}

#[test]
fn a_gap_that_nobody_counted_says_null() {
    let json = serde_json::to_string(&examples::gap()).unwrap();
    assert!(json.ends_with(",\"frames\":null,\"reason\":\"pod_lost\"}"), "{json}");
    assert_eq!(
        serde_json::to_string(&examples::counted_gap()).unwrap(),
        "{\"schema\":\"gap/1\",\"camera\":\"gate-3\",\"epoch\":1827,\"frames\":412,\"reason\":\"spool_full\"}"
    );
}

#[test]
fn nulls_read_as_absent() {
    let mut json = serde_json::to_value(examples::status()).unwrap();
    json["error"] = Value::Null;
    json["retry_at"] = Value::Null;
    assert_eq!(serde_json::from_value::<sightline_schema::Status>(json).unwrap(), examples::status());
}

#[test]
fn a_camera_reads_back_whole() {
    let mut camera = examples::camera();
    camera.zones[0].polygon[0] = Point { x: 0.123_456_79, y: 1.0 / 3.0 };
    let json = serde_json::to_string(&camera).unwrap();
    assert_eq!(serde_json::from_str::<Camera>(&json).unwrap(), camera);
}

#[test]
fn the_document_says_what_to_do_about_each_error() {
    let text = fs::read_to_string(docs_folder().join("MESSAGES.md")).unwrap();
    for code in ErrorCode::ALL {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{code}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/MESSAGES.md has no row for {code}"));
        assert!(row.ends_with(&format!("| {} |", code.advice())), "docs/MESSAGES.md: {row}");
    }
}

#[test]
fn the_document_of_recordings_says_what_to_do_about_each_error() {
    let text = fs::read_to_string(docs_folder().join("ARCHIVE.md")).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `") && line.ends_with(". |")).collect();
    let wanted: Vec<_> =
        ErrorCode::ALL.iter().map(|code| format!("| `{code}` | {} |", code.recording_advice())).collect();
    assert_eq!(rows, wanted, "the table of errors in docs/ARCHIVE.md");
}

#[test]
fn the_document_of_cameras_explains_each_error_under_its_name() {
    let text = fs::read_to_string(docs_folder().join("CAMERAS.md")).unwrap();
    let explained: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert_eq!(explained, ErrorCode::ALL.map(ErrorCode::as_str), "the headings of docs/CAMERAS.md");
}
