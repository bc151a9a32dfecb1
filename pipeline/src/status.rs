//! Keeps a camera's `status/1` true: written when it changes, repeated so that readers who come later see it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{CameraState, Clock, Status, StatusError, Timestamp, VideoFacts};

use crate::clock::CaptureClock;
use crate::error::StreamError;
use crate::metrics::CameraMetrics;

/// An unchanged status is repeated this often.
const REPEAT: Duration = Duration::from_secs(30);

/// What a status says besides what happens to the camera.
#[derive(Clone, Debug)]
pub struct StatusFacts {
    pub camera: String,
    pub epoch: u64,
    pub generation: u64,
    pub pod: String,
    /// By which slot and placement the pod runs it; absent where it runs what it was given.
    pub slot: Option<u32>,
    pub placement: Option<i64>,
}

/// Where statuses go.
pub type StatusSink = Box<dyn Fn(&Status) + Send>;

/// One camera's status, followed by its supervisor.
pub struct StatusKeeper {
    facts: StatusFacts,
    metrics: Arc<CameraMetrics>,
    sink: StatusSink,
    state: CameraState,
    since: Timestamp,
    error: Option<StatusError>,
    retry_at: Option<Timestamp>,
    /// The last result when the source was opened: what comes later is of this source.
    before: Option<Timestamp>,
    video: Option<VideoFacts>,
    clock: Option<Clock>,
    clock_offset_ms: Option<i64>,
    is_held: bool,
    said: Instant,
}

impl StatusKeeper {
    pub fn new(facts: StatusFacts, metrics: Arc<CameraMetrics>, sink: StatusSink) -> Self {
        metrics.state(CameraState::Claimed);
        Self {
            facts,
            metrics,
            sink,
            state: CameraState::Claimed,
            since: now(),
            error: None,
            retry_at: None,
            before: None,
            video: None,
            clock: None,
            clock_offset_ms: None,
            is_held: false,
            said: Instant::now(),
        }
    }

    /// A source is being opened.
    pub fn connecting(&mut self) {
        self.before = self.metrics.last_result().map(|last| last.captured_at);
        self.retry_at = None;
        self.change(CameraState::Connecting);
    }

    /// A run failed; the next is tried after `wait`.
    pub fn retrying(&mut self, error: &StreamError, wait: Duration) {
        self.error = Some(error.to_status());
        self.retry_at =
            Some(now().saturating_add_micros(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)));
        self.change(CameraState::Retrying);
    }

    /// Looks at the results: the first of an opened source makes the camera `running`. Repeats what is old.
    pub fn follow(&mut self, clock: &CaptureClock) {
        let kind = self.clock.replace(clock.kind());
        let changed = kind.is_some_and(|kind| kind != clock.kind());
        self.clock_offset_ms = clock.offset_ms();
        let last = self.metrics.last_result().map(|last| last.captured_at);
        if self.state == CameraState::Connecting && last.is_some() && last != self.before {
            self.error = None;
            self.change(CameraState::Running);
        } else if self.said.elapsed() >= REPEAT || changed {
            self.say();
        }
    }

    /// Whether results wait for the run before; told when that ends.
    pub fn held(&mut self, is_held: bool) {
        if std::mem::replace(&mut self.is_held, is_held) && !is_held {
            self.say();
        }
    }

    /// Other settings from now on.
    pub fn generation(&mut self, generation: u64) {
        if std::mem::replace(&mut self.facts.generation, generation) != generation {
            self.say();
        }
    }

    /// What is wrong with the picture of a stream that runs, or that nothing is any more.
    pub fn sight(&mut self, error: Option<&StreamError>) {
        let told = error.map(StreamError::to_status);
        if self.state == CameraState::Running && self.error != told {
            if let Some(error) = error {
                self.metrics.error(error.code());
            }
            self.error = told;
            self.say();
        }
    }

    pub fn video(&mut self, video: VideoFacts) {
        if video.width == 0 || self.video.as_ref().is_some_and(|known| is_same(known, &video)) {
            return;
        }
        self.video = Some(video);
        if self.state == CameraState::Running {
            self.say();
        }
    }

    pub fn ended(&mut self) {
        self.retry_at = None;
        self.change(CameraState::Ended);
    }

    /// Ended, for all that is known here; what of it arrived is not, so nothing is said of it.
    pub fn left(&mut self) {
        self.metrics.state(CameraState::Ended);
    }

    fn change(&mut self, state: CameraState) {
        if self.state != state {
            self.since = now();
        }
        self.state = state;
        self.metrics.state(state);
        self.say();
    }

    fn say(&mut self) {
        self.said = Instant::now();
        (self.sink)(&Status {
            camera: self.facts.camera.clone(),
            epoch: Some(self.facts.epoch),
            generation: self.facts.generation,
            pod: self.facts.pod.clone(),
            slot: self.facts.slot,
            placement: self.facts.placement,
            state: self.state,
            error: self.error.clone(),
            since: self.since,
            retry_at: self.retry_at,
            first: self.metrics.first_result(),
            // What is ready may still wait for the run before.
            last: self.metrics.last_published(),
            video: self.video.clone(),
            clock: self.clock,
            clock_offset_ms: self.clock_offset_ms,
        });
    }
}

/// Whether a person would call it the same: what is measured is never twice the same to the digit.
fn is_same(known: &VideoFacts, seen: &VideoFacts) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 0.1 * a.abs().max(b.abs());
    let intervals = match (known.keyframe_interval_s, seen.keyframe_interval_s) {
        (Some(a), Some(b)) => near(a, b),
        (a, b) => a == b,
    };
    let rest = |facts: &VideoFacts| VideoFacts { fps: 0.0, keyframe_interval_s: None, ..facts.clone() };
    near(known.fps, seen.fps) && intervals && rest(known) == rest(seen)
}

fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}
