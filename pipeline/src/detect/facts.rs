//! What a model says of itself, and what follows from it: head, classes, input. Shapes and metadata decide;
//! what they leave open is asked for.

mod names;
mod refusal;
mod shapes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use self::names::{NamesError, parse_names_file};
pub use self::refusal::Refusal;
use super::head::{Head, preprocess};
use crate::letterbox::{Fit, InputSize, Preprocess, rectangular_input};

/// The longer side of the input where neither the model nor a person says another.
const DEFAULT_IMGSZ: u32 = 640;
/// Coarsest stride of nearly all YOLO models; the metadata may say another.
const DEFAULT_STRIDE: u32 = 32;

/// Type of a tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    F32,
    F16,
    I64,
    /// Any other, by its name.
    Other(String),
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::I64 => "int64",
            Self::Other(name) => name,
        })
    }
}

/// One input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorFacts {
    pub name: String,
    pub element: Element,
    /// None where a dimension is only known when the model runs.
    pub dims: Vec<Option<u64>>,
}

impl TensorFacts {
    /// Every dimension but the batch's is known before a run.
    pub(super) fn is_shaped(&self) -> bool {
        self.dims.iter().skip(1).all(Option::is_some)
    }

    fn is_float(&self) -> bool {
        matches!(self.element, Element::F32 | Element::F16)
    }
}

impl fmt::Display for TensorFacts {
    /// `output0 [1, 84, ?]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> =
            self.dims.iter().map(|dim| dim.map_or("?".into(), |dim| dim.to_string())).collect();
        write!(f, "{} [{}]", self.name, dims.join(", "))
    }
}

/// All that an ONNX file says of itself without being run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelDescription {
    pub inputs: Vec<TensorFacts>,
    pub outputs: Vec<TensorFacts>,
    /// `metadata_props` of the file.
    pub metadata: BTreeMap<String, String>,
}

impl ModelDescription {
    fn says(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(|value| value.trim())
    }
}

/// What a person says of the model: `--head`, `--names`, `--imgsz`. Stronger than what it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub head: Option<Head>,
    pub names: Option<Vec<String>>,
    pub imgsz: Option<ImageSize>,
}

/// `--imgsz N | HxW`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSize {
    /// The longer side; the other follows from the picture's aspect.
    Longest(u32),
    Exact(InputSize),
}

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let side = |text: &str| {
            let length = text.parse::<u32>().ok().filter(|length| (1..=MOST_PIXELS).contains(length));
            length.ok_or_else(|| {
                format!("no input size {given}; give the longer side (640), or height and width (384x640)")
            })
        };
        match given.split_once(['x', 'X']) {
            Some((height, width)) => {
                Ok(Self::Exact(InputSize { height: side(height)?, width: side(width)? }))
            }
            None => Ok(Self::Longest(side(given)?)),
        }
    }
}

/// Longest side of an input, pixels.
const MOST_PIXELS: u32 = 16_384;

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Longest(length) => write!(f, "{length}"),
            Self::Exact(size) => size.fmt(f),
        }
    }
}

/// Where a model's results are, by the outputs' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outputs {
    One(String),
    /// DETR's three.
    Detr {
        labels: String,
        boxes: String,
        scores: String,
    },
}

/// How to run a model and read what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPlan {
    pub head: Head,
    /// Names by class id.
    pub classes: Vec<String>,
    pub preprocess: Preprocess,
    /// Name of the input that takes the picture, `[batch, 3, height, width]`.
    pub images: String,
    /// Type of that input's elements: `F32` or `F16`.
    pub element: Element,
    /// Name of the input that takes width and height of the original picture, `[batch, 2]` of int64: DETR
    /// only.
    pub original_size: Option<String>,
    pub outputs: Outputs,
    /// Pictures a run takes, where the model fixes it.
    pub batch: Option<u64>,
    /// Height and width of the input, where the model fixes them.
    pub fixed_height: Option<u32>,
    pub fixed_width: Option<u32>,
    /// Free dimensions are multiples of it, pixels.
    pub stride: u32,
    /// Size of a free input.
    pub imgsz: ImageSize,
}

impl ModelPlan {
    /// The one input size, where there is only one.
    pub fn fixed_input(&self) -> Option<InputSize> {
        match (self.fixed_height, self.fixed_width, self.imgsz) {
            (Some(height), Some(width), _) => Some(InputSize { height, width }),
            (_, _, ImageSize::Exact(size)) => Some(size),
            _ => None,
        }
    }

