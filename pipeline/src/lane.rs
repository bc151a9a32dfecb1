//! One camera's way behind the detector: back into order, tracked, given to its outlet.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sightline_schema::{SkipReason, Skipped, TrackRef};

use crate::cpu::{StageTime, Stopwatch};
use crate::detect::Thresholds;
use crate::detection::Detection;
use crate::frame::{End, Frame, Mark};
use crate::metrics::CameraMetrics;
use crate::sequence::Sequence;
use crate::trace::entered;
use crate::track::{Tracker, TrackerConfig};

/// Time that a frame's detection took, by step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectTimes {
    pub letterbox: StageTime,
    pub session: StageTime,
    pub head: StageTime,
}

impl DetectTimes {
    /// All steps together.
    pub fn total(&self) -> StageTime {
        self.letterbox + self.session + self.head
    }
}

/// What a worker made of one item.
#[derive(Debug)]
pub enum Outcome {
    Detected {
        frame: Frame,
        detections: Vec<Detection>,
        times: DetectTimes,
    },
    /// The detector failed on this frame.
    Failed {
        frame: Frame,
    },
    Mark(Mark),
    End(End),
}

/// A frame with everything known of it.
#[derive(Debug)]
pub struct Tracked<'a> {
    pub frame: &'a Frame,
    /// Everything since the previous frame that got out, this frame not counted.
    pub skipped: Skipped,
    /// At or above the output threshold, each with its track.
    pub detections: &'a [(Detection, Option<TrackRef>)],
    pub times: DetectTimes,
    pub track: StageTime,
}

/// A frame did not get out, for this reason; it goes onto the account of the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpublished(pub SkipReason);

/// Where a camera's results go.
pub trait Outlet: Send {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished>;
    fn mark(&mut self, mark: &Mark);
    fn end(&mut self, end: &End);
}

/// What a lane does with its detections.
#[derive(Clone, Debug)]
pub struct LaneSettings {
    pub thresholds: Thresholds,
    pub track: bool,
}

pub struct Lane {
    thresholds: RwLock<Arc<Thresholds>>,
    track: bool,
    metrics: Arc<CameraMetrics>,
    inner: Mutex<Inner>,
    ended: Condvar,
}

struct Inner {
    sequence: Sequence<Outcome>,
    tracker: Option<Tracker>,
    owed: Skipped,
    outlet: Box<dyn Outlet>,
    ended: bool,
}

impl Lane {
    pub fn new(settings: LaneSettings, metrics: Arc<CameraMetrics>, outlet: Box<dyn Outlet>) -> Self {
        let inner = Inner {
            sequence: Sequence::default(),
            tracker: None,
            owed: Skipped::default(),
            outlet,
            ended: false,
        };
        let LaneSettings { thresholds, track } = settings;
        let thresholds = RwLock::new(Arc::new(thresholds));
        Self { thresholds, track, metrics, inner: Mutex::new(inner), ended: Condvar::new() }
    }

    pub fn camera(&self) -> &str {
        self.metrics.camera()
    }

    /// A frame waited so long for a worker.
    pub fn waited(&self, waited: Duration) {
        self.metrics.queued(waited);
    }

    /// What counts as a detection at the moment.
    pub fn thresholds(&self) -> Arc<Thresholds> {
        self.thresholds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other thresholds from the next frame on.
    pub fn set_thresholds(&self, thresholds: Arc<Thresholds>) {
        *self.thresholds.write().unwrap_or_else(PoisonError::into_inner) = thresholds;
    }

    /// Takes what a worker made of a ticket; whatever is now in order goes on, on this thread.
    pub fn complete(&self, ticket: u64, outcome: Outcome) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sequence.insert(ticket, outcome);
        while let Some(outcome) = inner.sequence.pop() {
            match outcome {
                Outcome::Detected { frame, detections, times } => {
                    self.detected(&mut inner, &frame, &detections, times);
                }
                Outcome::Failed { frame } => {
                    frame.trace.iter().for_each(|trace| trace.lost(SkipReason::Corrupt));
                    self.metrics.skipped(&frame.skipped);
                    inner.owed.merge(&frame.skipped);
                    self.lost(&mut inner, SkipReason::Corrupt);
                }
                Outcome::Mark(mark) => inner.outlet.mark(&mark),
                Outcome::End(mut end) => {
                    self.metrics.skipped(&end.skipped);
                    end.skipped.merge(&std::mem::take(&mut inner.owed));
                    inner.outlet.end(&end);
                    inner.ended = true;
                    self.ended.notify_all();
                }
            }
        }
    }

    /// Waits until the end went out. False when it did not in time.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (inner, _) = self
            .ended
            .wait_timeout_while(inner, patience, |inner| !inner.ended)
            .unwrap_or_else(PoisonError::into_inner);
        inner.ended
    }

    fn detected(&self, inner: &mut Inner, frame: &Frame, detections: &[Detection], times: DetectTimes) {
        let _entered = entered(frame.trace.as_ref());
        let mut stopwatch = Stopwatch::start();
        let tracks = self.track(inner, frame, detections);
        let track = stopwatch.lap();
        let thresholds = self.thresholds();
        let shown: Vec<_> = detections
            .iter()
            .copied()
            .zip(tracks)
            .filter(|(detection, _)| thresholds.shows(detection))
            .collect();
        frame.trace.iter().for_each(|trace| trace.tracked(track.wall, shown.len()));
        // Counted now, not with the record that carries them: while Kafka is away none goes out.
        self.metrics.skipped(&frame.skipped);
        let mut skipped = std::mem::take(&mut inner.owed);
        skipped.merge(&frame.skipped);
        let tracked = Tracked { frame, skipped, detections: &shown, times, track };
        match inner.outlet.frame(&tracked) {
            Ok(()) => {
                self.metrics.frame(&tracked);
                frame.trace.iter().for_each(|trace| trace.accepted());
            }
            Err(Unpublished(reason)) => {
                frame.trace.iter().for_each(|trace| trace.lost(reason));
                inner.owed = skipped;
                self.lost(inner, reason);
            }
        }
    }

    /// A frame that was detected or should have been has no record: the next record accounts for it.
    fn lost(&self, inner: &mut Inner, reason: SkipReason) {
        let mut lost = Skipped::default();
        lost.add(reason, 1);
        self.metrics.skipped(&lost);
        inner.owed.merge(&lost);
    }

    fn track(&self, inner: &mut Inner, frame: &Frame, detections: &[Detection]) -> Vec<Option<TrackRef>> {
        if !self.track {
            return vec![None; detections.len()];
        }
        let size = frame.size();
        let tracker = inner.tracker.get_or_insert_with(|| Tracker::new(TrackerConfig::default(), size));
        tracker.set_frame_size(size);
        tracker.update(frame.pts_us, detections)
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
