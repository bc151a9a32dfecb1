//! `topics` and `pipeline` on a real Apache Kafka, read by a foreign client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/clips.rs"]
mod clips;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/sightline.rs"]
mod sightline;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use kafka::{Kafka, KafkaKind, PASSWORD};
use kcat::Record;
use serde_json::Value;
use sightline::{Metrics, Sightline, command, data, fast_model, get, output, wait_for};

const DETECTIONS: &str = "sightline.detections";
const STATUS: &str = "sightline.camera-status";
/// `pipeline` promises to end within this after a SIGTERM.
const STOP_BOUND: Duration = Duration::from_secs(25);

fn topics(action: &str, bootstrap: &str, more: &[&str]) -> Output {
    output(&[&["topics", action, "--kafka", bootstrap, "--partitions", "6"], more].concat())
}

fn apply(bootstrap: &str, more: &[&str]) {
    let applied = topics("apply", bootstrap, more);
    assert!(applied.status.success(), "{applied:?}");
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn pipeline(bootstrap: &str, cameras: &Path, more: &[&str]) -> std::process::Command {
    let (model, cameras) = (fast_model(), cameras.to_string_lossy().into_owned());
    let args =
        ["pipeline", "--kafka", bootstrap, "--cameras", &cameras, "--model", &model, "--http", "127.0.0.1:0"];
    command(&[&args[..], more].concat())
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Waits until the cameras are in this state, by the metrics.
fn wait_for_state(http: &str, state: &str, cameras: f64) {
    wait_for(&format!("{cameras} cameras {state}"), || {
        let found = Metrics::scrape(http).sum("sightline_pipeline_cameras", &[("state", state)]);
        (found >= cameras).then_some(())
    });
}

fn validators() -> BTreeMap<&'static str, jsonschema::Validator> {
    ["frame", "spec", "stream", "tick", "status"]
        .into_iter()
        .map(|name| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}-1.json"));
            let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            (name, jsonschema::validator_for(&schema).unwrap())
        })
        .collect()
}

/// One camera's records in `detections`, checked for everything that holds for every camera.
struct Told<'a> {
    frames: Vec<&'a Value>,
    streams: Vec<&'a Value>,
    schemas: Vec<&'a str>,
}

/// All records of one epoch of a camera: one partition, key and headers, valid, in order, sums closed.
fn told<'a>(records: &'a [Record], statuses: &[Record], camera: &str) -> Told<'a> {
    let validators = validators();
    let claimed = |status: &&Record| status.key == camera && status.value["state"] == "claimed";
    let claims: Vec<_> = statuses.iter().filter(claimed).collect();
    assert_eq!(claims.len(), 1, "{camera}: one claim");
    assert!(claims[0].value.get("epoch").is_none(), "a claim's offset gives its epoch");
    let of_camera: Vec<_> = records.iter().filter(|record| record.key == camera).collect();
    for record in of_camera.iter().copied().chain(statuses.iter().filter(|status| status.key == camera)) {
        assert_eq!(record.partition, kcat::partition(camera, 6), "{camera}");
        assert_eq!(record.headers["content-type"], "application/json");
        assert_eq!(record.headers["sightline-schema"], record.schema());
        assert_eq!(record.value["camera"], camera);
        let schema = record.schema().strip_suffix("/1").unwrap();
        let errors: Vec<_> =
            validators[schema].iter_errors(&record.value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {}", record.value);
        if record.value["state"] != "claimed" {
            assert_eq!(record.value["epoch"], claims[0].offset, "{camera}: the epoch is the claim's offset");
        }
    }
    let mut next = 0;
    let mut captured_at = "";
    let frames: Vec<_> = of_camera.iter().filter(|r| r.schema() == "frame/1").map(|r| &r.value).collect();
    for frame in &frames {
        let skipped: u64 =
            frame["skipped"].as_object().into_iter().flatten().map(|(_, n)| n.as_u64().unwrap()).sum();
        let seq = frame["seq"].as_u64().unwrap();
        assert_eq!(seq, next + skipped, "{camera}: seq − previous seq = 1 + Σ skipped: {frame}");
        next = seq + 1;
        let at = frame["captured_at"].as_str().unwrap();
        assert!(at >= captured_at, "{camera}: captured_at goes back: {frame}");
        captured_at = at;
    }
    Told {
        frames,
        streams: of_camera.iter().filter(|r| r.schema() == "stream/1").map(|r| &r.value).collect(),
        schemas: of_camera.iter().map(|record| record.schema()).collect(),
    }
}

