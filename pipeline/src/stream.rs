//! One camera's supervisor: claim, open, read, back off, end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::{Camera, CameraState, Clock, ErrorCode, GapReason, Play, Sampling, StreamSpec};
use sightline_service::backoff::Backoff;

use crate::batch::{Slots, WhenFull};
use crate::clock::CaptureClock;
use crate::error::StreamError;
use crate::frame::{End, Planes, StreamItem};
use crate::gate::Gate;
use crate::handover::{Ended, RunControl};
use crate::lane::Lane;
use crate::metrics::CameraMetrics;
use crate::picture_watch::{PictureWatch, Sight};
use crate::publish::Publisher;
use crate::reach::Reach;
use crate::reader::{Reader, Stopped};
use crate::secrets::Secrets;
use crate::source::Source;
use crate::source::address::{Address, Kind};
use crate::source::gst::{GstOptions, GstSource, SharedAccessUnits, shared_access_units};
use crate::status::StatusKeeper;
use crate::trace::StreamTrace;

/// No picture for this long is a fault of the camera.
const PATIENCE: Duration = Duration::from_secs(10);
/// A run of this length forgets earlier failures.
const HEALTHY: Duration = Duration::from_secs(60);
/// A file that plays in a loop is cut here: nothing is tracked over the cut.
const LOOP_CUT: Duration = Duration::from_millis(1_100);

/// How long the reader goes on before the status is looked at.
const SLICE: Duration = Duration::from_millis(200);

/// How long the results on their way may take after the last frame.
const DRAIN: Duration = Duration::from_secs(10);
/// How long their acknowledgement may take then.
const ARRIVAL: Duration = Duration::from_secs(3);

/// How a stream of a camera is played: what its address and its `play` make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Frames come by the clock, and are dropped where nobody takes them.
    pub live: bool,
    /// From the start again when it ends.
    pub repeats: bool,
    /// By a sensor: what stands still or is black is a fault.
    pub watched: bool,
}

impl Manner {
    pub fn of(address: &Address, play: Option<Play>) -> Self {
        match address.kind() {
            Kind::Rtsp => Self { live: true, repeats: false, watched: true },
            Kind::Test => Self { live: true, repeats: false, watched: false },
            Kind::Http | Kind::WebFile | Kind::Object | Kind::File => {
                let repeats = play == Some(Play::Loop);
                Self { live: repeats, repeats, watched: false }
            }
        }
    }

    pub fn when_full(self) -> WhenFull {
        if self.live { WhenFull::DropOldest } else { WhenFull::Block }
    }

    pub fn clock(self) -> Clock {
        if self.live { Clock::Arrival } else { Clock::File }
    }
}

/// What a stream needs of its surroundings.
pub struct StreamContext {
    pub slots: Arc<Slots>,
    pub slot: crate::batch::SlotId,
    pub lane: Arc<Lane>,
    pub metrics: Arc<CameraMetrics>,
    pub control: RunControl,
    pub publisher: Publisher,
    pub decoder_threads: u32,
    pub secrets: Secrets,
    pub reach: Reach,
    /// How far the camera's clock was from ours when it was last heard of.
    pub clock_offset_ms: i64,
    /// Why something may be missing before the first result.
    pub lost: GapReason,
    /// Which frames are sampled.
    pub trace: StreamTrace,
}

/// Runs one camera from its claim to its end.
pub struct Stream {
    /// Of the settings.
    version: u64,
    camera: Arc<Camera>,
    spec: StreamSpec,
    address: Address,
    manner: Manner,
    context: StreamContext,
    units: SharedAccessUnits,
    reader: Reader,
    status: StatusKeeper,
    /// Hardware was tried in vain.
    in_software: bool,
}

impl Stream {
    pub fn new(
        camera: Arc<Camera>,
        spec: StreamSpec,
        address: Address,
        context: StreamContext,
        status: StatusKeeper,
    ) -> Self {
        let manner = Manner::of(&address, spec.play);
        let reader = Reader::new(
            context.slots.clone(),
            context.slot,
            context.metrics.clone(),
            Gate::new(&camera.sampling),
            CaptureClock::new(manner.clock(), context.clock_offset_ms),
            context.lost,
        )
        .traced(context.trace.clone());
        let units = shared_access_units();
        if context.trace.is_on() {
            units.lock().unwrap_or_else(std::sync::PoisonError::into_inner).keep_times();
        }
        let version = context.control.version();
        Self { version, camera, spec, address, manner, context, units, reader, status, in_software: false }
    }

