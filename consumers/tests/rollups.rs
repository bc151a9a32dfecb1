//! How much was seen, by the minute.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use sightline_consumers::partition::{PartitionState, Taken};
use sightline_consumers::seen::Seen;
use sightline_consumers::store::{CameraRollups, MinuteRow};
use sightline_schema::Timestamp;

/// A full minute.
const BEGIN_MS: i64 = 1_780_000_020_000;

fn time(ms: i64) -> String {
    Timestamp::from_micros((BEGIN_MS + ms) * 1000).to_string()
}

fn frame(epoch: u64, ms: i64, labels: &[(&str, f64)]) -> Value {
    let detections: Vec<_> = labels
        .iter()
        .enumerate()
        .map(|(n, (label, confidence))| {
            let mut detection =
                json!({"class_id": 0, "label": label, "confidence": confidence, "box": [0.1, 0.1, 0.2, 0.2]});
            // Tracked or not, tentative or confirmed: all of them were detected.
            match n % 3 {
                0 => {}
                1 => detection["track"] = json!({"id": n, "state": "confirmed", "age_s": 1.0}),
                _ => detection["track"] = json!({"id": n, "state": "tentative", "age_s": 0.0}),
            }
            detection
        })
        .collect();
    json!({"schema": "frame/1", "camera": "gate", "epoch": epoch, "seq": ms, "captured_at": time(ms), "pts_us": 0,
           "width": 640, "height": 360, "detections": detections})
}

fn stream(epoch: u64, ms: i64, state: &str, complete: bool) -> Value {
    json!({"schema": "stream/1", "camera": "gate", "epoch": epoch, "state": state, "clock": "ntp", "at": time(ms), "complete": complete})
}

fn tick(ms: i64, camera: &str) -> Value {
    json!({"schema": "tick/1", "camera": camera, "epoch": 1, "at": time(ms), "state": "retrying"})
}

/// Reads records, each with the time at which it was written, from this offset on.
struct Reading {
    state: PartitionState<CameraRollups>,
    offset: i64,
    rows: Vec<MinuteRow>,
}

impl Reading {
    fn from(offset: i64) -> Self {
        Self { state: PartitionState::new(), offset, rows: Vec::new() }
    }

    fn take(&mut self, record: &Value, written_ms: i64) -> Taken {
        let text = record.to_string();
        let seen = Seen::parse(text.as_bytes(), None).unwrap();
        let taken = self.state.take(&seen, self.offset, BEGIN_MS + written_ms, &mut self.rows);
        self.offset += 1;
        taken
    }

    /// Taken up from what is kept.
    fn restart(&mut self) {
        let mut state = PartitionState::new();
        for (id, kept) in self.state.changes() {
            state.restore(&id, &kept.unwrap()).unwrap();
        }
        assert!(state.changes().is_empty());
        self.state = state;
    }

    /// Minute, label, frames, detections, most at once.
    fn given(&mut self) -> Vec<(i64, String, u64, u64, u64)> {
        let rows = std::mem::take(&mut self.rows).into_iter();
        rows.map(|row| {
            let (camera, label, begin) = row.key;
            assert_eq!(camera, "gate");
            ((begin - BEGIN_MS) / 60_000, label, row.frames, row.detections, row.most)
        })
        .collect()
    }
}

fn row(minute: i64, label: &str, frames: u64, detections: u64, most: u64) -> (i64, String, u64, u64, u64) {
    (minute, label.to_owned(), frames, detections, most)
}

#[test]
fn a_minute_is_given_when_it_is_over_with_all_that_was_detected_in_it() {
    let mut reading = Reading::from(0);
    reading.take(&frame(1, 0, &[("car", 0.9), ("car", 0.5), ("person", 0.7)]), 10);
    reading.take(&frame(1, 20_000, &[("car", 0.4)]), 20_010);
    reading.take(&frame(1, 59_999, &[]), 60_010);
    assert_eq!(reading.given(), []);
    reading.take(&frame(1, 60_000, &[("car", 0.9)]), 60_020);
    let [car, person] = reading.rows.as_slice() else { panic!("{:?}", reading.rows) };
    assert!((car.mean_confidence() - 0.6).abs() < 1e-12 && (person.mean_confidence() - 0.7).abs() < 1e-12);
    assert_eq!(reading.given(), [row(0, "car", 3, 3, 2), row(0, "person", 3, 1, 1)]);
    // A minute without a frame has no row, and a tick ends one as well.
    reading.take(&tick(130_000, "gate"), 130_010);
    assert_eq!(reading.given(), [row(1, "car", 1, 1, 1)]);
    reading.take(&frame(1, 310_000, &[("car", 0.9)]), 310_010);
    assert_eq!(reading.given(), []);
}

#[test]
fn what_is_late_or_was_read_before_does_not_count() {
    let mut reading = Reading::from(0);
    reading.take(&frame(2, 1000, &[("car", 0.9)]), 1010);
    assert_eq!(reading.take(&frame(2, 1000, &[("car", 0.9)]), 1020), Taken::Repeat);
    assert_eq!(reading.take(&frame(1, 2000, &[("car", 0.9)]), 1030), Taken::Late);
    assert_eq!(reading.take(&frame(3, 900, &[("car", 0.9)]), 1040), Taken::Backwards);
    assert_eq!(reading.take(&frame(3, 3000, &[("car", 0.9)]), 3040), Taken::Accepted);
    reading.take(&frame(3, 60_000, &[]), 60_010);
    assert_eq!(reading.given(), [row(0, "car", 2, 2, 1)]);
}

