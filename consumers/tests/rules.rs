//! Single rules of `docs/EVENTS.md` that the second implementation found broken, each by the fewest records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/replay.rs"]
#[allow(dead_code, reason = "what was passed over is not asked for here")]
mod replay;

use replay::{Answer, Replay};
use serde_json::{Value, json};
use sightline_consumers::events::rules::PartitionState;
use sightline_consumers::partition::PARTITION;
use sightline_consumers::seen::Seen;
use sightline_schema::Timestamp;

const BEGIN_MS: i64 = 1_780_000_000_000;

fn time(ms: i64) -> String {
    Timestamp::from_micros((BEGIN_MS + ms) * 1000).to_string()
}

/// A camera's records, each ready as soon as it is captured.
struct Records {
    camera: &'static str,
    epoch: u64,
    lines: Vec<Value>,
}

impl Records {
    /// Of a partition that is read from its beginning, or not.
    fn new(camera: &'static str, from_the_beginning: bool) -> Self {
        Self { camera, epoch: 1, lines: vec![json!({"from_the_beginning": from_the_beginning})] }
    }

    fn add(&mut self, ms: i64, mut record: Value) -> &mut Self {
        record["camera"] = json!(self.camera);
        record["epoch"] = json!(self.epoch);
        self.lines.push(json!({"timestamp_ms": BEGIN_MS + ms, "record": record}));
        self
    }

    fn spec(&mut self, ms: i64, places: Value) -> &mut Self {
        let mut spec = json!({"schema": "spec/1", "generation": 1,
            "model": {"name": "m", "sha256": "", "head": "end2end", "input": [1, 1], "classes": []}});
        spec.as_object_mut().unwrap().extend(places.as_object().unwrap().clone());
        self.add(ms, spec)
    }

    fn stream(&mut self, ms: i64, state: &str) -> &mut Self {
        self.add(ms, json!({"schema": "stream/1", "state": state, "clock": "ntp", "at": time(ms)}))
    }

    fn epoch(&mut self, epoch: u64) -> &mut Self {
        self.epoch = epoch;
        self
    }

    /// Tracks by id and label, with their boxes, in a square picture.
    fn frame(&mut self, ms: i64, tracks: &[(u64, &str, [f64; 4])]) -> &mut Self {
        let detections: Vec<_> = tracks
            .iter()
            .map(|(id, label, bounds)| {
                json!({"class_id": 0, "label": label, "confidence": 0.9, "box": bounds,
                       "track": {"id": id, "state": "confirmed", "age_s": 0.0}})
            })
            .collect();
        let frame = json!({"schema": "frame/1", "seq": ms, "captured_at": time(ms), "pts_us": 0, "width": 640, "height": 640,
                           "detections": detections});
        self.add(ms, frame)
    }

    /// Type, seq and track of each event.
    fn run(&self) -> Vec<(String, u64, String)> {
        let mut replay = Replay::default();
        let mut all = Vec::new();
        for line in &self.lines {
            let Answer::Events(events) = replay.take(&line.to_string()).unwrap() else { continue };
            all.extend(events.iter().map(|event| {
                let track = event.track_key.as_ref().and_then(|key| key.split_once('/'));
                (
                    event.kind.to_string(),
                    event.seq,
                    track.map_or(String::new(), |(_, track)| track.to_owned()),
                )
            }));
        }
        all
    }

    fn of(&self, kind: &str) -> Vec<u64> {
        self.run().into_iter().filter(|(of, ..)| of == kind).map(|(_, seq, _)| seq).collect()
    }
}

/// A box whose lower edge's middle is here.
fn at(x: f64, y: f64) -> [f64; 4] {
    [x - 0.05, y - 0.1, x + 0.05, y]
}

/// Walked upwards, so that right is right.
fn upright(x: f64) -> Value {
    json!({"lines": [{"id": "l", "from": [x, 0.9], "to": [x, 0.1]}]})
}

#[test]
fn a_middle_that_lies_on_a_line_is_not_yet_beyond_it() {
    // (0.1 + 0.2) / 2 is above 0.15 in floating point.
    let mut records = Records::new("gate", true);
    records.spec(0, upright(0.15)).stream(0, "started");
    records.frame(0, &[(1, "a", [0.1, 0.4, 0.2, 0.5])]).frame(100, &[(1, "a", at(0.25, 0.5))]);
    assert_eq!(records.of("line_crossed"), [100]);
}

#[test]
fn what_is_as_far_as_it_has_to_be_counts_at_once() {
    // 0.055 - 0.05 is below 0.005 in floating point.
    let mut records = Records::new("gate", true);
    records
        .spec(0, json!({"lines": [{"id": "l", "from": [0.1, 0.05], "to": [0.9, 0.05]}]}))
        .stream(0, "started");
    records.frame(0, &[(1, "a", [0.4, 0.0, 0.5, 0.04])]).frame(100, &[(1, "a", [0.4, 0.0, 0.5, 0.055])]);
    assert_eq!(records.of("line_crossed"), [100]);
}

