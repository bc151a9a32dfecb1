//! One decoded picture, and what travels down the chain.

use std::sync::Arc;
use std::time::Instant;

use sightline_schema::{CameraState, Clock, ErrorCode, GapReason, SkipReason, Skipped, Timestamp};

use crate::trace::FrameTrace;

/// Layout of a picture's planes in memory, 8 bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Planar Y, U, V; chroma halved in both directions (rounded up).
    I420,
    /// Planar Y, then interleaved U V; chroma halved in both directions (rounded up).
    Nv12,
    /// Planar Y, U, V; chroma halved horizontally (rounded up).
    I422,
    /// Planar Y, U, V at full size.
    I444,
    /// Luma alone.
    Gray8,
    /// One plane, three bytes a pixel: R, G, B. Pictures only.
    Rgb,
}

/// Which matrix turned RGB into YUV (ITU-T H.273 `MatrixCoefficients`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

/// How samples map to values: 16..235 (chroma 16..240) or 0..255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    Limited,
    Full,
}

/// Where a chroma sample sits between its luma samples, horizontally (ITU-T H.273 `ChromaLocType`).
/// Vertically it is centred in all common formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChromaSite {
    /// On the left luma sample: MPEG-2, H.264, H.265 unless they say otherwise.
    Left,
    /// Between the two: JPEG, MPEG-1.
    Centre,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    pub matrix: Matrix,
    pub range: Range,
    pub chroma_site: ChromaSite,
}

impl Colour {
    /// What is taken where the stream signals nothing: BT.601 below 720 lines, BT.709 above, limited range.
    pub fn unsignalled(height: u32) -> Self {
        let matrix = if height < 720 { Matrix::Bt601 } else { Matrix::Bt709 };
        Self { matrix, range: Range::Limited, chroma_site: ChromaSite::Left }
    }
}

/// Whoever owns the bytes of a picture: a decoder's buffer, mapped for reading, or a plain vector.
pub trait PlaneData: Send + Sync {
    /// The bytes of plane `index`, rows `stride` apart; the last row may be shorter than the stride.
    fn plane(&self, index: usize) -> &[u8];
}

/// A picture in host memory.
#[derive(Clone)]
pub struct HostPlanes {
    pub format: PixelFormat,
    pub colour: Colour,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes from one row to the next, per plane; unused planes are 0.
    pub strides: [usize; 3],
    pub data: Arc<dyn PlaneData>,
}

impl HostPlanes {
    pub fn plane(&self, index: usize) -> &[u8] {
        self.data.plane(index)
    }
}

impl std::fmt::Debug for HostPlanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}x{}", self.format, self.width, self.height)
    }
}

/// A picture in the memory of a CUDA device: NV12, rows `pitch` bytes apart.
#[derive(Clone)]
pub struct CudaPlanes {
    pub colour: Colour,
    pub width: u32,
    pub height: u32,
    pub device: u32,
    /// Device addresses of the luma and the interleaved chroma plane.
    pub addresses: [u64; 2],
    pub pitches: [usize; 2],
    /// Keeps the decoder's surface alive.
    pub owner: Arc<dyn Send + Sync>,
}

impl std::fmt::Debug for CudaPlanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NV12 {}x{} on CUDA device {}", self.width, self.height, self.device)
    }
}

/// Where a frame's pixels are. Always by reference: a frame is never copied on its way.
#[derive(Clone, Debug)]
pub enum Planes {
    Host(HostPlanes),
    Cuda(CudaPlanes),
}

/// One decoded picture with its place in the stream.
#[derive(Clone, Debug)]
pub struct Frame {
    pub planes: Planes,
    /// Counts the access units that arrived in this epoch, from 0.
    pub seq: u64,
    /// The stream's clock, µs since its start.
    pub pts_us: i64,
    /// The wall clock of the capture.
    pub captured_at: Timestamp,
    /// When it was there to be detected.
    pub ready: Instant,
    /// What arrived since the previous frame that was passed on, and is not passed on itself.
    pub skipped: Skipped,
    /// Where it is sampled.
    pub trace: Option<Arc<FrameTrace>>,
}

impl Frame {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        match &self.planes {
            Planes::Host(planes) => (planes.width, planes.height),
            Planes::Cuda(planes) => (planes.width, planes.height),
        }
    }
}

impl Frame {
    /// Takes over the account of an older frame that goes no further, for `reason`.
    pub fn account_for(&mut self, older: &Frame, reason: SkipReason) {
        self.skipped.merge(&older.skipped);
        self.skipped.add(reason, 1);
        if let Some(trace) = &older.trace {
            trace.lost(reason);
        }
    }
}

/// What travels from a stream through detection to its outlet: in band, in order.
#[derive(Debug)]
pub enum StreamItem {
    Frame(Frame),
    /// Said between two frames; never dropped.
    Mark(Mark),
    /// Behind the last frame; never dropped.
    End(End),
}

/// What a stream says between its frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// The stream was opened, or its size or the camera's clock changed.
    Started {
        clock: Clock,
        at: Timestamp,
        /// Why what lies between the last result and the next frame was not seen, where something may be missing.
        lost: Option<GapReason>,
        /// The usual distance of two results: what is not longer than two of these is no gap.
        interval_us: i64,
    },
    /// It still runs; said every minute for readers that come later.
    Running { clock: Clock, at: Timestamp },
    /// No frame for a while. No frame with an earlier `captured_at` follows.
    Tick { at: Timestamp, state: CameraState, error: Option<ErrorCode> },
}

/// How a run of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// On the stream's clock.
    pub at: Timestamp,
    pub clock: Clock,
    /// A recorded source was read to its end.
    pub complete: bool,
    /// What arrived after the last frame that was passed on.
    pub skipped: Skipped,
}
