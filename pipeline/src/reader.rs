//! The straight path of one opened source: pull, stamp, gate, hand on.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{CameraState, Clock, GapReason, SkipReason, Skipped, Timestamp};

use crate::batch::{Closed, SlotId, Slots};
use crate::clock::{CaptureClock, Change, Stamp};
use crate::error::StreamError;
use crate::frame::{Frame, Mark, StreamItem};
use crate::gate::Gate;
use crate::metrics::CameraMetrics;
use crate::source::{Pulled, Source, SourceFrame};
use crate::timeline::Timeline;
use crate::trace::StreamTrace;

/// How often a stream that has nothing new to say says something.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A frame record, or else a tick, at least this often.
    pub tick: Duration,
    /// `stream/1 running` and `spec/1`, for readers that come later.
    pub repeat: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tick: Duration::from_secs(5), repeat: Duration::from_secs(60) }
    }
}

/// What is taken for a stream's interval that does not say its own.
const UNKNOWN_INTERVAL_US: i64 = 1_000_000;
/// How long a pull waits before the reader looks up.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Why a reader came back without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The source ended by itself.
    SourceEnded,
    /// The caller wanted it, or nobody takes frames any more.
    Wanted,
}

/// Reads one camera through an epoch, whatever its sources are. Lives through reconnects.
pub struct Reader {
    slots: Arc<Slots>,
    slot: SlotId,
    metrics: Arc<CameraMetrics>,
    gate: Gate,
    timeline: Timeline,
    clock: CaptureClock,
    recorded: bool,
    /// Skipped since the last frame that was handed on.
    owed: Skipped,
    /// Access units counted into the metrics so far.
    counted: u64,
    /// `Started` was said of the source that is open now.
    announced: bool,
    /// Why a stretch before the next frame may be missing.
    lost: Option<GapReason>,
    /// Of the last frame, pixels.
    size: Option<(u32, u32)>,
    pace: Pace,
    /// The source was lost or repeats, and its first frame is not here yet; a repeat's cut is known beforehand.
    reopened: Option<Option<Duration>>,
    last_frame: Option<Instant>,
    last_said: Instant,
    last_repeat: Instant,
    trace: StreamTrace,
    /// When the last frame came to the decoder's door, where frames are traced.
    arrived: Option<SystemTime>,
}

impl Reader {
    /// `lost`: why something may be missing before the first frame, where an earlier run had results.
    pub fn new(
        slots: Arc<Slots>,
        slot: SlotId,
        metrics: Arc<CameraMetrics>,
        gate: Gate,
        clock: CaptureClock,
        lost: GapReason,
    ) -> Self {
        let recorded = clock.kind() == Clock::File;
        Self {
            slots,
            slot,
            metrics,
            gate,
            timeline: Timeline::default(),
            clock,
            recorded,
            owed: Skipped::default(),
            counted: 0,
            announced: false,
            lost: Some(lost),
            size: None,
            pace: Pace::default(),
            reopened: None,
            last_frame: None,
            last_said: Instant::now(),
            last_repeat: Instant::now(),
            trace: StreamTrace::default(),
            arrived: None,
        }
    }

    /// The frames that it hands on are traced, where they are sampled.
    pub fn traced(mut self, trace: StreamTrace) -> Self {
        self.trace = trace;
        self
    }

    pub fn clock(&self) -> &CaptureClock {
        &self.clock
    }

    /// Reads until the source ends or fails, or `stop` says so. `seen` is shown each frame.
    pub fn run(
        &mut self,
        source: &mut dyn Source,
        stop: &dyn Fn() -> bool,
        seen: &mut dyn FnMut(&Frame),
    ) -> Result<Stopped, StreamError> {
        self.run_joined(source, stop, &|| false, seen)
    }

    /// The same behind another run. While that one still has results (`joined`), what is seen here before the clock is sure is
    /// that one's: the two are joined at the time of this one's first, and one that is dated by the arrival of a stream's first
    /// pictures may be late. Then the same moment would be seen twice.
    pub fn run_joined(
        &mut self,
        source: &mut dyn Source,
        stop: &dyn Fn() -> bool,
        joined: &dyn Fn() -> bool,
        seen: &mut dyn FnMut(&Frame),
    ) -> Result<Stopped, StreamError> {
        loop {
            if stop() {
                return Ok(Stopped::Wanted);
            }
            let said = match source.pull(LOOK_UP)? {
                Pulled::Nothing if self.announced => self.idle(CameraState::Running, None),
                Pulled::Nothing => self.idle(CameraState::Connecting, None),
                Pulled::End => return Ok(Stopped::SourceEnded),
                Pulled::Frame(frame) => {
                    let (frame, change) = self.stamp(frame);
                    seen(&frame);
                    if !self.clock.is_sure() && joined() {
                        self.leave_to_predecessor(&frame)
                    } else {
                        self.announce(&frame, change, source.video().fps).and_then(|()| self.offer(frame))
                    }
                }
            };
            if said.is_err() {
                return Ok(Stopped::Wanted);
            }
        }
    }

