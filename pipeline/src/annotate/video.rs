//! An annotated video: `appsrc ! videoscale ! openh264enc ! h264parse ! mp4mux ! filesink`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::canvas::Canvas;
use super::{AnnotateError, Aside, marks};
use crate::frame::Planes;
use crate::lane::Tracked;

/// Frames that wait for the encoder: it holds the detector back, not the memory.
const AHEAD: u64 = 2;

/// Writes one MP4, which appears when it is finished. Frames of another size than the first are scaled to it.
pub struct VideoWriter {
    path: PathBuf,
    aside: Aside,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    /// Behind the scaler: the size of the first frame, from then on.
    one_size: gst::Element,
    size: Option<(usize, usize)>,
    fps: i32,
}

impl VideoWriter {
    /// `fps` is nominal: each frame keeps its own pts.
    pub fn create(path: &Path, fps: f64) -> Result<Self, AnnotateError> {
        let failed = |reason: String| AnnotateError::Write { path: path.to_owned(), reason };
        let pipeline = gst::Pipeline::new();
        let make = |factory: &str| {
            gst::ElementFactory::make(factory).build().map_err(|_| {
                failed(format!("GStreamer has no {factory}; install gstreamer1.0-plugins-bad and -good"))
            })
        };
        let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
        let [scale, one_size, encode, parse, mux, sink] = [
            make("videoscale")?,
            make("capsfilter")?,
            make("openh264enc")?,
            make("h264parse")?,
            make("mp4mux")?,
            make("filesink")?,
        ];
        encode.set_property_from_str("rate-control", "quality");
        encode.set_property("bitrate", 6_000_000u32);
        encode.set_property("gop-size", 60u32);
        end_behind(&encode);
        let aside = Aside::of(path);
        sink.set_property("location", aside.path().to_string_lossy().as_ref());
        let elements = [source.upcast_ref(), &scale, &one_size, &encode, &parse, &mux, &sink];
        pipeline.add_many(elements).map_err(|error| failed(error.to_string()))?;
        gst::Element::link_many(elements).map_err(|error| failed(error.to_string()))?;
        let fps = (fps.round() as i32).clamp(1, 240);
        let writer = Self { path: path.to_owned(), aside, pipeline, source, one_size, size: None, fps };
        if writer.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(writer.bus_error().unwrap_or_else(|| failed("it can't be opened".into())));
        }
        Ok(writer)
    }

    /// Draws a frame and appends it.
    pub fn frame(
        &mut self,
        tracked: &Tracked<'_>,
        label: &dyn Fn(u32) -> String,
    ) -> Result<(), AnnotateError> {
        let Planes::Host(picture) = &tracked.frame.planes else {
            return Err(AnnotateError::Draw("the frame is in device memory".into()));
        };
        let mut canvas = Canvas::copy(picture);
        let size = (canvas.width, canvas.height);
        if size.0 == 0 || size.1 == 0 {
            return Ok(());
        }
        canvas.draw(&marks(tracked, size, label))?;
        if self.size != Some(size) {
            let caps = gst::Caps::builder("video/x-raw")
                .field("format", "I420")
                .field("width", size.0 as i32)
                .field("height", size.1 as i32)
                .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
                .field("framerate", gst::Fraction::new(self.fps, 1))
                .build();
            if self.size.is_none() {
                self.one_size.set_property("caps", &caps);
            }
            self.size = Some(size);
            self.source.set_caps(Some(&caps));
        }
        let mut buffer = gst::Buffer::from_mut_slice(padded(canvas));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_useconds(u64::try_from(tracked.frame.pts_us).unwrap_or(0)));
        }
        // A pipeline that failed takes nothing any more: waiting for room would be for ever.
        while self.source.current_level_buffers() >= AHEAD {
            if let Some(error) = self.bus_error() {
                return Err(error);
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        self.source.push_buffer(buffer).map_err(|_| self.failure("the encoder stopped"))?;
        Ok(())
    }

    /// Closes the file. Fails where the disk is full.
    pub fn finish(self) -> Result<(), AnnotateError> {
        if self.size.is_none() {
            // An empty MP4 is no video.
            return Ok(());
        }
        self.source.end_of_stream().map_err(|_| self.failure("the encoder stopped"))?;
        let bus = self.pipeline.bus();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => {
                // Closes the file; nothing reads the result of a stop.
                let _ = self.pipeline.set_state(gst::State::Null);
                self.aside.keep(&self.path).map_err(|error| self.write_error(&error.to_string()))
            }
            Some(gst::MessageView::Error(error)) => Err(self.write_error(error.error().message())),
            _ => Err(self.write_error("the encoder did not finish")),
        }
    }

    fn failure(&self, otherwise: &str) -> AnnotateError {
        self.bus_error().unwrap_or_else(|| self.write_error(otherwise))
    }

    fn bus_error(&self) -> Option<AnnotateError> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(self.write_error(error.error().message())),
            _ => None,
        }
    }

    fn write_error(&self, reason: &str) -> AnnotateError {
        AnnotateError::Write { path: self.path.clone(), reason: reason.to_owned() }
    }
}

impl Drop for VideoWriter {
    fn drop(&mut self) {
        // Before the file aside is removed, if it was not kept.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Takes the end of the stream around the encoder. Drained, it asks OpenH264 for the frames it holds, which holds none
/// and calls the question an error on standard error.
fn end_behind(encode: &gst::Element) {
    let (Some(sink), Some(source)) = (encode.static_pad("sink"), encode.static_pad("src")) else { return };
    sink.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        // No panic goes into GStreamer's C code.
        catch_unwind(AssertUnwindSafe(|| {
            let is_end = info.event().is_some_and(|event| event.type_() == gst::EventType::Eos);
            match info.data.take() {
                Some(gst::PadProbeData::Event(event)) if is_end => {
                    source.push_event(event);
                    gst::PadProbeReturn::Handled
                }
                other => {
                    info.data = other;
                    gst::PadProbeReturn::Ok
                }
            }
        }))
        .unwrap_or(gst::PadProbeReturn::Handled)
    });
}

/// GStreamer's I420 has rows padded to four bytes.
fn padded(canvas: Canvas) -> Vec<u8> {
    let (w, h) = (canvas.width, canvas.height);
    let tight = canvas.into_bytes();
    let planes = [(w, h), (w / 2, h / 2), (w / 2, h / 2)];
    if planes.iter().all(|(w, _)| w % 4 == 0) && h.is_multiple_of(2) {
        return tight;
    }
    let mut out = Vec::with_capacity(tight.len() + tight.len() / 8);
    let mut rest = tight.as_slice();
    for (w, h) in planes {
        let (plane, after) = rest.split_at_checked(w * h).unwrap_or((rest, &[]));
        rest = after;
        for row in plane.chunks(w.max(1)) {
            out.extend_from_slice(row);
            out.resize(out.len() + (w.next_multiple_of(4) - w), 0);
        }
    }
    out
}
