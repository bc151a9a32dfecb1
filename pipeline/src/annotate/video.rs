//! An annotated video: `appsrc ! openh264enc ! h264parse ! mp4mux ! filesink`.

use std::path::{Path, PathBuf};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::canvas::Canvas;
use super::{AnnotateError, marks};
use crate::frame::Planes;
use crate::lane::Tracked;

/// Writes one MP4. Frames of another size than the first are scaled to it.
pub struct VideoWriter {
    path: PathBuf,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    size: Option<(usize, usize)>,
    fps: i32,
}

impl VideoWriter {
    /// `fps` is nominal: each frame keeps its own pts.
    pub fn create(path: &Path, fps: f64) -> Result<Self, AnnotateError> {
        let failed = |reason: String| AnnotateError::Write { path: path.to_owned(), reason };
        let pipeline = gst::Pipeline::new();
        let make = |factory: &str| {
            gst::ElementFactory::make(factory)
                .build()
                .map_err(|_| failed(format!("GStreamer has no {factory}; install gstreamer1.0-plugins-bad and -good")))
        };
        // As much ahead as one frame: the encoder holds the detector back, not the memory.
        let source = gst_app::AppSrc::builder().format(gst::Format::Time).block(true).max_buffers(2).build();
        let [scale, encode, parse, mux, sink] =
            [make("videoscale")?, make("openh264enc")?, make("h264parse")?, make("mp4mux")?, make("filesink")?];
        encode.set_property_from_str("rate-control", "quality");
        encode.set_property("bitrate", 6_000_000u32);
        encode.set_property("gop-size", 60u32);
        sink.set_property("location", path.to_string_lossy().as_ref());
        let elements = [source.upcast_ref(), &scale, &encode, &parse, &mux, &sink];
        pipeline.add_many(elements).map_err(|error| failed(error.to_string()))?;
        gst::Element::link_many(elements).map_err(|error| failed(error.to_string()))?;
        let fps = (fps.round() as i32).clamp(1, 240);
        let writer = Self { path: path.to_owned(), pipeline, source, size: None, fps };
        if writer.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(writer.bus_error().unwrap_or_else(|| failed("it can't be opened".into())));
        }
        Ok(writer)
    }

    /// Draws a frame and appends it.
    pub fn frame(&mut self, tracked: &Tracked<'_>, label: &dyn Fn(u32) -> String) -> Result<(), AnnotateError> {
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
            self.size = Some(size);
            let caps = gst::Caps::builder("video/x-raw")
                .field("format", "I420")
                .field("width", size.0 as i32)
                .field("height", size.1 as i32)
                .field("framerate", gst::Fraction::new(self.fps, 1))
                .build();
            self.source.set_caps(Some(&caps));
        }
        let mut buffer = gst::Buffer::from_mut_slice(padded(canvas));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_useconds(u64::try_from(tracked.frame.pts_us).unwrap_or(0)));
        }
        self.source.push_buffer(buffer).map_err(|_| self.failure("the encoder stopped"))?;
        Ok(())
    }

    /// Closes the file. Fails where the disk is full.
    pub fn finish(self) -> Result<(), AnnotateError> {
        if self.size.is_none() {
            // Nothing was written: an empty MP4 is no video.
            let _ = self.pipeline.set_state(gst::State::Null);
            let _ = std::fs::remove_file(&self.path);
            return Ok(());
        }
        self.source.end_of_stream().map_err(|_| self.failure("the encoder stopped"))?;
        let bus = self.pipeline.bus();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => Ok(()),
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
        let _ = self.pipeline.set_state(gst::State::Null);
    }
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
