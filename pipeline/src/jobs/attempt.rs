//! One attempt at a recording: opened once, read to its end or its first error, on a thread of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sightline_schema::{ErrorCode, GapReason, Job, JobProgress, Sampling, Timestamp};
use sightline_service::shutdown::Shutdown;

use crate::batch::{SlotId, Slots, WhenFull};
use crate::clock::CaptureClock;
use crate::error::StreamError;
use crate::frame::{End, Frame, StreamItem};
use crate::gate::Gate;
use crate::handover::RunControl;
use crate::lane::{Lane, LaneSettings};
use crate::metrics::CameraMetrics;
use crate::outlet::{EndSaid, KafkaOutlet};
use crate::predecessors::Predecessor;
use crate::publish::Publisher;
use crate::reach::Reach;
use crate::reader::{Reader, Stopped};
use crate::result::ResultFacts;
use crate::run::{Ready, Runner};
use crate::source::Source as _;
use crate::source::address::Address;
use crate::source::gst::{GstOptions, GstSource, SharedAccessUnits, shared_access_units};
use crate::trace::StreamTrace;
use crate::workers::Adder;

/// No picture for this long is a fault of the recording or of the way to it.
const PATIENCE: Duration = Duration::from_secs(30);
/// One look at whether the attempt is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// How an attempt came to its end.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Read to its end, and all of it acknowledged.
    Complete,
    Failed(StreamError),
    /// Somebody wanted it to end.
    Stopped,
}

/// An attempt while it runs.
pub(super) struct Attempt {
    pub(super) control: RunControl,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    metrics: Arc<CameraMetrics>,
    start: Timestamp,
    /// −1: not known.
    of_us: AtomicI64,
    outcome: Mutex<Option<Outcome>>,
}

impl Attempt {
    /// Opens the recording in the background.
    pub(super) fn begin(
        runner: &Runner,
        job: &Job,
        ready: Ready,
        epoch: u64,
        reach: Reach,
    ) -> std::io::Result<Self> {
        let control = RunControl::new(Shutdown::new(), None, ready.camera.clone(), ready.thresholds.clone());
        let metrics = runner.metrics.recording(&job.id);
        metrics.begin();
        let results = ResultFacts { camera: job.id.clone(), epoch, classes: runner.classes.clone() };
        let outlet = KafkaOutlet::new(
            runner.publisher.clone(),
            control.clone(),
            runner.model.clone(),
            results,
            WhenFull::Block,
            metrics.clone(),
            &Predecessor::default(),
        );
        let trace = StreamTrace::new(&runner.options.tracer, &job.id, epoch);
        let outlet = outlet.traced(trace.clone());
        let end_said = outlet.end_said();
        let settings = LaneSettings { thresholds: ready.thresholds.clone(), track: runner.options.track };
        let lane = Lane::new(settings, metrics.clone(), Box::new(outlet));
        let (slot, lane) = runner.adder.add(lane, WhenFull::Block);
        let reader = Reader::new(
            runner.adder.slots(),
            slot,
            metrics.clone(),
            Gate::new(&job.spec.sampling),
            CaptureClock::recorded(job.start),
            GapReason::PodLost,
        )
        .traced(trace.clone());
        let units = shared_access_units();
        if trace.is_on() {
            units.lock().unwrap_or_else(PoisonError::into_inner).keep_times();
        }
        let shared = Arc::new(Shared {
            metrics,
            start: job.start,
            of_us: AtomicI64::new(-1),
            outcome: Mutex::new(None),
        });
        let work = Reading {
            job: job.id.clone(),
            keyframes_only: job.spec.sampling == Sampling::Keyframes,
            address: ready.address().clone(),
            reach,
            reader,
            units,
            adder: runner.adder.clone(),
            slots: runner.adder.slots(),
            slot,
            lane,
            end_said,
            publisher: runner.publisher.clone(),
            control: control.clone(),
            decoder_threads: runner.options.decoder_threads,
            shared: shared.clone(),
        };
        let thread = std::thread::Builder::new().name(job.id.clone()).spawn({
            let shared = shared.clone();
            move || {
                let run = std::panic::AssertUnwindSafe(|| work.run());
                let outcome = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                    let message = "reading it panicked";
                    Outcome::Failed(StreamError::new(ErrorCode::Internal, "", message))
                });
                *shared.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            }
        })?;
        Ok(Self { control, shared, thread: Some(thread) })
    }

    /// How it ended, once it has.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn progress(&self) -> JobProgress {
        let last = self.shared.metrics.last_published();
        let at_us = last.map_or(0, |last| last.captured_at.as_micros() - self.shared.start.as_micros());
        let of_us = self.shared.of_us.load(Ordering::Relaxed);
        JobProgress {
            at_s: at_us.max(0) as f64 / 1e6,
            of_s: (of_us > 0).then(|| of_us as f64 / 1e6),
            frames: self.shared.metrics.results(),
        }
    }

    /// For who waits for all threads together.
    pub(super) fn into_thread(mut self) -> Option<JoinHandle<()>> {
        self.thread.take()
    }
}

/// What the thread of an attempt holds.
struct Reading {
    job: String,
    keyframes_only: bool,
    address: Address,
    reach: Reach,
    reader: Reader,
    units: SharedAccessUnits,
    adder: Adder,
    slots: Arc<Slots>,
    slot: SlotId,
    lane: Arc<Lane>,
    end_said: EndSaid,
    publisher: Publisher,
    control: RunControl,
    decoder_threads: u32,
    shared: Arc<Shared>,
}

