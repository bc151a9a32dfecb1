#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn status(state: &str, attempt: u32, more: Value) -> Value {
    let mut status = json!({"schema": "job-status/1", "job": "job-1", "state": state, "attempt": attempt, "pool": "default",
        "uri": "file:///a.mp4", "start": "2026-11-23T18:00:00.000Z", "added_at": "2026-11-23T19:00:00.000Z",
        "since": "2026-11-23T19:00:00.000Z"});
    for (name, value) in more.as_object().unwrap() {
        status[name] = value.clone();
    }
    status
}

struct Topic {
    state: JobsState,
    offset: i64,
}

impl Topic {
    fn new() -> Self {
        Self { state: JobsState::default(), offset: 100 }
    }

    fn write(&mut self, key: &str, value: Option<Value>) -> Option<String> {
        self.offset += 1;
        let value = value.map(|value| value.to_string());
        let value = value.as_ref().map(|text| text.as_bytes());
        // 19:00:10.
        let at_ms = 1_795_460_410_000;
        self.state.apply(&Record { partition: 3, offset: self.offset, at_ms, key: Some(key), value })
    }

    fn known(&self) -> Known {
        self.state.jobs.get("job-1").cloned().unwrap_or_default()
    }
}

#[test]
fn a_claim_gives_the_epoch_and_what_an_older_one_says_is_late() {
    let mut topic = Topic::new();
    assert_eq!(topic.write("job-1", Some(status("queued", 1, json!({})))).as_deref(), Some("job-1"));
    assert!(!topic.known().is_provisional());
    topic.write("job-1", Some(status("claimed", 1, json!({}))));
    assert_eq!(topic.known().epoch, Some(102));
    assert!(topic.known().is_provisional());
    topic.write("job-1", Some(status("claimed", 1, json!({}))));
    let late = topic.write("job-1", Some(status("running", 1, json!({"epoch": 102}))));
    assert_eq!(late, None);
    topic.write(
        "job-1",
        Some(status(
            "running",
            1,
            json!({"epoch": 103, "progress": {"at_s": 20.0, "of_s": 60.0, "frames": 9}}),
        )),
    );
    assert_eq!(topic.known().left_s(), Some(20.0), "10 s for the first 20 of 60");
    topic.write("job-1", Some(status("done", 1, json!({"epoch": 103}))));
    assert!(!topic.known().is_provisional());
    assert_eq!(topic.known().left_s(), None);
}

#[test]
fn a_base_is_added_to_the_offset_of_a_claim() {
    let mut topic = Topic::new();
    topic.write("_base", Some(json!({"schema": "base/1", "base": 1000})));
    topic.write("job-1", Some(status("claimed", 1, json!({}))));
    assert_eq!(topic.known().epoch, Some(1102));
}

#[test]
fn a_cancel_stands_beside_the_status_until_it_is_taken_back() {
    let mut topic = Topic::new();
    topic.write("job-1", Some(status("running", 1, json!({"epoch": 7}))));
    let cancel =
        json!({"schema": "job-cancel/1", "job": "job-1", "at": "2026-11-23T19:00:00.000Z", "who": "ops"});
    assert_eq!(topic.write("cancel.job-1", Some(cancel)).as_deref(), Some("job-1"));
    assert_eq!(topic.known().cancel.unwrap().who, "ops");
    topic.write("job-1", Some(status("running", 1, json!({"epoch": 7}))));
    assert!(topic.known().cancel.is_some());
    topic.write("cancel.job-1", None);
    assert!(topic.known().cancel.is_none());
    topic.write("job-1", None);
    assert!(topic.state.jobs.is_empty());
}

#[test]
fn what_was_taken_in_is_not_taken_in_again() {
    let mut topic = Topic::new();
    topic.write("job-1", Some(status("done", 1, json!({"epoch": 7}))));
    topic.offset -= 1;
    assert_eq!(topic.write("job-1", Some(status("queued", 1, json!({})))), None);
    assert_eq!(topic.known().status.unwrap().state, JobState::Done);
    assert!(
        topic.state.has_reached(3, 101) && !topic.state.has_reached(3, 102) && !topic.state.has_reached(4, 0)
    );
    assert_eq!(topic.write("job-1", Some(json!({"schema": "job-status/1"}))), None, "can't be read");
    assert_eq!(topic.write("job-2", Some(status("done", 1, json!({})))), None, "is of another job");
}
