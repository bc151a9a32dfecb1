//! From sampled lines to the tensor's values: the last blend, the colour matrix, the range.

use super::sampler::Line;
use crate::frame::{Colour, Matrix, Range};

/// YUV (0..255, unrounded) to RGB in the tensor's range, as one affine map (ITU-T H.273, 8.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion {
    /// What one step of luma adds to each of R, G, B.
    luma: f32,
    red_of_v: f32,
    green_of_u: f32,
    green_of_v: f32,
    blue_of_u: f32,
    /// R, G, B at Y = U = V = 0.
    zero: [f32; 3],
    /// Scale from 0..255 to the tensor's range.
    scale: f32,
    /// The largest value: 1 or 255.
    white: f32,
}

impl Conversion {
    /// `unit`: the tensor's range is 0..1, else 0..255.
    pub(super) fn new(colour: Colour, unit: bool) -> Self {
        let (kr, kb) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let kg = 1.0 - kr - kb;
        let (black, luma_steps, chroma_steps) = match colour.range {
            Range::Limited => (16.0, 219.0, 224.0),
            Range::Full => (0.0, 255.0, 255.0),
        };
        let white = if unit { 1.0 } else { 255.0 };
        let (luma, chroma) = (white / luma_steps, white / chroma_steps);
        let red_of_v = 2.0 * (1.0 - kr) * chroma;
        let blue_of_u = 2.0 * (1.0 - kb) * chroma;
        let green_of_u = -blue_of_u * kb / kg;
        let green_of_v = -red_of_v * kr / kg;
        let zero = [
            -black * luma - 128.0 * red_of_v,
            -black * luma - 128.0 * (green_of_u + green_of_v),
            -black * luma - 128.0 * blue_of_u,
        ];
        Self {
            luma: luma as f32,
            red_of_v: red_of_v as f32,
            green_of_u: green_of_u as f32,
            green_of_v: green_of_v as f32,
            blue_of_u: blue_of_u as f32,
            zero: zero.map(|value: f64| value as f32),
            scale: (white / 255.0) as f32,
            white: white as f32,
        }
    }

    /// One row from Y, U, V; `out` is R, G, B, as long as the lines.
    pub(super) fn yuv(&self, [y, u, v]: [Line<'_>; 3], out: [&mut [f32]; 3]) {
        let [red, green, blue] = out;
        let width = red.len();
        let (y0, y1, u0, u1) = (&y.upper[..width], &y.lower[..width], &u.upper[..width], &u.lower[..width]);
        let (v0, v1, green, blue) =
            (&v.upper[..width], &v.lower[..width], &mut green[..width], &mut blue[..width]);
        for x in 0..width {
            let luma = self.luma * blend(y0[x], y1[x], y.weight);
            let u = blend(u0[x], u1[x], u.weight);
            let v = blend(v0[x], v1[x], v.weight);
            red[x] = self.clamp(luma + self.red_of_v * v + self.zero[0]);
            green[x] = self.clamp(luma + self.green_of_u * u + self.green_of_v * v + self.zero[1]);
            blue[x] = self.clamp(luma + self.blue_of_u * u + self.zero[2]);
        }
    }

    /// One row from luma alone.
    pub(super) fn gray(&self, line: Line<'_>, out: [&mut [f32]; 3]) {
        let [red, green, blue] = out;
        // Chroma at 128 adds what its zero took away.
        let zero = self.zero[0] + 128.0 * self.red_of_v;
        let width = red.len();
        let (upper, lower) = (&line.upper[..width], &line.lower[..width]);
        for x in 0..width {
            red[x] = self.clamp(self.luma * blend(upper[x], lower[x], line.weight) + zero);
        }
        green.copy_from_slice(red);
        blue.copy_from_slice(red);
    }

    /// One row of values that are red, green or blue already.
    pub(super) fn plain(&self, line: Line<'_>, out: &mut [f32]) {
        let width = out.len();
        let (upper, lower) = (&line.upper[..width], &line.lower[..width]);
        for x in 0..width {
            out[x] = self.clamp(self.scale * blend(upper[x], lower[x], line.weight));
        }
    }

    #[inline]
    fn clamp(&self, value: f32) -> f32 {
        value.max(0.0).min(self.white)
    }
}

#[inline]
fn blend(upper: f32, lower: f32, weight: f32) -> f32 {
    upper + (lower - upper) * weight
}
