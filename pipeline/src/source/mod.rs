//! The seam to the outside world: whatever gives decoded frames.

pub mod address;
pub mod container;
pub mod gst;
pub mod picture;

use std::time::{Duration, SystemTime};

use sightline_schema::{Skipped, Timestamp, VideoFacts};

use crate::error::StreamError;
use crate::frame::Planes;

/// One decoded picture as it leaves a source.
#[derive(Debug)]
pub struct SourceFrame {
    pub planes: Planes,
    /// µs since the stream's start, as the stream says; `None` where it says nothing.
    pub pts_us: Option<i64>,
    /// The wall time of the capture by the camera's clock, where it reports it.
    pub camera_time: Option<Timestamp>,
    /// From the access unit at the decoder's door to its frame; `None` where there is no decoder, or no pts.
    pub decode_time: Option<Duration>,
    /// When it came to the decoder's door, where frames are traced.
    pub arrived: Option<SystemTime>,
    pub seq: u64,
    /// Access units that arrived since the previous frame and gave none.
    pub skipped: Skipped,
}

/// What a source gives when asked.
#[derive(Debug)]
pub enum Pulled {
    Frame(SourceFrame),
    /// Nothing within the given time; nothing is wrong.
    Nothing,
    /// The end of a recorded source, or a live one that said goodbye.
    End,
}

/// Reads one stream. The one trait at the outside world, and the seam for tests.
pub trait Source: Send {
    /// The next frame, waiting at most `patience`.
    fn pull(&mut self, patience: Duration) -> Result<Pulled, StreamError>;

    /// What is known of the video; grows after the first frame.
    fn video(&self) -> VideoFacts;

    /// Frames keep coming whether they are taken or not.
    fn is_live(&self) -> bool;

    /// Length in µs of a recorded source, where it says so.
    fn duration_us(&self) -> Option<i64>;
}