impl Reading {
    fn run(mut self) -> Outcome {
        let outcome = match self.read() {
            Ok(Stopped::SourceEnded) => Outcome::Complete,
            Ok(Stopped::Wanted) => Outcome::Stopped,
            Err(error) => Outcome::Failed(error),
        };
        let is_whole = self.end(matches!(outcome, Outcome::Complete));
        match outcome {
            Outcome::Complete if !is_whole => Outcome::Stopped,
            other => other,
        }
    }

    fn read(&mut self) -> Result<Stopped, StreamError> {
        let found = Found::of(&self.address);
        let address = self.reach.check(&self.job, self.address.clone().of_recording())?;
        regular(&self.job, &self.address)?;
        let options = GstOptions {
            camera: self.job.clone(),
            address,
            stays: self.reach.is_limited(),
            transport: Default::default(),
            latency_ms: 0,
            keyframes_only: self.keyframes_only,
            looks_into: false,
            decoder_threads: self.decoder_threads,
            real_time: false,
            patience: PATIENCE,
        };
        let is_over = {
            let control = self.control.clone();
            move || control.is_over()
        };
        let mut source = GstSource::open_unless(options, self.units.clone(), is_over)?;
        let mut last_pts_us = 0;
        loop {
            let until = Instant::now() + LOOK;
            let control = &self.control;
            let pause = || control.is_over() || Instant::now() >= until;
            let mut seen = |frame: &Frame| last_pts_us = frame.pts_us;
            let stopped = self.reader.run(&mut source, &pause, &mut seen)?;
            if let Some(of_us) = source.duration_us() {
                self.shared.of_us.store(of_us, Ordering::Relaxed);
            }
            match stopped {
                Stopped::Wanted if !self.control.is_over() => {}
                // Over first: what is waited for no longer ends, too.
                Stopped::SourceEnded if self.control.is_over() => return Ok(Stopped::Wanted),
                Stopped::SourceEnded => {
                    found.is_still(&self.job, &self.address)?;
                    if source.is_cut_off() {
                        return Err(self.cut_off(last_pts_us));
                    }
                    return Ok(stopped);
                }
                Stopped::Wanted => return Ok(stopped),
            }
        }
    }

    /// Its index promises more than there is, and a demuxer that comes to the last byte ends as if that were all.
    fn cut_off(&self, last_pts_us: i64) -> StreamError {
        let seconds = |us: i64| us as f64 / 1e6;
        let of_us = self.shared.of_us.load(Ordering::Relaxed);
        let of = if of_us > 0 { format!(" of its {:.1} s", seconds(of_us)) } else { String::new() };
        let message = format!("{} is cut off: {:.1} s{of} could be read", self.address, seconds(last_pts_us));
        StreamError::new(ErrorCode::Corrupt, &self.job, message)
    }

    /// Behind the last frame, so that whoever reads the end has read everything. Whether all of it is acknowledged.
    fn end(mut self, complete: bool) -> bool {
        let clock = self.reader.clock().kind();
        let (at, mut skipped) = self.reader.close();
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.merge(&units.take_owed());
        drop(units);
        let end = StreamItem::End(End { at, clock, complete, skipped });
        // Closed slots take nothing: the process stops.
        let is_out = self.slots.push(self.slot, end).is_ok() && self.wait(|| self.lane.wait_for_end(LOOK));
        // One that is left while the detector still has its last frames keeps them, and its end, to itself.
        let is_whole = is_out
            && self.end_said.is_set()
            && self.wait(|| self.publisher.wait_for_arrival(&self.job, LOOK));
        self.adder.remove(self.slot);
        is_whole
    }

    /// As long as it takes, unless the attempt is no longer wanted.
    fn wait(&self, arrived: impl Fn() -> bool) -> bool {
        loop {
            if arrived() {
                return true;
            }
            if self.control.is_over() {
                return false;
            }
        }
    }
}

/// What is there must be a file: whoever opens a named pipe that nobody writes to waits for ever. What is not there, or can't be
/// looked at, is told by who opens it.
fn regular(job: &str, address: &Address) -> Result<(), StreamError> {
    match address.path().map(std::fs::metadata) {
        Some(Ok(found)) if !found.is_file() => {
            let message = format!("{address} is no regular file, but a folder, a pipe or a device");
            Err(StreamError::new(ErrorCode::Rejected, job, message))
        }
        _ => Ok(()),
    }
}

/// A file as it was found: one that changes while it is read is not the file that was asked for.
struct Found(Option<(PathBuf, u64)>);

impl Found {
    fn of(address: &Address) -> Self {
        Self(address.path().and_then(|path| {
            let length = std::fs::metadata(&path).ok()?.len();
            Some((path, length))
        }))
    }

    fn is_still(&self, job: &str, address: &Address) -> Result<(), StreamError> {
        let Some((path, length)) = &self.0 else { return Ok(()) };
        match std::fs::metadata(path) {
            Ok(now) if now.len() == *length => Ok(()),
            Ok(_) => {
                let message = format!("{address} changed while it was read; is it still being written?");
                Err(StreamError::new(ErrorCode::Corrupt, job, message))
            }
            // What was open was read to its end.
            Err(_) => Ok(()),
        }
    }
}
