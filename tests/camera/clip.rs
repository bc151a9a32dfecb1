//! An encoded clip in memory, access unit by access unit.

use std::path::Path;

use gst::prelude::*;
use gstreamer_rtsp_server::gst;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    H265,
    Jpeg,
}

pub(crate) struct Clip {
    pub(crate) codec: Codec,
    pub(crate) caps: gst::Caps,
    /// In the order of decoding, each with pts and dts from the start of the clip.
    pub(crate) units: Vec<gst::Buffer>,
    /// Until the first picture of the next round.
    pub(crate) length: gst::ClockTime,
}

impl Clip {
    /// Reads an MP4 file; `mjpeg` encodes its pictures anew.
    pub(crate) fn load(path: &Path, mjpeg: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let codec = if mjpeg { Codec::Jpeg } else { codec_of(path)? };
        let middle = match codec {
            Codec::H264 => {
                "qtdemux ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
            }
            Codec::H265 => {
                "qtdemux ! h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au"
            }
            Codec::Jpeg => "decodebin ! videoconvert ! video/x-raw,format=I420 ! jpegenc quality=90",
        };
        let launch = format!("filesrc name=file ! {middle} ! appsink name=sink sync=false");
        let pipeline = gst::parse::launch(&launch)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        pipeline.by_name("file").ok_or("no file")?.set_property("location", path.to_string_lossy().as_ref());
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
        let caps = caps.ok_or_else(|| format!("{}: no video in it", path.display()))?;
        let length =
            units.iter().filter_map(|unit| Some(unit.pts()? + unit.duration().unwrap_or_default())).max();
        Ok(Self { codec, caps, units, length: length.ok_or("no times in it")? })
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
