//! Streams and files by GStreamer: RTSP built by hand, everything else by `decodebin3`.

mod bus;
mod decode_times;
mod decoder;
pub mod decoders;
mod file;
mod log;
mod memory;
mod object;
mod packets;
mod planes;
mod rtsp;
mod test_pattern;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use sightline_schema::{ErrorCode, Timestamp, Transport, VideoFacts};

use self::decode_times::DecodeTimes;
use super::address::{Address, Kind};
use super::container::{self, Missing};
use super::{Pulled, Source, SourceFrame};
use crate::access_units::AccessUnits;
use crate::encoded::{EncodedStats, Framing, NalCodec};
use crate::error::StreamError;

/// From now on no playlist is followed in this process: one may name any address, at any time, and what follows it asks
/// nobody before it goes there.
pub fn follow_no_playlists() {
    for factory in gst::ElementFactory::factories_with_type(gst::ElementFactoryType::DEMUXER, gst::Rank::NONE)
    {
        if factory.metadata("klass").is_some_and(|class| class.contains("Adaptive")) {
            factory.set_rank(gst::Rank::NONE);
        }
    }
}

/// How a stream is opened.
#[derive(Clone, Debug)]
pub struct GstOptions {
    /// The name in errors.
    pub camera: String,
    pub address: Address,
    /// Follow nothing that leads elsewhere: no redirect, no playlist.
    pub stays: bool,
    pub transport: Transport,
    pub latency_ms: u32,
    /// Drop everything but keyframes before the decoder.
    pub keyframes_only: bool,
    /// Threads of a software decoder; 0 lets it choose.
    pub decoder_threads: u32,
    /// Give frames in real time, as a live camera would; for recorded sources.
    pub real_time: bool,
    /// Look into the access units, for [`GstSource::encoded`]'s share of pictures that none refers to.
    pub looks_into: bool,
    /// How long until the first frame, and between two frames of a live stream.
    pub patience: Duration,
}

/// What the streaming threads learn, shared with the reading one.
#[derive(Default)]
struct Learned {
    codec: Option<String>,
    decoder: Option<String>,
    /// The stream itself signalled its colours.
    colour_signalled: bool,
    saw_video: bool,
    saw_other: Option<String>,
    error: Option<(ErrorCode, String)>,
    /// An object or a file on a web server that is shorter than it says of itself.
    cut_off: bool,
    /// The connection broke: `rtspsrc` warns of it, then ends as if the camera had said goodbye.
    broke: bool,
    reported: Option<Reported>,
    /// When an access unit last reached the decoder's door.
    last_unit: Option<Instant>,
    /// Profile and level, as people write them.
    profile: Option<String>,
    nal: Option<(NalCodec, Framing)>,
    encoded: EncodedStats,
    decode_times: DecodeTimes,
}

/// What a camera's sender reports say of its latest access unit.
#[derive(Clone, Copy)]
struct Reported {
    /// ns.
    pts: u64,
    camera_time: Timestamp,
}

impl Reported {
    /// Of a frame near it.
    fn at(self, pts: u64) -> Timestamp {
        let ahead_us = (i128::from(pts) - i128::from(self.pts)) / 1_000;
        self.camera_time.saturating_add_micros(i64::try_from(ahead_us).unwrap_or(0))
    }
}

type Shared = Arc<Mutex<Learned>>;
pub type SharedAccessUnits = Arc<Mutex<AccessUnits>>;

/// The access units of one epoch, to be handed to each [`GstSource`] that reads the camera in it.
pub fn shared_access_units() -> SharedAccessUnits {
    SharedAccessUnits::default()
}

pub struct GstSource {
    options: GstOptions,
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    bus: gst::Bus,
    units: SharedAccessUnits,
    learned: Shared,
    planes: planes::Caps,
    opened: Instant,
    last_frame: Option<Instant>,
    /// Asked in vain since then. Time in which nobody asked is not the source's.
    waiting_since: Option<Instant>,
    ended: bool,
    /// What reads an object is told by it that nobody waits any more.
    closing: object::Closing,
    // Last: what the others held is free by then.
    _give_back: memory::GiveBack,
}

