//! Boxes, labels and track ids drawn into what was seen.

mod canvas;
mod picture;
mod video;

pub use picture::write_picture;
pub use video::VideoWriter;

use std::path::{Path, PathBuf};

use sightline_schema::TrackRef;

use crate::detection::Detection;
use crate::lane::Tracked;
use canvas::Mark;

/// Why an annotated file can't be written.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    #[error("{path}: can't be written: {reason}")]
    Write { path: PathBuf, reason: String },
    #[error("drawing failed: {0}")]
    Draw(String),
}

impl From<opencv::Error> for AnnotateError {
    fn from(error: opencv::Error) -> Self {
        Self::Draw(error.message)
    }
}

/// A file under another name until it is whole; dropped before that, it is removed.
#[derive(Debug)]
struct Aside {
    path: PathBuf,
}

impl Aside {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self { path: path.with_file_name(format!(".{name}.{}.part", std::process::id())) }
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// It is whole.
    fn keep(&self, path: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.path, path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Gone already where it was kept or never made.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What is written beside a box: label, track, confidence.
fn caption(detection: &Detection, label: &str, track: Option<&TrackRef>) -> String {
    match track {
        Some(track) => format!("{label} #{} {:.2}", track.id, detection.confidence),
        None => format!("{label} {:.2}", detection.confidence),
    }
}

/// One colour a track, or a class where nothing is tracked: well apart from each other, in R, G, B.
fn colour(detection: &Detection, track: Option<&TrackRef>) -> [u8; 3] {
    const COLOURS: [[u8; 3]; 12] = [
        [230, 57, 70],
        [42, 157, 143],
        [244, 162, 97],
        [69, 123, 219],
        [155, 93, 229],
        [233, 196, 106],
        [0, 187, 249],
        [241, 91, 181],
        [106, 190, 48],
        [255, 112, 30],
        [0, 150, 199],
        [190, 149, 255],
    ];
    let index = track.map_or(u64::from(detection.class_id), |track| track.id);
    COLOURS[usize::try_from(index % COLOURS.len() as u64).unwrap_or(0)]
}

/// What is to be drawn over a frame of `size`, in its pixels.
fn marks(tracked: &Tracked<'_>, (width, height): (usize, usize), label: &dyn Fn(u32) -> String) -> Vec<Mark> {
    let px = |fraction: f32, side: usize| (fraction * side as f32).round() as i32;
    let mark = |(detection, track): &(Detection, Option<TrackRef>)| {
        let b = detection.box2d;
        Mark {
            rect: [px(b.x_min, width), px(b.y_min, height), px(b.x_max, width), px(b.y_max, height)],
            caption: caption(detection, &label(detection.class_id), track.as_ref()),
            rgb: colour(detection, track.as_ref()),
        }
    };
    tracked.detections.iter().map(mark).collect()
}