#[test]
fn a_point_on_a_slanted_border_belongs_to_one_side() {
    // On the first two corners' border, which is the first one's left one, and the second one's right one.
    let zone = |corners: Value| json!({"zones": [{"id": "z", "polygon": corners}]});
    let on_it = [0.66538, 0.5, 0.76538, 0.71923];
    for (corners, entered) in [
        (json!([[0.6, 0.7], [0.9, 0.75], [0.9, 0.7]]), 1),
        (json!([[0.6, 0.7], [0.9, 0.75], [0.6, 0.75]]), 0),
    ] {
        let mut records = Records::new("gate", true);
        records.spec(0, zone(corners)).stream(0, "started").frame(0, &[(1, "a", on_it)]);
        assert_eq!(records.of("zone_entered").len(), entered);
    }
}

#[test]
fn a_second_cut_under_a_label_that_the_line_is_not_for_counts_the_first_alone() {
    let mut records = Records::new("gate", true);
    records.spec(0, json!({"lines": [{"id": "l", "from": [0.5, 0.9], "to": [0.5, 0.5], "classes": ["a"]}]}));
    records.stream(0, "started");
    // Across, back around the end, and across again, as something else.
    records.frame(0, &[(1, "a", at(0.498, 0.51))]).frame(100, &[(1, "a", at(0.502, 0.51))]);
    records.frame(200, &[(1, "a", at(0.502, 0.49))]).frame(300, &[(1, "a", at(0.498, 0.49))]);
    records.frame(400, &[(1, "a", at(0.498, 0.51))]).frame(500, &[(1, "b", at(0.502, 0.51))]);
    records.frame(600, &[(1, "b", at(0.6, 0.51))]);
    assert_eq!(records.of("line_crossed"), [100]);
}

#[test]
fn a_stream_that_ended_is_told_so_twice_and_is_down_by_the_first() {
    let mut records = Records::new("gate", true);
    records.spec(0, json!({})).stream(0, "started").frame(0, &[]);
    records.stream(1_000, "ended").stream(9_000, "ended").spec(10_999, json!({}));
    assert_eq!(records.run().len(), 0);
    records.spec(11_000, json!({}));
    assert_eq!(records.of("camera_down"), [0]);
}

#[test]
fn all_tracks_of_a_finished_video_end_in_the_order_of_their_first_sights() {
    let mut records = Records::new("job-1", true);
    records.spec(0, json!({})).stream(0, "started");
    records.frame(0, &[(1, "a", at(0.2, 0.5))]).frame(100, &[(1, "a", at(0.2, 0.5)), (2, "a", at(0.8, 0.5))]);
    records.frame(1_900, &[(1, "a", at(0.2, 0.5))]);
    let end =
        json!({"schema": "stream/1", "state": "ended", "clock": "file", "at": time(2_200), "complete": true});
    records.add(2_200, end);
    let events = records.run();
    let ended: Vec<_> = events
        .iter()
        .filter(|(kind, ..)| kind == "track_ended")
        .map(|(_, _, track)| track.as_str())
        .collect();
    assert_eq!(ended, ["1/1", "1/2"]);
    assert_eq!(events.last().map(|(kind, seq, _)| (kind.as_str(), *seq)), Some(("job_done", 1_900)));
}

#[test]
fn the_time_that_a_late_record_tells_is_kept() {
    let mut records = Records::new("gate", true);
    records.epoch(2).spec(0, json!({})).stream(0, "started").frame(0, &[]);
    let restart = json!({"restart": true});
    records.lines.push(restart.clone());
    // By another clock.
    records.epoch(1).spec(5_000, json!({})).epoch(2);
    records.lines.push(restart);
    records.stream(1_000, "ended").spec(14_999, json!({}));
    assert_eq!(records.run().len(), 0);
    records.spec(15_000, json!({}));
    assert_eq!(records.of("camera_down"), [0]);
}

/// Reading began in the middle of an epoch that nothing told of again before the next one began.
#[test]
fn tracks_that_may_go_on_from_an_epoch_that_was_read_in_part_give_nothing() {
    let mut records = Records::new("gate", false);
    records.frame(0, &[(1, "a", at(0.5, 0.5))]).frame(20_000, &[(1, "a", at(0.5, 0.5))]);
    records.epoch(2).spec(20_100, json!({})).stream(20_100, "started");
    records.frame(20_200, &[(7, "a", at(0.5, 0.5))]).frame(21_000, &[(7, "a", at(0.5, 0.5))]);
    records.frame(22_201, &[(7, "a", at(0.5, 0.5)), (8, "a", at(0.9, 0.5))]);
    assert_eq!(records.of("track_started"), [22_201], "track 8 alone");
}

