//! What a stream is, found out by reading it for a few seconds, and what it costs on this machine.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use sightline_schema::{Clock, ErrorCode, Timestamp, Transport, VideoFacts};

use crate::clock::CaptureClock;
use crate::cpu;
use crate::detect::{Model, Thresholds};
use crate::encoded::EncodedStats;
use crate::error::StreamError;
use crate::frame::Planes;
use crate::source::address::{Address, Kind};
use crate::source::gst::{GstOptions, GstSource, shared_access_units};
use crate::source::{Pulled, Source as _};

/// Runs of the model on one frame; the quickest counts.
const DETECT_RUNS: usize = 3;
/// The sub-stream that most cameras offer.
const SUB_STREAM: (u32, u32) = (640, 360);

/// What is opened, and how.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    pub address: Address,
    pub transport: Transport,
    pub latency_ms: u32,
    /// Read for so long after the first picture.
    pub duration: Duration,
    /// How long the first picture may take.
    pub patience: Duration,
    /// Pictures a second that are to be detected, for the advice.
    pub wanted_fps: f64,
}

/// What a stream turned out to be. Times are of this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    pub address: String,
    /// Until the first picture, seconds.
    pub opened_s: f64,
    pub video: VideoFacts,
    /// Profile and level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyframe_interval_pictures: Option<u64>,
    /// Pictures come in another order than they are shown in: there are B-frames.
    pub reordered: bool,
    /// The share of pictures that no other refers to, 0..1: they need not be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreferred_share: Option<f64>,
    pub clock: Clock,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// CPU time of one picture, everything before detection.
    pub decode_cpu_ms: f64,
    /// CPU time of one picture in the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect_cpu_ms: Option<f64>,
    /// Pictures a second that the costs below are for.
    pub wanted_fps: f64,
    /// Sentences for whoever sets the camera up.
    pub advice: Vec<String>,
}

/// Reads a stream for a while. `model` runs on one of its pictures.
pub fn probe(options: &ProbeOptions, model: Option<(&Model, &Thresholds)>) -> Result<Probed, StreamError> {
    let name = options.address.to_string();
    let begun = Instant::now();
    let mut source = GstSource::open(
        GstOptions {
            camera: name.clone(),
            address: options.address.clone(),
            stays: false,
            transport: options.transport,
            latency_ms: options.latency_ms,
            keyframes_only: false,
            looks_into: true,
            decoder_threads: 1,
            real_time: false,
            patience: options.patience,
        },
        shared_access_units(),
    )?;
    let kind = if options.address.kind() == Kind::Rtsp { Clock::Arrival } else { Clock::File };
    let mut clock = CaptureClock::new(kind, 0);
    let mut first: Option<(Instant, cpu::CpuTime)> = None;
    let (mut pictures, mut last) = (0u64, None);
    loop {
        match source.pull(Duration::from_millis(100))? {
            Pulled::Frame(frame) => {
                first.get_or_insert_with(|| (Instant::now(), cpu::process()));
                pictures += 1;
                let now = Timestamp::from_system_time(SystemTime::now());
                clock.stamp(frame.pts_us.unwrap_or_default(), now, frame.camera_time);
                last = Some(frame.planes);
            }
            Pulled::Nothing => {}
            Pulled::End => break,
        }
        if first.is_some_and(|(since, _)| since.elapsed() >= options.duration) {
            break;
        }
    }
    let Some(((opened, cpu_before), planes)) = first.zip(last) else {
        return Err(StreamError::new(ErrorCode::NoVideo, name, "it ended without a picture"));
    };
    let decode = cpu::process() - cpu_before;
    let (video, encoded, profile) = (source.video(), source.encoded(), source.profile());
    drop(source);
    let detect_cpu_ms = match model {
        Some((model, thresholds)) => Some(detect_cost(model, thresholds, &planes, &name)?),
        None => None,
    };
    let mut probed = Probed {
        address: name,
        opened_s: opened.duration_since(begun).as_secs_f64(),
        profile,
        bits_per_second: encoded.bit_rate(),
        keyframe_interval_pictures: encoded.keyframe_interval_units(),
        reordered: encoded.is_reordered(),
        unreferred_share: encoded.unreferred_share(),
        clock: clock.kind(),
        clock_offset_ms: clock.offset_ms(),
        // The first picture was decoded before the count began.
        decode_cpu_ms: decode.as_millis() / pictures.saturating_sub(1).max(1) as f64,
        detect_cpu_ms,
        wanted_fps: options.wanted_fps,
        advice: Vec::new(),
        video,
    };
    probed.advice = advice(&probed, &encoded);
    Ok(probed)
}

