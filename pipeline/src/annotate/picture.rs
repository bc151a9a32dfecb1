//! An annotated picture, as JPEG.

use std::path::Path;

use opencv::core::{Mat, Scalar, Vec3b};

use super::canvas::{Mark, Style};
use super::{AnnotateError, Aside, marks};
use crate::frame::Planes;
use crate::lane::Tracked;

/// Draws on a copy of a picture and writes it.
pub fn write_picture(
    path: &Path,
    tracked: &Tracked<'_>,
    label: &dyn Fn(u32) -> String,
) -> Result<(), AnnotateError> {
    let failed = |reason: String| AnnotateError::Write { path: path.to_owned(), reason };
    let Planes::Host(picture) = &tracked.frame.planes else {
        return Err(AnnotateError::Draw("the picture is in device memory".into()));
    };
    let (width, height) = (picture.width as usize, picture.height as usize);
    let mut rgb = picture.plane(0).to_vec();
    let style = Style::of(height);
    let mut mat = Mat::new_rows_cols_with_bytes_mut::<Vec3b>(height as i32, width as i32, &mut rgb)?;
    let value = |mark: &Mark| {
        let [r, g, b] = mark.rgb.map(f64::from);
        Scalar::new(r, g, b, 0.0)
    };
    let marks = marks(tracked, (width, height), label);
    for mark in &marks {
        style.draw_box(&mut mat, mark, value(mark), 1)?;
    }
    for mark in &marks {
        style.draw_caption(&mut mat, mark, value(mark), (width, 1), true)?;
    }
    drop(mat);
    let format = turbojpeg::PixelFormat::RGB;
    let image = turbojpeg::Image { pixels: rgb.as_slice(), width, pitch: width * 3, height, format };
    let jpeg = turbojpeg::compress(image, 92, turbojpeg::Subsamp::None)
        .map_err(|error| failed(error.to_string()))?;
    let aside = Aside::of(path);
    std::fs::write(aside.path(), &jpeg)
        .and_then(|()| aside.keep(path))
        .map_err(|error| failed(error.to_string()))
}
