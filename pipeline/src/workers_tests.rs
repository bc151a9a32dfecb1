#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use prometheus_client::registry::Registry;
use sightline_schema::{Camera, Clock, SkipReason, Skipped, Timestamp};

use super::*;
use crate::frame::{End, Mark};
use crate::lane::{LaneSettings, Outlet, Tracked, Unpublished};
use crate::metrics::PipelineMetrics;
use crate::testing::frame;

/// Tells of each record: its `seq`, and how many are corrupt before it.
struct Told(mpsc::Sender<(u64, u64)>);

impl Outlet for Told {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished> {
        self.0
            .send((tracked.frame.seq, tracked.skipped.corrupt))
            .map_err(|_| Unpublished(SkipReason::Unpublished))
    }

    fn mark(&mut self, _: &Mark) {}

    fn end(&mut self, _: &End) {}
}

fn lane(told: &mpsc::Sender<(u64, u64)>) -> Lane {
    let metrics = PipelineMetrics::register(&mut Registry::default()).camera("gate");
    let thresholds = Thresholds::of(&Camera::new("gate", "x"), &["person".to_owned()], false).unwrap();
    Lane::new(LaneSettings { thresholds, track: false }, metrics, Box::new(Told(told.clone())))
}

fn end() -> StreamItem {
    let at = Timestamp::from_micros(0);
    StreamItem::End(End { at, clock: Clock::Arrival, complete: false, skipped: Skipped::default() })
}

#[test]
fn a_worker_that_hangs_is_replaced_and_costs_one_frame() {
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let made = Arc::new(AtomicU32::new(0));
    let make = {
        let made = made.clone();
        move || {
            let number = made.fetch_add(1, Ordering::Relaxed);
            let (held, mut frames) = (held.clone(), 0);
            let detect: Detect = Box::new(move |_, _| {
                frames += 1;
                if number == 0 && frames == 3 {
                    let _ = held.lock().unwrap().recv();
                }
                Ok((Vec::new(), DetectTimes::default()))
            });
            Ok(detect)
        }
    };
    let workers = Workers::with(Arc::new(make), 1, Duration::from_millis(50)).unwrap();
    let (told, records) = mpsc::channel();
    let (slot, lane) = workers.adder().add(lane(&told), WhenFull::Block);
    let slots = workers.adder().slots();
    for seq in 0..6 {
        slots.push(slot, StreamItem::Frame(frame(seq, Skipped::default()))).unwrap();
    }
    slots.push(slot, end()).unwrap();
    assert!(lane.wait_for_end(Duration::from_secs(30)));
    let records: Vec<_> = records.try_iter().collect();
    assert_eq!(records, [(0, 0), (1, 0), (3, 1), (4, 0), (5, 0)]);
    assert_eq!(made.load(Ordering::Relaxed), 2);
    // It comes back: nobody hears of its frame again, and stopping does not wait for it.
    drop(release);
    workers.stop();
}

#[test]
fn stopping_waits_for_no_worker_that_hangs() {
    let (_release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let make = move || {
        let held = held.clone();
        let detect: Detect = Box::new(move |_, _| {
            let _ = held.lock().unwrap().recv();
            Ok((Vec::new(), DetectTimes::default()))
        });
        Ok(detect)
    };
    let workers = Workers::with(Arc::new(make), 1, Duration::from_millis(50)).unwrap();
    let (told, _records) = mpsc::channel();
    let (slot, lane) = workers.adder().add(lane(&told), WhenFull::Block);
    workers.adder().slots().push(slot, StreamItem::Frame(frame(0, Skipped::default()))).unwrap();
    workers.adder().slots().push(slot, end()).unwrap();
    workers.stop();
    assert!(lane.wait_for_end(Duration::ZERO), "what was behind it went out");
}
