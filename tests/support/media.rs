//! Video made by the tests: real pictures, encoded anew.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;

/// How a clip is made: GStreamer's elements.
#[derive(Clone, Copy)]
pub struct Make<'a> {
    pub frames: u64,
    pub size: (u32, u32),
    pub encoder: &'a str,
    pub mux: &'a str,
    pub audio: bool,
}

pub const H264: &str = "x264enc speed-preset=ultrafast key-int-max=10 ! h264parse";

impl Make<'_> {
    /// Encodes the first frames of a real H.264 clip.
    pub fn from(self, clip: &Path, to: &Path) {
        let Self { frames, size: (width, height), encoder, mux, audio } = self;
        let sound = match audio {
            true => "audiotestsrc num-buffers=60 ! voaacenc ! aacparse ! queue ! m.",
            false => "",
        };
        run(&format!(
            "filesrc location=\"{}\" ! qtdemux ! h264parse ! identity eos-after={} ! avdec_h264 ! videoscale ! \
             videoconvert ! video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 ! {encoder} ! \
             queue ! m. {mux} name=m ! filesink location=\"{}\" {sound}",
            clip.display(),
            frames + 1,
            to.display()
        ));
    }
}

/// Runs a pipeline to its end.
pub fn run(launch: &str) {
    gst::init().expect("GStreamer");
    let pipeline = gst::parse::launch(launch).unwrap_or_else(|error| panic!("{error}: {launch}"));
    pipeline.set_state(gst::State::Playing).unwrap_or_else(|error| panic!("{error}: {launch}"));
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().expect("a bus").timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    pipeline.set_state(gst::State::Null).expect("it stops");
    let message = message.unwrap_or_else(|| panic!("no end within two minutes: {launch}"));
    assert_eq!(message.type_(), gst::MessageType::Eos, "{launch}: {message:?}");
}

/// The decoded frames of a file: R, G, B without padding, one after the other.
pub struct Decoded {
    pub width: usize,
    pub height: usize,
    pub frames: Vec<Vec<u8>>,
}

/// Decodes a file with GStreamer's own elements.
pub fn decode(file: &Path) -> Decoded {
    gst::init().expect("GStreamer");
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    let launch = format!(
        "filesrc location=\"{}\" ! decodebin ! videoconvert ! capsfilter name=f caps=video/x-raw,format=BGRx ! \
         filesink location=\"{}\"",
        file.display(),
        raw.display()
    );
    let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    let message = message.expect("an end within two minutes");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{}: {message:?}", file.display());
    let caps = pipeline.by_name("f").unwrap().static_pad("src").unwrap().current_caps().expect("video");
    let side = |name| usize::try_from(caps.structure(0).unwrap().get::<i32>(name).unwrap()).unwrap();
    let (width, height) = (side("width"), side("height"));
    pipeline.set_state(gst::State::Null).unwrap();
    let bytes = std::fs::read(raw).unwrap();
    let rgb = |frame: &[u8]| frame.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
    Decoded { width, height, frames: bytes.chunks_exact(width * height * 4).map(rgb).collect() }
}
