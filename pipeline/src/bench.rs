//! How fast a model runs on a video here, against what the machine could do at best.
//!
//! The limit is cores ÷ (CPU of decoding one picture + CPU of one bare session run), each measured in the same
//! run and with all cores busy, since cores that share caches and memory slow each other down.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sightline_schema::{Clock, GapReason, Sampling, SkipReason, Skipped, Timestamp, Transport};

use crate::batch::WhenFull;
use crate::clock::CaptureClock;
use crate::cpu::{self, CpuTime, StageTime};
use crate::detect::{Model, ModelError, Thresholds};
use crate::error::StreamError;
use crate::frame::{End, Mark, StreamItem};
use crate::gate::Gate;
use crate::lane::{DetectTimes, Lane, LaneSettings, Outlet, Tracked, Unpublished};
use crate::letterbox::InputSize;
use crate::metrics::PipelineMetrics;
use crate::reader::Reader;
use crate::result::ResultFacts;
use crate::source::address::Address;
use crate::source::gst::{GstOptions, GstSource, shared_access_units};
use crate::source::{Pulled, Source as _};
use crate::workers::Workers;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{0}")]
    Other(String),
}

/// What is measured, and with how much of it.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    pub video: Address,
    pub thresholds: Thresholds,
    pub workers: usize,
    pub cores: usize,
    /// Frames a round, at most.
    pub frames: u64,
    pub decoder_threads: u32,
}

/// One round's figures, all of the same minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// CPU of decoding one picture, all cores decoding.
    pub decode_cpu_ms: f64,
    /// CPU of one bare session run at the tensor shape the video gets, all workers running.
    pub session_cpu_ms: f64,
    pub reached_fps: f64,
    pub frames: u64,
    /// CPU of the whole process per frame.
    pub total_cpu_ms: f64,
    /// CPU of a frame in each step of a worker.
    pub letterbox_ms: f64,
    pub in_session_ms: f64,
    pub head_ms: f64,
    pub track_ms: f64,
    /// From the letterbox to the tracked result.
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
}

impl Round {
    /// Frames a second that `cores` could do if nothing but decoding and sessions took time.
    pub fn limit_fps(&self, cores: usize) -> f64 {
        cores as f64 * 1e3 / (self.decode_cpu_ms + self.session_cpu_ms)
    }
}

/// The tensor shape that the video gets.
pub fn input_size(model: &Model, options: &BenchOptions) -> Result<InputSize, BenchError> {
    let mut source = open(options)?;
    loop {
        match source.pull(Duration::from_millis(100))? {
            Pulled::Frame(frame) => {
                let size = match &frame.planes {
                    crate::frame::Planes::Host(planes) => (planes.width, planes.height),
                    crate::frame::Planes::Cuda(planes) => (planes.width, planes.height),
                };
                return Ok(model.input_for(size));
            }
            Pulled::Nothing => {}
            Pulled::End => return Err(BenchError::Other(format!("{}: no frame in it", options.video))),
        }
    }
}

/// Measures decoding, then bare sessions, then everything together.
pub fn round(model: &Model, options: &BenchOptions) -> Result<Round, BenchError> {
    let input = input_size(model, options)?;
    let decode_cpu_ms = decoding(options)?;
    let session_cpu_ms = bare_sessions(model, input, options)?;
    Ok(Round { decode_cpu_ms, session_cpu_ms, ..everything(model, options)? })
}

fn open(options: &BenchOptions) -> Result<GstSource, StreamError> {
    GstSource::open(
        GstOptions {
            camera: options.video.to_string(),
            address: options.video.clone(),
            stays: false,
            transport: Transport::Tcp,
            latency_ms: 200,
            keyframes_only: false,
            looks_into: false,
            decoder_threads: options.decoder_threads,
            real_time: false,
            patience: Duration::from_secs(15),
        },
        shared_access_units(),
    )
}

/// CPU ms of one decoded picture: a decoder a core, side by side.
fn decoding(options: &BenchOptions) -> Result<f64, BenchError> {
    let before = cpu::process();
    let frames = thread::scope(|scope| {
        let decoders: Vec<_> = (0..options.cores).map(|_| scope.spawn(|| decode_all(options))).collect();
        decoders.into_iter().map(|decoder| decoder.join().unwrap_or(Ok(0))).sum::<Result<u64, StreamError>>()
    })?;
    Ok((cpu::process() - before).as_millis() / frames.max(1) as f64)
}

fn decode_all(options: &BenchOptions) -> Result<u64, StreamError> {
    let mut source = open(options)?;
    let mut frames = 0;
    while frames < options.frames {
        match source.pull(Duration::from_millis(100))? {
            Pulled::Frame(_) => frames += 1,
            Pulled::Nothing => {}
            Pulled::End => break,
        }
    }
    Ok(frames)
}

