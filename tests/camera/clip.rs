//! An encoded clip in memory, access unit by access unit.

use std::path::Path;
use std::sync::OnceLock;

use gst::prelude::*;
use gstreamer_rtsp_server::gst;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    H265,
    Jpeg,
}

/// How the pictures of the file are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encode {
    AsItIs,
    /// As JPEG.
    Jpeg,
    /// As H.264 without a frame rate anywhere: OpenH264 writes no timing.
    WithoutRate,
}

pub(crate) struct Clip {
    pub(crate) codec: Codec,
    pub(crate) caps: gst::Caps,
    /// In the order of decoding, each with pts and dts from the start of the clip. The first is a keyframe.
    pub(crate) units: Vec<gst::Buffer>,
    /// Until the first picture of the next round.
    pub(crate) length: gst::ClockTime,
    /// From one picture to the next, on average.
    pub(crate) period: gst::ClockTime,
    black: OnceLock<[gst::Buffer; 2]>,
}

impl Codec {
    fn parser(self) -> &'static str {
        match self {
            Self::H264 => {
                "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
            }
            Self::H265 => {
                "h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au"
            }
            Self::Jpeg => "identity",
        }
    }

    fn encoder(self) -> &'static str {
        match self {
            Self::H264 => "x264enc speed-preset=ultrafast",
            Self::H265 => "x265enc speed-preset=ultrafast",
            Self::Jpeg => "jpegenc quality=90",
        }
    }

    pub(crate) fn payloader(self) -> &'static str {
        match self {
            Self::H264 => "rtph264pay config-interval=-1",
            Self::H265 => "rtph265pay config-interval=-1",
            Self::Jpeg => "rtpjpegpay",
        }
    }
}

impl Clip {
    /// Reads an MP4 file.
    pub(crate) fn load(path: &Path, encode: Encode) -> Result<Self, Box<dyn std::error::Error>> {
        let decoded = "decodebin ! videoconvert ! video/x-raw,format=I420";
        let (codec, middle) = match encode {
            Encode::AsItIs => {
                let codec = codec_of(path)?;
                (codec, format!("qtdemux ! {}", codec.parser()))
            }
            Encode::Jpeg => (Codec::Jpeg, format!("{decoded} ! {}", Codec::Jpeg.encoder())),
            Encode::WithoutRate => {
                let encoder = "openh264enc gop-size=25 bitrate=4000000";
                (Codec::H264, format!("{decoded} ! {encoder} ! {}", Codec::H264.parser()))
            }
        };
        let (mut units, mut caps) =
            run(&format!("filesrc name=file ! {middle} ! appsink name=sink sync=false"), |pipeline| {
                let file = pipeline.by_name("file").expect("it is in there");
                file.set_property("location", path.to_string_lossy().as_ref());
            })
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let ends = units.iter().filter_map(|unit| Some(unit.pts()? + unit.duration().unwrap_or_default()));
        let length = ends.max().ok_or("no times in it")?;
        let period = length / units.len() as u64;
        if encode == Encode::WithoutRate {
            caps.make_mut().structure_mut(0).ok_or("empty caps")?.remove_field("framerate");
            // Nor by how long each picture is shown.
            units.iter_mut().for_each(|unit| unit.make_mut().set_duration(None));
        }
        Ok(Self { codec, caps, units, length, period, black: OnceLock::new() })
    }

    pub(crate) fn is_key(&self, index: usize) -> bool {
        !self.units[index].flags().contains(gst::BufferFlags::DELTA_UNIT)
    }

    /// The first keyframe from this time on, and its own; the clip's first where there is none.
    pub(crate) fn key_from(&self, seconds: f64) -> (usize, gst::ClockTime) {
        let pts = |unit: usize| self.units[unit].pts().unwrap_or_default();
        let fits = |unit: &usize| self.is_key(*unit) && pts(*unit).seconds_f64() >= seconds;
        let unit = (0..self.units.len()).find(fits).unwrap_or(0);
        (unit, pts(unit))
    }

