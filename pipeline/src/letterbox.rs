//! From a decoded picture's planes to the model's input in one pass: the only time a pixel is touched.
//!
//! Luma and chroma are each sampled bilinearly at their own resolution, the chroma site honoured, and become
//! RGB behind that; nothing is rounded in between and nothing is smoothed before it (`cv2.INTER_LINEAR`, as
//! the models were trained and measured).

mod colour;
mod geometry;
mod sampler;
#[cfg(test)]
mod tests;

use self::colour::Conversion;
pub use self::geometry::{Fit, Geometry, InputSize, rectangular_input};
use self::sampler::{Axis, PlaneSampler};
use crate::frame::{ChromaSite, Colour, HostPlanes, PixelFormat};

/// Order of the tensor's three channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    Rgb,
    Bgr,
}

/// What a model wants its input to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    pub fit: Fit,
    pub order: ChannelOrder,
    /// Values 0..1; else 0..255.
    pub unit: bool,
    /// Value of the padding, 0..255 whatever `unit` says.
    pub pad: f32,
}

/// Why a picture could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LetterboxError {
    #[error("the letterbox is made for another picture: size, format, or colour differ")]
    OtherPicture,
    #[error("plane {plane} of the picture has {have} bytes at stride {stride}; {need} are needed")]
    ShortPlane { plane: usize, stride: usize, have: usize, need: usize },
    #[error("the picture is empty")]
    Empty,
    #[error("the tensor has {have} values; {need} are needed")]
    WrongTensor { have: usize, need: usize },
}

/// Tables and row buffers for pictures of one size and format going into one input; built once, used for
/// each.
#[derive(Debug)]
pub struct Letterbox {
    source: (u32, u32),
    format: PixelFormat,
    colour: Colour,
    preprocess: Preprocess,
    geometry: Geometry,
    conversion: Conversion,
    /// One per plane of the format.
    samplers: Vec<PlaneSampler>,
}

impl Letterbox {
    /// `source` is width and height in pixels.
    pub fn new(
        source: (u32, u32),
        format: PixelFormat,
        colour: Colour,
        input: InputSize,
        preprocess: Preprocess,
    ) -> Self {
        let geometry = Geometry::new(source, input, preprocess.fit);
        let plane = |across: u32, down: u32, channels: usize| {
            let cosited = across > 1 && colour.chroma_site == ChromaSite::Left;
            let (width, height) = (geometry.resized.0, geometry.resized.1);
            let horizontal = Axis { source: source.0, resized: width, subsampling: across, cosited };
            let vertical = Axis { source: source.1, resized: height, subsampling: down, cosited: false };
            PlaneSampler::new(horizontal, vertical, channels)
        };
        let samplers = match format {
            PixelFormat::I420 => vec![plane(1, 1, 1), plane(2, 2, 1), plane(2, 2, 1)],
            PixelFormat::Nv12 => vec![plane(1, 1, 1), plane(2, 2, 2)],
            PixelFormat::I422 => vec![plane(1, 1, 1), plane(2, 1, 1), plane(2, 1, 1)],
            PixelFormat::I444 => vec![plane(1, 1, 1), plane(1, 1, 1), plane(1, 1, 1)],
            PixelFormat::Gray8 => vec![plane(1, 1, 1)],
            PixelFormat::Rgb => vec![plane(1, 1, 3)],
        };
        let conversion = Conversion::new(colour, preprocess.unit);
        Self { source, format, colour, preprocess, geometry, conversion, samplers }
    }

    /// Whether this one serves such a picture; strides may differ from picture to picture.
    pub fn matches(&self, planes: &HostPlanes, input: InputSize) -> bool {
        self.serves(planes) && self.geometry.input == input
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Writes one picture of a tensor, `[3, height, width]`: every value, padding included.
    pub fn write(&mut self, planes: &HostPlanes, out: &mut [f32]) -> Result<(), LetterboxError> {
        self.check(planes, out.len())?;
        let Geometry { input, resized, left, top, .. } = self.geometry;
        let [width, height] = [input.width, input.height].map(|length| length as usize);
        let (left, top, columns, rows) =
            (left as usize, top as usize, resized.0 as usize, resized.1 as usize);
        let (first, rest) = out.split_at_mut(width * height);
        let (second, third) = rest.split_at_mut(width * height);
        let mut channels = [first, second, third];

        let pad = if self.preprocess.unit { self.preprocess.pad / 255.0 } else { self.preprocess.pad };
        for channel in &mut channels {
            channel[..top * width].fill(pad);
            channel[(top + rows) * width..].fill(pad);
            if columns < width {
                for row in channel[top * width..(top + rows) * width].chunks_exact_mut(width) {
                    row[..left].fill(pad);
                    row[left + columns..].fill(pad);
                }
            }
        }

        self.samplers.iter_mut().for_each(PlaneSampler::start);
        if self.preprocess.order == ChannelOrder::Bgr {
            channels.reverse();
        }
        for y in 0..rows {
            for (index, sampler) in self.samplers.iter_mut().enumerate() {
                sampler.advance(planes.plane(index), planes.strides[index], y);
            }
            let at = (top + y) * width + left;
            let out = channels.each_mut().map(|channel| &mut channel[at..at + columns]);
            self.write_row(y, out);
        }
        Ok(())
    }

    /// `out` is R, G, B.
    fn write_row(&self, y: usize, out: [&mut [f32]; 3]) {
        let line = |plane: usize, channel: usize| self.samplers[plane].line(y, channel);
        match self.format {
            PixelFormat::I420 | PixelFormat::I422 | PixelFormat::I444 => {
                self.conversion.yuv([line(0, 0), line(1, 0), line(2, 0)], out);
            }
            PixelFormat::Nv12 => self.conversion.yuv([line(0, 0), line(1, 0), line(1, 1)], out),
            PixelFormat::Gray8 => self.conversion.gray(line(0, 0), out),
            PixelFormat::Rgb => {
                for (channel, out) in out.into_iter().enumerate() {
                    self.conversion.plain(line(0, channel), out);
                }
            }
        }
    }

    fn serves(&self, planes: &HostPlanes) -> bool {
        (planes.width, planes.height) == self.source
            && planes.format == self.format
            && planes.colour == self.colour
    }

    fn check(&self, planes: &HostPlanes, have: usize) -> Result<(), LetterboxError> {
        if !self.serves(planes) {
            return Err(LetterboxError::OtherPicture);
        }
        if self.source.0 == 0 || self.source.1 == 0 {
            return Err(LetterboxError::Empty);
        }
        let need = 3 * self.geometry.input.width as usize * self.geometry.input.height as usize;
        if have != need {
            return Err(LetterboxError::WrongTensor { have, need });
        }
        for (plane, sampler) in self.samplers.iter().enumerate() {
            let (stride, have) = (planes.strides[plane], planes.plane(plane).len());
            let need = sampler.least_bytes(stride.max(sampler.row_bytes()));
            if stride < sampler.row_bytes() || have < need {
                return Err(LetterboxError::ShortPlane { plane, stride, have, need });
            }
        }
        Ok(())
    }
}
