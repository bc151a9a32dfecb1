//! The rules on the ground truth of the sample scene: boxes without a detector between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use serde_json::{Value, json};
use sightline_consumers::events::rules::PartitionState;
use sightline_consumers::partition::Taken;
use sightline_consumers::seen::Seen;
use sightline_schema::{Event, Timestamp};

const BEGIN_MS: i64 = 1_780_000_000_000;

fn truth() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/junction.truth.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn time(ms: i64) -> String {
    Timestamp::from_micros((BEGIN_MS + ms) * 1000).to_string()
}

/// The records of a camera that sees all that is there, with what happens to be visible enough to be seen.
fn records(truth: &Value, camera: &str) -> Vec<Value> {
    let fps = truth["fps"].as_i64().unwrap();
    let mut records = vec![
        json!({"schema": "spec/1", "camera": camera, "epoch": 5, "generation": 1, "zones": truth["zones"], "lines": truth["lines"],
               "anchor": "bottom_center", "model": {"name": "truth", "sha256": "", "head": "end2end", "input": [1, 1], "classes": truth["classes"]}}),
        json!({"schema": "stream/1", "camera": camera, "epoch": 5, "state": "started", "clock": "file", "at": time(0)}),
    ];
    let mut first_seen = std::collections::HashMap::new();
    for (n, rows) in truth["frames"].as_array().unwrap().iter().enumerate() {
        let ms = n as i64 * 1000 / fps;
        let detections: Vec<_> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let id = row[0].as_u64().unwrap();
                let since = *first_seen.entry(id).or_insert(ms);
                json!({"class_id": row[1], "label": truth["classes"][row[1].as_u64().unwrap() as usize], "confidence": 0.9,
                       "box": [row[2], row[3], row[4], row[5]],
                       "track": {"id": id, "state": "confirmed", "age_s": (ms - since) as f64 / 1e3}})
            })
            .collect();
        records.push(json!({"schema": "frame/1", "camera": camera, "epoch": 5, "seq": n, "captured_at": time(ms), "pts_us": ms * 1000,
                            "width": truth["width"], "height": truth["height"], "detections": detections}));
    }
    let end = time(truth["frame_count"].as_i64().unwrap() * 1000 / fps);
    records.push(json!({"schema": "stream/1", "camera": camera, "epoch": 5, "state": "ended", "clock": "file", "at": end, "complete": true}));
    records
}

fn run(records: &[Value]) -> Vec<Event> {
    let (mut state, mut events) = (PartitionState::default(), Vec::new());
    for (offset, record) in records.iter().enumerate() {
        let text = record.to_string();
        let seen = Seen::parse(text.as_bytes(), None).unwrap();
        let taken = state.take(&seen, offset as i64, BEGIN_MS + offset as i64, &mut events);
        assert_eq!(taken, Taken::Accepted, "{text}");
    }
    events
}

/// What is compared: type, who, where, how; and when, in milliseconds.
type Row = (String, u64, String, String);

fn found(events: &[Event]) -> Vec<(Row, i64)> {
    let place = |event: &Event| event.line.clone().or_else(|| event.zone.clone());
    let track =
        |event: &Event| event.track_key.as_ref().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let how = |event: &Event| match (event.direction, event.appeared, event.vanished) {
        (Some(direction), ..) => direction.as_str(),
        (None, true, _) => "appeared",
        (None, _, true) => "vanished",
        _ => "",
    };
    events
        .iter()
        .filter_map(|event| {
            let row = (event.kind.to_string(), track(event), place(event)?, how(event).to_owned());
            Some((row, event.at.as_micros() / 1000 - BEGIN_MS))
        })
        .collect()
}

