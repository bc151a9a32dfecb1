//! Identity over time: which detections of successive frames are the same object. One [`Tracker`] per stream.
//!
//! ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022,
//! arXiv 2110.06864), with a Kalman filter driven by elapsed time. Pure: no clock, no I/O.

use std::time::Duration;

mod assign;
mod byte;
mod geometry;
mod kalman;
pub mod replay;

pub(crate) use assign::{Pair, assign};
pub use byte::Tracker;

/// What decides who is who. The defaults are ByteTrack's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackerConfig {
    /// Detections of this confidence and above are matched first.
    pub high: f32,
    /// Detections from here up to `high` are matched second, with tracks seen in the frame before. Those
    /// below are ignored.
    pub low: f32,
    /// A detection of this confidence and above that nothing claims starts a track.
    pub new: f32,
    /// Highest cost of a match in the first association: 1 − IoU (times confidence, with `fuse_score`).
    pub match_: f64,
    /// Highest 1 − IoU in the second association.
    pub second: f64,
    /// Highest cost for a tentative track's second sight, counted as in the first association.
    pub unconfirmed: f64,
    /// Whether IoU is multiplied by the detection's confidence, so that of two boxes that fit alike the surer
    /// one is taken.
    pub fuse_score: bool,
    /// How long a track that is not seen is remembered.
    pub memory: Duration,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            high: 0.5,
            low: 0.1,
            new: 0.6,
            match_: 0.8,
            second: 0.5,
            unconfirmed: 0.7,
            fuse_score: true,
            memory: Duration::from_secs(1),
        }
    }
}
