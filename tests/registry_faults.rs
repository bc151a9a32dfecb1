//! The registry while Kafka is slow, silent or away: what it acknowledges is there, and what it does not know it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/sightline.rs"]
mod sightline;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use kafka::{Kafka, KafkaKind};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use registry::{Files, Registry, apply_topics, wait_until};
use serde_json::{Value, json};

fn camera(id: &str) -> Value {
    json!({"id": id, "source": "rtsp://10.0.0.5/1"})
}

fn started() -> (Kafka, Files) {
    let broker = Kafka::start(KafkaKind::Plain);
    apply_topics(&broker.bootstrap);
    (broker, Files::new())
}

/// Cameras as the log has them, for a reader of what is committed.
fn in_the_log(bootstrap: &str) -> BTreeMap<String, Value> {
    let mut cameras = BTreeMap::new();
    for record in kcat::read(bootstrap, "sightline.cameras") {
        cameras.insert(record.key, record.value);
    }
    cameras
}

/// Somebody's open transaction hides what is written behind it.
#[test]
fn a_write_that_the_view_does_not_follow_is_accepted_and_its_place_told() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let foreign: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker.bootstrap)
        .set("transactional.id", "foreign")
        .set("transaction.timeout.ms", "120000")
        .create()
        .unwrap();
    foreign.init_transactions(Duration::from_secs(30)).unwrap();
    foreign.begin_transaction().unwrap();
    for partition in 0..6 {
        let record = BaseRecord::<str, str>::to("sightline.cameras").key("nobody").partition(partition);
        foreign.send(record.payload("{}")).unwrap();
    }
    foreign.flush(Duration::from_secs(30)).unwrap();

    let asked = Instant::now();
    let accepted = registry.send("POST", "/v1/cameras", &camera("gate"));
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert!(asked.elapsed() >= Duration::from_secs(5), "it waits for the view first");
    let place = accepted.headers["location"].clone();
    assert_eq!(place, "/v1/cameras/gate");
    // The next wish knows of it all the same.
    registry.send("POST", "/v1/cameras", &camera("gate")).is_problem(409, &[]);
    foreign.abort_transaction(Duration::from_secs(30)).unwrap();
    wait_until("the place to show it", || registry.get(&place).status == 200);
    assert_eq!(registry.get(&place).json()["spec"]["generation"], 1);
}

#[test]
fn a_broker_that_falls_silent_in_mid_write_leaves_no_doubt() {
    let (mut broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    assert_eq!(registry.send("POST", "/v1/cameras", &camera("before")).status, 201);
    broker.pause();
    let answered = std::thread::scope(|scope| {
        let asking = scope.spawn(|| registry.send("POST", "/v1/cameras", &camera("during")));
        asking.join().unwrap()
    });
    let problem = answered.is_problem(503, &[]);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("try again"), "{detail}");
    broker.resume();
    // The same wish again: made now, or found to have been made.
    let mut again = registry.send("POST", "/v1/cameras", &camera("during"));
    wait_until("an answer", || {
        if again.status == 503 {
            again = registry.send("POST", "/v1/cameras", &camera("during"));
        }
        again.status != 503
    });
    // 202: it is written, and was not to be seen within 5 s.
    assert!([201, 202, 409].contains(&again.status), "{again:?}");
    wait_until("it to be seen", || registry.get("/v1/cameras/during").status == 200);
    let log = in_the_log(&broker.bootstrap);
    for id in ["before", "during"] {
        let view = registry.get(&format!("/v1/cameras/{id}"));
        assert_eq!(view.status, 200, "{view:?}");
        assert_eq!(log[id]["generation"], view.json()["spec"]["generation"]);
    }
    drop(broker);
}

#[test]
fn writes_while_the_broker_is_killed_and_comes_back_are_there_or_refused() {
    let (mut broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let begun = Instant::now();
    let (mut made, mut refused) = (Vec::new(), 0);
    let mut is_away = false;
    for n in 0.. {
        let id = format!("camera-{n}");
        if !is_away && begun.elapsed() > Duration::from_secs(1) {
            broker.kill9();
            is_away = true;
        }
        if is_away && begun.elapsed() > Duration::from_secs(11) && refused > 0 {
            break;
        }
        let answer = registry.send("POST", "/v1/cameras", &camera(&id));
        match answer.status {
            201 | 202 => made.push(id),
            _ => {
                let problem = answer.is_problem(503, &[]);
                assert!(problem["detail"].as_str().unwrap().contains("try again"), "{problem}");
                refused += 1;
            }
        }
    }
    assert!(!made.is_empty() && refused > 0, "{} made, {refused} refused", made.len());
    broker.start_again();
    wait_until("it to write again", || registry.send("POST", "/v1/cameras", &camera("after")).status != 503);
    let log = in_the_log(&broker.bootstrap);
    for id in &made {
        assert!(log.contains_key(id), "{id} was acknowledged");
    }
    wait_until("the view to have all that the log has", || {
        log.keys().all(|id| registry.get(&format!("/v1/cameras/{id}")).status == 200)
    });
}

#[test]
fn a_watch_ends_when_its_token_is_taken_away() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let watching = |role: &str| {
        let request = ureq::get(format!("{}/v1/cameras:watch", registry.api))
            .header("authorization", format!("Bearer {}", files.token(role)));
        BufReader::new(request.call().unwrap().into_body().into_reader())
    };
    let (mut viewer, mut admin) = (watching("viewer"), watching("admin"));
    let mut line = String::new();
    viewer.read_line(&mut line).unwrap();
    assert!(line.starts_with("event:"), "{line}");
    let tokens = std::fs::read_to_string(files.path("tokens")).unwrap();
    let kept: Vec<_> = tokens.lines().filter(|line| !line.starts_with("the-viewer ")).collect();
    std::fs::write(files.path("tokens"), kept.join("\n")).unwrap();
    // To its end: without one this would wait for ever.
    while viewer.read_line(&mut line).unwrap() > 0 {}
    // Who may still ask is told on.
    registry.send("POST", "/v1/cameras", &camera("gate"));
    while !line.contains("\"gate\"") {
        line.clear();
        assert!(admin.read_line(&mut line).unwrap() > 0, "the other watch goes on");
    }
}
