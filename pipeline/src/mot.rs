//! Rows of the MOT challenge's text format: `frame,id,x,y,w,h,conf[,class_id[,…]]`, pixels, frames from 1.

use std::io::{BufRead, Write};

use sightline_schema::Box2d;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotRow {
    /// From 1 in the format itself; some files count from 0.
    pub frame: u64,
    /// None where the file says −1: a detection, not yet a track.
    pub id: Option<u64>,
    /// Left edge, pixels.
    pub x: f64,
    /// Top edge, pixels.
    pub y: f64,
    pub width: f64,
    pub height: f64,
    pub confidence: f64,
    /// None where there is no such column or it says −1.
    pub class_id: Option<u32>,
}

/// Why a file of MOT rows could not be read or written. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum MotError {
    #[error(
        "line {line}: a MOT row has at least 7 columns, frame,id,x,y,w,h,conf[,class_id]; this one has {columns}"
    )]
    TooFewColumns { line: usize, columns: usize },
    #[error("line {line}: {column} is `{value}`; {expected} is expected there")]
    Value { line: usize, column: &'static str, value: String, expected: &'static str },
    #[error("line {line}: cannot be read: {source}")]
    Read { line: usize, source: std::io::Error },
    #[error("cannot write MOT rows: {0}")]
    Write(#[source] std::io::Error),
}

impl MotRow {
    /// In fractions of a frame of `size` (width, height) pixels; not clipped.
    pub fn box2d(&self, size: (u32, u32)) -> Box2d {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        Box2d {
            x_min: (self.x / width) as f32,
            y_min: (self.y / height) as f32,
            x_max: ((self.x + self.width) / width) as f32,
            y_max: ((self.y + self.height) / height) as f32,
        }
    }

    /// The row with another box, given in fractions of the frame; pixels to three decimals.
    pub fn with_box(self, box2d: Box2d, size: (u32, u32)) -> Self {
        let pixels = |fraction: f32, size: u32| (f64::from(fraction) * f64::from(size) * 1e3).round() / 1e3;
        Self {
            x: pixels(box2d.x_min, size.0),
            y: pixels(box2d.y_min, size.1),
            width: pixels(box2d.x_max - box2d.x_min, size.0),
            height: pixels(box2d.y_max - box2d.y_min, size.1),
            ..self
        }
    }
}

/// Reads all rows, in the file's order. Empty lines and columns after the eighth are ignored.
pub fn read(input: impl BufRead) -> Result<Vec<MotRow>, MotError> {
    let mut rows = Vec::new();
    for (index, text) in input.lines().enumerate() {
        let line = index + 1;
        let text = text.map_err(|source| MotError::Read { line, source })?;
        if !text.trim().is_empty() {
            rows.push(parse(&text, line)?);
        }
    }
    Ok(rows)
}

/// Reads one row; `line` is for the error.
pub fn parse(text: &str, line: usize) -> Result<MotRow, MotError> {
    let columns: Vec<&str> = text.split(',').map(str::trim).collect();
    if columns.len() < 7 {
        return Err(MotError::TooFewColumns { line, columns: columns.len() });
    }
    let refuse = |name, value: &str, expected| MotError::Value {
        line,
        column: name,
        value: value.chars().take(40).collect(),
        expected,
    };
    let number = |index: usize, name| {
        let value = columns[index];
        let number: Option<f64> = value.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| refuse(name, value, "a number"))
    };
    // Whole numbers are written with decimals by some tools (`7.0`, `7.000000e+00`).
    let whole = |index: usize, name, expected| {
        let value = number(index, name).map_err(|_| refuse(name, columns[index], expected))?;
        let is_whole = value.fract() == 0.0 && (-1.0..=MAX_WHOLE).contains(&value);
        if is_whole { Ok(value) } else { Err(refuse(name, columns[index], expected)) }
    };
    let frame = whole(0, "frame", "a whole number, 0 or more")?;
    if frame < 0.0 {
        return Err(refuse("frame", columns[0], "a whole number, 0 or more"));
    }
    let id = whole(1, "id", "a whole number, or -1")?;
    let class_id = if columns.len() > 7 && !columns[7].is_empty() {
        Some(whole(7, "class_id", "a whole number, or -1")?).filter(|&class_id| class_id >= 0.0)
    } else {
        None
    };
    let class_id = match class_id {
        Some(class_id) if class_id > f64::from(u32::MAX) => {
            return Err(refuse("class_id", columns[7], "a whole number, or -1"));
        }
        class_id => class_id.map(|class_id| class_id as u32),
    };
    Ok(MotRow {
        frame: frame as u64,
        id: (id >= 0.0).then_some(id as u64),
        x: number(2, "x")?,
        y: number(3, "y")?,
        width: number(4, "w")?,
        height: number(5, "h")?,
        confidence: number(6, "conf")?,
        class_id,
    })
}

/// Whole numbers up to here are exact in a double.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Writes rows with eight columns; −1 where there is no id or no class. Shortest decimals that read back the
/// same.
pub fn write(mut output: impl Write, rows: &[MotRow]) -> Result<(), MotError> {
    for row in rows {
        let MotRow { frame, x, y, width, height, confidence, .. } = row;
        let id = row.id.map_or_else(|| "-1".to_owned(), |id| id.to_string());
        let class_id = row.class_id.map_or_else(|| "-1".to_owned(), |class_id| class_id.to_string());
        writeln!(output, "{frame},{id},{x},{y},{width},{height},{confidence},{class_id}")
            .map_err(MotError::Write)?;
    }
    output.flush().map_err(MotError::Write)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
