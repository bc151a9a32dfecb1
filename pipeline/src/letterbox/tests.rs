//! The letterbox against a double-precision reference of itself: one value at a time, straight from the
//! definitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use super::*;
use crate::frame::{Matrix, PlaneData, Range};

struct Bytes([Vec<u8>; 3]);

impl PlaneData for Bytes {
    fn plane(&self, index: usize) -> &[u8] {
        &self.0[index]
    }
}

const FORMATS: [PixelFormat; 6] = [
    PixelFormat::I420,
    PixelFormat::Nv12,
    PixelFormat::I422,
    PixelFormat::I444,
    PixelFormat::Gray8,
    PixelFormat::Rgb,
];

/// Bytes a row and rows of each plane.
fn extents(format: PixelFormat, width: u32, height: u32) -> [(usize, usize); 3] {
    let (w, h) = (width as usize, height as usize);
    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
    match format {
        PixelFormat::I420 => [(w, h), (half_w, half_h), (half_w, half_h)],
        PixelFormat::Nv12 => [(w, h), (2 * half_w, half_h), (0, 0)],
        PixelFormat::I422 => [(w, h), (half_w, h), (half_w, h)],
        PixelFormat::I444 => [(w, h); 3],
        PixelFormat::Gray8 => [(w, h), (0, 0), (0, 0)],
        PixelFormat::Rgb => [(3 * w, h), (0, 0), (0, 0)],
    }
}

/// Noise over the whole range, the same for the same `seed`; rows `slack` bytes longer than they need, the
/// last one cut off behind its last sample.
fn noise(
    format: PixelFormat,
    (width, height): (u32, u32),
    colour: Colour,
    slack: usize,
    seed: u64,
) -> HostPlanes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let extents = extents(format, width, height);
    let plane = |(row, rows): (usize, usize)| match rows {
        0 => vec![],
        rows => (0..(rows - 1) * (row + slack) + row).map(|_| byte()).collect(),
    };
    let data = Arc::new(Bytes(extents.map(plane)));
    let strides = extents.map(|(row, _)| if row == 0 { 0 } else { row + slack });
    HostPlanes { format, colour, width, height, strides, data }
}

fn colour(matrix: Matrix, range: Range, chroma_site: ChromaSite) -> Colour {
    Colour { matrix, range, chroma_site }
}

const USUAL: Preprocess = Preprocess { fit: Fit::Centred, order: ChannelOrder::Rgb, unit: true, pad: 114.0 };

/// One value of the tensor, 0..255, by the definitions alone.
struct Reference<'a> {
    planes: &'a HostPlanes,
    geometry: Geometry,
    preprocess: Preprocess,
}

