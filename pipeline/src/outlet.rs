//! One camera's results and marks to `detections`, in the order in which a reader needs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sightline_schema::{
    Clock, FrameResult, GapReason, LastResult, Message, ModelFacts, SkipReason, Skipped, SpecRecord,
    StreamRecord, StreamState, Tick, Timestamp,
};

use crate::batch::WhenFull;
use crate::frame::{End, Mark};
use crate::gaps::Gaps;
use crate::handover::{Release, RunControl, Way};
use crate::lane::{Outlet, Tracked, Unpublished};
use crate::metrics::CameraMetrics;
use crate::predecessors::Predecessor;
use crate::publish::Publisher;
use crate::result::ResultFacts;
use crate::spool::FrameAt;
use crate::trace::StreamTrace;

/// So much waits for a predecessor at most.
const HELD: usize = 4_096;

/// Writes one camera's results to `detections`.
pub struct KafkaOutlet {
    publisher: Publisher,
    control: RunControl,
    model: ModelFacts,
    results: ResultFacts,
    when_full: WhenFull,
    camera: Arc<CameraMetrics>,
    gaps: Gaps,
    /// A start that found the queue full: said before the next frame, since readers need it first.
    unsaid: Option<(Clock, Timestamp)>,
    /// What waits until the run before has ended.
    held: Vec<Held>,
    /// The usual distance of two results.
    interval_us: i64,
    /// What is not later than this was published by the run before.
    published: Option<Timestamp>,
    /// Of held results that were not published: onto the account of the next.
    owed: Skipped,
    trace: StreamTrace,
    end_said: EndSaid,
}

/// Whether the end of a stream went out, and with it all that was before it: a run that is abandoned keeps it to itself.
/// All clones are one.
#[derive(Clone, Debug, Default)]
pub struct EndSaid(Arc<AtomicBool>);

impl EndSaid {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What waits for a predecessor.
enum Held {
    Frame(FrameResult),
    Mark(Mark),
}

impl KafkaOutlet {
    /// Of one camera and epoch. `predecessor`: what is known of the run before.
    pub fn new(
        publisher: Publisher,
        control: RunControl,
        model: ModelFacts,
        results: ResultFacts,
        when_full: WhenFull,
        camera: Arc<CameraMetrics>,
        predecessor: &Predecessor,
    ) -> Self {
        // What an earlier process left in the spool is newer than what it could tell Kafka.
        let left = publisher.last_left(&results.camera).filter(|_| when_full == WhenFull::DropOldest);
        let last = predecessor.last.into_iter().chain(left).max_by_key(|last| (last.epoch, last.seq));
        let gaps = Gaps::new(&results.camera, results.epoch, last, predecessor.claimed);
        let (held, owed) = (Vec::new(), Skipped::default());
        Self {
            publisher,
            control,
            model,
            results,
            when_full,
            camera,
            gaps,
            unsaid: None,
            held,
            interval_us: 0,
            published: None,
            owed,
            trace: StreamTrace::default(),
            end_said: EndSaid::default(),
        }
    }

    /// For who has to know whether it went out, when the outlet is no longer theirs.
    pub fn end_said(&self) -> EndSaid {
        self.end_said.clone()
    }

    /// Records of sampled frames say so.
    pub fn traced(mut self, trace: StreamTrace) -> Self {
        self.trace = trace;
        self
    }

    fn say<M: Message>(&self, message: &M) -> Result<(), Unpublished> {
        self.publisher.publish(message, self.results.epoch, None, self.when_full)
    }

    fn stream(
        &self,
        state: StreamState,
        clock: Clock,
        at: Timestamp,
        complete: Option<bool>,
    ) -> Result<(), Unpublished> {
        let (camera, epoch) = (self.results.camera.clone(), self.results.epoch);
        self.say(&StreamRecord { camera, epoch, state, clock, at, complete })
    }

    fn spec(&self) -> Result<(), Unpublished> {
        let camera = self.control.settings().camera;
        self.say(&SpecRecord {
            camera: self.results.camera.clone(),
            epoch: self.results.epoch,
            generation: camera.generation,
            zones: camera.zones.clone(),
            lines: camera.lines.clone(),
            anchor: camera.anchor,
            model: self.model.clone(),
            labels: camera.labels.clone(),
        })
    }

    fn start(&mut self, clock: Clock, at: Timestamp) -> Result<(), Unpublished> {
        self.unsaid = Some((clock, at));
        self.spec()?;
        self.stream(StreamState::Started, clock, at, None)?;
        self.unsaid = None;
        Ok(())
    }