    /// The retry loop. Comes back when the camera ended or the process stops.
    pub fn run(mut self) {
        let (mut quick, mut slow) = (Backoff::quick(), Backoff::slow());
        let mut rng = rand::rng();
        let complete = loop {
            let started = Instant::now();
            let error = match self.run_once() {
                Ok(Stopped::Wanted) => break false,
                Ok(Stopped::SourceEnded) if self.manner.repeats => {
                    self.reader.reopened(Some(LOOP_CUT), None);
                    continue;
                }
                Ok(Stopped::SourceEnded) if self.address.kind() != Kind::Rtsp => break true,
                Ok(Stopped::SourceEnded) => StreamError::new(
                    ErrorCode::Unreachable,
                    &self.camera.id,
                    format!("{} ended the stream", self.address),
                ),
                Err(error) => error,
            };
            // A picture that stands still takes its time to be noticed.
            if started.elapsed() > HEALTHY && error.code() != ErrorCode::Frozen {
                quick.reset();
                slow.reset();
            }
            self.context.metrics.error(error.code());
            let backoff = if only_a_person_helps(error.code()) { &mut slow } else { &mut quick };
            let wait = backoff.next(&mut rng);
            tracing::warn!(
                camera = %self.camera.id, code = error.code().as_str(), retry_in_s = wait.as_secs(),
                "{}", error.message()
            );
            self.status.retrying(&error, wait);
            if self.wait(wait, &error) {
                break false;
            }
            self.reader.reopened(None, Some(lost_by(error.code())));
        };
        self.end(complete);
    }

    /// The straight path: open, read to the end.
    fn run_once(&mut self) -> Result<Stopped, StreamError> {
        self.status.connecting();
        let open = if self.in_software { GstSource::open_in_software } else { GstSource::open };
        let mut source = open(self.options()?, self.units.clone())?;
        let mut watch = PictureWatch::default();
        let mut slices = 0u32;
        loop {
            let sight = match self.slice(&mut source, &mut watch) {
                Ok((Stopped::Wanted, sight)) if !self.context.control.is_over() => sight,
                other => {
                    self.look_at_video(&source);
                    if other.is_err() && source.failed_in_hardware() {
                        let decoder = source.video().decoder;
                        tracing::warn!(camera = %self.camera.id, decoder, "no picture by this decoder; in software from now on");
                        self.in_software = true;
                    }
                    return other.map(|(stopped, _)| stopped);
                }
            };
            // Facts of the video are read when they may have changed.
            if slices.is_multiple_of(10) {
                self.look_at_video(&source);
            }
            slices = slices.wrapping_add(1);
            // The status follows the results.
            self.look_at_control();
            self.status.follow(self.reader.clock());
            self.judge(sight)?;
        }
    }

    fn look_at_video(&mut self, source: &GstSource) {
        let video = source.video();
        if self.context.metrics.decoder(&video.decoder) {
            tracing::info!(camera = %self.camera.id, codec = video.codec, decoder = video.decoder, "decoding");
        }
        self.status.video(video);
    }

    /// Reads for a moment. Gives what the picture looked like, where it was looked at.
    fn slice(
        &mut self,
        source: &mut GstSource,
        watch: &mut PictureWatch,
    ) -> Result<(Stopped, Option<Sight>), StreamError> {
        let control = &self.context.control;
        let until = Instant::now() + SLICE;
        let pause = || control.is_over() || Instant::now() >= until;
        let watched = self.manner.watched;
        let mut sight = None;
        let joined = || control.is_joined();
        let stopped = self.reader.run_joined(source, &pause, &joined, &mut |frame| {
            if let (true, Planes::Host(planes)) = (watched, &frame.planes) {
                sight = watch.look(planes, Instant::now()).or(sight);
            }
        })?;
        Ok((stopped, sight))
    }

