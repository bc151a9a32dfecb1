#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;
use crate::audits::AUDITS;

fn apply(state: &mut State, source: Source, offset: i64, key: &str, value: Option<Value>) -> Applied {
    let value = value.map(|value| value.to_string().into_bytes());
    let at = Instant::now();
    state.apply(&Record { source, partition: 3, offset, at, key: Some(key), value: value.as_deref() })
}

fn status(state: &str, epoch: Option<u64>) -> Value {
    let mut status = json!({"schema": "status/1", "camera": "gate", "generation": 1, "pod": "p", "state": state,
        "since": "2026-11-23T18:40:11.120Z"});
    if let Some(epoch) = epoch {
        status["epoch"] = epoch.into();
    }
    status
}

#[test]
fn a_claim_begins_the_epoch_of_its_offset_and_base_and_older_epochs_do_not_count() {
    let mut state = State::default();
    apply(&mut state, Source::Statuses, 0, "_base", Some(json!({"schema": "base/1", "base": 41_000})));
    apply(&mut state, Source::Statuses, 7, "gate", Some(status("claimed", None)));
    assert_eq!(state.cameras["gate"].status.as_ref().unwrap().epoch, 41_007);
    let news = apply(&mut state, Source::Statuses, 8, "gate", Some(status("running", Some(41_007))));
    assert!(matches!(news.event, Some(Event::Status(status)) if status.epoch == Some(41_007)));
    let repeated = apply(&mut state, Source::Statuses, 9, "gate", Some(status("running", Some(41_007))));
    assert!(repeated.event.is_none());
    let late = apply(&mut state, Source::Statuses, 10, "gate", Some(status("ended", Some(40_000))));
    assert!(late.event.is_none());
    assert_eq!(state.cameras["gate"].state(), "running");
    assert!(state.has_reached(Source::Statuses, 3, 10) && !state.has_reached(Source::Statuses, 3, 11));
    assert!(state.camera("gate").is_none(), "a status alone is no camera");
}

#[test]
fn what_can_not_be_read_is_told_and_the_settings_before_stay() {
    let mut state = State::default();
    let camera = json!({"id": "gate", "source": "rtsp://10.0.0.5/1"});
    apply(&mut state, Source::Cameras, 0, "gate", Some(camera.clone()));
    for (bad, why) in [
        (json!({"id": "gate"}), "streams"),
        (json!({"id": "other", "source": "x"}), "its key is \"gate\" and its id \"other\""),
        (json!([1]), "invalid type"),
    ] {
        let told = apply(&mut state, Source::Cameras, 1, "gate", Some(bad)).unreadable.unwrap();
        assert!(told.to_lowercase().contains(&why.to_lowercase()), "{told}");
        assert!(state.unreadable.contains("gate") && state.camera("gate").is_some());
    }
    apply(&mut state, Source::Cameras, 2, "gate", Some(camera));
    assert!(state.unreadable.is_empty());
    apply(
        &mut state,
        Source::Placements,
        3,
        "gate",
        Some(json!({"schema": "placement/1", "camera": "gate", "pool": "gpu", "slot": 7})),
    );
    assert_eq!(state.cameras["gate"].pool(), Some("gpu"));
    let told = apply(&mut state, Source::Placements, 4, "gate", Some(json!({"camera": "x"})));
    assert!(told.unreadable.is_some());
    apply(&mut state, Source::Placements, 5, "gate", None);
    assert_eq!(state.cameras["gate"].pool(), Some("default"));
    assert!(matches!(apply(&mut state, Source::Cameras, 6, "gate", None).event, Some(Event::Deleted(_))));
    assert!(state.cameras.is_empty());
}

#[test]
fn a_pod_lives_for_15_seconds_and_its_capacity_is_remembered() {
    let mut state = State::default();
    let pod = json!({"schema": "pod/1", "pod": "p", "instance": "i", "pool": "default", "slots": [1], "device": "cpu",
        "capacity_fps": 40.0, "wanted_fps": 5.0, "cameras": 1, "version": "0", "since": "2026-11-23T18:40:11Z",
        "model": {"name": "m", "sha256": "0", "head": "end2end", "input": [384, 640], "classes": ["person"]}});
    apply(&mut state, Source::Pods, 0, "p", Some(pod));
    let now = Instant::now();
    assert_eq!(state.live_pods(now).count(), 1);
    assert_eq!(state.live_pods(now + POD_LIFE).count(), 0);
    apply(&mut state, Source::Pods, 1, "p", None);
    assert_eq!((state.pods.len(), state.capacities["default"]), (0, 40.0));
}

#[test]
fn the_newest_changes_are_kept() {
    let mut state = State::default();
    for n in 0..AUDITS as i64 + 5 {
        let audit = json!({"schema": "audit/1", "who": "ops", "at": "2026-11-23T18:40:11Z", "action": "created", "camera": "c"});
        apply(&mut state, Source::Audit, n, "ops", Some(audit));
    }
    let kept: Vec<_> = state.audits.newest().map(|audited| audited.offset).collect();
    assert_eq!((kept.len(), kept.last()), (AUDITS, Some(&5)));
}