    /// Input size for pictures of this width and height.
    pub fn input_for(&self, source: (u32, u32)) -> InputSize {
        let free = match self.imgsz {
            ImageSize::Exact(size) => size,
            // Stretching to the picture's own aspect would be no stretching, and DETR was trained on squares.
            ImageSize::Longest(length) if self.preprocess.fit == Fit::Stretch => {
                InputSize { height: length, width: length }
            }
            ImageSize::Longest(length) => rectangular_input(source, length, self.stride),
        };
        InputSize {
            height: self.fixed_height.unwrap_or(free.height),
            width: self.fixed_width.unwrap_or(free.width),
        }
    }
}

/// Tells head, classes and input, or says what is in the way.
pub fn understand(model: &ModelDescription, overrides: &Overrides) -> Result<ModelPlan, Refusal> {
    if let Some(task) = model.says("task").filter(|&task| task != "detect") {
        return Err(Refusal::Task { task: task.into() });
    }
    let images = shapes::picture_input(model)?;
    // Static only: a symbolic dimension is as good as none.
    let fixed = |axis: usize| images.dims[axis].and_then(|dim| u32::try_from(dim).ok());
    let (fixed_height, fixed_width) = (fixed(2), fixed(3));

    let names = match &overrides.names {
        Some(names) => Some(names.clone()),
        None => names::of_metadata(model)?,
    };
    let head = shapes::tell_head(model, images, overrides.head, names.as_ref().map(Vec::len))?;
    let classes = names.filter(|names| !names.is_empty()).ok_or(Refusal::NoNames { head })?;
    let layout = shapes::layout(model, images, head, classes.len())?;

    let stride = model.says("stride").and_then(parse_stride).unwrap_or(DEFAULT_STRIDE);
    if let Some(asked) = overrides.imgsz {
        check_imgsz(asked, fixed_height, fixed_width, stride)?;
    }
    let imgsz = overrides.imgsz.unwrap_or(ImageSize::Longest(exported_imgsz(model).unwrap_or(DEFAULT_IMGSZ)));
    Ok(ModelPlan {
        head,
        classes,
        preprocess: preprocess(head),
        images: images.name.clone(),
        element: images.element.clone(),
        original_size: layout.original_size,
        outputs: layout.outputs,
        batch: images.dims[0],
        fixed_height,
        fixed_width,
        stride,
        imgsz,
    })
}

/// Every fixed side has to be the one asked for, every free one a multiple of the stride.
fn check_imgsz(
    asked: ImageSize,
    height: Option<u32>,
    width: Option<u32>,
    stride: u32,
) -> Result<(), Refusal> {
    let fits = match (asked, height, width) {
        (ImageSize::Longest(length), Some(height), Some(width)) => height.max(width) == length,
        (ImageSize::Longest(length), height, width) => height.or(width).is_none_or(|side| side <= length),
        (ImageSize::Exact(size), height, width) => {
            height.is_none_or(|height| height == size.height) && width.is_none_or(|width| width == size.width)
        }
    };
    if !fits {
        let side = |side: Option<u32>| side.map_or("?".into(), |side| side.to_string());
        return Err(Refusal::StaticInput { asked, model: format!("{}x{}", side(height), side(width)) });
    }
    let free = match (asked, height, width) {
        (_, Some(_), Some(_)) => vec![],
        (ImageSize::Longest(length), _, _) => vec![length],
        (ImageSize::Exact(size), None, None) => vec![size.height, size.width],
        (ImageSize::Exact(size), None, Some(_)) => vec![size.height],
        (ImageSize::Exact(size), Some(_), None) => vec![size.width],
    };
    match free.into_iter().find(|side| side % stride != 0) {
        Some(side) => Err(Refusal::NotOfStride { side, stride }),
        None => Ok(()),
    }
}

/// `32`, or a list of which the coarsest counts.
fn parse_stride(text: &str) -> Option<u32> {
    numbers(text).into_iter().filter(|stride| (1..=1024).contains(stride)).max()
}

/// The longer side the model was exported for: `[640, 640]`.
fn exported_imgsz(model: &ModelDescription) -> Option<u32> {
    numbers(model.says("imgsz")?).into_iter().filter(|side| (1..=MOST_PIXELS).contains(side)).max()
}

/// The whole numbers in a text, `32.0` counting as 32.
fn numbers(text: &str) -> Vec<u32> {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    words.filter_map(|word| word.split('.').next()?.parse().ok()).collect()
}
