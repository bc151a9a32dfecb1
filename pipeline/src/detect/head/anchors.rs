//! The grids whose cells are a YOLO model's anchors.

use crate::letterbox::InputSize;

/// The detection levels of a model over one input: a grid of `height / stride` by `width / stride` cells
/// each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridLevels {
    input: InputSize,
    /// Pixels a cell, finest level first.
    strides: &'static [u32],
}

impl GridLevels {
    /// P3…P5, what nearly all models have; P3…P6; P2…P5.
    const KNOWN: [&'static [u32]; 3] = [&[8, 16, 32], &[8, 16, 32, 64], &[4, 8, 16, 32]];

    /// The levels that have as many cells as there are anchors, each cell `per_cell` anchors.
    pub fn with_anchors(input: InputSize, anchors: usize, per_cell: usize) -> Option<Self> {
        let levels = Self::KNOWN.map(|strides| Self { input, strides });
        levels.into_iter().find(|levels| levels.len().checked_mul(per_cell) == Some(anchors))
    }

    /// YOLOX has one anchor a cell.
    pub(super) fn of_yolox(input: InputSize, anchors: usize) -> Option<Self> {
        Self::with_anchors(input, anchors, 1)
    }

    /// Number of cells in all levels.
    fn len(&self) -> usize {
        self.grids().map(|(rows, columns, _)| rows as usize * columns as usize).sum()
    }

    fn grids(self) -> impl Iterator<Item = (u32, u32, u32)> {
        let InputSize { height, width } = self.input;
        self.strides.iter().map(move |&stride| (height / stride, width / stride, stride))
    }

    /// `x, y, stride` of each cell: level by level, finest first, row by row.
    pub(super) fn cells(self) -> impl Iterator<Item = (u32, u32, u32)> {
        self.grids().flat_map(|(rows, columns, stride)| {
            (0..rows).flat_map(move |y| (0..columns).map(move |x| (x, y, stride)))
        })
    }
}
