//! Pictures: JPEG and PNG, decoded to RGB at full chroma, turned as their EXIF says.

use std::io::Cursor;
use std::sync::Arc;

use crate::frame::{ChromaSite, Colour, HostPlanes, Matrix, PixelFormat, PlaneData, Range};

/// Pixels a side that a picture may have, and pixels in all: beyond is a mistake or an attack.
const MAX_SIDE: u32 = 16_384;
const MAX_PIXELS: u64 = 100_000_000;

/// libjpeg's warnings after which the picture is whole.
const HARMLESS: [&str; 2] = ["extraneous bytes before marker", "Invalid SOS parameters"];

/// Why bytes are no usable picture. Says what, not which: the caller knows the name.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("the JPEG is cut off or damaged: {0}; copy it again")]
    Jpeg(String),
    #[error("the PNG is cut off or damaged: {0}; copy it again")]
    Png(String),
    #[error("it is {width}x{height} pixels; at most {MAX_SIDE} a side and {} million in all are read; scale it down", MAX_PIXELS / 1_000_000)]
    TooLarge { width: u32, height: u32 },
}

/// What the first bytes say a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    Jpeg,
    Png,
}

/// Tells a picture by its first bytes. Twelve suffice.
pub fn kind_of(start: &[u8]) -> Option<PictureKind> {
    if start.starts_with(&[0xff, 0xd8, 0xff]) {
        return Some(PictureKind::Jpeg);
    }
    start.starts_with(b"\x89PNG\r\n\x1a\n").then_some(PictureKind::Png)
}

struct Bytes(Vec<u8>);

impl PlaneData for Bytes {
    fn plane(&self, index: usize) -> &[u8] {
        if index == 0 { &self.0 } else { &[] }
    }
}

struct Rgb {
    width: u32,
    height: u32,
    /// Rows of R, G, B, without padding.
    pixels: Vec<u8>,
}

/// Decodes a whole picture.
pub fn decode(bytes: &[u8], kind: PictureKind) -> Result<HostPlanes, PictureError> {
    let picture = match kind {
        PictureKind::Jpeg => jpeg(bytes)?,
        PictureKind::Png => png(bytes)?,
    };
    let picture = turned(picture, orientation(bytes));
    Ok(HostPlanes {
        format: PixelFormat::Rgb,
        colour: Colour { matrix: Matrix::Bt601, range: Range::Full, chroma_site: ChromaSite::Centre },
        width: picture.width,
        height: picture.height,
        strides: [picture.width as usize * 3, 0, 0],
        data: Arc::new(Bytes(picture.pixels)),
    })
}

fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    Ok(())
}

fn jpeg(bytes: &[u8]) -> Result<Rgb, PictureError> {
    let failed = |error: turbojpeg::Error| {
        let text = error.to_string();
        PictureError::Jpeg(text.strip_prefix("TurboJPEG error: ").unwrap_or(&text).to_owned())
    };
    let mut decompressor = turbojpeg::Decompressor::new().map_err(failed)?;
    let header = decompressor.read_header(bytes).map_err(failed)?;
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let (width, height) = (side(header.width), side(header.height));
    check_size(width, height)?;
    let mut pixels = vec![0; header.width * header.height * 3];
    let image = turbojpeg::Image {
        pixels: pixels.as_mut_slice(),
        width: header.width,
        pitch: header.width * 3,
        height: header.height,
        format: turbojpeg::PixelFormat::RGB,
    };
    // libjpeg fills what is missing with grey and only warns; half a picture is not a picture. Some cameras
    // write harmless oddities, though.
    if let Err(error) = decompressor.decompress(bytes, image) {
        let text = error.to_string();
        if !HARMLESS.iter().any(|harmless| text.contains(harmless)) {
            return Err(failed(error));
        }
    }
    Ok(Rgb { width, height, pixels })
}