    /// A picture that stands still is read anew; a black one is said, and may be the night.
    fn judge(&mut self, sight: Option<Sight>) -> Result<(), StreamError> {
        let error = |code, message: &str| StreamError::new(code, &self.camera.id, message);
        match sight {
            None => {}
            Some(Sight::Fine) => self.status.sight(None),
            Some(Sight::Black) => {
                self.status.sight(Some(&error(ErrorCode::Black, "the picture is black")));
            }
            Some(Sight::Frozen) => {
                let message = "the same picture comes again and again, to the bit";
                return Err(error(ErrorCode::Frozen, message));
            }
        }
        Ok(())
    }

    /// Takes over what others decided about this run.
    fn look_at_control(&mut self) {
        self.status.held(self.context.control.is_held());
        if self.context.control.version() == self.version {
            return;
        }
        let settings = self.context.control.settings();
        self.version = settings.version;
        self.context.lane.set_thresholds(settings.thresholds);
        // Where nobody takes marks any more, the run ends anyway.
        let _ = self.reader.settings_changed(Gate::new(&settings.camera.sampling));
        self.status.generation(settings.camera.generation);
        self.camera = settings.camera;
    }

    fn options(&self) -> Result<GstOptions, StreamError> {
        let credentials = self.context.secrets.of(&self.camera)?;
        let address = self.context.reach.check(&self.camera.id, self.address.clone())?;
        Ok(GstOptions {
            camera: self.camera.id.clone(),
            address: address.with_credentials(credentials),
            stays: self.context.reach.is_limited(),
            transport: self.spec.transport,
            latency_ms: self.spec.latency_ms,
            keyframes_only: self.camera.sampling == Sampling::Keyframes,
            looks_into: false,
            decoder_threads: self.context.decoder_threads,
            real_time: self.manner.live && self.address.kind() != Kind::Rtsp,
            patience: PATIENCE,
        })
    }

    /// Waits before a retry, ticking. True when the process stops.
    fn wait(&mut self, wait: Duration, error: &StreamError) -> bool {
        let until = Instant::now() + wait;
        // What was said before this failure is not about it.
        let _ = self.context.control.hurries();
        loop {
            if self.context.control.hurries() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.look_at_control();
            if self.context.control.stop.wait_timeout(left.min(SLICE)) || self.context.control.is_over() {
                return true;
            }
            if self.reader.idle(CameraState::Retrying, Some(error)).is_err() {
                return true;
            }
            self.status.follow(self.reader.clock());
        }
    }

    fn end(mut self, complete: bool) {
        let clock = self.reader.clock().kind();
        let (at, mut skipped) = self.reader.close();
        let mut units = self.units.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        skipped.merge(&units.take_owed());
        drop(units);
        // Behind the last frame, so that whoever reads the end has read everything. Closed slots take nothing.
        let end = StreamItem::End(End { at, clock, complete, skipped });
        let is_out =
            self.context.slots.push(self.context.slot, end).is_err() || self.context.lane.wait_for_end(DRAIN);
        if !is_out {
            tracing::warn!(camera = %self.camera.id, "results still under way after {} s are given up", DRAIN.as_secs());
        }
        // A successor publishes what is later than the last that this run had, so that must be known to lie in Kafka.
        let ended = match self.context.publisher.wait_for_arrival(&self.camera.id, ARRIVAL) {
            true => Ended::Settled,
            false => Ended::Unsettled,
        };
        match ended {
            Ended::Settled => self.status.ended(),
            Ended::Unsettled => self.status.left(),
        }
        self.context.control.set_ended(ended);
    }
}

/// Why nothing was seen between such an error and the next picture.
fn lost_by(code: ErrorCode) -> GapReason {
    match code {
        ErrorCode::Corrupt => GapReason::Corrupt,
        _ => GapReason::Disconnected,
    }
}

/// What will not go away by asking again soon.
fn only_a_person_helps(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AuthFailed
            | ErrorCode::NotFound
            | ErrorCode::NoVideo
            | ErrorCode::CodecUnsupported
            | ErrorCode::ForbiddenUri
    )
}