    /// A source was lost or repeats: from its next frame on, the pts go on after `gap`, or after the time that will
    /// have passed. The tracker decides by that what it remembers.
    /// `lost` is why something may be missing; nothing is between two rounds of a file.
    pub fn reopened(&mut self, gap: Option<Duration>, lost: Option<GapReason>) {
        // An epoch that had no frame yet goes on waiting for what its predecessor left.
        if self.last_frame.is_some() {
            self.lost = lost;
        }
        self.announced = false;
        self.reopened = Some(gap);
    }

    /// Other settings: the gate is another, and what results mean from here on is said.
    pub fn settings_changed(&mut self, gate: Gate) -> Result<(), Closed> {
        self.gate = gate;
        if !self.announced {
            return Ok(());
        }
        self.last_repeat = Instant::now();
        let (clock, at) = (self.clock.kind(), self.clock.promise(now()));
        self.say(Mark::Running { clock, at })
    }

    /// Says a tick if nothing was said for a while. Gives the promised time.
    pub fn idle(&mut self, state: CameraState, error: Option<&StreamError>) -> Result<(), Closed> {
        if self.last_said.elapsed() < self.pace.tick {
            return Ok(());
        }
        let at = self.clock.promise(now());
        self.say(Mark::Tick { at, state, error: error.map(StreamError::code) })
    }

    /// The end mark's time, and what is on nobody's account.
    pub fn close(&mut self) -> (Timestamp, Skipped) {
        (self.clock.promise(now()), std::mem::take(&mut self.owed))
    }

    fn stamp(&mut self, given: SourceFrame) -> (Frame, Option<Change>) {
        let last_frame = self.last_frame.replace(Instant::now());
        if let Some(gap) = self.reopened.take() {
            let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
            let passed = last_frame.map(|last| last.elapsed()).unwrap_or_default();
            if let Some(gap) = gap {
                self.clock.pts_moved(micros(gap).saturating_sub(micros(passed)));
            }
            self.timeline.reopened(micros(gap.unwrap_or(passed)));
        }
        let pts_us = self.timeline.pts_us(given.pts_us, self.recorded);
        let Stamp { captured_at, change } = self.clock.stamp(pts_us, now(), given.camera_time);
        self.metrics.arrived((given.seq + 1).saturating_sub(self.counted));
        self.counted = given.seq + 1;
        if let Some(took) = given.decode_time {
            self.metrics.decoded(took);
        }
        self.arrived = given.arrived;
        let SourceFrame { planes, seq, skipped, .. } = given;
        let frame = Frame { planes, seq, pts_us, captured_at, ready: Instant::now(), skipped, trace: None };
        (frame, change)
    }

    /// Says what a reader has to know before this frame: that the stream begins, changed, or still runs.
    fn announce(&mut self, frame: &Frame, change: Option<Change>, fps: f64) -> Result<(), Closed> {
        let (clock, at) = (self.clock.kind(), frame.captured_at);
        let changed =
            self.size.replace(frame.size()) != Some(frame.size()) || change == Some(Change::Stepped);
        let begins = !std::mem::replace(&mut self.announced, true) || changed;
        let lost = self.lost.take();
        if begins || change == Some(Change::Kind) || self.last_repeat.elapsed() >= self.pace.repeat {
            self.last_repeat = Instant::now();
            return self.say(if begins {
                Mark::Started { clock, at, lost, interval_us: self.interval_us(fps) }
            } else {
                Mark::Running { clock, at }
            });
        }
        Ok(())
    }

    /// The usual distance of two frames that are detected.
    fn interval_us(&self, fps: f64) -> i64 {
        let frames_us = match self.timeline.interval_us() {
            Some(interval) => interval,
            None if fps > 0.0 => (1e6 / fps) as i64,
            None => UNKNOWN_INTERVAL_US,
        };
        self.gate.interval_us().unwrap_or(0).max(frames_us)
    }

    fn leave_to_predecessor(&mut self, frame: &Frame) -> Result<(), Closed> {
        self.clock.take_back();
        self.owed.merge(&frame.skipped);
        self.owed.add(SkipReason::Overlap, 1);
        self.idle(CameraState::Connecting, None)
    }

    fn offer(&mut self, mut frame: Frame) -> Result<(), Closed> {
        if !self.gate.passes(frame.pts_us) {
            self.owed.merge(&frame.skipped);
            self.owed.add(SkipReason::Sampling, 1);
            return self.idle(CameraState::Running, None);
        }
        frame.skipped.merge(&std::mem::take(&mut self.owed));
        let captured_at = (!self.recorded).then_some(frame.captured_at);
        frame.trace = self.trace.begin(frame.seq, self.arrived, captured_at);
        self.last_said = Instant::now();
        self.slots.push(self.slot, StreamItem::Frame(frame))
    }

    fn say(&mut self, mark: Mark) -> Result<(), Closed> {
        self.last_said = Instant::now();
        self.slots.push(self.slot, StreamItem::Mark(mark))
    }
}

fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