#[test]
fn a_minute_that_was_not_read_from_its_start_is_not_given() {
    let car = [("car", 0.9)];
    // From the middle of the partition: nobody knows what was before, until the next minute begins.
    let mut reading = Reading::from(1000);
    reading.take(&frame(1, 30_000, &car), 30_010);
    reading.take(&frame(1, 60_000, &car), 60_010);
    assert_eq!(reading.given(), []);
    reading.take(&frame(1, 120_000, &car), 120_010);
    assert_eq!(reading.given(), [row(1, "car", 1, 1, 1)]);

    // A camera that comes later: its results can't have been written before they were captured.
    let mut reading = Reading::from(1000);
    reading.take(&tick(0, "other"), 49_000);
    reading.take(&frame(1, 61_000, &car), 61_010);
    reading.take(&frame(1, 120_000, &car), 120_010);
    assert_eq!(reading.given(), [row(1, "car", 1, 1, 1)]);
    // A camera's clock may be ahead of Kafka's.
    let mut reading = Reading::from(1000);
    reading.take(&tick(0, "other"), 51_000);
    reading.take(&frame(1, 61_000, &car), 61_010);
    reading.take(&frame(1, 120_000, &car), 120_010);
    assert_eq!(reading.given(), []);

    // A tick before the minute says that all later results follow it.
    let mut reading = Reading::from(1000);
    reading.take(&tick(59_000, "gate"), 59_010);
    reading.take(&frame(1, 65_000, &car), 65_010);
    reading.take(&frame(1, 120_000, &car), 120_010);
    assert_eq!(reading.given(), [row(1, "car", 1, 1, 1)]);
}

#[test]
fn a_stream_that_ends_gives_its_minute_and_once_more_if_it_goes_on() {
    let car = [("car", 0.9)];
    let mut reading = Reading::from(0);
    reading.take(&frame(1, 1000, &car), 1010);
    reading.take(&stream(1, 1500, "ended", false), 1510);
    reading.take(&tick(0, "other"), 11_500);
    assert_eq!(reading.given(), []);
    reading.take(&tick(0, "other"), 11_510);
    assert_eq!(reading.given(), [row(0, "car", 1, 1, 1)]);
    // A successor within the minute.
    reading.take(&stream(2, 20_000, "started", false), 20_010);
    reading.take(&frame(2, 21_000, &car), 21_010);
    reading.take(&frame(2, 61_000, &car), 61_010);
    assert_eq!(reading.given(), [row(0, "car", 2, 2, 1)]);
    // A video that was read to its end.
    reading.take(&stream(2, 62_000, "ended", true), 62_010);
    assert_eq!(reading.given(), [row(1, "car", 1, 1, 1)]);
    reading.take(&tick(0, "other"), 200_000);
    assert_eq!(reading.given(), [], "given as it is");
}

#[test]
fn a_reading_that_is_interrupted_anywhere_gives_the_same() {
    let mut records = vec![(stream(1, 0, "started", false), 0)];
    for n in 0..300_i64 {
        let labels: Vec<_> = (0..n % 5)
            .map(|k| (["car", "person", "bus"][k as usize % 3], 0.3 + (n % 7) as f64 / 10.0))
            .collect();
        records.push((frame(1 + n as u64 / 100, n * 700 + n % 13, &labels), n * 700 + 20));
    }
    records.push((stream(3, 210_000, "ended", false), 210_010));
    records.push((tick(0, "other"), 230_000));
    let mut whole = Reading::from(0);
    for (record, written) in &records {
        whole.take(record, *written);
    }
    assert!(whole.rows.len() > 8, "{}", whole.rows.len());
    for every in [1, 7, 50] {
        let mut interrupted = Reading::from(0);
        let mut kept = std::collections::BTreeMap::new();
        for (n, (record, written)) in records.iter().enumerate() {
            interrupted.take(record, *written);
            if n % every == 0 {
                // As checkpoints hold it: the last of each.
                kept.extend(interrupted.state.changes());
                let mut state = PartitionState::new();
                kept.iter().for_each(|(id, kept)| state.restore(id, kept.as_ref().unwrap()).unwrap());
                interrupted.state = state;
            }
        }
        assert_eq!(interrupted.rows, whole.rows, "every {every}");
    }
    whole.restart();
}

#[test]
fn a_jobs_minutes_are_given_whenever_they_were_captured_and_of_one_attempt() {
    let of_job = |mut record: Value| {
        record["camera"] = json!("job-1");
        record
    };
    // From the middle of the partition, a year after the recording was made.
    let mut reading = Reading::from(1000);
    let now = 365 * 86_400_000;
    for epoch in [1, 2] {
        reading.take(&of_job(stream(epoch, 0, "started", false)), now);
        for ms in [0, 500] {
            assert_eq!(reading.take(&of_job(frame(epoch, ms, &[("car", 0.9)])), now), Taken::Accepted);
        }
        reading.restart();
    }
    assert_eq!(reading.rows, []);
    reading.take(&of_job(stream(2, 500, "ended", true)), now);
    let [row] = reading.rows.as_slice() else { panic!("{:?}", reading.rows) };
    assert_eq!((row.frames, row.detections), (2, 2));
}