fn expected(truth: &Value) -> Vec<(Row, i64)> {
    let ms = |frame: &Value| frame.as_i64().unwrap() * 1000 / truth["fps"].as_i64().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut rows = Vec::new();
    for crossing in truth["crossings"].as_array().unwrap() {
        let id = crossing["id"].as_u64().unwrap();
        let row = ("line_crossed".to_owned(), id, text(&crossing["line"]), text(&crossing["direction"]));
        rows.push((row, ms(&crossing["frame"])));
    }
    for visit in truth["visits"].as_array().unwrap() {
        let (id, zone) = (visit["id"].as_u64().unwrap(), text(&visit["zone"]));
        let mark = |name: &str| if visit[name] == true { name.to_owned() } else { String::new() };
        rows.push((("zone_entered".to_owned(), id, zone.clone(), mark("appeared")), ms(&visit["enter"])));
        rows.push((("zone_left".to_owned(), id, zone, mark("vanished")), ms(&visit["leave"])));
    }
    rows
}

#[test]
fn all_that_happened_and_nothing_else() {
    let truth = truth();
    let (mut found, mut expected) = (found(&run(&records(&truth, "gate"))), expected(&truth));
    found.sort();
    expected.sort();
    let rows = |all: &[(Row, i64)]| all.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>();
    assert!(expected.len() > 40, "{}", expected.len());
    assert_eq!(rows(&found), rows(&expected));
    for ((row, at), (_, wanted)) in found.iter().zip(&expected) {
        assert!((at - wanted).abs() <= 300, "{row:?} at {at}, not {wanted}");
    }
}

#[test]
fn every_track_starts_and_ends_once_with_its_path_and_its_best() {
    let events = run(&records(&truth(), "gate"));
    let of = |kind: &str| events.iter().filter(|event| event.kind.as_str() == kind).collect::<Vec<_>>();
    let (started, ended) = (of("track_started"), of("track_ended"));
    assert_eq!(started.len(), ended.len());
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len(), "no id twice");
    for event in ended {
        assert!((1..=8).contains(&event.path.len()), "{event:?}");
        assert!(event.first_seen <= event.last_seen && event.best.is_some());
    }
}

/// Whoever comes back from a checkpoint, wherever it was written, goes on as if nothing had been.
#[test]
fn a_run_that_is_interrupted_gives_the_same() {
    let records = records(&truth(), "gate");
    let whole = run(&records);
    for stops in [1, 7, 53] {
        let (mut state, mut events) = (PartitionState::default(), Vec::new());
        let mut kept = std::collections::BTreeMap::new();
        for (offset, record) in records.iter().enumerate() {
            let text = record.to_string();
            state.take(
                &Seen::parse(text.as_bytes(), None).unwrap(),
                offset as i64,
                BEGIN_MS + offset as i64,
                &mut events,
            );
            if offset % stops == 0 {
                kept.extend(state.changes());
                state = PartitionState::default();
                kept.iter().for_each(|(id, kept)| state.restore(id, kept.as_ref().unwrap()).unwrap());
            }
        }
        assert_eq!(events, whole, "every {stops} records");
    }
}

/// From anywhere in the middle: some of the events of the whole, and never another.
#[test]
fn what_is_read_from_the_middle_is_a_subset() {
    let truth = truth();
    let mut records = records(&truth, "gate");
    // What a running camera repeats once a minute.
    let (spec, running) = (
        records[0].clone(),
        |at: i64| json!({"schema": "stream/1", "camera": "gate", "epoch": 5, "state": "running", "clock": "file", "at": time(at)}),
    );
    for n in [600, 300, 100] {
        records.splice(n..n, [spec.clone(), running(n as i64 * 40 - 80)]);
    }
    let whole: std::collections::HashMap<_, _> =
        run(&records).into_iter().map(|event| (event.id.clone(), event)).collect();
    for start in [50, 103, 299, 400, 605] {
        let (mut state, mut events) = (PartitionState::default(), Vec::new());
        for (offset, record) in records.iter().enumerate().skip(start) {
            let text = record.to_string();
            state.take(
                &Seen::parse(text.as_bytes(), None).unwrap(),
                offset as i64,
                BEGIN_MS + offset as i64,
                &mut events,
            );
        }
        for event in &events {
            assert_eq!(whole.get(&event.id), Some(event), "from {start}");
        }
        println!("from {start}: {} of {} events", events.len(), whole.len());
    }
}
