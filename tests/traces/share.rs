//! The sampled share: the frames that everybody would name, and their records alone.

use std::collections::BTreeSet;

use serde_json::json;
use sightline_service::trace::{Seed, Share};

use crate::collector::Collector;
use crate::frames::trace_of;
use crate::kcat;
use crate::scene::{EVENTS, Scene, http, sample, stop, wait_for_end};
use crate::sightline::{Metrics, output, wait_for};

#[test]
fn the_share_is_what_was_asked_for_and_all_processes_agree_on_the_frames() {
    let collector = Collector::own();
    let scene = Scene::new();
    let clip = sample("junction.mp4").to_string_lossy().into_owned();
    let source = json!({"uri": clip, "play": "once"});
    let cameras = scene.cameras(&[("a", source.clone()), ("b", source)]);
    let url = collector.url();
    let traced = ["--log", "json", "--otlp", &url];
    let mut events = scene.run(&["consume", "events"], &[&traced[..], &["--trace-sample", "0.1"]].concat());
    let _ = http(&mut events);
    let mut pipeline = scene.pipeline(&cameras, &[&traced[..], &["--trace-sample", "0.2"]].concat());
    let probes = http(&mut pipeline);
    wait_for_end(&probes, 2.0);
    stop(pipeline);

    let frames = scene.frames();
    assert_eq!(frames.len(), 1_500);
    let (pipelines, consumers) = (Share::new(0.2), Share::new(0.1));
    let (mut sampled, mut followed) = (BTreeSet::new(), BTreeSet::new());
    for record in &frames {
        let (epoch, seq) = (record.value["epoch"].as_u64().unwrap(), record.value["seq"].as_u64().unwrap());
        let trace = Seed::new(&record.key, epoch).trace(seq);
        assert_eq!(record.headers.contains_key("traceparent"), pipelines.samples(trace), "{}", record.value);
        if pipelines.samples(trace) {
            sampled.insert(trace_of(&record.value));
        }
        if consumers.samples(trace) {
            followed.insert(trace_of(&record.value));
        }
    }
    // Five standard deviations of a fair draw: 300 ± 78.
    assert!((222..=378).contains(&sampled.len()), "{} of 1500", sampled.len());
    let of = |name: &str| -> BTreeSet<String> {
        collector.told().into_iter().filter(|span| span.name == name).map(|span| span.trace).collect()
    };
    wait_for("what the consumer made of its share", || (of("consume events") == followed).then_some(()));
    assert_eq!(of("frame"), sampled);
    assert_eq!(of("publish"), sampled);
    assert!(followed.is_subset(&sampled) && followed.len() < sampled.len());
    stop(events);
    let events = kcat::read(&scene.broker.bootstrap, EVENTS);
    for header in events.iter().filter_map(|event| event.headers.get("traceparent")) {
        assert!(followed.contains(header.split('-').nth(1).unwrap()), "{header}");
    }
}

#[test]
fn without_a_share_nothing_is_traced_and_nothing_is_said_of_it() {
    let scene = Scene::new();
    let clip = sample("junction.mp4").to_string_lossy().into_owned();
    let cameras = scene.cameras(&[("a", json!({"uri": clip, "play": "once"}))]);
    let collector = Collector::own();
    let mut pipeline = scene.pipeline(&cameras, &["--log", "json", "--otlp", &collector.url()]);
    let probes = http(&mut pipeline);
    wait_for_end(&probes, 1.0);
    assert_eq!(Metrics::scrape(&probes).sum("sightline_traces_spans_sent_total", &[]), 0.0);
    stop(pipeline);
    assert!(collector.told().is_empty());
    assert!(scene.frames().iter().all(|record| !record.headers.contains_key("traceparent")));
}

#[test]
fn what_can_not_be_traced_is_a_sentence() {
    let model = sample("junction.onnx").to_string_lossy().into_owned();
    let on = ["pipeline", "--kafka", "127.0.0.1:1", "--model", &model, "--http", "127.0.0.1:0"];
    for (more, sentence) in [
        (
            &["--trace-sample", "0.1"][..],
            "--trace-sample: where should traces go? give --otlp http://HOST:4318",
        ),
        (
            &["--otlp", "collector:4318"],
            "--otlp \"collector:4318\": it does not begin with http:// or https://",
        ),
        (&["--otlp", "http://c:4318", "--trace-sample", "2"], "give a number from 0 to 1"),
    ] {
        let refused = output(&[&on[..], more].concat());
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(sentence), "{said}");
    }
}
