//! A detection on its way from the detector to the wire.

use sightline_schema::Box2d;

/// A box, a class and a confidence: what a detector says of one object in one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub class_id: u32,
    /// 0..1.
    pub confidence: f32,
    /// Fractions of the frame, clipped to 0..1.
    pub box2d: Box2d,
}