/// CPU time of the model on one picture, ms.
fn detect_cost(
    model: &Model,
    thresholds: &Thresholds,
    planes: &Planes,
    name: &str,
) -> Result<f64, StreamError> {
    let failed = |error: crate::detect::ModelError| {
        StreamError::new(ErrorCode::Internal, name, format!("the model fails on its picture: {error}"))
    };
    let mut session = model.session().map_err(failed)?;
    let mut least = f64::MAX;
    for _ in 0..DETECT_RUNS {
        let (_, times) = session.detect(planes, thresholds).map_err(failed)?;
        least = least.min(times.total().cpu.as_millis());
    }
    Ok(least)
}

/// What would make the camera cheaper to watch, or its results better.
fn advice(probed: &Probed, encoded: &EncodedStats) -> Vec<String> {
    let mut advice = Vec::new();
    let Probed { video, decode_cpu_ms, detect_cpu_ms, wanted_fps, .. } = probed;
    let pixels = |(width, height): (u32, u32)| f64::from(width) * f64::from(height);
    let full = pixels((video.width, video.height));
    let wanted_fps = wanted_fps.min(if video.fps > 0.0 { video.fps } else { f64::MAX });
    let detect_ms = detect_cpu_ms.unwrap_or(0.0) * wanted_fps;
    if video.fps > 0.0 && full > 2.0 * pixels(SUB_STREAM) {
        // Decoding costs as much as there are pixels: 1080p 5.1 ms, 720p 1.9, 360p 0.57 (docs/PERFORMANCE.md).
        let decode_ms = decode_cpu_ms * video.fps;
        let (now_ms, then_ms) = (decode_ms + detect_ms, decode_ms * pixels(SUB_STREAM) / full + detect_ms);
        let factor = now_ms / then_ms;
        if factor >= 1.3 {
            let detecting = if detect_cpu_ms.is_some() { " and detecting" } else { "" };
            advice.push(format!(
                "a sub-stream of {}x{} would be wiser: at {wanted_fps} pictures a second, decoding{detecting} takes \
                 {:.1} % of a core here, and about {:.1} % then ({factor:.1} times as many cameras)",
                SUB_STREAM.0,
                SUB_STREAM.1,
                now_ms / 10.0,
                then_ms / 10.0,
            ));
        }
    }
    match (video.keyframe_interval_s, encoded.keyframes()) {
        (Some(interval), _) if interval > 5.0 => advice.push(format!(
            "keyframes come every {interval:.0} s: set 1 to 2 s, since after a lost packet or a reconnect there is no \
             picture before the next"
        )),
        (None, 1) if video.fps > 0.0 && encoded.units() as f64 > 5.0 * video.fps => advice.push(
            "no second keyframe came: set a keyframe interval of 1 to 2 s, since after a lost packet or a reconnect \
             there is no picture before the next"
                .to_owned(),
        ),
        _ => {}
    }
    match (probed.clock, probed.clock_offset_ms) {
        (Clock::Arrival, Some(offset)) => advice.push(format!(
            "the camera's clock is {} this machine's and is not believed: set its time zone and NTP server",
            ahead(offset)
        )),
        (Clock::Ntp, Some(offset)) if offset.abs() > 1_000 => {
            advice
                .push(format!("the camera's clock is {} this machine's: set its NTP server", ahead(offset)));
        }
        _ => {}
    }
    advice
}