/// CPU ms of one run of a bare session, a session a worker, side by side.
fn bare_sessions(model: &Model, input: InputSize, options: &BenchOptions) -> Result<f64, BenchError> {
    let sessions = (0..options.workers).map(|_| model.session()).collect::<Result<Vec<_>, _>>()?;
    let each = (options.frames / options.workers as u64).max(5);
    let total = thread::scope(|scope| {
        let runs: Vec<_> = sessions
            .into_iter()
            .map(|mut session| {
                scope.spawn(move || {
                    // The first runs of a shape allocate.
                    session.run_bare(input, 2)?;
                    let before = cpu::this_thread();
                    session.run_bare(input, each)?;
                    Ok::<_, ModelError>(cpu::this_thread() - before)
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap_or_else(|_| Err(ModelError::Internal("a session panicked".into()))))
            .sum::<Result<CpuTime, ModelError>>()
    })?;
    Ok(total.as_millis() / (each * options.workers as u64) as f64)
}

/// What the outlet of a bench run keeps.
#[derive(Debug, Default)]
struct Kept {
    frames: u64,
    times: DetectTimes,
    track: StageTime,
    latencies: Vec<f64>,
    ended: Option<Instant>,
}

struct BenchOutlet {
    facts: ResultFacts,
    kept: Arc<Mutex<Kept>>,
}

impl Outlet for BenchOutlet {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished> {
        // Writing the record is part of the work.
        let record = serde_json::to_vec(&self.facts.result(tracked))
            .map_err(|_| Unpublished(SkipReason::Unpublished))?;
        std::hint::black_box(record);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.frames += 1;
        kept.times.letterbox += tracked.times.letterbox;
        kept.times.session += tracked.times.session;
        kept.times.head += tracked.times.head;
        kept.track += tracked.track;
        kept.latencies.push((tracked.times.total() + tracked.track).wall.as_secs_f64() * 1e3);
        Ok(())
    }

    fn mark(&mut self, _: &Mark) {}

    fn end(&mut self, _: &End) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(Instant::now());
    }
}

fn everything(model: &Model, options: &BenchOptions) -> Result<Round, BenchError> {
    let workers = Workers::start(model, options.workers)?;
    let kept = Arc::new(Mutex::new(Kept::default()));
    let facts = ResultFacts { camera: options.video.to_string(), epoch: 0, classes: model.classes() };
    let metrics =
        PipelineMetrics::register(&mut prometheus_client::registry::Registry::default()).camera("bench");
    let settings = LaneSettings { thresholds: options.thresholds.clone(), track: true };
    let outlet = BenchOutlet { facts, kept: kept.clone() };
    let adder = workers.adder();
    let (slot, lane) = adder.add(Lane::new(settings, metrics.clone(), Box::new(outlet)), WhenFull::Block);
    let mut source = open(options)?;
    let clock = CaptureClock::new(Clock::File, 0);
    let mut reader = Reader::new(
        adder.slots(),
        slot,
        metrics,
        Gate::new(&Sampling::EveryFrame),
        clock,
        GapReason::PodLost,
    );
    let seen = std::cell::Cell::new(0u64);
    let (before, started) = (cpu::process(), Instant::now());
    let read = reader.run(&mut source, &|| seen.get() >= options.frames, &mut |_| seen.set(seen.get() + 1));
    let end = End {
        at: Timestamp::from_micros(0),
        clock: Clock::File,
        complete: true,
        skipped: Skipped::default(),
    };
    // Closed slots would mean that the workers are gone, which the wait below tells.
    let _ = adder.slots().push(slot, StreamItem::End(end));
    let in_time = lane.wait_for_end(Duration::from_secs(600));
    let total = cpu::process() - before;
    drop(source);
    workers.stop();
    read?;
    if !in_time {
        return Err(BenchError::Other("the detector did not finish".into()));
    }
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.latencies.sort_by(f64::total_cmp);
    let frames = kept.frames.max(1) as f64;
    let wall = kept.ended.unwrap_or_else(Instant::now).duration_since(started).as_secs_f64();
    let ms = |time: StageTime| time.cpu.as_millis() / frames;
    Ok(Round {
        reached_fps: kept.frames as f64 / wall.max(1e-9),
        frames: kept.frames,
        total_cpu_ms: total.as_millis() / frames,
        letterbox_ms: ms(kept.times.letterbox),
        in_session_ms: ms(kept.times.session),
        head_ms: ms(kept.times.head),
        track_ms: ms(kept.track),
        latency_p50_ms: quantile(&kept.latencies, 0.5),
        latency_p99_ms: quantile(&kept.latencies, 0.99),
        ..Round::default()
    })
}

/// Of sorted values; 0 of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * q).round() as usize).copied().unwrap_or(0.0)
}
