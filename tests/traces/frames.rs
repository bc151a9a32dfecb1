//! One frame from its capture to its event's row and alert, across five processes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sightline_service::trace::Seed;

use crate::camera::Camera;
use crate::collector::{Collector, Otelcol, Told};
use crate::kcat;
use crate::postgres::Postgres;
use crate::receiver::{Receiver, Way};
use crate::scene::{EVENTS, Scene, http, sample, stop, traces};
use crate::sightline::{Metrics, wait_for};

#[test]
fn one_trace_holds_a_frame_from_its_capture_to_its_row_and_alert() {
    one_trace(&Collector::own());
}

#[test]
#[ignore = "wants a real OpenTelemetry collector: make test-traces"]
fn a_real_collector_has_the_same_of_it() {
    one_trace(&Collector::Real(Otelcol::start()));
}

/// Name, parent's name, service; in the order in which they begin.
const WHOLE: [(&str, &str, &str); 11] = [
    ("frame", "", "sightline-pipeline"),
    ("decode", "frame", "sightline-pipeline"),
    ("queue", "frame", "sightline-pipeline"),
    ("detect", "frame", "sightline-pipeline"),
    ("letterbox", "detect", "sightline-pipeline"),
    ("session", "detect", "sightline-pipeline"),
    ("head", "detect", "sightline-pipeline"),
    ("track", "frame", "sightline-pipeline"),
    ("publish", "frame", "sightline-pipeline"),
    ("consume events", "publish", "sightline-consume-events"),
    ("store", "consume events", "sightline-consume-store"),
];

fn one_trace(collector: &Collector) {
    let scene = Scene::new();
    let database = Postgres::start();
    let camera = Camera::serve(&sample("junction.mp4"), &["--loops", "forever"]);
    let cameras = scene.cameras(&[("junction", json!({"uri": camera.uri("")}))]);
    // What is refused for good goes to the dead letters, with a line in the log.
    let told = Receiver::start(|request, _| match request.json()["type"] == "zone_entered" {
        true => Way::Take,
        false => Way::Answer(400, String::new()),
    });
    let rules = scene.path("alerts.yaml");
    std::fs::write(scene.path("secret"), "whsec_c2lnbmVkLWJ5LXRoaXMtc2VjcmV0LVMzQ1IzVC0xMjM=\n").unwrap();
    let target = json!({"webhook": told.url("/"), "secret_file": scene.path("secret")});
    let rule = json!({"name": "all", "to": ["desk"], "types": ["zone_entered", "track_started"]});
    std::fs::write(&rules, json!({"targets": {"desk": target}, "rules": [rule]}).to_string()).unwrap();

    let url = collector.url();
    let traced = ["--log", "json", "--otlp", &url];
    let mut events = scene.run(&["consume", "events"], &traced);
    let postgres = database.url();
    let mut store = scene.run(&["consume", "store", "--database", &postgres], &traced);
    let mut alerts = scene.run(&["consume", "alerts", "--rules", &rules, "--from", "earliest"], &traced);
    let mut pipeline = scene.pipeline(&cameras, &[&traced[..], &["--trace-sample", "1"]].concat());
    let probes = [&mut pipeline, &mut events, &mut store, &mut alerts].map(http);

    let is_whole = |spans: &[Told]| {
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        WHOLE.iter().all(|(name, ..)| has(name)) && has("alert")
    };
    let of_refused = |spans: &[Told]| spans.iter().any(|span| span.name == "alert" && span.error.is_some());
    let found =
        wait_for("a whole trace with a row and an alert, and one with an alert that was refused", || {
            let traces = traces(collector.told());
            let whole = traces.values().any(|spans| is_whole(spans));
            (whole && traces.values().any(|spans| of_refused(spans))).then_some(traces)
        });
    for http in &probes {
        let metrics = Metrics::scrape(http);
        assert!(metrics.sum("sightline_traces_spans_sent_total", &[]) > 0.0, "{http}");
        assert_eq!(metrics.sum("sightline_traces_spans_dropped_total", &[]), 0.0, "{http}");
        let mut described = metrics.described();
        described.retain(|name, _| name.starts_with("sightline_traces_"));
        assert_eq!(
            described,
            crate::sightline::documented("sightline_traces_"),
            "code, then docs/METRICS.md"
        );
    }
    let stopped = stop(alerts);
    stop(pipeline);
    [events, store].into_iter().for_each(|process| drop(stop(process)));

    // By now each process has told what it had: before, one may have told of an alert, and another not yet of its event.
    let told = traces(collector.told());
    found.iter().filter(|(_, spans)| is_whole(spans)).for_each(|(trace, _)| check(&told[trace]));
    check_headers(&scene, &told);
    check_lines(&stopped, &told);
    // Of an RTSP camera it is known when the picture was taken, before it came here.
    assert!(told.values().flatten().any(|span| span.name == "capture"), "no frame has its capture");
}