/// Loads GStreamer once; an error says what is missing.
pub fn init() -> Result<(), String> {
    memory::set_up();
    log::install();
    gst::init().map_err(|error| format!("GStreamer can't start: {error}"))?;
    for (element, package) in [
        ("appsink", "gstreamer1.0-plugins-base"),
        ("rtspsrc", "gstreamer1.0-plugins-good"),
        ("h264parse", "gstreamer1.0-plugins-bad"),
        ("avdec_h264", "gstreamer1.0-libav"),
    ] {
        if gst::ElementFactory::find(element).is_none() {
            return Err(format!("GStreamer has no {element}; install the package {package}"));
        }
    }
    Ok(())
}

impl GstSource {
    /// Builds the pipeline and sets it going. What is wrong with the stream itself comes from the first pull.
    pub fn open(options: GstOptions, units: SharedAccessUnits) -> Result<Self, StreamError> {
        Self::open_by(options, units, false, object::Closing::default())
    }

    /// The same, unless `is_over`: an object or a file on a web server is waited for no longer then. It may then
    /// end before its end, or give an error that nobody wants to know.
    pub fn open_unless(
        options: GstOptions,
        units: SharedAccessUnits,
        is_over: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self, StreamError> {
        Self::open_by(options, units, false, object::Closing::when(is_over))
    }

    /// The same of a stream that [`GstSource::failed_in_hardware`]. Files need no such word: `decodebin3` tries one decoder after
    /// the other by itself.
    pub fn open_in_software(options: GstOptions, units: SharedAccessUnits) -> Result<Self, StreamError> {
        Self::open_by(options, units, true, object::Closing::default())
    }

    fn open_by(
        options: GstOptions,
        units: SharedAccessUnits,
        in_software: bool,
        closing: object::Closing,
    ) -> Result<Self, StreamError> {
        if let Some(credentials) = options.address.credentials() {
            log::keep_secret(credentials);
        }
        // Said by `qtdemux` too, but `decodebin3` drops what an element says while it is being connected.
        if options.address.path().is_some_and(|path| container::missing(&path) == Some(Missing::Index)) {
            let message =
                format!("{} was cut off before its index, or is still being written", bus::subject(&options));
            return Err(StreamError::new(ErrorCode::Corrupt, &options.camera, message));
        }
        let internal = |message: String| StreamError::new(ErrorCode::Internal, &options.camera, message);
        let pipeline = gst::Pipeline::new();
        let sink = planes::app_sink(options.real_time);
        let learned = Shared::default();
        let tap = decoder::Tap {
            units: units.clone(),
            learned: learned.clone(),
            keyframes_only: options.keyframes_only,
            live: options.address.is_live(),
            looks_into: options.looks_into,
            threads: options.decoder_threads,
            in_software,
        };
        let built = match options.address.kind() {
            Kind::Rtsp => rtsp::build(&pipeline, &options, &sink, tap),
            Kind::Http | Kind::WebFile | Kind::Object | Kind::File => {
                file::build(&pipeline, &options, &sink, tap, &closing)
            }
            Kind::Test => test_pattern::build(&pipeline, &options, &sink),
        };
        built.map_err(internal)?;
        let bus = pipeline.bus().ok_or_else(|| internal("the pipeline has no bus".into()))?;
        let source = Self {
            options,
            pipeline,
            sink,
            bus,
            units,
            learned,
            planes: planes::Caps::default(),
            opened: Instant::now(),
            last_frame: None,
            waiting_since: None,
            ended: false,
            closing,
            _give_back: memory::GiveBack,
        };
        // A failed state change leaves its reason on the bus.
        if source.pipeline.set_state(gst::State::Playing).is_err() || !file::start(&source.pipeline) {
            return Err(source
                .bus_error()
                .unwrap_or_else(|| source.error(ErrorCode::Internal, "can't be opened")));
        }
        Ok(source)
    }

    fn error(&self, code: ErrorCode, message: impl Into<String>) -> StreamError {
        StreamError::new(code, &self.options.camera, message)
    }

    /// The first error on the bus, if there is one.
    fn bus_error(&self) -> Option<StreamError> {
        let error = self.first_bus_error()?;
        // A demuxer whose streams nobody wants calls that an error of its own.
        let learned = lock(&self.learned);
        match &learned.saw_other {
            Some(other) if !learned.saw_video => {
                Some(self.error(ErrorCode::NoVideo, format!("no video, only {other}")))
            }
            _ => Some(error),
        }
    }

    fn first_bus_error(&self) -> Option<StreamError> {
        let told = lock(&self.learned).error.take();
        if let Some((code, message)) = told {
            return Some(self.error(code, message));
        }
        while let Some(message) = self.bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning])
        {
            match message.view() {
                gst::MessageView::Error(error) => {
                    let (code, message) =
                        bus::explain(&error.error(), error.debug().as_deref(), &self.options);
                    return Some(self.error(code, message));
                }
                gst::MessageView::Warning(warning) => {
                    lock(&self.learned).broke |= warning.error().matches(gst::ResourceError::Read);
                    tracing::debug!(camera = %self.options.camera, warning = %warning.error(), "gstreamer warns");
                }
                _ => {}
            }
        }
        None
    }

    fn frame(&mut self, sample: &gst::Sample) -> Result<Option<SourceFrame>, StreamError> {
        let Some(buffer) = sample.buffer_owned() else { return Ok(None) };
        let pts = buffer.pts();
        let stream_time = match (pts, sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>())) {
            (Some(pts), Some(segment)) => segment.to_running_time(pts),
            (pts, _) => pts,
        };
        let mjpeg = lock(&self.learned).codec.as_deref() == Some("mjpeg");
        let signalled = lock(&self.learned).colour_signalled;
        let planes = self
            .planes
            .planes(sample.caps(), buffer, mjpeg, signalled)
            .map_err(|message| self.error(ErrorCode::CodecUnsupported, message))?;
        let mut learned = lock(&self.learned);
        let decoded = learned.decoder.is_some();
        let decode_time = learned.decode_times.take(pts.map(|pts| pts.nseconds()));
        let camera_time = learned.reported.zip(pts).map(|(reported, pts)| reported.at(pts.nseconds()));
        drop(learned);
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let (seq, skipped) = if decoded { units.decoded(pts.map(|pts| pts.nseconds())) } else { units.raw() };
        let arrived = units.arrived_at();
        drop(units);
        self.last_frame = Some(Instant::now());
        let pts_us = stream_time.map(|t| t.useconds() as i64);
        Ok(Some(SourceFrame { planes, pts_us, camera_time, decode_time, arrived, seq, skipped }))
    }

    fn end(&mut self) -> Result<Pulled, StreamError> {
        self.ended = true;
        if let Some(error) = self.bus_error() {
            return Err(error);
        }
        if self.options.address.is_live() && lock(&self.learned).broke {
            let message = format!("{} broke off the connection", bus::subject(&self.options));
            return Err(self.error(ErrorCode::Unreachable, message));
        }
        if self.last_frame.is_none() {
            let learned = lock(&self.learned);
            let (code, message) = match (learned.saw_video, &learned.saw_other) {
                (false, Some(other)) => (ErrorCode::NoVideo, format!("no video, only {other}")),
                (false, None) => (ErrorCode::NoVideo, "no video in it".to_owned()),
                (true, _) => (ErrorCode::Corrupt, "not one picture could be decoded".to_owned()),
            };
            drop(learned);
            return Err(self.error(code, message));
        }
        Ok(Pulled::End)
    }

    fn check_patience(&self) -> Result<Pulled, StreamError> {
        if let Some(error) = self.bus_error() {
            return Err(error);
        }
        if self.options.address.is_live() {
            return self.check_live();
        }
        let since = match self.last_frame {
            None => self.opened.elapsed(),
            // Played in real time, a recording may pause for as long as it likes.
            Some(_) if self.options.real_time => return Ok(Pulled::Nothing),
            Some(_) => self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed()),
        };
        if since < self.options.patience {
            return Ok(Pulled::Nothing);
        }
        let seconds = since.as_secs();
        Err(match self.last_frame {
            None => self.error(ErrorCode::Timeout, format!("no picture within {seconds} s")),
            Some(_) => self.error(ErrorCode::Stalled, format!("no picture for {seconds} s")),
        })
    }
}

