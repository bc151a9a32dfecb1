//! Parts of the sample clip, encoded anew: other lengths, sizes and codecs, and what is broken.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::scene::sample;

/// Pictures a second of the sample clip.
pub(crate) const FPS: u64 = 25;

/// A part of the sample clip as a file of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) frames: u64,
    pub(crate) size: (u32, u32),
    pub(crate) coding: Coding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    H264Mp4,
    /// Its index lies before its pictures.
    IndexFirst,
    H265Mp4,
    H264Ts,
    H264Matroska,
    /// Large.
    Lossless,
}

impl Coding {
    fn elements(self) -> (&'static str, &'static str) {
        const X264: &str =
            "x264enc speed-preset=veryfast quantizer=18 pass=quant key-int-max=25 bframes=2 ! h264parse";
        const X265: &str = "x265enc speed-preset=ultrafast key-int-max=25 qp=20 ! h265parse";
        match self {
            Self::H264Mp4 => (X264, "mp4mux"),
            Self::IndexFirst => (X264, "mp4mux faststart=true"),
            Self::H265Mp4 => (X265, "mp4mux"),
            Self::H264Ts => (X264, "mpegtsmux"),
            Self::H264Matroska => (X264, "matroskamux"),
            Self::Lossless => {
                ("x264enc speed-preset=ultrafast quantizer=0 pass=quant key-int-max=25 ! h264parse", "mp4mux")
            }
        }
    }

    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::H264Mp4 | Self::IndexFirst | Self::H265Mp4 | Self::Lossless => "mp4",
            Self::H264Ts => "ts",
            Self::H264Matroska => "mkv",
        }
    }
}

impl Part {
    /// Encodes it into this folder.
    pub(crate) fn make(self, folder: &Path, name: &str) -> PathBuf {
        gst::init().unwrap();
        let Self { offset, frames, size: (width, height), coding } = self;
        let (encoder, mux) = coding.elements();
        let file = folder.join(format!("{name}.{}", coding.ending()));
        let launch = format!(
            "filesrc location=\"{}\" ! qtdemux ! h264parse ! avdec_h264 ! identity name=cut ! videoscale ! videoconvert ! \
             video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 ! {encoder} ! queue ! {mux} ! \
             filesink location=\"{}\"",
            sample("junction.mp4").display(),
            file.display()
        );
        let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
        let pad = pipeline.by_name("cut").unwrap().static_pad("src").unwrap();
        pad.set_offset(-((offset * gst::ClockTime::SECOND.nseconds() / FPS) as i64));
        let seen = AtomicU64::new(0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let n = seen.fetch_add(1, Ordering::Relaxed);
            if n < offset || n >= offset + frames {
                gst::PadProbeReturn::Drop
            } else {
                gst::PadProbeReturn::Ok
            }
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = pipeline
            .bus()
            .unwrap()
            .timed_pop_filtered(gst::ClockTime::from_seconds(240), &ends)
            .expect("an end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{launch}: {message:?}");
        pipeline.set_state(gst::State::Null).unwrap();
        file
    }
}