#[test]
fn a_foreign_client_reads_every_frame_once_in_order_and_valid() {
    let broker = Kafka::start(KafkaKind::Plain);
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips::cut(&data("clips/one-by-one-person_a.mp4"), 80, &folder.path().join("people.mp4"));
    clips::cut(&data("clips/car-detection.mp4"), 75, &folder.path().join("cars.mp4"));
    let cameras = folder.path().join("cameras.yaml");
    write(
        &cameras,
        "cameras:\n\
         - {id: people, source: people.mp4, labels: {site: hq}, zones: [{id: table, polygon: [[0,0],[1,0],[1,1]]}]}\n\
         - {id: cars, source: cars.mp4, sampling: {mode: fps, fps: 5}}\n\
         - {id: yard, source: 'test://ball?size=320x240&fps=25&frames=50'}\n\
         - {id: off, source: people.mp4, enabled: false}\n",
    );

    // Before there are topics: a refusal that says what to do, by both commands.
    let refused = pipeline(bootstrap, &cameras, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let suggested = format!("sightline topics apply --kafka {bootstrap}");
    assert!(stderr(&refused).contains(&suggested), "{refused:?}");
    let missing = topics("check", bootstrap, &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stdout(&missing).contains("topic sightline.detections does not exist"), "{missing:?}");
    assert!(stderr(&missing).contains(&suggested), "{missing:?}");
    let elsewhere = topics("check", bootstrap, &["--topic-prefix", "other."]);
    assert!(stderr(&elsewhere).contains(&format!("{suggested} --topic-prefix 'other.'")), "{elsewhere:?}");

    apply(bootstrap, &[]);
    let again = topics("apply", bootstrap, &[]);
    assert_eq!(
        (again.status.code(), stdout(&again).as_str()),
        (Some(0), "all 12 topics are as they should be\n")
    );
    assert_eq!(topics("check", bootstrap, &[]).status.code(), Some(0));
    let fewer = output(&["topics", "check", "--kafka", bootstrap, "--partitions", "48"]);
    assert_eq!(fewer.status.code(), Some(1));
    assert!(stdout(&fewer).contains("has 6 partitions, not 48"), "{fewer:?}");
    assert!(!stderr(&fewer).contains("topics apply"), "apply would not mend it: {fewer:?}");

    let mut running = Sightline::spawn(pipeline(bootstrap, &cameras, &["--pod", "pod-7"]));
    let http = running.http();
    wait_for_state(&http, "ended", 3.0);
    assert_eq!(get(&http, "/readyz").0, 200);
    let metrics = Metrics::scrape(&http);
    for camera in ["people", "cars", "yard"] {
        let count = |name: &str| metrics.sum(name, &[("camera", camera)]);
        assert_eq!(
            count("sightline_pipeline_frames_arrived_total"),
            count("sightline_pipeline_frames_published_total")
                + count("sightline_pipeline_frames_skipped_total"),
            "{camera}: each access unit is published or skipped"
        );
    }
    running.signal("TERM");
    let asked = Instant::now();
    let (status, said) = running.wait();
    assert!(asked.elapsed() < STOP_BOUND);
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("everything acknowledged"), "{said}");

    let records = kcat::read(bootstrap, DETECTIONS);
    let statuses = kcat::read(bootstrap, STATUS);
    for camera in ["people", "cars", "yard"] {
        let told = told(&records, &statuses, camera);
        assert_eq!(told.schemas[..3], ["spec/1", "stream/1", "frame/1"], "{camera}");
        assert_eq!(*told.schemas.last().unwrap(), "stream/1");
        assert_eq!(told.streams.first().unwrap()["state"], "started");
        let ended = told.streams.last().unwrap();
        assert_eq!((&ended["state"], &ended["complete"]), (&"ended".into(), &true.into()), "{camera}");
        let last = statuses.iter().rev().find(|status| status.key == camera).unwrap();
        assert_eq!((&last.value["state"], &last.value["pod"]), (&"ended".into(), &"pod-7".into()));
    }
    let people = told(&records, &statuses, "people").frames;
    assert_eq!(people.len(), 80);
    assert!(people.iter().any(|frame| frame["detections"][0]["label"] == "person"), "somebody is seen");
    let spec = records.iter().find(|r| r.key == "people" && r.schema() == "spec/1").unwrap();
    assert_eq!(
        (&spec.value["zones"][0]["id"], &spec.value["labels"]["site"]),
        (&"table".into(), &"hq".into())
    );
    // 5 of 12.5 frames a second: 30 of 75.
    let cars = told(&records, &statuses, "cars").frames;
    assert_eq!(cars.len(), 30);
    assert!(cars[1..].iter().all(|frame| frame["skipped"]["sampling"].as_u64().unwrap() >= 1));
    let off: Vec<_> = statuses.iter().filter(|status| status.key == "off").collect();
    assert_eq!((off.len(), &off[0].value["state"]), (1, &"disabled".into()));
    assert!(!records.iter().any(|record| record.key == "off"));
}

