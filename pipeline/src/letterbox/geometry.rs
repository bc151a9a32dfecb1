//! Where the picture lies in the model's input, and the way back for boxes.

use sightline_schema::Box2d;

/// Height and width of a model's input, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputSize {
    pub height: u32,
    pub width: u32,
}

impl std::fmt::Display for InputSize {
    /// Height first, as `--imgsz` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// How the picture is fitted into the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Aspect kept, padding on both sides, like `LetterBox` of Ultralytics.
    Centred,
    /// Aspect kept, padding right and below, like `preproc` of YOLOX.
    TopLeft,
    /// Width and height each filled; no padding.
    Stretch,
}

/// Where the resized picture lies in the input. All in input pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub source: (u32, u32),
    pub input: InputSize,
    /// Width and height of the picture within the input.
    pub resized: (u32, u32),
    /// Padding on the left.
    pub left: u32,
    /// Padding above.
    pub top: u32,
}

impl Geometry {
    /// `source` is width and height in pixels.
    pub fn new(source: (u32, u32), input: InputSize, fit: Fit) -> Self {
        let (width, height) = (f64::from(source.0.max(1)), f64::from(source.1.max(1)));
        let ratio = (f64::from(input.height) / height).min(f64::from(input.width) / width);
        // Halves go to the even number, as Python's `round` has it.
        let (new_width, new_height) = match fit {
            Fit::Centred => ((width * ratio).round_ties_even(), (height * ratio).round_ties_even()),
            Fit::TopLeft => ((width * ratio).trunc(), (height * ratio).trunc()),
            Fit::Stretch => (f64::from(input.width), f64::from(input.height)),
        };
        // A picture of extreme aspect keeps one pixel.
        let within = |length: f64, limit: u32| (length as u32).clamp(1.min(limit), limit);
        let resized = (within(new_width, input.width), within(new_height, input.height));
        let before = |limit: u32, length: u32| match fit {
            Fit::Centred => (f64::from(limit - length) / 2.0 - 0.1).round_ties_even().max(0.0) as u32,
            Fit::TopLeft | Fit::Stretch => 0,
        };
        let (left, top) = (before(input.width, resized.0), before(input.height, resized.1));
        Self { source, input, resized, left, top }
    }

    /// From `x_min, y_min, x_max, y_max` in input pixels to fractions of the frame, clipped. Exact: each axis
    /// has its own scale, since width and height of the resized picture are rounded separately.
    pub fn to_frame(&self, xyxy: [f32; 4]) -> Box2d {
        let x = |x: f32| (x - self.left as f32) / self.resized.0.max(1) as f32;
        let y = |y: f32| (y - self.top as f32) / self.resized.1.max(1) as f32;
        let [x_min, y_min, x_max, y_max] = xyxy;
        Box2d { x_min: x(x_min), y_min: y(y_min), x_max: x(x_max), y_max: y(y_max) }.clip()
    }
}

