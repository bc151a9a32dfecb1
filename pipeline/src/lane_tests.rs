//! A lane's accounting: whatever happens to frames, `seq − previous seq = 1 + Σ skipped`, and the metrics agree.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use prometheus_client::registry::Registry;
use sightline_schema::{Camera, Clock, SkipReason, Skipped, Timestamp};

use super::*;
use crate::metrics::PipelineMetrics;
use crate::testing::frame;

fn detected(seq: u64, skipped: Skipped) -> Outcome {
    Outcome::Detected { frame: frame(seq, skipped), detections: Vec::new(), times: DetectTimes::default() }
}

fn only(reason: SkipReason, count: u64) -> Skipped {
    let mut skipped = Skipped::default();
    skipped.add(reason, count);
    skipped
}

#[derive(Default)]
struct Written {
    frames: Vec<(u64, Skipped)>,
    end: Option<End>,
}

/// Kafka's queue is full for the frames of these numbers.
struct FullFor {
    refused: Vec<u64>,
    written: Arc<Mutex<Written>>,
}

impl Outlet for FullFor {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished> {
        if self.refused.contains(&tracked.frame.seq) {
            return Err(Unpublished(SkipReason::Unpublished));
        }
        self.written.lock().unwrap().frames.push((tracked.frame.seq, tracked.skipped));
        Ok(())
    }

    fn mark(&mut self, _: &Mark) {}

    fn end(&mut self, end: &End) {
        self.written.lock().unwrap().end = Some(*end);
    }
}

#[test]
fn what_kafka_had_no_room_for_is_on_the_account_of_the_next_and_in_the_metrics_at_once() {
    let metrics = PipelineMetrics::register(&mut Registry::default()).camera("a");
    let written = Arc::new(Mutex::new(Written::default()));
    let outlet = FullFor { refused: vec![4, 5, 9], written: written.clone() };
    let thresholds = Thresholds::of(&Camera::new("a", "a.mp4"), &["person".to_owned()], true).unwrap();
    let lane = Lane::new(LaneSettings { thresholds, track: true }, metrics.clone(), Box::new(outlet));

    lane.complete(0, detected(0, Skipped::default()));
    // Out of order, and after two that the gate left out.
    lane.complete(2, detected(4, Skipped::default()));
    lane.complete(1, detected(3, only(SkipReason::Sampling, 2)));
    lane.complete(3, detected(5, Skipped::default()));
    // Nothing went out since, and yet it is known.
    assert_eq!(metrics.figures().skipped, {
        let mut skipped = only(SkipReason::Sampling, 2);
        skipped.add(SkipReason::Unpublished, 2);
        skipped
    });
    lane.complete(4, Outcome::Failed { frame: frame(7, only(SkipReason::Overload, 1)) });
    lane.complete(5, detected(8, Skipped::default()));
    lane.complete(6, detected(9, Skipped::default()));
    let at = Timestamp::from_micros(0);
    let end = End { at, clock: Clock::File, complete: true, skipped: only(SkipReason::Sampling, 1) };
    lane.complete(7, Outcome::End(end));
    assert!(lane.wait_for_end(Duration::ZERO));

    let written = written.lock().unwrap();
    let mut next = 0;
    for (seq, skipped) in &written.frames {
        assert_eq!(*seq, next + skipped.total());
        next = seq + 1;
    }
    assert_eq!(written.frames.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [0, 3, 8]);
    assert_eq!(written.frames[2].1, {
        let mut skipped = only(SkipReason::Unpublished, 2);
        skipped.add(SkipReason::Overload, 1);
        skipped.add(SkipReason::Corrupt, 1);
        skipped
    });
    let end = written.end.as_ref().unwrap();
    assert_eq!(next + end.skipped.total(), 11);
    // Each of the 11 access units is published or skipped, once.
    let figures = metrics.figures();
    assert_eq!(figures.published + figures.skipped.total(), 11);
}
