//! A frame's I420 copy, drawn on plane by plane: what was not drawn over stays bit-identical.

use opencv::core::{Mat, Point, Rect, Scalar, ToInputOutputArray};
use opencv::imgproc::{self, FILLED, FONT_HERSHEY_SIMPLEX, LINE_8, LINE_AA};

use super::AnnotateError;
use crate::frame::{HostPlanes, PixelFormat};

/// Planar Y, U, V with even sides.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    planes: [Vec<u8>; 3],
}

/// A box to draw, in pixels.
pub(super) struct Mark {
    pub(super) rect: [i32; 4],
    pub(super) caption: String,
    pub(super) rgb: [u8; 3],
}

impl Canvas {
    /// Copies a picture; an odd row or column at the edge is left out, since H.264 has none.
    pub(super) fn copy(picture: &HostPlanes) -> Self {
        let (width, height) = (picture.width as usize & !1, picture.height as usize & !1);
        let (cw, ch) = (width / 2, height / 2);
        let row = |plane: usize, y: usize| {
            let at = y * picture.strides.get(plane).copied().unwrap_or(0);
            picture.plane(plane).get(at..).unwrap_or_default()
        };
        let sample = |row: &[u8], x: usize| row.get(x).copied().unwrap_or(128);
        let luma = match picture.format {
            PixelFormat::Rgb => plane(width, height, |x, y| {
                let row = row(0, y);
                yuv([sample(row, x * 3), sample(row, x * 3 + 1), sample(row, x * 3 + 2)])[0]
            }),
            _ => plane(width, height, |x, y| sample(row(0, y), x)),
        };
        let chroma = |index: usize| match picture.format {
            PixelFormat::I420 => plane(cw, ch, |x, y| sample(row(index, y), x)),
            PixelFormat::Nv12 => plane(cw, ch, |x, y| sample(row(1, y), x * 2 + index - 1)),
            PixelFormat::I422 => plane(cw, ch, |x, y| sample(row(index, y * 2), x)),
            PixelFormat::I444 => plane(cw, ch, |x, y| sample(row(index, y * 2), x * 2)),
            PixelFormat::Gray8 => vec![128; cw * ch],
            PixelFormat::Rgb => plane(cw, ch, |x, y| {
                let row = row(0, y * 2);
                yuv([sample(row, x * 6), sample(row, x * 6 + 1), sample(row, x * 6 + 2)])[index]
            }),
        };
        Self { width, height, planes: [luma, chroma(1), chroma(2)] }
    }

    /// Draws boxes and captions.
    pub(super) fn draw(&mut self, marks: &[Mark]) -> Result<(), AnnotateError> {
        let style = Style::of(self.height);
        let sizes = [
            (self.width, self.height, 1),
            (self.width / 2, self.height / 2, 2),
            (self.width / 2, self.height / 2, 2),
        ];
        for (index, (plane, (w, h, divisor))) in self.planes.iter_mut().zip(sizes).enumerate() {
            let mut mat = Mat::new_rows_cols_with_data_mut(h as i32, w as i32, plane.as_mut_slice())?;
            let value = |mark: &Mark| Scalar::all(f64::from(yuv(mark.rgb)[index]));
            for mark in marks {
                style.draw_box(&mut mat, mark, value(mark), divisor)?;
            }
            for mark in marks {
                // Letters are a matter of luma; their colour is that of the field they stand on.
                style.draw_caption(&mut mat, mark, value(mark), (self.width, divisor), index == 0)?;
            }
        }
        Ok(())
    }

    /// All planes, one after the other.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.planes.concat()
    }
}

/// Line width and letter size for a picture's height.
pub(super) struct Style {
    thickness: i32,
    scale: f64,
    /// Of a letter's strokes.
    stroke: i32,
}

impl Style {
    pub(super) fn of(height: usize) -> Self {
        let thickness = (height as i32 / 360).max(1) * 2;
        let scale = (height as f64 / 1080.0 * 0.8).clamp(0.4, 1.6);
        Self { thickness, scale, stroke: if scale < 0.6 { 1 } else { (scale * 2.0).round() as i32 } }
    }

    /// Draws the lines of a box into a plane that is `divisor` times smaller than the picture.
    pub(super) fn draw_box(
        &self,
        mat: &mut impl ToInputOutputArray,
        mark: &Mark,
        value: Scalar,
        divisor: i32,
    ) -> Result<(), AnnotateError> {
        let [x_min, y_min, x_max, y_max] = mark.rect.map(|v| v / divisor);
        let rect = Rect::new(x_min, y_min, (x_max - x_min).max(1), (y_max - y_min).max(1));
        imgproc::rectangle(mat, rect, value, self.thickness / divisor, LINE_8, 0)?;
        Ok(())
    }

    /// Writes a box's caption: above it, or inside where there is no room; moved left where it would run out of the
    /// picture, `width` pixels wide.
    pub(super) fn draw_caption(
        &self,
        mat: &mut impl ToInputOutputArray,
        mark: &Mark,
        value: Scalar,
        (width, divisor): (usize, i32),
        letters: bool,
    ) -> Result<(), AnnotateError> {
        let mut base = 0;
        let text =
            imgproc::get_text_size(&mark.caption, FONT_HERSHEY_SIMPLEX, self.scale, self.stroke, &mut base)?;
        let (field_w, field_h) = (text.width + 6, text.height + base + 4);
        let [x_min, y_min, ..] = mark.rect;
        let left = x_min.min(width as i32 - field_w).max(0);
        let top = if y_min >= field_h { y_min - field_h } else { y_min };
        let field = Rect::new(left / divisor, top / divisor, field_w / divisor, field_h / divisor);
        imgproc::rectangle(mat, field, value, FILLED, LINE_8, 0)?;
        if letters {
            let ink = Scalar::all(if yuv(mark.rgb)[0] > 140 { 20.0 } else { 235.0 });
            let at = Point::new(left + 3, top + text.height + 2);
            imgproc::put_text(
                mat,
                &mark.caption,
                at,
                FONT_HERSHEY_SIMPLEX,
                self.scale,
                ink,
                self.stroke,
                LINE_AA,
                false,
            )?;
        }
        Ok(())
    }
}

fn plane(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect()
}

/// R, G, B to limited-range BT.601 Y, U, V: close enough to tell colours apart under every matrix.
fn yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (r, g, b) = (f32::from(r), f32::from(g), f32::from(b));
    let clamp = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [
        clamp(16.0 + 0.257 * r + 0.504 * g + 0.098 * b),
        clamp(128.0 - 0.148 * r - 0.291 * g + 0.439 * b),
        clamp(128.0 + 0.439 * r - 0.368 * g - 0.071 * b),
    ]
}