/// Parents are right, across processes, and all is in order.
fn check(spans: &[Told]) {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "an id is there twice");
    let one = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    for span in spans {
        assert!(span.start <= span.end, "{span:?}");
    }
    let mut before = 0;
    for (name, parent, service) in WHOLE {
        let span = one(name);
        assert_eq!(span.service, service, "{name}");
        let of = by_id.get(span.parent.as_str()).map_or("", |parent| parent.name.as_str());
        assert_eq!(of, parent, "the parent of {name}");
        assert_eq!(span.parent.is_empty(), parent.is_empty(), "{name}");
        // The steps of detection are told by how long they took.
        assert!(before <= span.start, "{name} begins before what is before it");
        before = span.start;
    }
    for (step, ends) in [("decode", "queue"), ("queue", "detect"), ("detect", "track")] {
        assert!(one(step).end <= one(ends).start + 2_000_000, "{step} ends before {ends} begins");
    }
    let (detect, frame, publish) = (one("detect"), one("frame"), one("publish"));
    for step in ["letterbox", "session", "head"] {
        assert!(detect.start <= one(step).start && one(step).end <= detect.end + 1_000_000, "{step}");
    }
    // Accepted to the microsecond.
    assert!(publish.start + 1_000 >= one("track").end && frame.end + 1_000 >= publish.start);
    assert_eq!(frame.attributes["sightline.camera"], "junction");
    assert_eq!(frame.attributes["sightline.outcome"], "accepted");
    for name in ["sightline.epoch", "sightline.seq"] {
        assert_eq!(frame.attributes[name], publish.attributes[name]);
    }
    assert_eq!(publish.attributes["sightline.replayed"], "false");
    for span in spans.iter().filter(|span| span.name == "alert") {
        assert_eq!(by_id[span.parent.as_str()].name, "consume events");
        assert_eq!(span.attributes["sightline.target"], "desk");
    }
    let stored: BTreeSet<_> =
        spans.iter().filter(|span| span.name == "store").map(|s| &s.attributes["sightline.event"]).collect();
    assert!(!stored.is_empty() && stored.iter().all(|id| id.starts_with("junction/")));
}

/// Records say what they belong to, and so do the events that come of them.
fn check_headers(scene: &Scene, told: &BTreeMap<String, Vec<Told>>) {
    let frames = scene.frames();
    assert!(!frames.is_empty());
    for record in &frames {
        let trace = trace_of(&record.value);
        let header = &record.headers["traceparent"];
        assert!(header.starts_with(&format!("00-{trace}-")) && header.ends_with("-01"), "{header}");
        // What was told last may not have been on its way any more when its process ended.
        if let Some(publish) = told.get(&trace).and_then(|spans| spans.iter().find(|s| s.name == "publish")) {
            assert_eq!(publish.traceparent(), *header);
        }
    }
    let others = kcat::read(&scene.broker.bootstrap, crate::scene::DETECTIONS);
    let others = others.iter().filter(|record| record.schema() != "frame/1");
    assert!(others.clone().count() > 0);
    assert!(others.into_iter().all(|record| !record.headers.contains_key("traceparent")));
    let mut of_frames = 0;
    for event in kcat::read(&scene.broker.bootstrap, EVENTS) {
        // What time alone brings about is of no frame.
        let Some(header) = event.headers.get("traceparent") else { continue };
        of_frames += 1;
        let trace = header.split('-').nth(1).unwrap();
        if let Some(spans) = told.get(trace) {
            let consumed: Vec<_> =
                spans.iter().filter(|span| span.name == "consume events").map(Told::traceparent).collect();
            assert!(consumed.is_empty() || consumed.contains(header), "{header}: {consumed:?}");
        }
    }
    assert!(of_frames > 0);
}

pub(crate) fn trace_of(frame: &Value) -> String {
    let (camera, epoch) = (frame["camera"].as_str().unwrap(), frame["epoch"].as_u64().unwrap());
    Seed::new(camera, epoch).trace(frame["seq"].as_u64().unwrap()).to_string()
}

/// A line about sampled work names its trace, its span and its camera.
fn check_lines(said: &str, told: &BTreeMap<String, Vec<Told>>) {
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dead: Vec<_> = lines
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|text| text.contains("goes to the dead letters")))
        .collect();
    assert!(!dead.is_empty(), "{said}");
    let mut found = 0;
    for line in dead {
        let (trace, span) = (line["trace_id"].as_str().unwrap(), line["span_id"].as_str().unwrap());
        assert_eq!(line["camera"], "junction");
        let Some(alert) = told.get(trace).and_then(|spans| spans.iter().find(|s| s.id == span)) else {
            continue;
        };
        found += 1;
        assert_eq!(
            (alert.name.as_str(), &alert.attributes["sightline.event"][..]),
            ("alert", line["event"].as_str().unwrap())
        );
        assert!(alert.error.as_ref().unwrap().contains("400"), "{alert:?}");
    }
    assert!(found > 0, "no line's span was told");
    let starting = lines.iter().find(|line| line["message"] == "starting").unwrap();
    assert!(starting.get("trace_id").is_none());
}
