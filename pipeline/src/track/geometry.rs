//! Boxes in units of the frame's height, where a square looks square.

use sightline_schema::Box2d;

use super::kalman::Shape;

/// A frame as the tracker measures it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane {
    /// Width ÷ height.
    pub(crate) aspect: f64,
    /// One pixel, in frame heights.
    pixel: f64,
}

/// x_min, y_min, x_max, y_max in frame heights; the far edges lie behind the last pixel (see
/// [`Plane::extent`]).
pub(crate) type Extent = [f64; 4];

impl Plane {
    /// `size`: width and height in pixels.
    pub(crate) fn new((width, height): (u32, u32)) -> Self {
        let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
        Self { aspect: width / height, pixel: 1.0 / height }
    }

    /// None for a box without area or with a coordinate that is no number.
    pub(crate) fn shape(&self, box2d: &Box2d) -> Option<Shape> {
        let width = (f64::from(box2d.x_max) - f64::from(box2d.x_min)) * self.aspect;
        let height = f64::from(box2d.y_max) - f64::from(box2d.y_min);
        let cx = f64::from(box2d.x_min) * self.aspect + width / 2.0;
        let cy = f64::from(box2d.y_min) + height / 2.0;
        let usable = width > 0.0 && height > 0.0 && [cx, cy, width / height].iter().all(|v| v.is_finite());
        usable.then_some(Shape { cx, cy, aspect: width / height, height })
    }

    /// The inverse of [`Plane::shape`].
    pub(crate) fn box2d(&self, Shape { cx, cy, aspect, height }: Shape) -> Box2d {
        let (x, y) = (aspect * height / 2.0, height / 2.0);
        Box2d {
            x_min: ((cx - x) / self.aspect) as f32,
            y_min: (cy - y) as f32,
            x_max: ((cx + x) / self.aspect) as f32,
            y_max: (cy + y) as f32,
        }
    }

    /// ByteTrack's overlaps (from Fast R-CNN's) count the pixel at x_max and y_max as part of the box. It is
    /// kept: it favours small boxes a little, and without it identities differ from ByteTrack's where two
    /// boxes fit a track about as well.
    pub(crate) fn extent(&self, Shape { cx, cy, aspect, height }: Shape) -> Extent {
        let (x, y) = (aspect * height / 2.0, height / 2.0);
        [cx - x, cy - y, cx + x + self.pixel, cy + y + self.pixel]
    }
}

/// Intersection over union; 0 where a predicted box has shrunk to nothing.
pub(crate) fn iou(a: Extent, b: Extent) -> f64 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let area = |extent: Extent| (extent[2] - extent[0]) * (extent[3] - extent[1]);
    let intersection = width * height;
    intersection / (area(a) + area(b) - intersection)
}
