//! From GStreamer's samples to [`Planes`], by reference.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gst::prelude::*;
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameExt as _, VideoInfo};
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use sightline_schema::VideoFacts;

use crate::frame::{ChromaSite, Colour, HostPlanes, Matrix, PixelFormat, PlaneData, Planes, Range};

/// What the letterbox reads as it is; anything else is converted to the nearest of these before.
const FORMATS: [&str; 5] = ["I420", "NV12", "Y42B", "Y444", "GRAY8"];

/// Encoded pictures run at most this many frames ahead of whoever takes them.
const AHEAD: u32 = 2;

/// The end of every pipeline. `real_time` gives frames by the clock.
pub(super) fn app_sink(real_time: bool) -> gst_app::AppSink {
    let caps = gst::Caps::builder("video/x-raw").field("format", gst::List::new(FORMATS)).build();
    let sink = gst_app::AppSink::builder()
        .caps(&caps)
        .sync(real_time)
        .qos(false)
        .max_buffers(AHEAD)
        .drop(false)
        .enable_last_sample(false)
        .build();
    // Without this a decoder that pads its rows copies each picture once more before it hands it over.
    if let Some(pad) = sink.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH, |_, info| {
            // Without an answer it is slower, and works.
            catch_unwind(AssertUnwindSafe(|| {
                if let Some(query) = info.query_mut()
                    && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
                {
                    allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
                    return gst::PadProbeReturn::Handled;
                }
                gst::PadProbeReturn::Ok
            }))
            .unwrap_or(gst::PadProbeReturn::Ok)
        });
    }
    sink
}

/// A decoder's buffer, mapped for reading as long as somebody holds it.
struct Mapped(gst_video::VideoFrame<gst_video::video_frame::Readable>);

impl PlaneData for Mapped {
    fn plane(&self, index: usize) -> &[u8] {
        self.0.plane_data(index as u32).unwrap_or_default()
    }
}

/// The caps of the frames that came last, read once per change.
#[derive(Default)]
pub(super) struct Caps {
    caps: Option<gst::Caps>,
    info: Option<VideoInfo>,
}

impl Caps {
    /// The planes of a sample's buffer. `signalled`: the encoded stream said what its colours are.
    pub(super) fn planes(
        &mut self,
        caps: Option<&gst::CapsRef>,
        buffer: gst::Buffer,
        mjpeg: bool,
        signalled: bool,
    ) -> Result<Planes, String> {
        let caps = caps.ok_or("a picture came without a description")?;
        if self.caps.as_ref().is_none_or(|known| known.as_ref() != caps) {
            self.info =
                Some(VideoInfo::from_caps(caps).map_err(|_| format!("unreadable video caps {caps}"))?);
            self.caps = Some(caps.to_owned());
        }
        let info = self.info.as_ref().ok_or("a picture came without a description")?;
        let format = pixel_format(info.format())?;
        let colour = colour(info, mjpeg, signalled);
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, info)
            .map_err(|_| "a picture's memory can't be read".to_owned())?;
        let mut strides = [0; 3];
        for (stride, given) in strides.iter_mut().zip(frame.plane_stride()) {
            *stride = usize::try_from(*given).map_err(|_| "a picture is stored upside down".to_owned())?;
        }
        let (width, height) = (info.width(), info.height());
        Ok(Planes::Host(HostPlanes { format, colour, width, height, strides, data: Arc::new(Mapped(frame)) }))
    }

    pub(super) fn video(
        &self,
        codec: Option<&str>,
        decoder: Option<&str>,
        keyframes_only: bool,
    ) -> VideoFacts {
        let info = self.info.as_ref();
        let fps = info
            .map(|info| info.fps())
            .filter(|fps| fps.denom() != 0)
            .map_or(0.0, |fps| f64::from(fps.numer()) / f64::from(fps.denom()));
        VideoFacts {
            codec: codec.unwrap_or("raw").to_owned(),
            width: info.map_or(0, VideoInfo::width),
            height: info.map_or(0, VideoInfo::height),
            fps,
            keyframe_interval_s: None,
            decoder: decoder.unwrap_or("none").to_owned(),
            plan: if keyframes_only { "keyframes" } else { "all" }.to_owned(),
        }
    }
}

fn pixel_format(format: VideoFormat) -> Result<PixelFormat, String> {
    Ok(match format {
        VideoFormat::I420 => PixelFormat::I420,
        VideoFormat::Nv12 => PixelFormat::Nv12,
        VideoFormat::Y42b => PixelFormat::I422,
        VideoFormat::Y444 => PixelFormat::I444,
        VideoFormat::Gray8 => PixelFormat::Gray8,
        other => return Err(format!("the decoder gives {other:?}, which is not read here")),
    })
}

/// A decoder always states colours, guessed ones too; so its word counts where the stream signalled some.
fn colour(info: &VideoInfo, mjpeg: bool, signalled: bool) -> Colour {
    if mjpeg {
        // ITU-T T.871 (JFIF).
        return Colour { matrix: Matrix::Bt601, range: Range::Full, chroma_site: ChromaSite::Centre };
    }
    let fallback = Colour::unsignalled(info.height());
    let colorimetry = info.colorimetry();
    let range = match colorimetry.range() {
        VideoColorRange::Range0_255 => Range::Full,
        _ => fallback.range,
    };
    if !signalled {
        return Colour { range, ..fallback };
    }
    let matrix = match colorimetry.matrix() {
        VideoColorMatrix::Bt709 => Matrix::Bt709,
        VideoColorMatrix::Bt601 | VideoColorMatrix::Fcc | VideoColorMatrix::Smpte240m => Matrix::Bt601,
        VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        _ => fallback.matrix,
    };
    let chroma_site = if info.chroma_site().contains(gst_video::VideoChromaSite::H_COSITED) {
        ChromaSite::Left
    } else {
        match info.chroma_site().is_empty() {
            true => ChromaSite::Left,
            false => ChromaSite::Centre,
        }
    };
    Colour { matrix, range, chroma_site }
}