/// `1.2 s ahead of`, `300 ms behind`.
fn ahead(offset_ms: i64) -> String {
    let size = offset_ms.unsigned_abs();
    let size = match size {
        0..=999 => format!("{size} ms"),
        1_000..=119_999 => format!("{:.1} s", size as f64 / 1e3),
        _ => format!("{:.1} h", size as f64 / 3.6e6),
    };
    format!("{size} {}", if offset_ms < 0 { "behind" } else { "ahead of" })
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VideoFacts { codec, width, height, fps, keyframe_interval_s, decoder, .. } = &self.video;
        writeln!(f, "{}  first picture after {:.1} s", self.address, self.opened_s)?;
        let profile = self.profile.as_ref().map(|profile| format!(" {profile}")).unwrap_or_default();
        let rate = if *fps > 0.0 {
            format!("{fps:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            "unknown".to_owned()
        };
        let bits = self.bits_per_second.map(|bits| format!(", {:.1} Mbit/s", bits / 1e6)).unwrap_or_default();
        writeln!(f, "video       {codec}{profile}, {width}x{height}, {rate} frames/s{bits}")?;
        match (keyframe_interval_s, self.keyframe_interval_pictures) {
            (Some(seconds), Some(pictures)) => {
                writeln!(f, "keyframes   every {seconds:.1} s ({pictures} pictures)")?;
            }
            _ => writeln!(f, "keyframes   fewer than two came")?,
        }
        let order = if self.reordered { "with B-frames" } else { "without B-frames" };
        match self.unreferred_share {
            Some(share) if share > 0.0 => {
                writeln!(f, "references  {order}; no other picture needs {:.0} % of them", share * 100.0)?;
            }
            Some(_) => writeln!(f, "references  {order}; each picture is needed by another")?,
            None => writeln!(f, "references  {order}")?,
        }
        match (self.clock, self.clock_offset_ms) {
            (Clock::File, _) => writeln!(f, "clock       the file's own")?,
            (_, None) => writeln!(f, "clock       no sender report came: captured_at goes by arrival")?,
            (Clock::Ntp, Some(offset)) => {
                writeln!(f, "clock       sender reports, {} this machine's", ahead(offset))?;
            }
            (Clock::Arrival, Some(offset)) => writeln!(
                f,
                "clock       sender reports, {} this machine's: not believed, captured_at goes by arrival",
                ahead(offset)
            )?,
        }
        writeln!(f, "decoder     {decoder}, {:.1} ms of CPU a picture", self.decode_cpu_ms)?;
        if let Some(detect) = self.detect_cpu_ms {
            writeln!(f, "detector    {detect:.1} ms of CPU a picture")?;
        }
        for sentence in &self.advice {
            writeln!(f, "advice      {sentence}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(size: (u32, u32), decode_cpu_ms: f64, detect_cpu_ms: Option<f64>) -> Probed {
        Probed {
            address: "rtsp://10.0.0.5/s".into(),
            opened_s: 0.8,
            video: VideoFacts {
                codec: "h264".into(),
                width: size.0,
                height: size.1,
                fps: 25.0,
                keyframe_interval_s: Some(2.0),
                decoder: "avdec_h264".into(),
                plan: "all".into(),
            },
            profile: Some("high 4.1".into()),
            bits_per_second: Some(4.1e6),
            keyframe_interval_pictures: Some(50),
            reordered: false,
            unreferred_share: Some(0.0),
            clock: Clock::Ntp,
            clock_offset_ms: Some(12),
            decode_cpu_ms,
            detect_cpu_ms,
            wanted_fps: 2.0,
            advice: Vec::new(),
        }
    }

    #[test]
    fn a_sub_stream_is_advised_where_it_pays_and_by_how_much() {
        let advise = |probed: &Probed| advice(probed, &EncodedStats::default());
        let large = advise(&probed((1920, 1080), 5.1, Some(37.0)));
        assert_eq!(
            large,
            [
                "a sub-stream of 640x360 would be wiser: at 2 pictures a second, decoding and detecting takes 20.1 % of a \
             core here, and about 8.8 % then (2.3 times as many cameras)"
            ]
        );
        assert!(advise(&probed((640, 360), 0.6, Some(37.0))).is_empty());
        assert!(advise(&probed((1280, 720), 1.9, Some(500.0))).is_empty(), "the model costs it all");
    }

    #[test]
    fn a_wrong_clock_and_rare_keyframes_are_told() {
        let mut probed = probed((640, 360), 0.6, None);
        (probed.clock, probed.clock_offset_ms) = (Clock::Arrival, Some(-3_600_000));
        probed.video.keyframe_interval_s = Some(10.0);
        let told = advice(&probed, &EncodedStats::default()).join("\n");
        assert!(told.contains("keyframes come every 10 s"), "{told}");
        assert!(told.contains("1.0 h behind this machine's and is not believed"), "{told}");
        probed.advice = vec![told];
        let shown = probed.to_string();
        assert!(shown.contains("video       h264 high 4.1, 640x360, 25 frames/s, 4.1 Mbit/s"), "{shown}");
        assert!(shown.contains("clock       sender reports, 1.0 h behind"), "{shown}");
    }
}
