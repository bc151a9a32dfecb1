//! Kafka that is away, and a second registry.

use serde_json::json;

use crate::queue::*;
use crate::registry::wait_until;

#[test]
fn nothing_is_half_added_while_kafka_is_away() {
    let (mut broker, files) = started();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4", "b.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(&broker.bootstrap, &files, folder.path());
    add_one(&registry, &format!("{root}/a.mp4"));
    broker.stop();
    let request = json!({"uris": [format!("{root}/b.mp4")], "start": START});
    let answer = registry.send("POST", "/v1/jobs", &request);
    answer.is_problem(503, &[]);
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    assert_eq!(registry.get("/v1/jobs").json()["total"], 1, "what is known is still shown");
    broker.start_again();
    wait_until("it is added", || registry.send("POST", "/v1/jobs", &request).status == 200);
    let id =
        registry.send("POST", "/v1/jobs", &request).json()["items"][0]["id"].as_str().unwrap().to_owned();
    wait_until("it is in its queue", || !of(&broker.bootstrap, JOBS, &id).is_empty());
    assert_eq!(of(&broker.bootstrap, STATUS, &id).len(), 1);
    assert_eq!(of(&broker.bootstrap, JOBS, &id).len(), 1);
}

#[test]
fn a_second_registry_takes_over_jobs_too() {
    let (broker, files) = started();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let first = registry(&broker.bootstrap, &files, folder.path());
    let id = add_one(&first, &format!("{root}/a.mp4"));
    let second = registry(&broker.bootstrap, &files, folder.path());
    let (status, said) = first.process.wait();
    assert!(!status.success() && said.contains("another registry took over"), "{said}");
    assert_eq!(add_one(&second, &format!("{root}/a.mp4")), id);
    assert_eq!(of(&broker.bootstrap, JOBS, &id).len(), 1);
}