impl Reference<'_> {
    fn value(&self, channel: usize, y: u32, x: u32) -> f64 {
        let Geometry { resized, left, top, source, .. } = self.geometry;
        if x < left || y < top || x >= left + resized.0 || y >= top + resized.1 {
            return f64::from(self.preprocess.pad);
        }
        let position = |to: u32, source: u32, resized: u32| {
            (f64::from(to) + 0.5) / (f64::from(resized) / f64::from(source)) - 0.5
        };
        let (x, y) = (position(x - left, source.0, resized.0), position(y - top, source.1, resized.1));
        let rgb = self.rgb(x, y);
        let channel = if self.preprocess.order == ChannelOrder::Bgr { 2 - channel } else { channel };
        rgb[channel].clamp(0.0, 255.0)
    }

    /// At a point of the picture, in pixels, whole numbers being centres of pixels.
    fn rgb(&self, x: f64, y: f64) -> [f64; 3] {
        let centred = |position: f64| (position + 0.5) / 2.0 - 0.5;
        let site = self.planes.colour.chroma_site;
        let half_x = if site == ChromaSite::Left { x / 2.0 } else { centred(x) };
        let (u, v) = match self.planes.format {
            PixelFormat::Rgb => return [0, 1, 2].map(|channel| self.bilinear(0, 3, channel, x, y)),
            PixelFormat::Gray8 => (128.0, 128.0),
            PixelFormat::I420 => {
                (self.bilinear(1, 1, 0, half_x, centred(y)), self.bilinear(2, 1, 0, half_x, centred(y)))
            }
            PixelFormat::Nv12 => {
                (self.bilinear(1, 2, 0, half_x, centred(y)), self.bilinear(1, 2, 1, half_x, centred(y)))
            }
            PixelFormat::I422 => (self.bilinear(1, 1, 0, half_x, y), self.bilinear(2, 1, 0, half_x, y)),
            PixelFormat::I444 => (self.bilinear(1, 1, 0, x, y), self.bilinear(2, 1, 0, x, y)),
        };
        let luma = self.bilinear(0, 1, 0, x, y);
        let (luma, u, v) = match self.planes.colour.range {
            Range::Limited => ((luma - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
            Range::Full => (luma / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
        };
        // Coefficients as the standards print them: rounded to four or five digits, hence the test's
        // tolerance.
        let [red_v, green_u, green_v, blue_u] = match self.planes.colour.matrix {
            Matrix::Bt601 => [1.402, 0.344_136, 0.714_136, 1.772],
            Matrix::Bt709 => [1.5748, 0.187_324, 0.468_124, 1.8556],
            Matrix::Bt2020 => [1.4746, 0.164_553, 0.571_353, 1.8814],
        };
        [luma + red_v * v, luma - green_u * u - green_v * v, luma + blue_u * u].map(|value| 255.0 * value)
    }

    fn bilinear(&self, plane: usize, channels: usize, channel: usize, x: f64, y: f64) -> f64 {
        let (row, rows) = extents(self.planes.format, self.planes.width, self.planes.height)[plane];
        let (x, y) = (x.clamp(0.0, (row / channels - 1) as f64), y.clamp(0.0, (rows - 1) as f64));
        let at = |x: f64, y: f64| {
            let (x, y) = ((x as usize).min(row / channels - 1), (y as usize).min(rows - 1));
            f64::from(self.planes.plane(plane)[y * self.planes.strides[plane] + x * channels + channel])
        };
        let (wx, wy) = (x.fract(), y.fract());
        let upper = at(x, y) * (1.0 - wx) + at(x + 1.0, y) * wx;
        let lower = at(x, y + 1.0) * (1.0 - wx) + at(x + 1.0, y + 1.0) * wx;
        upper * (1.0 - wy) + lower * wy
    }
}

/// The largest difference from the reference, in fractions of the range.
fn worst(planes: &HostPlanes, input: InputSize, preprocess: Preprocess) -> f64 {
    let source = (planes.width, planes.height);
    let mut letterbox = Letterbox::new(source, planes.format, planes.colour, input, preprocess);
    assert!(letterbox.matches(planes, input));
    let mut tensor = vec![f32::NAN; 3 * input.width as usize * input.height as usize];
    letterbox.write(planes, &mut tensor).unwrap();
    let white = if preprocess.unit { 1.0 } else { 255.0 };
    let reference = Reference { planes, geometry: *letterbox.geometry(), preprocess };
    let mut worst = 0.0_f64;
    let mut values = tensor.iter();
    for channel in 0..3 {
        for y in 0..input.height {
            for x in 0..input.width {
                let value = f64::from(*values.next().unwrap());
                assert!((0.0..=white).contains(&value), "{value} at {channel} {y} {x}");
                worst = worst.max((value / white - reference.value(channel, y, x) / 255.0).abs());
            }
        }
    }
    worst
}

/// What is asked for is 1/255; this is 25 times closer.
const TOLERANCE: f64 = 1.5e-4;

#[test]
fn every_format_matrix_range_and_site_is_within_tolerance() {
    for format in FORMATS {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for range in [Range::Limited, Range::Full] {
                for site in [ChromaSite::Left, ChromaSite::Centre] {
                    let colour = colour(matrix, range, site);
                    let planes = noise(format, (97, 55), colour, 5, 1);
                    let worst = worst(&planes, InputSize { height: 64, width: 96 }, USUAL);
                    assert!(worst < TOLERANCE, "{format:?} {colour:?}: {worst}");
                }
            }
        }
    }
}

#[test]
fn every_size_stride_fit_and_order_is_within_tolerance() {
    let inputs = [(32, 32), (64, 96), (33, 47), (1, 1)].map(|(height, width)| InputSize { height, width });
    let sizes = [
        (1, 1),
        (2, 2),
        (1, 9),
        (9, 1),
        (3, 3),
        (64, 48),
        (96, 64),
        (192, 128),
        (101, 77),
        (288, 2),
        (640, 363),
    ];
    let mut seed = 0;
    for format in FORMATS {
        for size in sizes {
            for input in inputs {
                for fit in [Fit::Centred, Fit::TopLeft, Fit::Stretch] {
                    seed += 1;
                    let site = if seed % 2 == 0 { ChromaSite::Left } else { ChromaSite::Centre };
                    let range = if seed % 3 == 0 { Range::Full } else { Range::Limited };
                    let order = if seed % 5 < 3 { ChannelOrder::Rgb } else { ChannelOrder::Bgr };
                    let preprocess = Preprocess { fit, order, unit: seed % 7 < 4, pad: 114.0 };
                    let colour = colour(Matrix::Bt709, range, site);
                    let planes = noise(format, size, colour, seed as usize % 4 * 7, seed);
                    let worst = worst(&planes, input, preprocess);
                    assert!(worst < TOLERANCE, "{format:?} {size:?} to {input} {preprocess:?}: {worst}");
                }
            }
        }
    }
}

#[test]
fn extremes_are_within_tolerance() {
    let input = InputSize { height: 64, width: 96 };
    let colour = colour(Matrix::Bt601, Range::Limited, ChromaSite::Left);
    for (format, size) in [
        (PixelFormat::Rgb, (30_000, 3)),
        (PixelFormat::I420, (3, 20_001)),
        (PixelFormat::Nv12, (1920, 1080)),
        (PixelFormat::I420, (1920, 1080)),
    ] {
        let worst = worst(&noise(format, size, colour, 0, 3), input, USUAL);
        assert!(worst < TOLERANCE, "{format:?} {size:?}: {worst}");
    }
    let huge = InputSize { height: 700, width: 1300 };
    let worst = worst(&noise(PixelFormat::I420, (3, 2), colour, 0, 4), huge, USUAL);
    assert!(worst < TOLERANCE, "{worst}");
}

/// Grey, white and the primaries, so that a mistake common to both computations shows.
#[test]
fn known_colours_come_out() {
    let one = |format: PixelFormat, range: Range, matrix: Matrix, yuv: [u8; 3]| {
        let colour = colour(matrix, range, ChromaSite::Left);
        let data = Arc::new(Bytes(yuv.map(|value| vec![value])));
        let planes = HostPlanes { format, colour, width: 1, height: 1, strides: [1; 3], data };
        let input = InputSize { height: 1, width: 1 };
        let mut out = [0.0; 3];
        let preprocess = Preprocess { unit: false, ..USUAL };
        Letterbox::new((1, 1), format, colour, input, preprocess).write(&planes, &mut out).unwrap();
        out.map(|value| value.round() as u8)
    };
    use Matrix::{Bt601, Bt709, Bt2020};
    assert_eq!(one(PixelFormat::I420, Range::Limited, Bt709, [16, 128, 128]), [0, 0, 0]);
    assert_eq!(one(PixelFormat::I420, Range::Limited, Bt2020, [235, 128, 128]), [255, 255, 255]);
    assert_eq!(one(PixelFormat::I444, Range::Limited, Bt601, [81, 90, 240]), [254, 0, 0]);
    assert_eq!(one(PixelFormat::I422, Range::Limited, Bt709, [63, 102, 240]), [255, 1, 0]);
    assert_eq!(one(PixelFormat::I420, Range::Full, Bt601, [29, 255, 107]), [0, 0, 254]);
    assert_eq!(one(PixelFormat::Gray8, Range::Full, Bt601, [77, 0, 0]), [77, 77, 77]);
    assert_eq!(one(PixelFormat::Gray8, Range::Limited, Bt601, [126, 0, 0]), [128, 128, 128]);
    // Below black and above white.
    assert_eq!(one(PixelFormat::Gray8, Range::Limited, Bt601, [3, 0, 0]), [0, 0, 0]);
    assert_eq!(one(PixelFormat::Gray8, Range::Limited, Bt601, [250, 0, 0]), [255, 255, 255]);
}

#[test]
fn a_letterbox_serves_picture_after_picture() {
    let colour = colour(Matrix::Bt709, Range::Limited, ChromaSite::Left);
    let input = InputSize { height: 64, width: 96 };
    let mut reused = Letterbox::new((97, 55), PixelFormat::I420, colour, input, USUAL);
    let (mut out, mut fresh) = (vec![0.0; 3 * 64 * 96], vec![0.0; 3 * 64 * 96]);
    for seed in 0..3 {
        // Strides are the picture's, not the letterbox's.
        let planes = noise(PixelFormat::I420, (97, 55), colour, seed as usize, seed);
        reused.write(&planes, &mut out).unwrap();
        Letterbox::new((97, 55), PixelFormat::I420, colour, input, USUAL).write(&planes, &mut fresh).unwrap();
        assert_eq!(out, fresh);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let colour = colour(Matrix::Bt709, Range::Limited, ChromaSite::Left);
    let input = InputSize { height: 32, width: 32 };
    let mut tensor = vec![0.0; 3 * 32 * 32];
    for format in FORMATS {
        let whole = noise(format, (9, 7), colour, 3, 1);
        let mut letterbox = Letterbox::new((9, 7), format, colour, input, USUAL);
        assert_eq!(letterbox.write(&whole, &mut tensor), Ok(()));
        for (cut, (row, rows)) in
            extents(format, 9, 7).into_iter().enumerate().filter(|(_, (row, _))| *row > 0)
        {
            // One byte short.
            let planes = [0, 1, 2].map(|index| whole.plane(index).to_vec());
            let mut short = planes.clone();
            short[cut].pop();
            let picture = HostPlanes { data: Arc::new(Bytes(short)), ..whole.clone() };
            let need = (rows - 1) * (row + 3) + row;
            let error = LetterboxError::ShortPlane { plane: cut, stride: row + 3, have: need - 1, need };
            assert_eq!(letterbox.write(&picture, &mut tensor), Err(error));
            // Rows that overlap, and a stride beyond all bounds.
            for stride in [0, row - 1, usize::MAX] {
                let mut picture = whole.clone();
                picture.strides[cut] = stride;
                let refused = letterbox.write(&picture, &mut tensor);
                assert!(matches!(refused, Err(LetterboxError::ShortPlane { plane, .. }) if plane == cut));
            }
        }
        let short = letterbox.write(&whole, &mut tensor[1..]);
        assert_eq!(short, Err(LetterboxError::WrongTensor { have: 3 * 32 * 32 - 1, need: 3 * 32 * 32 }));
    }
    let mut letterbox = Letterbox::new((9, 7), PixelFormat::I420, colour, input, USUAL);
    for other in [
        noise(PixelFormat::I420, (9, 8), colour, 0, 1),
        noise(PixelFormat::Nv12, (9, 7), colour, 0, 1),
        noise(PixelFormat::I420, (9, 7), Colour { range: Range::Full, ..colour }, 0, 1),
    ] {
        assert!(!letterbox.matches(&other, input));
        assert_eq!(letterbox.write(&other, &mut tensor), Err(LetterboxError::OtherPicture));
    }
    let nothing = noise(PixelFormat::Rgb, (0, 0), colour, 0, 1);
    let mut letterbox = Letterbox::new((0, 0), PixelFormat::Rgb, colour, input, USUAL);
    assert_eq!(letterbox.write(&nothing, &mut tensor), Err(LetterboxError::Empty));
}