    fn result(&mut self, mut result: FrameResult) -> Result<(), Unpublished> {
        if let Some((clock, at)) = self.unsaid {
            self.start(clock, at)?;
        }
        let (seq, captured_at) = (result.seq, result.captured_at);
        if let Some(gap) = self.gaps.before(seq, captured_at) {
            self.say(&gap)?;
        }
        result.skipped.merge(&self.owed);
        let sampled = self.trace.samples(seq);
        let frame = FrameAt { seq, skipped: result.skipped.total(), captured_at, sampled };
        self.publisher.publish(&result, result.epoch, Some(frame), self.when_full)?;
        self.owed = Skipped::default();
        self.camera.published(LastResult { seq, captured_at });
        self.gaps.result(seq, captured_at);
        Ok(())
    }

    fn said(&mut self, mark: &Mark) -> Result<(), Unpublished> {
        match *mark {
            Mark::Started { clock, at, lost, interval_us } => {
                self.interval_us = interval_us;
                if let Some(reason) = lost {
                    self.gaps.lost(reason, interval_us);
                }
                self.start(clock, at)
            }
            Mark::Running { clock, at } => {
                self.spec().and_then(|()| self.stream(StreamState::Running, clock, at, None))
            }
            Mark::Tick { at, state, error } => {
                let (camera, epoch) = (self.results.camera.clone(), self.results.epoch);
                self.say(&Tick { camera, epoch, at, state, error })
            }
        }
    }

    /// The run before has ended: what was held goes out, but for what that one published.
    fn release(&mut self, Release { last, reason, slept }: Release) {
        if let Some(last) = last {
            self.gaps.predecessor(last);
            self.published = Some(last.captured_at);
        }
        if slept {
            self.gaps.lost(reason, self.interval_us);
        }
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Mark(mark) => self.tell(&relabelled(mark, reason)),
                Held::Frame(result) => {
                    let skipped = result.skipped;
                    let lost = match self.is_published(result.captured_at) {
                        true => Some(SkipReason::Overlap),
                        false => self.result(result).err().map(|Unpublished(reason)| reason),
                    };
                    if let Some(reason) = lost {
                        self.owed.merge(&skipped);
                        self.owed.add(reason, 1);
                    }
                }
            }
        }
    }

    /// A run may be behind the one before it, which published more than was held here.
    fn is_published(&self, captured_at: Timestamp) -> bool {
        self.published.is_some_and(|published| captured_at <= published)
    }

    fn tell(&mut self, mark: &Mark) {
        if self.said(mark).is_err() {
            tracing::debug!(camera = %self.results.camera, "the queue to kafka is full; a mark is left out");
        }
    }
}

impl Outlet for KafkaOutlet {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished> {
        let captured_at = tracked.frame.captured_at;
        if self.when_full == WhenFull::DropOldest {
            self.camera.latency(since(captured_at));
        }
        if self.control.is_successors(captured_at) {
            return Err(Unpublished(SkipReason::Overlap));
        }
        match self.control.way(captured_at) {
            // More than the run before is ever waited for: Kafka is away, too.
            Way::Hold if self.held.len() >= HELD => return Err(Unpublished(SkipReason::Unpublished)),
            Way::Hold => {
                self.held.push(Held::Frame(self.results.result(tracked)));
                return Ok(());
            }
            Way::Release(release) => self.release(release),
            Way::Out => {}
        }
        if self.is_published(captured_at) {
            return Err(Unpublished(SkipReason::Overlap));
        }
        self.result(self.results.result(tracked))
    }

    fn mark(&mut self, mark: &Mark) {
        match self.control.way_of_mark() {
            Way::Hold => return self.held.push(Held::Mark(mark.clone())),
            Way::Release(release) => self.release(release),
            Way::Out => {}
        }
        self.tell(mark);
    }

    fn end(&mut self, end: &End) {
        match self.control.way_of_mark() {
            // Nobody took over from it, and it said nothing yet: to readers it never began.
            Way::Hold => return self.held.clear(),
            Way::Release(release) => self.release(release),
            Way::Out => {}
        }
        match self.stream(StreamState::Ended, end.clock, end.at, Some(end.complete)) {
            Ok(()) => self.end_said.set(),
            Err(_) => {
                tracing::warn!(camera = %self.results.camera, "stopped before kafka took the stream's end");
            }
        }
    }
}

/// Why something is missing before a run's first result is known better when the run before has ended.
fn relabelled(mark: Mark, reason: GapReason) -> Mark {
    match mark {
        Mark::Started { clock, at, lost: Some(GapReason::PodLost | GapReason::Moved), interval_us } => {
            Mark::Started { clock, at, lost: Some(reason), interval_us }
        }
        other => other,
    }
}

fn since(at: Timestamp) -> Duration {
    let now = Timestamp::from_system_time(SystemTime::now());
    Duration::from_micros(u64::try_from(now.as_micros().saturating_sub(at.as_micros())).unwrap_or(0))
}

#[cfg(test)]
#[path = "outlet_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
