//! What was read before is read again: from the beginning it changes nothing, from the middle it adds nothing.

use std::time::Duration;

use serde_json::{Value, json};
use sightline_schema::Timestamp;

use crate::kcat::Record;
use crate::postgres::Postgres;
use crate::scene::*;
use crate::sightline::{Metrics, Sightline, command, wait_for};

/// From record to record, so that the partition's time goes on as the clip's does.
const STEP_MS: i64 = 10;
const COPIES: usize = 4;
/// The rounds of a day, and what lies between them: all of it is younger than what Kafka throws away.
const ROUNDS: usize = 4;
const HOURS_MS: i64 = 7 * 3_600_000;

/// The sample's records with zones edited twice on the way: one is moved, another is taken away and a third comes.
fn edited() -> Vec<Record> {
    let mut records = recorded().to_vec();
    let spec = records.iter().find(|record| record.schema() == "spec/1").unwrap().clone();
    let edit = |generation: u64, zones: Vec<Value>| {
        let mut edited = spec.clone();
        edited.value["generation"] = generation.into();
        edited.value["zones"] = zones.into();
        edited
    };
    let zones = spec.value["zones"].as_array().unwrap().clone();
    let mut moved = zones[0].clone();
    moved["polygon"] = json!([[0.3, 0.3], [0.7, 0.3], [0.7, 0.8], [0.3, 0.8]]);
    let whole = json!({"id": "everywhere", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "dwell_s": 2});
    let [third, half, two_thirds] = [records.len() / 3, records.len() / 2, records.len() * 2 / 3];
    // What the pipeline repeats every 60 s: by it a reader that begins in the middle takes the camera up.
    let mut running = records.iter().find(|record| record.schema() == "stream/1").unwrap().clone();
    running.value["state"] = "running".into();
    running.value["at"] = records[half].value["captured_at"].clone();
    let first = edit(8, [vec![moved.clone()], zones[1..].to_vec()].concat());
    records.insert(two_thirds, edit(9, vec![moved, whole]));
    records.splice(half + 1..half + 1, [first.clone(), running]);
    records.insert(third, first);
    records
}

/// These records so often, each round some hours after the one before and as another run of its camera: the records of a day, each
/// with when it was written.
fn day(records: &[Record], begin_ms: i64) -> Vec<(Record, i64)> {
    let round = |n: usize| {
        let later_ms = n as i64 * HOURS_MS;
        records.iter().enumerate().map(move |(place, record)| {
            let mut record = record.clone();
            move_on(&mut record.value, later_ms);
            for field in ["epoch", "generation"] {
                if let Some(number) = record.value[field].as_u64() {
                    record.value[field] = (number + 1_000 * n as u64).into();
                }
            }
            (record, begin_ms + later_ms + place as i64 * COPIES as i64 * STEP_MS)
        })
    };
    (0..ROUNDS).flat_map(round).collect()
}

/// Every time in a record.
fn move_on(value: &mut Value, by_ms: i64) {
    match value {
        Value::String(text) => {
            if let Ok(time) = text.parse::<Timestamp>() {
                *text = time.saturating_add_micros(by_ms * 1000).to_string();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| move_on(value, by_ms)),
        Value::Object(fields) => fields.values_mut().for_each(|value| move_on(value, by_ms)),
        _ => {}
    }
}

#[test]
fn what_is_read_again_changes_nothing() {
    let _stage = stage();
    let (broker, database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.as_str();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let day = day(&edited(), now.as_millis() as i64 - 120_000 - (ROUNDS as i64 - 1) * HOURS_MS);
    let (records, times): (Vec<_>, Vec<_>) = day.into_iter().unzip();
    let records = copies(&records, COPIES);
    let written_ms = |n: usize| times[n / COPIES] + (n % COPIES) as i64 * STEP_MS;
    play_to(bootstrap, DETECTIONS, &records, Duration::ZERO, written_ms);
    let _consumer = consumer(bootstrap, &[]);
    let _store = store(bootstrap, &database, &[]);
    wait_until_stored(bootstrap);
    let before = tables(&database);
    let count = before["events"].len();
    assert!(
        before["events"].iter().any(|row| row.contains("everywhere")) && count > ROUNDS * COPIES * 150,
        "{count}"
    );
    assert!(before["detections_per_minute"].len() > ROUNDS * COPIES, "{:?}", before["detections_per_minute"]);
    let times = database.query("SELECT id, written_at FROM events ORDER BY id");

    let middle = Timestamp::from_micros(written_ms(records.len() * 2 / 5) * 1000).to_string();
    let url = database.url();
    for (group, from) in [("whole", "earliest"), ("middle", middle.as_str())] {
        let http = ["--http", "127.0.0.1:0", "--group", group, "--from", from];
        let events = ["consume", "events", "--kafka", bootstrap];
        let mut events = Sightline::spawn(command(&[&events[..], &http].concat()));
        let rollups = ["consume", "store", "--kafka", bootstrap, "--database", &url, "--only", "rollups"];
        let _rollups = Sightline::spawn(command(&[&rollups[..], &http].concat()));
        wait_until_done(bootstrap, (&format!("sightline.sightline-events-{group}"), DETECTIONS));
        wait_until_done(bootstrap, (&format!("sightline.sightline-store-rollups-{group}"), DETECTIONS));
        let http = events.http();
        let written = Metrics::scrape(&http).sum("sightline_events_written_total", &[]) as usize;
        match group {
            "whole" => assert_eq!(written, count),
            _ => assert!((1..count).contains(&written), "{written} of {count}"),
        }
        // The store took what was written again.
        wait_until_done(bootstrap, ROWS_GROUP);
        for (table, rows) in tables(&database) {
            assert!(rows == before[table], "{group}: {table} is not as it was");
        }
        println!("{group}: {written} of {count} events again, and the tables are as they were");
    }
    // Not even touched.
    assert_eq!(database.query("SELECT id, written_at FROM events ORDER BY id"), times);

    // A group of its own that wants only what comes: nothing.
    let latest = [
        "consume",
        "events",
        "--kafka",
        bootstrap,
        "--http",
        "127.0.0.1:0",
        "--group",
        "new",
        "--from",
        "latest",
    ];
    let mut latest = Sightline::spawn(command(&latest));
    let http = latest.http();
    let samples = || Metrics::scrape(&http).samples;
    wait_for("all partitions", || {
        let lags = samples().into_iter().filter(|sample| sample.name == "sightline_consumer_lag_records");
        (lags.filter(|lag| lag.value == 0.0).count() == 6).then_some(())
    });
    assert_eq!(Metrics::scrape(&http).sum("sightline_consumer_records_total", &[]), 0.0);
}
