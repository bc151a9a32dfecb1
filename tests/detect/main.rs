//! `sightline detect` by its contract: what scripts hang on, on real pictures and clips.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/media.rs"]
mod media;
#[path = "../support/onnx.rs"]
mod onnx;
#[path = "../support/sightline.rs"]
mod sightline;

mod annotate;
mod bad_input;
mod codecs;
mod contract;
mod models;
mod pictures;
mod track;

use std::path::Path;
use std::process::Output;

use frames::Frame;
use sightline::{data, fast_model};

/// `sightline detect` with the fast model and its lines on standard output.
fn detect(inputs: &[&str], more: &[&str]) -> Output {
    let model = fast_model();
    sightline::output(&[&["detect", "--model", &model, "--out", "-"], inputs, more].concat())
}

/// The same, and all went well.
fn lines(inputs: &[&str], more: &[&str]) -> Vec<Frame> {
    let output = detect(inputs, more);
    assert!(output.status.success(), "{}", stderr(&output));
    frames::parse(&stdout(&output))
}

fn picture(name: &str) -> String {
    data(&format!("images/{name}.jpg")).to_string_lossy().into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Everything in a folder, hidden files too.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Labels of a line, sorted.
fn labels(frame: &Frame) -> Vec<&str> {
    let mut labels: Vec<_> = frame.detections.iter().map(|detection| detection.label.as_str()).collect();
    labels.sort_unstable();
    labels
}