#[test]
fn a_broker_that_comes_late_and_dies_costs_recorded_video_nothing_and_live_video_what_is_counted() {
    let mut broker = Kafka::start(KafkaKind::Plain);
    apply(&broker.bootstrap.clone(), &[]);
    broker.stop();
    let bootstrap = broker.bootstrap.clone();
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("recorded.yaml");
    let clip = data("clips/car-detection.mp4");
    write(&recorded, &format!("cameras: [{{id: cars, source: '{}'}}]\n", clip.display()));
    let live = folder.path().join("live.yaml");
    write(&live, "cameras: [{id: yard, source: 'test://ball?size=320x240&fps=10'}]\n");
    // A queue that is full soon.
    let config = folder.path().join("kafka.properties");
    write(&config, "queue.buffering.max.messages=20\n");
    let more = ["--kafka-config", config.to_str().unwrap(), "--workers", "1", "--low-latency"];

    let mut file = Sightline::spawn(pipeline(&bootstrap, &recorded, &more));
    let http = file.http();
    let reason = format!("no broker answers at {bootstrap} (connection refused)");
    wait_for("the reason at /readyz", || {
        let (status, body) = get(&http, "/readyz");
        assert_eq!(status, 503);
        body.contains(&reason).then_some(())
    });
    assert_eq!(get(&http, "/livez").0, 200);
    let said = |file: &Sightline| file.stderr().matches(&reason).count();
    wait_for("the reason in the log", || (said(&file) == 1).then_some(()));
    let first = Instant::now();
    wait_for("the reason again", || (said(&file) == 2).then_some(()));
    assert!((8.0..13.0).contains(&first.elapsed().as_secs_f64()), "again after {:?}", first.elapsed());
    let metrics = Metrics::scrape(&http);
    assert_eq!(metrics.sum("sightline_pipeline_frames_arrived_total", &[("camera", "cars")]), 0.0);
    assert!(!file.stderr().contains("claimed"), "nothing is opened: {}", file.stderr());

    broker.start_again();
    let mut yard = Sightline::spawn(pipeline(&bootstrap, &live, &more));
    let live_http = yard.http();
    let published = |http: &str| Metrics::scrape(http).sum("sightline_pipeline_frames_published_total", &[]);
    wait_for("frames of both", || (published(&http) > 30.0 && published(&live_http) > 5.0).then_some(()));
    assert_eq!(get(&http, "/readyz").0, 200);

    broker.kill9();
    let under_way = |http: &str| Metrics::scrape(http).sum("sightline_pipeline_records_in_flight", &[]);
    wait_for("full queues", || (under_way(&http) >= 20.0 && under_way(&live_http) >= 20.0).then_some(()));
    let unpublished = |http: &str| {
        Metrics::scrape(http).sum("sightline_pipeline_frames_skipped_total", &[("reason", "unpublished")])
    };
    wait_for("drops of the live camera, counted at once", || (unpublished(&live_http) >= 10.0).then_some(()));
    wait_for("not ready", || (get(&http, "/readyz").0 == 503).then_some(()));
    let before = published(&http);
    assert!(before < 377.0, "it did not wait for the broker");

    broker.start_again();
    wait_for_state(&http, "ended", 1.0);
    wait_for("ready again", || (get(&http, "/readyz").0 == 200).then_some(()));
    let more = published(&live_http) + 5.0;
    wait_for("live frames again", || (published(&live_http) > more).then_some(()));
    let dropped = unpublished(&live_http);
    assert_eq!(unpublished(&http), 0.0);
    for running in [file, yard] {
        running.signal("TERM");
        let asked = Instant::now();
        let (status, said) = running.wait();
        assert!(asked.elapsed() < STOP_BOUND);
        assert_eq!(status.code(), Some(0), "{said}");
    }

    let records = kcat::read(&bootstrap, DETECTIONS);
    let statuses = kcat::read(&bootstrap, STATUS);
    let cars = told(&records, &statuses, "cars");
    assert_eq!(cars.frames.len(), 377, "every frame of the clip, once");
    assert!(cars.frames.iter().all(|frame| frame.get("skipped").is_none()));
    assert_eq!(cars.streams.last().unwrap()["complete"], true);
    let yard = told(&records, &statuses, "yard");
    let counted: f64 = yard.frames.iter().filter_map(|frame| frame["skipped"]["unpublished"].as_f64()).sum();
    assert_eq!(counted, dropped, "what the metrics said is in the records");
    let ended = yard.streams.last().unwrap();
    assert_eq!((&ended["state"], &ended["complete"]), (&"ended".into(), &false.into()));
    assert_eq!(*yard.schemas.last().unwrap(), "stream/1");
}