    /// Two pictures of the clip's size and codec, black and nearly black: sent in turn, none is like the last one.
    pub(crate) fn black(&self) -> Result<&[gst::Buffer; 2], String> {
        if let Some(black) = self.black.get() {
            return Ok(black);
        }
        let side = |name| self.caps.structure(0).and_then(|caps| caps.get::<i32>(name).ok());
        let (width, height) = side("width").zip(side("height")).ok_or("a clip without a size")?;
        let picture = |colour: u32| {
            let (encoder, parser) = (self.codec.encoder(), self.codec.parser());
            let launch = format!(
                "videotestsrc num-buffers=1 pattern=solid-color foreground-color={colour} ! \
                 video/x-raw,format=I420,width={width},height={height},framerate=25/1 ! {encoder} ! {parser} ! \
                 appsink name=sink sync=false"
            );
            let (units, _) = run(&launch, |_| {}).map_err(|error| error.to_string())?;
            units.into_iter().next().ok_or("no black picture".to_owned())
        };
        let pair = [picture(0xFF00_0000)?, picture(0xFF03_0303)?];
        Ok(self.black.get_or_init(|| pair))
    }

    /// The access unit with noise for its slices.
    pub(crate) fn garbage(&self, index: usize) -> gst::Buffer {
        let mut buffer = self.units[index].copy_deep().expect("it can be copied");
        {
            let writable = buffer.get_mut().expect("nobody else has it");
            let mut bytes = writable.map_writable().expect("it can be written");
            match self.codec {
                Codec::H264 => spoil(&mut bytes, 1, |first| matches!(first & 0x1F, 1 | 5)),
                Codec::H265 => spoil(&mut bytes, 2, |first| (first >> 1) & 0x3F < 32),
                // Behind the tables.
                Codec::Jpeg => noise(bytes.get_mut(700..).unwrap_or_default()),
            }
        }
        buffer
    }
}

/// All access units that come to `sink`, and their caps.
fn run(
    launch: &str,
    prepare: impl FnOnce(&gst::Pipeline),
) -> Result<(Vec<gst::Buffer>, gst::Caps), Box<dyn std::error::Error>> {
    let pipeline = gst::parse::launch(launch)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
    prepare(&pipeline);
    let sink = pipeline.by_name("sink").ok_or("no sink")?;
    pipeline.set_state(gst::State::Playing)?;
    let (mut units, mut caps) = (Vec::new(), None);
    while let Some(sample) = sink.emit_by_name::<Option<gst::Sample>>("pull-sample", &[]) {
        let mut buffer = sample.buffer_owned().ok_or("a sample without a buffer")?;
        let segment =
            sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>()).ok_or("no segment")?;
        let times =
            [buffer.pts(), buffer.dts()].map(|time| time.and_then(|time| segment.to_running_time(time)));
        let writable = buffer.make_mut();
        writable.set_pts(times[0]);
        writable.set_dts(times[1]);
        caps = sample.caps_owned();
        units.push(buffer);
    }
    pipeline.set_state(gst::State::Null)?;
    Ok((units, caps.ok_or("no video in it")?))
}

/// Makes noise of the NAL units that `is_slice` by their first byte, behind the header.
fn spoil(bytes: &mut [u8], header: usize, is_slice: impl Fn(u8) -> bool) {
    let starts: Vec<_> =
        (0..bytes.len().saturating_sub(3)).filter(|at| bytes[*at..*at + 3] == [0, 0, 1]).collect();
    for (n, start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(bytes.len());
        let behind = start + 3 + header;
        if is_slice(bytes[start + 3]) && end > behind {
            noise(&mut bytes[behind..end]);
            // A type of slice that there is none of in H.264, in H.265 parameters that were not sent: decoders try to
            // make something of mere noise.
            bytes[behind] = 0b1000_0001;
        }
    }
}

/// The same each time, and never a start code: no byte is 0.
fn noise(bytes: &mut [u8]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 32) as u8 | 1;
    }
}

/// The codec by the name of its box in the file.
fn codec_of(path: &Path) -> Result<Codec, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    let holds = |name: &[u8]| bytes.windows(4).any(|four| four == name);
    match (holds(b"avc1"), holds(b"hvc1") || holds(b"hev1")) {
        (true, false) => Ok(Codec::H264),
        (false, true) => Ok(Codec::H265),
        _ => Err(format!("{}: neither H.264 nor H.265", path.display()).into()),
    }
}
