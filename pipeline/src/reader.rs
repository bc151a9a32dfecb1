//! The straight path of one opened source: pull, stamp, gate, hand on.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{CameraState, Clock, SkipReason, Skipped, Timestamp};

use crate::batch::{SlotId, Slots};
use crate::clock::{CaptureClock, Timeline};
use crate::error::StreamError;
use crate::frame::{Frame, Mark, StreamItem};
use crate::gate::Gate;
use crate::metrics::CameraMetrics;
use crate::source::{Pulled, Source, SourceFrame};

/// A frame record, or else a tick, at least this often.
const TICK: Duration = Duration::from_secs(5);
/// `stream/1 running` and `spec/1` for readers that come later.
const REPEAT: Duration = Duration::from_secs(60);
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
    /// The source was lost or repeats, and its first frame is not here yet; a repeat's cut is known beforehand.
    reopened: Option<Option<Duration>>,
    last_frame: Option<Instant>,
    last_said: Instant,
    last_repeat: Instant,
}

impl Reader {
    pub fn new(
        slots: Arc<Slots>,
        slot: SlotId,
        metrics: Arc<CameraMetrics>,
        gate: Gate,
        clock: Clock,
    ) -> Self {
        Self {
            slots,
            slot,
            metrics,
            gate,
            timeline: Timeline::default(),
            clock: CaptureClock::new(clock),
            recorded: clock == Clock::File,
            owed: Skipped::default(),
            counted: 0,
            announced: false,
            reopened: None,
            last_frame: None,
            last_said: Instant::now(),
            last_repeat: Instant::now(),
        }
    }

    pub fn clock(&self) -> Clock {
        self.clock.kind()
    }

    /// Reads until the source ends or fails, or `stop` says so. `seen` hears of each frame's pts.
    pub fn run(
        &mut self,
        source: &mut dyn Source,
        stop: &dyn Fn() -> bool,
        seen: &mut dyn FnMut(i64),
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
                    let frame = self.stamp(frame);
                    seen(frame.pts_us);
                    let (at, pts_us) = (frame.captured_at, frame.pts_us);
                    if !self.announced {
                        self.announced = true;
                        if self.say(Mark::Started { clock: self.clock.kind(), at }).is_err() {
                            return Ok(Stopped::Wanted);
                        }
                        self.last_repeat = Instant::now();
                    }
                    self.offer(frame, pts_us).and_then(|()| self.repeat(at))
                }
            };
            if said.is_err() {
                return Ok(Stopped::Wanted);
            }
        }
    }

    /// A source was lost or repeats: from its next frame on, the pts go on after `gap`, or after the time that will
    /// have passed. The tracker decides by that what it remembers.
    pub fn reopened(&mut self, gap: Option<Duration>) {
        self.announced = false;
        self.reopened = Some(gap);
    }

    /// Says a tick if nothing was said for a while. Gives the promised time.
    pub fn idle(
        &mut self,
        state: CameraState,
        error: Option<&StreamError>,
    ) -> Result<(), crate::batch::Closed> {
        if self.last_said.elapsed() < TICK {
            return Ok(());
        }
        let at = self.clock.promise(now());
        self.say(Mark::Tick { at, state, error: error.map(StreamError::code) })
    }

    /// The end mark's time, and what is on nobody's account.
    pub fn close(&mut self) -> (Timestamp, Skipped) {
        (self.clock.promise(now()), std::mem::take(&mut self.owed))
    }

    fn stamp(&mut self, given: SourceFrame) -> Frame {
        let last_frame = self.last_frame.replace(Instant::now());
        if let Some(gap) = self.reopened.take() {
            let gap = gap.or_else(|| last_frame.map(|last| last.elapsed())).unwrap_or_default();
            self.timeline.reopened(i64::try_from(gap.as_micros()).unwrap_or(i64::MAX));
        }
        let pts_us = self.timeline.pts_us(given.pts_us, self.recorded);
        let captured_at = self.clock.captured_at(pts_us, now());
        self.metrics.arrived((given.seq + 1).saturating_sub(self.counted));
        self.counted = given.seq + 1;
        Frame { planes: given.planes, seq: given.seq, pts_us, captured_at, skipped: given.skipped }
    }

    fn offer(&mut self, mut frame: Frame, pts_us: i64) -> Result<(), crate::batch::Closed> {
        if !self.gate.passes(pts_us) {
            self.owed.merge(&frame.skipped);
            self.owed.add(SkipReason::Sampling, 1);
            return self.idle(CameraState::Running, None);
        }
        frame.skipped.merge(&std::mem::take(&mut self.owed));
        self.last_said = Instant::now();
        self.slots.push(self.slot, StreamItem::Frame(frame))
    }

    fn repeat(&mut self, at: Timestamp) -> Result<(), crate::batch::Closed> {
        if self.last_repeat.elapsed() < REPEAT {
            return Ok(());
        }
        self.last_repeat = Instant::now();
        self.say(Mark::Running { clock: self.clock.kind(), at })
    }

    fn say(&mut self, mark: Mark) -> Result<(), crate::batch::Closed> {
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