#[test]
fn a_stop_is_bounded_whatever_the_broker_does() {
    // No broker has ever been there: nothing to lose.
    let folder = tempfile::tempdir().unwrap();
    let cameras = folder.path().join("cameras.yaml");
    let clip = data("clips/car-detection.mp4");
    write(&cameras, &format!("cameras: [{{id: cars, source: '{}'}}]\n", clip.display()));
    let mut waiting = Sightline::spawn(pipeline("127.0.0.1:1", &cameras, &[]));
    waiting.wait_for_line("no broker answers at 127.0.0.1:1");
    waiting.signal("TERM");
    let asked = Instant::now();
    let (status, said) = waiting.wait();
    assert!(asked.elapsed() < STOP_BOUND);
    assert_eq!(status.code(), Some(0), "{said}");

    // A broker that went away with the queue full: what is lost is said, in one sentence, without a line a record.
    let mut broker = Kafka::start(KafkaKind::Plain);
    let bootstrap = broker.bootstrap.clone();
    apply(&bootstrap, &[]);
    let config = folder.path().join("kafka.properties");
    write(&config, "queue.buffering.max.messages=20\n");
    let more = ["--kafka-config", config.to_str().unwrap(), "--workers", "1"];
    let mut running = Sightline::spawn(pipeline(&bootstrap, &cameras, &more));
    let http = running.http();
    wait_for("some frames", || {
        (Metrics::scrape(&http).sum("sightline_pipeline_frames_published_total", &[]) > 10.0).then_some(())
    });
    broker.kill9();
    wait_for("a full queue", || {
        (Metrics::scrape(&http).sum("sightline_pipeline_records_in_flight", &[]) >= 20.0).then_some(())
    });
    running.signal("TERM");
    let asked = Instant::now();
    let (status, said) = running.wait();
    assert!(asked.elapsed() < STOP_BOUND, "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(1), "{said}");
    // What was with the worker when the memory was full is let through.
    let lost = said.split(" records were not acknowledged and are lost").next().unwrap();
    let lost: u32 = lost.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((20..24).contains(&lost), "{said}");
    assert!(said.lines().count() < 30, "{said}");
}

#[test]
fn scram_and_tls_work_and_a_wrong_secret_is_a_sentence_without_it() {
    let broker = Kafka::start(KafkaKind::ScramTls);
    let bootstrap = broker.bootstrap.clone();
    let client = broker.client.clone().unwrap();
    let folder = tempfile::tempdir().unwrap();
    clips::cut(&data("clips/car-detection.mp4"), 20, &folder.path().join("cars.mp4"));
    let cameras = folder.path().join("cameras.yaml");
    let ids = ["a", "b", "c"];
    let sources = ids.map(|id| format!("{{id: {id}, source: cars.mp4}}")).join(", ");
    write(&cameras, &format!("cameras: [{sources}]\n"));
    let by_file = ["--kafka-config", client.properties.to_str().unwrap()];
    // The same without a password, which comes by the environment, and with room for less than one record a camera.
    let properties = fs::read_to_string(&client.properties).unwrap();
    let without: String = properties
        .lines()
        .filter(|line| !line.starts_with("sasl.password"))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = folder.path().join("without.properties");
    write(&config, &format!("{without}queue.buffering.max.messages=2\n"));
    let by_environment = ["--kafka-config", config.to_str().unwrap()];
    apply(&bootstrap, &by_file);

    for more in [by_file, by_environment] {
        let mut command = pipeline(
            &bootstrap,
            &cameras,
            &[&more[..], &["--log-filter", "debug", "--low-latency"]].concat(),
        );
        if more == by_environment {
            command.env("SIGHTLINE_KAFKA_SASL_PASSWORD", PASSWORD);
        }
        let mut running = Sightline::spawn(command);
        let http = running.http();
        wait_for_state(&http, "ended", 3.0);
        running.signal("TERM");
        let (status, said) = running.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains(PASSWORD), "the secret is shown");
    }
    // Debian 12's kcat can't log in to Kafka 4 by SCRAM (librdkafka 2.0.2), so it reads at the broker's inner listener.
    let listeners = fs::read_to_string(broker.dir.join("server.properties")).unwrap();
    let inner = listeners.split_once(",INTERNAL://").unwrap().1.split(',').next().unwrap();
    let records = kcat::read(inner, DETECTIONS);
    for id in ids {
        let frames: Vec<_> = records.iter().filter(|r| r.key == id && r.schema() == "frame/1").collect();
        assert_eq!(frames.len(), 40);
        let epochs: std::collections::BTreeSet<_> =
            frames.iter().map(|r| r.value["epoch"].as_u64()).collect();
        assert_eq!(epochs.len(), 2, "each run is an epoch of its own");
    }

    // Wrong: `topics` ends with the sentence; a pipeline says it, is not ready, and waits for it to be mended.
    let wrong = "wrong-horse-battery";
    let foreign = folder.path().join("foreign.properties");
    write(&foreign, &properties.replace(client.ca.to_str().unwrap(), client.other_ca.to_str().unwrap()));
    for (config, secret, sentence) in [
        (by_environment[1], wrong, format!("the broker at {bootstrap} refuses the login")),
        (foreign.to_str().unwrap(), PASSWORD, "its certificate is not signed by a known CA".to_owned()),
    ] {
        let with_secret = |mut command: std::process::Command| {
            if secret == wrong {
                command.env("SIGHTLINE_KAFKA_SASL_PASSWORD", wrong);
            }
            command
        };
        let more = ["--kafka-config", config, "--log-filter", "debug"];
        let applied =
            with_secret(command(&[&["topics", "apply", "--kafka", &bootstrap], &more[..]].concat())).output();
        let applied = applied.unwrap();
        assert_eq!(applied.status.code(), Some(1), "{applied:?}");
        assert!(stderr(&applied).contains(&sentence), "{applied:?}");
        assert!(!stderr(&applied).contains(secret), "the secret is shown");

        let mut waiting = Sightline::spawn(with_secret(pipeline(&bootstrap, &cameras, &more)));
        let http = waiting.http();
        waiting.wait_for_line(&sentence);
        wait_for("the reason at /readyz", || {
            let (status, body) = get(&http, "/readyz");
            assert!(status == 503 && !body.contains(secret), "{body}");
            body.contains(&sentence).then_some(())
        });
        waiting.signal("TERM");
        let (status, said) = waiting.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains(secret), "the secret is shown");
    }
}
