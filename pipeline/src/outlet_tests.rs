use prometheus_client::registry::Registry;
use sightline_schema::{Camera, GapAfter, Topics};
use sightline_service::kafka::KafkaSettings;
use sightline_service::shutdown::Shutdown;
use sightline_service::trace::Tracer;

use super::*;

use crate::cpu::StageTime;
use crate::detect::Thresholds;
use crate::lane::DetectTimes;
use crate::metrics::PipelineMetrics;
use crate::spool::{Outbox, OutboxOptions};
use crate::testing::frame;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(ms * 1_000)
}

/// A run that waits for the one before, and what rules it. Nothing answers where it publishes to.
fn outlet() -> (KafkaOutlet, RunControl) {
    let metrics = PipelineMetrics::register(&mut Registry::default());
    let settings = KafkaSettings::plain("127.0.0.1:1");
    let options = OutboxOptions { bytes: 1 << 20, records: 1_000, spool: None, tracer: Tracer::default() };
    let outbox = Outbox::open(&options, metrics.clone()).unwrap();
    let stop = Shutdown::new();
    let topics = Topics::default();
    let publisher = Publisher::start(&settings, 0, outbox, &topics, metrics.clone(), stop.clone()).unwrap();
    let camera = Camera::new("gate", "rtsp://10.0.0.5/1");
    let control = RunControl::new(stop, None, camera.clone(), Thresholds::of(&camera, &[], true).unwrap());
    control.hold();
    let [name, sha256, head] = ["m", "0", "yolov8"].map(str::to_owned);
    let model = ModelFacts { name, sha256, head, input: [64, 64], classes: Vec::new() };
    let results = ResultFacts { camera: "gate".to_owned(), epoch: 7, classes: Arc::default() };
    let outlet = KafkaOutlet::new(
        publisher,
        control.clone(),
        model,
        results,
        WhenFull::DropOldest,
        metrics.camera("gate"),
        &Predecessor::default(),
    );
    (outlet, control)
}

/// Gives the result of a frame that was taken then.
fn give(outlet: &mut KafkaOutlet, seq: u64, captured_at: Timestamp) -> Result<(), Unpublished> {
    let frame = crate::frame::Frame { captured_at, ..frame(seq, Skipped::default()) };
    let (times, track) = (DetectTimes::default(), StageTime::default());
    outlet.frame(&Tracked { frame: &frame, skipped: Skipped::default(), detections: &[], times, track })
}

/// The run before went on further than this one had come when it was released.
#[test]
fn what_the_run_before_published_is_not_published_again_by_one_that_is_behind() {
    let (mut outlet, control) = outlet();
    give(&mut outlet, 0, at(100)).unwrap();
    let last = Some(GapAfter { epoch: 3, seq: 40, captured_at: at(300) });
    control.release(Release { last, reason: GapReason::Moved, slept: false });
    let overlap = |given: Result<(), Unpublished>| matches!(given, Err(Unpublished(SkipReason::Overlap)));
    assert!(overlap(give(&mut outlet, 1, at(200))) && overlap(give(&mut outlet, 2, at(300))));
    assert_eq!(outlet.owed.total(), 1, "what was held goes onto the account of the next");
    give(&mut outlet, 3, at(400)).unwrap();
    assert_eq!(outlet.owed.total(), 0);
}

/// An attempt at a recording that is left between its last frame and its end.
#[test]
fn a_run_that_is_abandoned_before_its_end_goes_out_did_not_say_it() {
    let end = End { at: at(200), clock: Clock::File, complete: true, skipped: Skipped::default() };
    let release = Release { last: None, reason: GapReason::Moved, slept: false };
    for is_abandoned in [false, true] {
        let (mut outlet, control) = outlet();
        control.release(release);
        give(&mut outlet, 0, at(100)).unwrap();
        let said = outlet.end_said();
        if is_abandoned {
            control.abandon();
        }
        outlet.end(&end);
        assert_eq!(said.is_set(), !is_abandoned);
    }
}