fn png(bytes: &[u8]) -> Result<Rgb, PictureError> {
    let failed = |error: png::DecodingError| PictureError::Png(error.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(failed)?;
    let (width, height) = (reader.info().width, reader.info().height);
    check_size(width, height)?;
    let size = reader.output_buffer_size().ok_or(PictureError::TooLarge { width, height })?;
    let mut raw = vec![0; size];
    let frame = reader.next_frame(&mut raw).map_err(failed)?;
    let raw = raw.get(..frame.buffer_size()).unwrap_or(&raw);
    let pixels = match frame.color_type {
        png::ColorType::Rgb => raw.to_vec(),
        png::ColorType::Rgba => raw.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        png::ColorType::Grayscale => raw.iter().flat_map(|&v| [v; 3]).collect(),
        png::ColorType::GrayscaleAlpha => raw.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => return Err(PictureError::Png("its palette was not expanded".into())),
    };
    Ok(Rgb { width, height, pixels })
}

/// The EXIF orientation, 1..8; 1 where there is none.
fn orientation(bytes: &[u8]) -> u32 {
    let exif = exif::Reader::new().read_from_container(&mut Cursor::new(bytes)).ok();
    let field = exif.as_ref().and_then(|exif| exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY));
    field.and_then(|field| field.value.get_uint(0)).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

/// Turns a picture upright (CIPA DC-008, "Orientation").
fn turned(picture: Rgb, orientation: u32) -> Rgb {
    if orientation == 1 {
        return picture;
    }
    let (w, h) = (picture.width as usize, picture.height as usize);
    let swapped = orientation >= 5;
    let (new_w, new_h) = if swapped { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..new_h {
        for x in 0..new_w {
            let (from_x, from_y) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            let at = (from_y * w + from_x) * 3;
            pixels.extend_from_slice(picture.pixels.get(at..at + 3).unwrap_or(&[0; 3]));
        }
    }
    let (width, height) =
        if swapped { (picture.height, picture.width) } else { (picture.width, picture.height) };
    Rgb { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 wide, 3 high; each pixel's red value is its place.
    fn numbered() -> Rgb {
        Rgb { width: 2, height: 3, pixels: (0..6).flat_map(|i| [i, 0, 0]).collect() }
    }

    fn reds(picture: &Rgb) -> (u32, u32, Vec<u8>) {
        (picture.width, picture.height, picture.pixels.chunks(3).map(|p| p[0]).collect())
    }

    #[test]
    fn orientations_as_in_the_standard() {
        let expected: [(u32, u32, [u8; 6]); 8] = [
            (2, 3, [0, 1, 2, 3, 4, 5]),
            (2, 3, [1, 0, 3, 2, 5, 4]),
            (2, 3, [5, 4, 3, 2, 1, 0]),
            (2, 3, [4, 5, 2, 3, 0, 1]),
            (3, 2, [0, 2, 4, 1, 3, 5]),
            (3, 2, [4, 2, 0, 5, 3, 1]),
            (3, 2, [5, 3, 1, 4, 2, 0]),
            (3, 2, [1, 3, 5, 0, 2, 4]),
        ];
        for (orientation, (w, h, reds_wanted)) in (1..).zip(expected) {
            let turned = turned(numbered(), orientation);
            assert_eq!(reds(&turned), (w, h, reds_wanted.to_vec()), "orientation {orientation}");
        }
    }

    #[test]
    fn a_size_beyond_reason_is_refused_before_anything_is_allocated() {
        assert!(check_size(30_000, 10).is_err());
        assert!(check_size(16_000, 16_000).is_err());
        assert!(check_size(8_000, 6_000).is_ok());
    }

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        assert_eq!(kind_of(&[0xff, 0xd8, 0xff, 0xe0]), Some(PictureKind::Jpeg));
        assert_eq!(kind_of(b"\x89PNG\r\n\x1a\n...."), Some(PictureKind::Png));
        assert_eq!(kind_of(b"\0\0\0\x18ftypmp42"), None);
        assert_eq!(kind_of(b""), None);
    }
}
