//! Nothing dies: the events and rows of the sample.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sightline_schema::Event;

use crate::chance::setting;
use crate::kafka::Kafka;
use crate::kcat;
use crate::postgres::Postgres;
use crate::queries;
use crate::scene::*;
use crate::sightline::{Metrics, Sightline, command, documented, wait_for};
use crate::truth::*;

#[test]
fn the_events_of_the_sample_are_what_truly_happened() {
    let _stage = stage();
    let broker = started();
    let cameras = setting("EVENT_CAMERAS", 2) as usize;
    let database = Postgres::start();
    let mut consumer = consumer(&broker.bootstrap, &[]);
    let mut store = store(&broker.bootstrap, &database, &[]);
    detect(&broker, cameras);
    wait_until_stored(&broker.bootstrap);
    let http = consumer.http();
    wait_for("no lag", || {
        let samples = Metrics::scrape(&http).samples;
        let mut lags =
            samples.iter().filter(|sample| sample.name == "sightline_consumer_lag_records").peekable();
        (lags.peek().is_some() && lags.all(|lag| lag.value == 0.0)).then_some(())
    });
    let known = |component: &str| {
        let mut known = documented("sightline_consumer");
        known.extend(documented(component));
        known
    };
    assert_eq!(Metrics::scrape(&http).described(), known("sightline_events"));
    let http = store.http();
    assert_eq!(Metrics::scrape(&http).described(), known("sightline_store"));
    let events = events(&broker.bootstrap);
    let truth = expected(&truth());
    for n in 0..cameras {
        let id = format!("camera-{n}");
        let first = kcat::read(&broker.bootstrap, DETECTIONS)
            .into_iter()
            .find(|record| record.key == id && record.schema() == "frame/1")
            .unwrap();
        let found = rows(
            events.values().filter(|event| event["camera"] == id.as_str()),
            millis(&first.value["captured_at"]),
        );
        let kinds = |rows: &[(Row, i64)]| rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>();
        let (have, want) = (kinds(&found), kinds(&truth));
        let missing: Vec<_> = want.iter().filter(|row| count(&have, row) < count(&want, row)).collect();
        let extra: Vec<_> = found.iter().filter(|(row, _)| count(&have, row) > count(&want, row)).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{id}: missing {missing:#?}, extra {extra:#?}");
        for ((row, at), (_, wanted)) in found.iter().zip(&truth) {
            assert!((at - wanted).abs() <= 300, "{id}: {row:?} at {at} ms, not {wanted}");
        }
        println!("{id}: {} rows, all of them as they truly were", found.len());
    }
    drop(consumer);
    the_rows_are_the_events(&events, &database);
    the_rollups_are_what_was_detected(&broker, &database);
    queries::all_have_answers(&database);
    queries::what_is_whole_of_jobs_is_told_from_the_rest(&database);

    // What went by, for people and for scripts.
    let tail = |more: &[&str]| {
        let mut args =
            vec!["tail", "--kafka", &broker.bootstrap, "--since", "earliest", "--camera", "camera-0"];
        args.extend(more);
        let mut tail = Sightline::piped(command(&args));
        let lines = tail.lines(50);
        tail.signal("TERM");
        lines
    };
    let is_of_it = |line: &String| line.contains("camera-0") && !line.contains("camera-1");
    let text = tail(&["events", "--output", "text"]);
    assert!(text.iter().all(is_of_it) && text.iter().any(|line| line.contains("line_crossed")), "{text:?}");
    for (what, schema) in [("events", "event/1"), ("detections", "frame/1")] {
        let lines = tail(&[what]);
        let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(values.iter().all(|value| value["camera"] == "camera-0"), "{lines:?}");
        assert!(values.iter().any(|value| value["schema"] == schema), "{lines:?}");
    }
}

/// Every event is a row, with all that it says, and every track that ended one of its own.
fn the_rows_are_the_events(events: &BTreeMap<String, Value>, database: &Postgres) {
    // Back to event/1: columns, and what has none.
    let rows = database.query(
        "SELECT jsonb_strip_nulls(to_jsonb(e) - '{at,x_min,y_min,x_max,y_max,appeared,vanished,labels,more,model,model_sha256,written_at}'::text[]) \
         || jsonb_build_object('schema', 'event/1', 'at', to_char(at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), 'labels', labels) \
         || CASE WHEN appeared THEN '{\"appeared\": true}' ELSE '{}'::jsonb END \
         || CASE WHEN vanished THEN '{\"vanished\": true}' ELSE '{}'::jsonb END \
         || CASE WHEN x_min IS NULL THEN '{}' ELSE jsonb_build_object('box', jsonb_build_array(x_min, y_min, x_max, y_max)) END \
         || CASE WHEN model IS NULL THEN '{}' ELSE jsonb_build_object('model', jsonb_build_object('name', model, 'sha256', model_sha256)) END \
         || coalesce(more, '{}') FROM events e",
    );
    let rows: BTreeMap<String, Value> = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row))
        .collect();
    assert_eq!(rows.len(), events.len());
    let event = |value: &Value| serde_json::from_value::<Event>(value.clone()).unwrap();
    for (id, wanted) in events {
        assert_eq!(event(&rows[id]), event(wanted), "{id}");
    }
    let ended: Vec<_> = events.values().filter(|event| event["type"] == "track_ended").collect();
    assert_eq!(database.query("SELECT count(*) FROM tracks"), ended.len().to_string());
    for event in ended {
        let (key, last) = (event["track_key"].as_str().unwrap(), event["last_seen"].as_str().unwrap());
        let track = database.query(&format!(
            "SELECT jsonb_build_object('path', path, 'best', best, 'label', label, 'camera', camera, \
             'model', jsonb_build_object('name', model, 'sha256', model_sha256)) FROM tracks \
             WHERE track_key = '{key}' AND last_seen = '{last}'"
        ));
        let wanted = json!({"path": event["path"], "best": event["best"], "label": event["label"], "camera": event["camera"],
            "model": event["model"]});
        assert_eq!(serde_json::from_str::<Value>(&track).unwrap(), wanted, "{key}");
    }
}

