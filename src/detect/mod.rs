//! `sightline detect`: inputs one after the other, results as lines, drawings and a summary.

mod input;
mod outlet;
pub(crate) mod results;
mod summary;

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sightline_pipeline::batch::WhenFull;
use sightline_pipeline::clock::CaptureClock;
use sightline_pipeline::cpu;
use sightline_pipeline::detect::{Model, Thresholds};
use sightline_pipeline::frame::{End, Frame, StreamItem};
use sightline_pipeline::gate::Gate;
use sightline_pipeline::lane::{Lane, LaneSettings};
use sightline_pipeline::metrics::PipelineMetrics;
use sightline_pipeline::reader::{Reader, Stopped};
use sightline_pipeline::source::Source;
use sightline_pipeline::workers::Workers;
use sightline_schema::{Clock, GapReason, Sampling};
use sightline_service::shutdown::{Cause, Shutdown};

use crate::cli::DetectArgs;
use crate::exit::{Code, Failure, Outcome};
use crate::model;
pub(crate) use input::told;
use input::{Input, Opened};
use outlet::{Drawing, ResultOutlet};
use results::ResultsFile;
use summary::Tally;

pub(crate) fn run(args: &DetectArgs) -> Outcome {
    model::decoding(args.decoding)?;
    let model = model::open(&args.model.model, &args.model.reading)?;
    let camera = crate::cameras::from_thresholds("detect", "detect", &args.thresholds);
    let track = !args.thresholds.no_track;
    let settings = |track: bool| {
        Thresholds::of(&camera, &model.classes(), track)
            .map(|thresholds| thresholds.agnostic(args.thresholds.agnostic_nms))
            .map_err(|error| Failure::usage(format!("--classes: {error}")))
    };
    let (of_stream, of_picture) = (settings(track)?, settings(false)?);
    let drawings = Drawings::new(args)?;
    let results = ResultsFile::create(args.out.as_deref())?;
    let shutdown = Shutdown::new();
    shutdown.install_signals().map_err(Failure::failed)?;

    let run = Run {
        args,
        workers: Workers::start(&model, model::workers(&args.model.reading)).map_err(model::refused)?,
        of_stream: LaneSettings { thresholds: of_stream, track },
        of_picture: LaneSettings { thresholds: of_picture, track: false },
        model,
        drawings,
        results,
        shutdown,
    };
    run.inputs()
}

/// Where drawings go: one file for one input, a directory for several.
struct Drawings {
    target: Option<std::path::PathBuf>,
    directory: bool,
    /// The directory was made here.
    made: bool,
}

impl Drop for Drawings {
    fn drop(&mut self) {
        if let Some(target) = self.target.as_ref().filter(|_| self.made) {
            // Goes only where nothing was drawn into it.
            let _ = std::fs::remove_dir(target);
        }
    }
}

impl Drawings {
    fn new(args: &DetectArgs) -> Result<Self, Failure> {
        let Some(target) = args.annotate.clone() else {
            return Ok(Self { target: None, directory: false, made: false });
        };
        let directory = args.inputs.len() > 1 || target.is_dir();
        let made = directory && !target.exists();
        if directory {
            std::fs::create_dir_all(&target)
                .map_err(|error| Failure::new(Code::CannotWrite, format!("{}: {error}", target.display())))?;
        }
        Ok(Self { target: Some(target), directory, made })
    }

    fn of(&self, index: usize, input: &str, picture: bool) -> Result<Option<std::path::PathBuf>, Failure> {
        let Some(target) = self.target.as_ref() else { return Ok(None) };
        let (what, endings): (_, &[&str]) =
            if picture { ("a picture", &["jpg", "jpeg"]) } else { ("a video", &["mp4"]) };
        if !self.directory {
            let ending = target.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            if !endings.contains(&ending.as_str()) {
                return Err(Failure::usage(format!(
                    "--annotate {}: {input} is {what}, which is drawn into a .{}; name such a file, or a directory",
                    target.display(),
                    endings[0]
                )));
            }
            return Ok(Some(target.clone()));
        }
        let name = input.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let stem: String =
            stem.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        Ok(Some(target.join(format!("{index:03}-{stem}.{}", endings[0]))))
    }
}

struct Run<'a> {
    args: &'a DetectArgs,
    model: Model,
    workers: Workers,
    of_stream: LaneSettings,
    of_picture: LaneSettings,
    drawings: Drawings,
    results: ResultsFile,
    shutdown: Shutdown,
}

