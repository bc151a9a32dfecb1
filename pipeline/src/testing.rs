//! Frames for the unit tests of stages that look at no pixel.

use std::sync::Arc;
use std::time::Instant;

use sightline_schema::{Skipped, Timestamp};

use crate::frame::{Colour, Frame, HostPlanes, PixelFormat, PlaneData, Planes};

struct NoBytes;

impl PlaneData for NoBytes {
    fn plane(&self, _: usize) -> &[u8] {
        &[]
    }
}

/// A picture of one pixel, without bytes.
pub(crate) fn planes() -> Planes {
    Planes::Host(HostPlanes {
        format: PixelFormat::Gray8,
        colour: Colour::unsignalled(1),
        width: 1,
        height: 1,
        strides: [1, 0, 0],
        data: Arc::new(NoBytes),
    })
}

/// The frame of this number in a stream of 25 a second.
pub(crate) fn frame(seq: u64, skipped: Skipped) -> Frame {
    let captured_at = Timestamp::from_micros(0);
    let pts_us = seq as i64 * 40_000;
    Frame { planes: planes(), seq, pts_us, captured_at, ready: Instant::now(), skipped, trace: None }
}
