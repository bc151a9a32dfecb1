//! The tracker on real detections against the reference implementation's tracks, and on scenes made up to
//! show one behaviour each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sightline_pipeline::detection::Detection;
use sightline_pipeline::evaluate::{Agreement, IOU_THRESHOLD, Observation, evaluate};
use sightline_pipeline::mot::{self, MotRow};
use sightline_pipeline::track::replay::{Video, track_rows};
use sightline_pipeline::track::{Tracker, TrackerConfig};
use sightline_schema::{Box2d, TrackRef, TrackState};

// -----------------------------------------------------------------------------------------------------------
// Real detections.

/// Detections of real video, and what the original ByteTrack made of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Clip {
    OneByOne,
    Retail,
    Highway,
    Palace,
}

const CLIPS: [Clip; 4] = [Clip::OneByOne, Clip::Retail, Clip::Highway, Clip::Palace];

struct Material {
    video: Video,
    frames: u64,
    rows: Vec<MotRow>,
    reference: Vec<MotRow>,
}

fn data(file: &str) -> PathBuf {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let path =
        std::env::var_os("SIGHTLINE_TEST_DATA").map_or_else(default, PathBuf::from).join("tracks").join(file);
    assert!(
        path.is_file(),
        "{} is missing: set SIGHTLINE_TEST_DATA to the folder of the test data",
        path.display()
    );
    path
}