/// Frames, detections, most at once and mean confidence of every minute, counted again from the records.
fn the_rollups_are_what_was_detected(broker: &Kafka, database: &Postgres) {
    #[derive(Default)]
    struct Count {
        detections: u64,
        most: u64,
        confidence: f64,
    }
    let mut frames: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut counts: BTreeMap<(String, String, String), Count> = BTreeMap::new();
    for record in
        kcat::read(&broker.bootstrap, DETECTIONS).iter().filter(|record| record.schema() == "frame/1")
    {
        let minute = record.value["captured_at"].as_str().unwrap()[..16].to_owned();
        *frames.entry((record.key.clone(), minute.clone())).or_default() += 1;
        let mut here: BTreeMap<&str, u64> = BTreeMap::new();
        for detection in record.value["detections"].as_array().unwrap() {
            let label = detection["label"].as_str().unwrap();
            let count = counts.entry((record.key.clone(), label.to_owned(), minute.clone())).or_default();
            count.detections += 1;
            count.confidence += detection["confidence"].as_f64().unwrap();
            *here.entry(label).or_default() += 1;
            count.most = count.most.max(here[label]);
        }
    }
    let rows = database.query(
        "SELECT camera, label, to_char(minute, 'YYYY-MM-DD\"T\"HH24:MI'), frames, detections, max_simultaneous, mean_confidence \
         FROM detections_per_minute",
    );
    assert_eq!(rows.lines().count(), counts.len());
    for row in rows.lines() {
        let [camera, label, minute, of, detections, most, mean] =
            row.split('|').collect::<Vec<_>>().try_into().unwrap();
        let count = &counts[&(camera.to_owned(), label.to_owned(), minute.to_owned())];
        let wanted = (frames[&(camera.to_owned(), minute.to_owned())], count.detections, count.most);
        let number = |text: &str| text.parse::<u64>().unwrap();
        assert_eq!((number(of), number(detections), number(most)), wanted, "{row}");
        let wanted = count.confidence / count.detections as f64;
        assert!((mean.parse::<f64>().unwrap() - wanted).abs() < 1e-9, "{row}, not {wanted}");
    }
    println!("{} rows of detections per minute, as counted again", counts.len());
}