/// The smallest input with `source`'s aspect whose longer side is `imgsz`: 384×640 for 16:9, like the minimum
/// rectangle of Ultralytics (`auto=True`). Both sides are multiples of `stride`.
pub fn rectangular_input(source: (u32, u32), imgsz: u32, stride: u32) -> InputSize {
    let stride = stride.max(1);
    let whole = |length: u32| length.max(1).div_ceil(stride).saturating_mul(stride);
    let longest = whole(imgsz);
    let square = InputSize { height: longest, width: longest };
    let (width, height) = Geometry::new(source, square, Fit::Centred).resized;
    InputSize { height: whole(height), width: whole(width) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(height: u32, width: u32) -> InputSize {
        InputSize { height, width }
    }

    /// Sizes and paddings that Ultralytics' `LetterBox` gives (half to even, −0.1 before, the rest behind).
    #[test]
    fn centred_pads_like_ultralytics() {
        let geometry = Geometry::new((1920, 1080), input(384, 640), Fit::Centred);
        assert_eq!((geometry.resized, geometry.left, geometry.top), ((640, 360), 0, 12));
        // bus.jpg.
        let geometry = Geometry::new((810, 1080), input(640, 640), Fit::Centred);
        assert_eq!((geometry.resized, geometry.left, geometry.top), ((480, 640), 80, 0));
        // 427 × 1 leaves 213: 106.5 − 0.1 is 106 above, 107 below.
        let geometry = Geometry::new((640, 427), input(640, 640), Fit::Centred);
        assert_eq!((geometry.resized, geometry.left, geometry.top), ((640, 427), 0, 106));
        // 425 × 0.5 = 212.5 goes to the even 212.
        let geometry = Geometry::new((640, 425), input(320, 320), Fit::Centred);
        assert_eq!((geometry.resized, geometry.top), ((320, 212), 54));
        // Enlarged too.
        let geometry = Geometry::new((64, 36), input(384, 640), Fit::Centred);
        assert_eq!((geometry.resized, geometry.top), ((640, 360), 12));
    }

    #[test]
    fn top_left_truncates_like_yolox() {
        // 425 × 0.65 = 276.25, 361 × 0.65 = 234.65.
        for (height, resized) in [(425, 276), (361, 234), (480, 312)] {
            let geometry = Geometry::new((640, height), input(416, 416), Fit::TopLeft);
            assert_eq!((geometry.resized, geometry.left, geometry.top), ((416, resized), 0, 0));
        }
    }

    #[test]
    fn stretch_fills_and_odd_shapes_keep_a_pixel() {
        let geometry = Geometry::new((1920, 1080), input(320, 320), Fit::Stretch);
        assert_eq!((geometry.resized, geometry.left, geometry.top), ((320, 320), 0, 0));
        for fit in [Fit::Centred, Fit::TopLeft] {
            assert_eq!(Geometry::new((30_000, 1), input(640, 640), fit).resized, (640, 1));
            assert_eq!(Geometry::new((1, 1), input(640, 640), fit).resized, (640, 640));
        }
        let nothing = Geometry::new((0, 0), input(0, 0), Fit::Centred);
        assert_eq!(nothing.to_frame([0.0; 4]), Box2d { x_min: 0.0, y_min: 0.0, x_max: 0.0, y_max: 0.0 });
    }

    #[test]
    fn boxes_come_back_where_they_were() {
        for fit in [Fit::Centred, Fit::TopLeft, Fit::Stretch] {
            for source in [(1920, 1080), (810, 1080), (621, 640), (5, 7), (333, 77)] {
                let geometry = Geometry::new(source, input(384, 640), fit);
                let (scale_x, scale_y) = (
                    f64::from(geometry.resized.0) / f64::from(source.0),
                    f64::from(geometry.resized.1) / f64::from(source.1),
                );
                let there = [0.125, 0.25, 0.5, 0.875].map(f64::from);
                let x = |x: f64| (x * f64::from(source.0) * scale_x + f64::from(geometry.left)) as f32;
                let y = |y: f64| (y * f64::from(source.1) * scale_y + f64::from(geometry.top)) as f32;
                let back = geometry.to_frame([x(there[0]), y(there[1]), x(there[2]), y(there[3])]);
                let back = [back.x_min, back.y_min, back.x_max, back.y_max].map(f64::from);
                assert!(
                    back.iter().zip(there).all(|(b, t)| (b - t).abs() < 1e-5),
                    "{source:?} {fit:?} {back:?}"
                );
            }
        }
    }

    #[test]
    fn boxes_are_clipped_to_the_frame() {
        let geometry = Geometry::new((1920, 1080), input(384, 640), Fit::Centred);
        let clipped = geometry.to_frame([-5.0, f32::NEG_INFINITY, f32::NAN, 1e30]);
        assert_eq!(clipped, Box2d { x_min: 0.0, y_min: 0.0, x_max: 0.0, y_max: 1.0 });
    }

    #[test]
    fn rectangular_input_is_the_minimum_rectangle() {
        assert_eq!(rectangular_input((1920, 1080), 640, 32), input(384, 640));
        assert_eq!(rectangular_input((1080, 1920), 640, 32), input(640, 384));
        assert_eq!(rectangular_input((768, 432), 640, 32), input(384, 640));
        assert_eq!(rectangular_input((640, 480), 640, 32), input(480, 640));
        assert_eq!(rectangular_input((100, 100), 640, 32), input(640, 640));
        assert_eq!(rectangular_input((30_000, 1), 640, 32), input(32, 640));
        assert_eq!(rectangular_input((1920, 1080), 1280, 64), input(768, 1280));
        // Not a multiple of the stride: rounded up, as Ultralytics does.
        assert_eq!(rectangular_input((100, 100), 630, 32), input(640, 640));
        assert_eq!(rectangular_input((0, 0), 0, 0), input(1, 1));
    }
}