fn mot_rows(file: &str) -> Vec<MotRow> {
    mot::read(BufReader::new(File::open(data(file)).unwrap()))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn json(file: &str) -> serde_json::Value {
    serde_json::from_reader(BufReader::new(File::open(data(file)).unwrap())).unwrap()
}

impl Clip {
    fn load(self) -> Material {
        let name = match self {
            Self::OneByOne => "one-by-one-person_a",
            Self::Retail => "retail02_a",
            Self::Highway => "udacity_solidWhiteRight",
            Self::Palace => return palace(),
        };
        let input = &json(&format!("{name}.tracks.json"))["_input"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let classes: Vec<u32> =
            input["classes_used"].as_array().unwrap().iter().map(|class| number(class) as u32).collect();
        let rows = mot_rows(&format!("{name}.dets.txt"))
            .into_iter()
            .filter(|row| row.class_id.is_some_and(|class| classes.contains(&class)))
            // The reference was given the detections of these classes, but not the class.
            .map(|row| MotRow { class_id: Some(0), ..row })
            .collect();
        let size = (number(&input["image_wh"][0]) as u32, number(&input["image_wh"][1]) as u32);
        Material {
            video: Video { size, fps: input["fps"].as_f64().unwrap() },
            frames: number(&input["frames"]),
            rows,
            reference: mot_rows(&format!("{name}.bytetrack.txt")),
        }
    }
}

/// ByteTrack-cpp's published fixture; its frames count from 0.
fn palace() -> Material {
    let document = json("bytetrack_cpp_palace.detections.json");
    let rows = document["results"].as_array().unwrap().iter().map(|row| {
        let number = |name: &str| row[name].as_str().unwrap().parse::<f64>().unwrap();
        MotRow {
            frame: number("frame_id") as u64 + 1,
            id: None,
            x: number("x"),
            y: number("y"),
            width: number("width"),
            height: number("height"),
            confidence: number("prob"),
            class_id: Some(0),
        }
    });
    let reference = mot_rows("bytetrack_palace.python_fuse.txt");
    Material {
        video: Video { size: (1280, 720), fps: 30.0 },
        frames: 314,
        rows: rows.collect(),
        reference: reference.into_iter().map(|row| MotRow { frame: row.frame + 1, ..row }).collect(),
    }
}

fn observation(row: &MotRow, size: (u32, u32)) -> Observation {
    Observation { frame: row.frame, id: row.id.expect("a track"), box2d: row.box2d(size) }
}

impl Material {
    /// The reference's tracks with the detector's boxes. It prints a track's filtered box, which at 10
    /// frames/s lags so far behind that it misses the detection it was updated with; but it prints that
    /// detection's confidence, which names it.
    fn reference_detections(&self) -> Vec<Observation> {
        let of_frame = by_frame(&self.rows);
        let detection_of = |row: &MotRow| {
            let filtered = row.box2d(self.video.size);
            let overlap = |row: &MotRow| row.box2d(self.video.size).iou(&filtered);
            let same =
                of_frame[&row.frame].iter().filter(|other| (other.confidence - row.confidence).abs() < 2e-5);
            let detection = same.max_by(|a, b| overlap(a).total_cmp(&overlap(b))).expect("its detection");
            Observation { box2d: detection.box2d(self.video.size), ..observation(row, self.video.size) }
        };
        self.reference.iter().map(detection_of).collect()
    }

    /// Tracks the frames that `keeps` takes, at their own times, and compares the confirmed tracks'
    /// detections with the reference's in these frames.
    fn compare(&self, keeps: impl Fn(u64) -> bool) -> Agreement {
        let of_frame = by_frame(&self.rows);
        let mut tracker = Tracker::new(TrackerConfig::default(), self.video.size);
        let mut tracked = Vec::new();
        for frame in (1..=self.frames).filter(|&frame| keeps(frame)) {
            let rows = of_frame.get(&frame).map_or(&[][..], Vec::as_slice);
            let detections: Vec<Detection> = rows
                .iter()
                .map(|row| Detection {
                    class_id: 0,
                    confidence: row.confidence as f32,
                    box2d: row.box2d(self.video.size),
                })
                .collect();
            let refs = tracker.update((frame as f64 * 1e6 / self.video.fps) as i64, &detections);
            for (detection, track) in detections.iter().zip(refs) {
                if let Some(TrackRef { id, state: TrackState::Confirmed, .. }) = track {
                    tracked.push(Observation { frame, id, box2d: detection.box2d });
                }
            }
        }
        let reference: Vec<Observation> =
            self.reference_detections().into_iter().filter(|observation| keeps(observation.frame)).collect();
        evaluate(&reference, &tracked, IOU_THRESHOLD)
    }
}

fn by_frame(rows: &[MotRow]) -> BTreeMap<u64, Vec<MotRow>> {
    let mut frames: BTreeMap<u64, Vec<MotRow>> = BTreeMap::new();
    for row in rows {
        frames.entry(row.frame).or_default().push(*row);
    }
    frames
}

fn report(what: &str, agreement: &Agreement) {
    println!(
        "{what}: IDF1 {:.4}, MOTA {:.4}, {} switches, {} misses, {} false positives of {} boxes",
        agreement.idf1(),
        agreement.mota(),
        agreement.id_switches,
        agreement.misses(),
        agreement.false_positives(),
        agreement.truth
    );
}

#[test]
fn detections_get_the_identities_of_the_reference() {
    for clip in CLIPS {
        let agreement = clip.load().compare(|_| true);
        report(&format!("{clip:?}"), &agreement);
        assert!(agreement.truth > 500, "{clip:?}: {} reference boxes", agreement.truth);
        assert!(agreement.idf1() >= 0.99 && agreement.mota() >= 0.99, "{clip:?}: {agreement:?}");
    }
}

#[test]
fn written_rows_agree_with_the_rows_of_the_reference() {
    for clip in CLIPS {
        let Material { video, rows, reference, .. } = clip.load();
        let mut input = Vec::new();
        mot::write(&mut input, &rows).unwrap();
        let mut output = Vec::new();
        track_rows(input.as_slice(), &mut output, Some(video), TrackerConfig::default()).unwrap();
        let observations =
            |rows: &[MotRow]| rows.iter().map(|row| observation(row, video.size)).collect::<Vec<_>>();
        let tracked = observations(&mot::read(output.as_slice()).unwrap());
        let agreement = evaluate(&observations(&reference), &tracked, IOU_THRESHOLD);
        report(&format!("{clip:?}, rows"), &agreement);
        assert!(agreement.idf1() >= 0.98 && agreement.mota() >= 0.98, "{clip:?}: {agreement:?}");
    }
}

/// Numbers that look random and are the same on every run (splitmix64), 0..1.
fn random(seed: u64, n: u64) -> f64 {
    let mut x = seed.wrapping_mul(0xD129_0B2B_7D5A_1C63).wrapping_add(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) as f64 / u64::MAX as f64
}

#[test]
fn dropped_frames_change_few_identities() {
    for clip in CLIPS {
        let material = clip.load();
        let sum = |runs: &mut dyn Iterator<Item = Agreement>| {
            let (mut boxes, mut switches) = (0, 0);
            for run in runs {
                boxes += run.matches;
                switches += run.id_switches;
            }
            switches as f64 / boxes as f64
        };
        let a_third = sum(&mut (0..10).map(|seed| material.compare(|frame| random(seed, frame) >= 0.3)));
        let every_second = sum(&mut (0..2).map(|phase| material.compare(|frame| frame % 2 == phase)));
        println!(
            "{clip:?}: switches per box {a_third:.5} without 30 %, {every_second:.5} without every second"
        );
        assert!(a_third <= 0.006, "{clip:?}: {a_third}");
        assert!(every_second <= 0.01, "{clip:?}: {every_second}");
    }
}

// -----------------------------------------------------------------------------------------------------------
// Scenes made up.

const SIZE: (u32, u32) = (1280, 720);

fn tracker() -> Tracker {
    Tracker::new(TrackerConfig::default(), SIZE)
}

/// A box 0.1 wide and 0.3 high.
fn at(x: f32, y: f32) -> Box2d {
    Box2d { x_min: x, y_min: y, x_max: x + 0.1, y_max: y + 0.3 }
}

fn person(confidence: f32, box2d: Box2d) -> Detection {
    Detection { class_id: 0, confidence, box2d }
}

fn ids(refs: &[Option<TrackRef>]) -> Vec<Option<u64>> {
    refs.iter().map(|track| track.map(|track| track.id)).collect()
}

fn us(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

#[test]
fn what_the_first_frame_shows_is_confirmed_and_anything_later_at_second_sight() {
    let mut tracker = tracker();
    let refs = tracker.update(0, &[person(0.9, at(0.1, 0.1))]);
    assert_eq!(refs[0], Some(TrackRef { id: 1, state: TrackState::Confirmed, age_s: 0.0 }));
    let refs = tracker.update(us(0.1), &[person(0.9, at(0.6, 0.1)), person(0.9, at(0.1, 0.1))]);
    assert_eq!(refs[0], Some(TrackRef { id: 2, state: TrackState::Tentative, age_s: 0.0 }));
    assert_eq!(refs[1], Some(TrackRef { id: 1, state: TrackState::Confirmed, age_s: 0.1 }));
    let refs = tracker.update(us(0.2), &[person(0.9, at(0.6, 0.1))]);
    assert_eq!(refs[0], Some(TrackRef { id: 2, state: TrackState::Confirmed, age_s: 0.1 }));
}

#[test]
fn a_tentative_track_not_seen_again_is_forgotten() {
    let mut tracker = tracker();
    tracker.update(0, &[]);
    assert_eq!(ids(&tracker.update(us(0.1), &[person(0.9, at(0.1, 0.1))])), [Some(1)]);
    tracker.update(us(0.2), &[]);
    assert!(tracker.is_empty());
    assert_eq!(ids(&tracker.update(us(0.3), &[person(0.9, at(0.1, 0.1))])), [Some(2)]);
}

#[test]
fn unsure_detections_carry_a_track_on_but_start_none() {
    let mut tracker = tracker();
    let here = at(0.1, 0.1);
    tracker.update(0, &[person(0.9, here)]);
    // Below `low` nothing counts; between `high` and `new` a detection is matched, but starts nothing.
    for (n, (confidence, expected)) in
        [(0.12, Some(1)), (0.55, Some(1)), (0.05, None)].into_iter().enumerate()
    {
        let refs =
            tracker.update(us(0.1 * (n + 1) as f64), &[person(confidence, here), person(0.55, at(0.6, 0.5))]);
        assert_eq!(ids(&refs), [expected, None], "confidence {confidence}");
    }
    // A lost track does not come back by an unsure detection, only by a sure one.
    assert_eq!(ids(&tracker.update(us(0.5), &[person(0.3, here)])), [None]);
    assert_eq!(ids(&tracker.update(us(0.6), &[person(0.9, here)])), [Some(1)]);
}

#[test]
fn a_track_keeps_its_class() {
    let mut tracker = tracker();
    let here = at(0.1, 0.1);
    let car = Detection { class_id: 2, confidence: 0.9, box2d: here };
    tracker.update(0, &[person(0.9, here), car]);
    assert_eq!(ids(&tracker.update(us(0.1), &[car, person(0.9, here)])), [Some(2), Some(1)]);
    tracker.update(us(0.2), &[]);
    assert_eq!(ids(&tracker.update(us(0.3), &[car])), [Some(2)]);
}

#[test]
fn a_fast_object_is_found_again_where_its_course_leads() {
    // A third of its width per frame at 30 frames/s; frames come at random, up to ten of them missing in a
    // row, in which it moves by more than three times its width.
    let mut tracker = tracker();
    let mut seen = BTreeSet::new();
    let mut frame = 0_u64;
    for n in 0..60 {
        let x = -0.5 + 0.0333 * frame as f32 * 0.2;
        let refs = tracker.update(
            us(frame as f64 / 30.0),
            &[person(0.9, Box2d { x_min: x, y_min: 0.4, x_max: x + 0.02, y_max: 0.5 })],
        );
        seen.extend(ids(&refs));
        frame += if n < 10 { 1 } else { 1 + (random(5, n) * 10.0) as u64 };
    }
    assert_eq!(seen, BTreeSet::from([Some(1)]));
}

#[test]
fn the_same_movement_gets_the_same_identities_at_any_rate() {
    // Two people pass each other; the one in front hides the other for 0.4 s.
    for fps in [5.0, 10.0, 12.5, 25.0, 30.0, 60.0] {
        let mut tracker = tracker();
        let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
        for n in 0..(4.0 * fps) as u64 {
            let t = n as f64 / fps;
            let front = person(0.9, at(0.05 + 0.2 * t as f32, 0.30));
            let behind = person(0.9, at(0.85 - 0.2 * t as f32, 0.25));
            let hidden = (t - 2.0).abs() < 0.2;
            let detections = if hidden { vec![front] } else { vec![front, behind] };
            let ids = ids(&tracker.update(us(t), &detections));
            left.insert(ids[0]);
            right.extend(ids.get(1));
        }
        assert_eq!((left, right), (BTreeSet::from([Some(1)]), BTreeSet::from([Some(2)])), "{fps} frames/s");
    }
}

#[test]
fn a_lost_track_is_remembered_for_one_second_at_any_rate() {
    for fps in [3.0, 5.0, 10.0, 12.5, 25.0, 30.0, 60.0] {
        for (hidden_s, expected) in [(0.9, 1), (1.2, 2)] {
            let mut tracker = tracker();
            let here = [person(0.9, at(0.4, 0.4))];
            let mut t = 0.0;
            while t < 1.0 {
                assert_eq!(ids(&tracker.update(us(t), &here)), [Some(1)]);
                t += 1.0 / fps;
            }
            let last_seen = t - 1.0 / fps;
            while t < last_seen + hidden_s - 1e-9 {
                tracker.update(us(t), &[]);
                t += 1.0 / fps;
            }
            let refs = tracker.update(us(last_seen + hidden_s), &here);
            assert_eq!(ids(&refs), [Some(expected)], "{fps} frames/s, hidden for {hidden_s} s");
        }
    }
}

#[test]
fn at_less_than_a_frame_per_second_what_stands_still_keeps_its_identity() {
    let mut tracker = tracker();
    let seen: Vec<_> = (0..6)
        .flat_map(|n| ids(&tracker.update(us(3.0 * f64::from(n)), &[person(0.9, at(0.4, 0.4))])))
        .collect();
    // The first interval could have been a hole in the stream; from then on the rate is known.
    assert_eq!(seen, [Some(1), Some(2), Some(2), Some(2), Some(2), Some(2)]);
}

#[test]
fn a_hole_in_the_stream_ends_all_tracks() {
    let mut tracker = tracker();
    let here = [person(0.9, at(0.4, 0.4))];
    for n in 0..10 {
        tracker.update(us(0.04 * f64::from(n)), &here);
    }
    assert_eq!(ids(&tracker.update(us(30.0), &here)), [Some(2)]);
    assert_eq!(ids(&tracker.update(us(30.04), &here)), [Some(2)]);
}

#[test]
fn a_clock_that_steps_back_or_stands_does_no_harm() {
    let mut tracker = tracker();
    let here = [person(0.9, at(0.4, 0.4))];
    for at_us in [us(100.0), us(100.04), us(100.04), us(5.0), us(5.04), us(5.08), i64::MIN, i64::MIN + 40_000]
    {
        assert_eq!(ids(&tracker.update(at_us, &here)), [Some(1)], "at {at_us}");
    }
    tracker.update(i64::MAX, &here);
    tracker.update(i64::MIN, &here);
    tracker.update(i64::MAX, &here);
}

#[test]
fn ids_go_on_after_a_reset() {
    let mut tracker = tracker();
    let here = [person(0.9, at(0.1, 0.1)), person(0.9, at(0.6, 0.1))];
    assert_eq!(ids(&tracker.update(us(9.0), &here)), [Some(1), Some(2)]);
    tracker.reset();
    assert!(tracker.is_empty());
    let refs = tracker.update(0, &here);
    assert_eq!(ids(&refs), [Some(3), Some(4)]);
    assert!(refs.iter().flatten().all(|track| track.state == TrackState::Confirmed && track.age_s == 0.0));
}

#[test]
fn a_change_of_frame_size_keeps_tracks() {
    let mut tracker = tracker();
    for (n, size) in [SIZE, SIZE, (640, 360), (640, 480), (1080, 1920), SIZE].into_iter().enumerate() {
        tracker.set_frame_size(size);
        let box2d = at(0.5 + 0.02 * n as f32, 0.1);
        assert_eq!(ids(&tracker.update(us(0.04 * n as f64), &[person(0.9, box2d)])), [Some(1)], "{size:?}");
    }
}

/// One of two neighbours vanishes, and the other moves onto its place. `lost_s` and `seen_s` say for how long
/// the two have been seen by then. Returns the ids that the one in view has from then on.
fn move_onto_a_lost_track(lost_s: f64, seen_s: f64) -> Vec<Option<u64>> {
    let mut tracker = tracker();
    let (place, beside) = (at(0.4, 0.4), at(0.49, 0.4));
    let frames = |seconds: f64| (seconds * 25.0) as i64;
    let mut ids_of_seen = Vec::new();
    for n in -frames(lost_s.max(seen_s))..15 {
        let mut detections = Vec::new();
        if (-frames(seen_s)..0).contains(&n) {
            detections.push(person(0.9, beside));
        }
        if (-frames(lost_s)..0).contains(&n) {
            detections.push(person(0.9, place));
        }
        if n >= 0 {
            detections = vec![person(0.9, at(0.49 - 0.01 * (n as f32).min(9.0), 0.4))];
        }
        let ids = ids(&tracker.update(us(n as f64 / 25.0), &detections));
        if n >= 0 {
            ids_of_seen.push(ids[0]);
        }
    }
    ids_of_seen
}

#[test]
fn of_a_seen_and_a_lost_track_in_one_place_the_one_with_the_longer_history_stays() {
    // The first to be seen has id 1. In the frame in which the other is given up its detection may belong to
    // none.
    let longer_seen = move_onto_a_lost_track(0.2, 2.0);
    assert!(longer_seen.iter().all(|id| id.is_none_or(|id| id == 1)), "{longer_seen:?}");
    let longer_lost = move_onto_a_lost_track(2.0, 0.2);
    assert_eq!(longer_lost.first(), Some(&Some(2)), "{longer_lost:?}");
    for ids in [longer_seen, longer_lost] {
        assert_eq!(ids.last(), Some(&Some(1)), "{ids:?}");
        assert!(ids.iter().filter(|id| id.is_none()).count() <= 1, "{ids:?}");
    }
}

#[test]
fn boxes_that_are_none_are_harmless() {
    let good = at(0.1, 0.1);
    let nan = f32::NAN;
    let bad = [
        Box2d { x_min: nan, ..good },
        Box2d { y_max: f32::INFINITY, ..good },
        Box2d { x_min: f32::NEG_INFINITY, x_max: f32::INFINITY, ..good },
        Box2d { x_max: good.x_min, ..good },
        Box2d { y_max: good.y_min - 0.1, ..good },
        Box2d { x_min: 0.0, y_min: 0.0, x_max: 0.0, y_max: 0.0 },
        Box2d { x_min: nan, y_min: nan, x_max: nan, y_max: nan },
    ];
    let mut tracker = tracker();
    for n in 0..5 {
        let mut detections: Vec<Detection> = bad.iter().map(|&box2d| person(0.9, box2d)).collect();
        detections.push(person(nan, good));
        detections.push(person(0.9, good));
        // As thin and as large as floats go.
        detections.push(person(0.9, Box2d { x_min: 0.5, y_min: 0.5, x_max: 0.5 + 1e-7, y_max: 0.5 + 1e-7 }));
        detections.push(person(0.9, Box2d { x_min: -3e38, y_min: -3e38, x_max: 3e38, y_max: 3e38 }));
        let refs = tracker.update(us(0.04 * f64::from(n)), &detections);
        assert!(refs[..8].iter().all(Option::is_none), "{refs:?}");
        assert_eq!(refs[8].map(|track| track.id), Some(1));
    }
}

#[test]
fn no_frame_has_a_track_twice() {
    for seed in 0..40 {
        let mut tracker = tracker();
        let mut n = 0;
        let mut next = || {
            n += 1;
            random(seed, n)
        };
        for frame in 0..80 {
            let count = (next() * 30.0) as usize;
            let detections: Vec<Detection> = (0..count)
                .map(|_| {
                    let (x, y) = (next() as f32 * 0.4, next() as f32 * 0.4);
                    let (width, height) = (0.05 + next() as f32 * 0.3, 0.05 + next() as f32 * 0.3);
                    Detection {
                        class_id: (next() * 2.0) as u32,
                        confidence: next() as f32,
                        box2d: Box2d { x_min: x, y_min: y, x_max: x + width, y_max: y + height },
                    }
                })
                .collect();
            let refs = tracker.update(us(f64::from(frame) * (0.02 + next() * 0.1)), &detections);
            assert_eq!(refs.len(), detections.len());
            let tracked: Vec<u64> = refs.iter().flatten().map(|track| track.id).collect();
            assert_eq!(
                tracked.iter().collect::<BTreeSet<_>>().len(),
                tracked.len(),
                "seed {seed}, frame {frame}"
            );
        }
    }
}

#[test]
fn a_flood_of_boxes_stays_bounded() {
    // 300 boxes, all over each other, nowhere twice in the same place.
    let mut tracker = tracker();
    let mut longest = Duration::ZERO;
    for frame in 0..40_u64 {
        let detections: Vec<Detection> = (0..300)
            .map(|n| {
                let jitter = |k: u64| random(frame, n * 3 + k) as f32 * 0.1;
                person(
                    0.61 + jitter(2) * 3.0,
                    Box2d { x_min: 0.1 + jitter(0), y_min: 0.1 + jitter(1), x_max: 0.8, y_max: 0.9 },
                )
            })
            .collect();
        let start = Instant::now();
        tracker.update(us(frame as f64 / 30.0), &detections);
        longest = longest.max(start.elapsed());
    }
    println!("longest update: {longest:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
