//! Collectors that are away or hang, brokers that are away: results are what they would be.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::collector::Collector;
use crate::frames::trace_of;
use crate::scene::{Scene, http, sample, stop, wait_for_end};
use crate::sightline::{Metrics, wait_for};

#[test]
fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    let scene = Scene::new();
    let clip = sample("junction.mp4").to_string_lossy().into_owned();
    let cameras = scene.cameras(&[("a", json!({"uri": clip, "play": "once"}))]);
    // The system takes connections, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut pipeline = scene.pipeline(&cameras, &["--log", "json", "--otlp", &url, "--trace-sample", "1"]);
    let probes = http(&mut pipeline);
    wait_for_end(&probes, 1.0);
    let dropped = Metrics::scrape(&probes).sum("sightline_traces_spans_dropped_total", &[]);
    // 750 frames have 9 spans each, and 4,096 and a request of 512 are held.
    assert!((750.0 * 9.0 - 4_608.0..=750.0 * 9.0).contains(&dropped), "{dropped}");
    let asked = Instant::now();
    let said = stop(pipeline);
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    assert!(said.contains("everything acknowledged"), "{said}");
    assert_eq!(scene.frames().len(), 750);
}

#[test]
fn what_lay_in_the_spool_has_its_trace_whoever_publishes_it() {
    let mut scene = Scene::new();
    let source = json!({"uri": "test://ball?size=160x120&fps=10"});
    let cameras = scene.cameras(&[("yard", source)]);
    let (spool, collector) = (scene.path("spool"), Collector::own());
    let url = collector.url();
    let traced = ["--log", "json", "--otlp", &url, "--spool", &spool];
    let mut first = scene.pipeline(&cameras, &[&traced[..], &["--trace-sample", "1"]].concat());
    let probes = http(&mut first);
    let published = || Metrics::scrape(&probes).sum("sightline_pipeline_frames_published_total", &[]);
    wait_for("frames", || (published() > 10.0).then_some(()));
    scene.broker.kill9();
    let before = published();
    wait_for("frames for the spool", || (published() > before + 30.0).then_some(()));
    stop(first);
    scene.broker.start_again();
    // Of its own it samples nothing.
    let mut second = scene.pipeline(&cameras, &traced);
    let probes = http(&mut second);
    wait_for("what lay in the spool", || {
        let metrics = Metrics::scrape(&probes);
        let is_done = metrics.sum("sightline_pipeline_spool_replayed_total", &[]) >= 30.0
            && metrics.sum("sightline_pipeline_spool_bytes", &[]) == 0.0
            && metrics.sum("sightline_pipeline_frames_published_total", &[]) > 10.0;
        is_done.then_some(())
    });
    stop(second);

    let frames = scene.frames();
    let last = frames.iter().map(|frame| frame.value["epoch"].as_u64().unwrap()).max().unwrap();
    let told = collector.told();
    let mut replayed = 0;
    for frame in &frames {
        let is_of_second = frame.value["epoch"].as_u64().unwrap() == last;
        assert_eq!(frame.headers.contains_key("traceparent"), !is_of_second, "{}", frame.value);
        if is_of_second {
            continue;
        }
        let (trace, header) = (trace_of(&frame.value), &frame.headers["traceparent"]);
        let publish: Vec<_> =
            told.iter().filter(|span| span.name == "publish" && span.traceparent() == *header).collect();
        // Kafka may have taken one whose acknowledgement never came: it goes out again, and is the same.
        assert!(!publish.is_empty(), "{header}");
        let root = told.iter().find(|span| span.name == "frame" && span.trace == trace).unwrap();
        for publish in publish {
            assert_eq!((&publish.parent, &publish.trace), (&root.id, &trace));
            if publish.attributes["sightline.replayed"] == "true" {
                replayed += 1;
                // From its acceptance by the first process to its acknowledgement to the second.
                assert!(publish.start <= root.end + 1_000_000 && publish.end > root.end, "{publish:?}");
            }
        }
    }
    assert!(replayed >= 30, "{replayed}");
}