#[test]
fn tracks_that_may_go_on_over_two_epochs_give_nothing() {
    let mut records = Records::new("gate", false);
    records.spec(0, json!({})).stream(0, "started").frame(0, &[]);
    records.epoch(2).spec(100, json!({})).stream(100, "started");
    records
        .frame(1_900, &[(7, "a", at(0.5, 0.5))])
        .frame(2_001, &[(7, "a", at(0.5, 0.5)), (8, "a", at(0.9, 0.5))]);
    assert_eq!(records.of("track_started"), [2_001], "track 8 alone");
}

#[test]
fn a_path_is_rounded_half_up() {
    let mut records = Records::new("gate", true);
    records.spec(0, json!({})).stream(0, "started").frame(0, &[(1, "a", [0.54936, 0.1, 0.63154, 0.2])]);
    records.add(5_000, json!({"schema": "tick/1", "state": "running", "at": time(5_000)}));
    let mut replay = Replay::default();
    let paths: Vec<_> = records
        .lines
        .iter()
        .filter_map(|line| match replay.take(&line.to_string()).unwrap() {
            Answer::Events(events) => events.last().map(|event| event.path.clone()),
            Answer::End(_) => None,
        })
        .collect();
    // 0.59045, which is a little less in floating point.
    assert_eq!(serde_json::to_value(paths.last().unwrap()).unwrap(), json!([[0.5905, 0.2]]));
}

/// After a week without a record a camera is as new: its checkpoint goes, and what comes is as from one never seen.
#[test]
fn a_camera_that_was_not_heard_of_for_a_week_is_forgotten() {
    const WEEK: i64 = 7 * 24 * 3_600_000;
    let mut state = PartitionState::default();
    let mut take = |camera: &str, ms: i64| {
        let record =
            json!({"schema": "tick/1", "camera": camera, "epoch": 7, "at": time(ms), "state": "running"});
        let (text, mut events) = (record.to_string(), Vec::new());
        state.take(&Seen::parse(text.as_bytes(), None).unwrap(), 0, BEGIN_MS + ms, &mut events);
        let changes = state.changes().into_iter().map(|(id, kept)| (id, kept.is_some()));
        let mut changes: Vec<_> = changes.filter(|(id, _)| id != PARTITION).collect();
        changes.sort();
        (changes, state.cameras())
    };
    let kept = |id: &str, is_kept: bool| (id.to_owned(), is_kept);
    assert_eq!(take("gate", 0), (vec![kept("gate", true)], 1));
    assert_eq!(take("dock", WEEK), (vec![kept("dock", true)], 2));
    assert_eq!(take("dock", WEEK + 1), (vec![kept("dock", true), kept("gate", false)], 1));
    assert_eq!(take("gate", WEEK + 2), (vec![kept("gate", true)], 2));
}

/// As a job: the end of its stream.
fn ended(records: &mut Records, ms: i64, complete: bool) {
    let end = json!({"schema": "stream/1", "state": "ended", "clock": "file", "at": time(ms), "complete": complete});
    records.add(ms, end);
}

#[test]
fn a_jobs_new_epoch_begins_anew_and_nothing_goes_on_from_the_older_one() {
    let mut records = Records::new("job-1", false);
    records.spec(0, upright(0.5)).stream(0, "started");
    records.frame(0, &[(1, "a", at(0.4, 0.5))]).frame(500, &[(1, "a", at(0.45, 0.5))]);
    // The next attempt reads the same pictures again.
    records.epoch(2).spec(600, upright(0.5)).stream(600, "started");
    records.frame(0, &[(1, "a", at(0.4, 0.5))]).frame(500, &[(1, "a", at(0.45, 0.5))]);
    records.frame(1_000, &[(1, "a", at(0.6, 0.5))]);
    ended(&mut records, 1_000, true);
    let kinds: Vec<_> = records.run().into_iter().map(|(kind, _, track)| format!("{kind} {track}")).collect();
    assert_eq!(
        kinds,
        ["track_started 1/1", "track_started 2/1", "line_crossed 2/1", "track_ended 2/1", "job_done "]
    );
}

#[test]
fn a_job_is_never_down_and_its_tracks_are_over_when_its_stream_ends() {
    let mut records = Records::new("job-1", true);
    records.spec(0, json!({})).stream(0, "started").frame(0, &[(1, "a", at(0.4, 0.5))]);
    ended(&mut records, 100, false);
    records.spec(60_000, json!({}));
    let kinds: Vec<_> = records.run().into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["track_started", "track_ended"]);
}