impl GstSource {
    /// What the access units were so far.
    pub fn encoded(&self) -> EncodedStats {
        lock(&self.learned).encoded.clone()
    }

    /// Whether a recording is shorter than its container says, as far as that tells: read to its end, it is not whole.
    pub fn is_cut_off(&self) -> bool {
        match self.options.address.path() {
            Some(path) => container::missing(&path).is_some(),
            None => lock(&self.learned).cut_off,
        }
    }

    /// Profile and level.
    pub fn profile(&self) -> Option<String> {
        lock(&self.learned).profile.clone()
    }

    /// Video came, its decoder in hardware made no picture of it, and software may try.
    pub fn failed_in_hardware(&self) -> bool {
        let learned = lock(&self.learned);
        self.last_frame.is_none()
            && learned.last_unit.is_some()
            && learned.decoder.as_deref().is_some_and(decoders::could_be_software)
    }

    /// A live stream that gives nothing, or nothing that can be decoded.
    fn check_live(&self) -> Result<Pulled, StreamError> {
        let last_unit = lock(&self.learned).last_unit;
        let silent = last_unit.unwrap_or(self.opened).elapsed();
        if silent >= self.options.patience {
            let seconds = silent.as_secs();
            return Err(match last_unit {
                None => self.error(ErrorCode::Timeout, format!("no picture within {seconds} s")),
                Some(_) => self.error(ErrorCode::Stalled, format!("no picture for {seconds} s")),
            });
        }
        // Keyframes may be far apart.
        let blind = self.last_frame.unwrap_or(self.opened).elapsed();
        if blind >= self.options.patience * if self.options.keyframes_only { 6 } else { 2 } {
            let message = format!("video arrives, but no picture could be decoded for {} s", blind.as_secs());
            return Err(self.error(ErrorCode::Corrupt, message));
        }
        Ok(Pulled::Nothing)
    }
}

