//! Where cameras come from: a file, or addresses on the command line.

use std::collections::BTreeSet;
use std::path::Path;

use sightline_pipeline::source::address::{Address, Kind};
use sightline_schema::{Camera, CameraFile, Play, Sampling, redact_uris};

use crate::cli::ThresholdArgs;
use crate::exit::Failure;

/// Reads a `cameras.yaml`.
pub(crate) fn from_file(path: &Path) -> Result<Vec<Camera>, Failure> {
    let refuse = |reason: &str| Failure::usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(&error.to_string()))?;
    let file: CameraFile = serde_norway::from_str(&text).map_err(|error| {
        refuse(&format!(
            "{}; docs/CONFIGURATION.md says what a camera may hold",
            redact_uris(&error.to_string())
        ))
    })?;
    file.validate().map_err(|error| refuse(&error.to_string()))?;
    let base = path.parent().unwrap_or(Path::new("."));
    Ok(file.cameras.into_iter().map(|camera| relative_to(base, camera)).collect())
}

/// A path in a file of cameras is meant from where that file lies.
fn relative_to(base: &Path, mut camera: Camera) -> Camera {
    for stream in &mut camera.streams {
        if !stream.uri.contains("://") && Path::new(&stream.uri).is_relative() {
            stream.uri = base.join(&stream.uri).to_string_lossy().into_owned();
        }
    }
    camera
}

/// Cameras for addresses, named after them. Files play in a loop unless `once`.
pub(crate) fn from_inputs(
    inputs: &[String],
    once: bool,
    thresholds: &ThresholdArgs,
) -> Result<Vec<Camera>, Failure> {
    let mut taken = BTreeSet::new();
    let mut cameras = Vec::new();
    for input in inputs {
        let address = Address::parse(input).map_err(Failure::usage)?;
        if let Some(path) = address.path()
            && !path.is_file()
        {
            return Err(Failure::usage(format!("{address}: there is no such file")));
        }
        let mut camera = from_thresholds(&unique(&id_of(&address), &mut taken), input, thresholds);
        if let Some(stream) = camera.streams.first_mut()
            && matches!(address.kind(), Kind::File | Kind::Http | Kind::Object)
        {
            stream.play = Some(if once { Play::Once } else { Play::Loop });
        }
        cameras.push(camera);
    }
    Ok(cameras)
}

/// One camera with what the flags say of detections.
pub(crate) fn from_thresholds(id: &str, input: &str, thresholds: &ThresholdArgs) -> Camera {
    let mut camera = Camera::new(id, input);
    camera.detect.classes.clone_from(&thresholds.classes);
    camera.detect.confidence = thresholds.confidence;
    camera.detect.iou = thresholds.iou;
    if let Some(fps) = thresholds.fps {
        camera.sampling = Sampling::Fps { fps };
    }
    camera
}

/// A DNS label out of an address: a file's stem, or host and path.
fn id_of(address: &Address) -> String {
    let shown = address.to_string();
    let rest = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let named = match address.kind() {
        Kind::File => {
            let name = rest.rsplit('/').next().unwrap_or(rest);
            name.rsplit_once('.').map_or(name, |(stem, _)| stem)
        }
        _ => rest,
    };
    let label: String =
        named.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut words = label.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    words.truncate(50);
    let words = words.trim_matches('-');
    if words.is_empty() { "camera".to_owned() } else { words.to_owned() }
}

fn unique(id: &str, taken: &mut BTreeSet<String>) -> String {
    let id = std::iter::once(id.to_owned())
        .chain((2..).map(|n| format!("{id}-{n}")))
        .find(|id| !taken.contains(id))
        .unwrap_or_else(|| id.to_owned());
    taken.insert(id.clone());
    id
}

/// Ids are unique over all sources of cameras.
pub(crate) fn check_unique(cameras: &[Camera]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for camera in cameras {
        if !seen.insert(&camera.id) {
            return Err(Failure::usage(format!("two cameras are called {}; rename one", camera.id)));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_give_names_one_can_type() {
        let id = |given: &str| id_of(&Address::parse(given).unwrap());
        assert_eq!(id("/data/North Gate_2.mp4"), "north-gate-2");
        assert_eq!(id("rtsp://ann:pw@10.0.0.5/stream"), "10-0-0-5-stream");
        assert_eq!(id("test://ball?frames=5"), "ball");
        let mut taken = BTreeSet::new();
        assert_eq!([unique("a", &mut taken), unique("a", &mut taken)], ["a", "a-2"]);
    }
}
