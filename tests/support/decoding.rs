//! A camera's pictures as GStreamer decodes them, and nothing else of Sightline.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Reads one camera.
pub struct Decoding {
    pipeline: gst::Pipeline,
    sink: gst::Element,
}

#[derive(Clone, Copy, Debug)]
pub struct Picture {
    pub pts: Option<gst::ClockTime>,
    pub width: i32,
    pub height: i32,
    /// Of all its bytes.
    pub hash: u64,
    /// Of its luma, 16 is black.
    pub brightness: f64,
    /// Frames a second by its caps; 0 where they don't say.
    pub fps: i32,
}

impl Decoding {
    /// Trusts every certificate. `codec`: `h264`, `h265`; `protocols`: `tcp`, `udp`.
    pub fn start(uri: &str, codec: &str, protocols: &str) -> Self {
        gst::init().expect("GStreamer");
        let launch = format!(
            "rtspsrc location={uri} tls-validation-flags=0 protocols={protocols} latency=200 timeout=0 buffer-mode=synced ! rtp{codec}depay ! {codec}parse ! \
             avdec_{codec} max-threads=1 ! video/x-raw,format=I420 ! appsink name=sink sync=false"
        );
        let pipeline = gst::parse::launch(&launch).unwrap_or_else(|error| panic!("{error}: {launch}"));
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        pipeline.set_state(gst::State::Playing).expect("it plays");
        Self { pipeline, sink }
    }

    /// The next picture, or nothing within this time or at the end.
    pub fn next_within(&self, patience: Duration) -> Option<Picture> {
        let patience = gst::ClockTime::from_nseconds(patience.as_nanos() as u64);
        let sample =
            self.sink.emit_by_name::<Option<gst::Sample>>("try-pull-sample", &[&patience.nseconds()])?;
        let caps = sample.caps().unwrap().structure(0).unwrap();
        let side = |name| caps.get::<i32>(name).unwrap();
        let (width, height) = (side("width"), side("height"));
        let buffer = sample.buffer().unwrap();
        let map = buffer.map_readable().unwrap();
        let mut hasher = DefaultHasher::new();
        map.as_slice().hash(&mut hasher);
        let luma = &map[..width as usize * height as usize];
        let brightness = luma.iter().map(|byte| f64::from(*byte)).sum::<f64>() / luma.len() as f64;
        let fps = caps.get::<gst::Fraction>("framerate").map_or(0, |rate| rate.numer() / rate.denom().max(1));
        Some(Picture { pts: buffer.pts(), width, height, hash: hasher.finish(), brightness, fps })
    }

    pub fn next(&self) -> Picture {
        self.next_within(Duration::from_secs(60))
            .unwrap_or_else(|| panic!("no picture: {:?}", self.messages()))
    }

    /// The next picture that is like this.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Picture) -> bool) -> Picture {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let picture = self.next();
            if fits(&picture) {
                return picture;
            }
        }
        panic!("no picture within a minute: {what}");
    }

    pub fn is_over(&self) -> bool {
        self.sink.property("eos")
    }

    /// What was said on the bus so far: `warning TEXT`, `error TEXT`, `eos`.
    pub fn messages(&self) -> Vec<String> {
        let bus = self.pipeline.bus().unwrap();
        std::iter::from_fn(|| bus.pop())
            .filter_map(|message| match message.view() {
                gst::MessageView::Warning(warning) => Some(format!("warning {}", warning.error())),
                gst::MessageView::Error(error) => Some(format!("error {}", error.error())),
                gst::MessageView::Eos(_) => Some("eos".to_owned()),
                _ => None,
            })
            .collect()
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        // Joins its threads; nothing reads the result of a stop.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