impl Source for GstSource {
    fn pull(&mut self, patience: Duration) -> Result<Pulled, StreamError> {
        if self.ended {
            return Ok(Pulled::End);
        }
        let timeout = gst::ClockTime::from_nseconds(patience.as_nanos() as u64);
        let Some(sample) = self.sink.try_pull_sample(timeout) else {
            self.waiting_since.get_or_insert_with(Instant::now);
            return if self.sink.is_eos() { self.end() } else { self.check_patience() };
        };
        self.waiting_since = None;
        Ok(self.frame(&sample)?.map_or(Pulled::Nothing, Pulled::Frame))
    }

    fn video(&self) -> VideoFacts {
        let learned = lock(&self.learned);
        let mut video = self.planes.video(
            learned.codec.as_deref(),
            learned.decoder.as_deref(),
            self.options.keyframes_only,
        );
        video.keyframe_interval_s = learned.encoded.keyframe_interval_s();
        // Cameras often leave their rate out.
        if video.fps == 0.0 {
            video.fps = learned.encoded.fps().unwrap_or(0.0);
        }
        video
    }

    fn is_live(&self) -> bool {
        self.options.address.is_live()
    }

    fn duration_us(&self) -> Option<i64> {
        self.pipeline.query_duration::<gst::ClockTime>().map(|duration| duration.useconds() as i64)
    }
}

/// Taking a pipeline down joins its threads; one that hangs is left behind, so that its camera can be tried again.
const CLOSE: Duration = Duration::from_secs(10);

impl Drop for GstSource {
    fn drop(&mut self) {
        self.closing.close();
        let (closed, waiting) = std::sync::mpsc::channel();
        self.pipeline.call_async(move |pipeline| {
            let _ = pipeline.set_state(gst::State::Null);
            // Nobody waits any more after a close that took too long.
            let _ = closed.send(());
        });
        if waiting.recv_timeout(CLOSE).is_err() {
            tracing::error!(
                camera = %self.options.camera,
                "gstreamer does not close the stream within {} s; its threads are left behind",
                CLOSE.as_secs()
            );
        }
        self.units.lock().unwrap_or_else(PoisonError::into_inner).abandon();
    }
}

fn lock(learned: &Shared) -> MutexGuard<'_, Learned> {
    learned.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(factory: &str) -> Result<gst::Element, String> {
    gst::ElementFactory::make(factory).build().map_err(|_| format!("GStreamer has no element {factory}"))
}

/// Runs what GStreamer calls back, and keeps a panic out of its C code: it becomes the stream's error.
fn guarded<T>(learned: &Shared, fallback: T, callback: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(callback)).unwrap_or_else(|_| {
        lock(learned).error = Some((ErrorCode::Internal, "a callback panicked".to_owned()));
        fallback
    })
}