impl Run<'_> {
    fn inputs(self) -> Outcome {
        let mut failed = 0;
        let mut live = false;
        for (index, given) in self.args.inputs.iter().enumerate() {
            match self.input(index, given) {
                Ok(was_live) => live = was_live,
                Err(failure) if failure.code == Code::Failed => {
                    eprintln!("sightline: {}", failure.message);
                    failed += 1;
                }
                Err(failure) => return Err(failure),
            }
            if self.shutdown.is_set() {
                break;
            }
        }
        let Self { workers, results, shutdown, .. } = self;
        workers.stop();
        match shutdown.cause() {
            None => results.commit()?,
            // A live camera has no other end: what was seen is whole.
            Some(_) if live => results.commit()?,
            Some(cause) => {
                results.discard();
                let code = if cause == Cause::Terminate { Code::Terminated } else { Code::Interrupted };
                return Err(Failure::silent(code));
            }
        }
        match (failed, shutdown.cause()) {
            (0, None) => Ok(()),
            (_, Some(Cause::Terminate)) => Err(Failure::silent(Code::Terminated)),
            (_, Some(_)) => Err(Failure::silent(Code::Interrupted)),
            (_, None) => Err(Failure::silent(Code::Failed)),
        }
    }

    /// Runs one input to its end. True when it was live.
    fn input(&self, index: usize, given: &str) -> Result<bool, Failure> {
        let input = Input::parse(given).map_err(Failure::failed)?;
        let name = input.shown();
        let opened = input.open(self.args).map_err(Failure::failed)?;
        let (picture, live) = (matches!(opened, Opened::Picture(_)), opened.is_live());
        let drawing = self.drawings.of(index, &name, picture)?.map(|path| Drawing::new(path, picture));
        let tally = Tally::shared();
        let outlet = ResultOutlet::new(
            index,
            &name,
            &self.model.classes(),
            self.results.writer(),
            drawing,
            tally.clone(),
        );
        // Registered nowhere: the summary counts for itself.
        let metrics = PipelineMetrics::register(&mut Default::default()).camera(&name);
        let settings = if picture { &self.of_picture } else { &self.of_stream };
        let when_full = if live { WhenFull::DropOldest } else { WhenFull::Block };
        let adder = self.workers.adder();
        let lane = Lane::new(settings.clone(), metrics.clone(), Box::new(outlet));
        let (slot, lane) = adder.add(lane, when_full);
        let started = (Instant::now(), cpu::process());

        let result = match opened {
            Opened::Picture(planes) => {
                // A picture that nobody takes means that the workers are gone; the end below says so.
                let _ = adder.slots().push(slot, StreamItem::Frame(input::picture_frame(planes)));
                Ok(())
            }
            Opened::Stream(mut source, units) => {
                let clock = if live { Clock::Arrival } else { Clock::File };
                let sampling = match self.args.thresholds.fps {
                    Some(fps) => Sampling::Fps { fps },
                    None => Sampling::EveryFrame,
                };
                let mut reader = Reader::new(
                    adder.slots(),
                    slot,
                    metrics,
                    Gate::new(&sampling),
                    CaptureClock::new(clock, 0),
                    GapReason::PodLost,
                );
                let read = self.read(source.as_mut(), &mut reader, &input, &tally);
                drop(source);
                let (at, mut skipped) = reader.close();
                let mut units = units.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                skipped.merge(&units.take_owed());
                drop(units);
                tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).tail(at, skipped);
                read
            }
        };
        let (at, skipped) = {
            let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if self.shutdown.is_set() && !live {
                tally.interrupt();
            }
            tally.end()
        };
        let end = End { at, clock: Clock::File, complete: result.is_ok(), skipped };
        let pushed = adder.slots().push(slot, StreamItem::End(end));
        if pushed.is_ok() && !lane.wait_for_end(Duration::from_secs(600)) {
            return Err(Failure::failed(format!("{name}: the detector did not finish")));
        }
        adder.remove(slot);
        self.results.check()?;
        let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(error) = tally.take_drawing_error() {
            return Err(Failure::new(Code::CannotWrite, error));
        }
        if result.is_ok() || tally.frames() > 0 {
            self.say(&tally.summary(&name, picture, started.0.elapsed(), cpu::process() - started.1));
        }
        if picture && tally.frames() == 0 {
            return Err(Failure::failed(format!("{name}: the detector failed on it")));
        }
        result.map(|()| live)
    }

    fn read(
        &self,
        source: &mut dyn Source,
        reader: &mut Reader,
        input: &Input,
        tally: &summary::Shared,
    ) -> Result<(), Failure> {
        let name = input.shown();
        let bar = progress(&name);
        let mut last_pts = 0;
        let mut length = None;
        let mut counted = 0u64;
        let stop = || self.shutdown.is_set() || self.results.failed() || outlet::drawing_failed(tally);
        let stopped = {
            // `seen` needs the source's length, which the reader holds: asked for before and between slices.
            loop {
                length = length.or_else(|| source.duration_us());
                let until = Instant::now() + Duration::from_millis(500);
                let pause = || stop() || Instant::now() >= until;
                let mut seen = |frame: &Frame| {
                    last_pts = frame.pts_us;
                    counted += 1;
                };
                match reader.run(source, &pause, &mut seen) {
                    Ok(Stopped::Wanted) if !stop() => show(&bar, length, last_pts, counted),
                    other => break other,
                }
            }
        };
        bar.finish_and_clear();
        tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).video(source.video());
        let stopped = stopped.map_err(|error| Failure::failed(input::told(input.address(), &error)))?;
        if stopped == Stopped::SourceEnded && input.is_cut_off() {
            let read = last_pts as f64 / 1e6;
            let of = length.map_or(String::new(), |length| format!(" of its {:.1} s", length as f64 / 1e6));
            return Err(Failure::failed(format!(
                "{name}: cut off: {read:.1} s{of} could be read; copy it again, or accept what was found"
            )));
        }
        Ok(())
    }

    /// The summary goes where the results do not.
    fn say(&self, text: &str) {
        if self.results.is_stdout() {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }
}

fn progress(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}% {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(name.rsplit('/').next().unwrap_or(name).to_owned());
    bar
}

fn show(bar: &ProgressBar, length: Option<i64>, pts: i64, frames: u64) {
    let fps = frames as f64 / bar.elapsed().as_secs_f64().max(0.001);
    match length.filter(|length| *length > 0) {
        Some(length) => {
            bar.set_length(u64::try_from(length).unwrap_or(0));
            bar.set_position(u64::try_from(pts.min(length)).unwrap_or(0));
            let left = bar.elapsed().as_secs_f64() * (length - pts).max(0) as f64 / pts.max(1) as f64;
            bar.set_message(format!("{fps:.0} fps, {} left", minutes(left)));
        }
        None => {
            bar.set_message(format!("{frames} frames, {fps:.0} fps, {} so far", minutes(pts as f64 / 1e6)));
        }
    }
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
    }
}
