//! Finding and loading the ONNX Runtime library, once per process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;

/// Where to look is in the error, since a person has to act on it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error(
        "ONNX Runtime is not here (looked at {looked}); run `make deps`, or name libonnxruntime.so with \
         --onnxruntime or SIGHTLINE_ONNXRUNTIME"
    )]
    NotFound { looked: String },
    #[error("ONNX Runtime at {path} can't be loaded: {reason}; version 1.24 or later is needed")]
    Unloadable { path: String, reason: String },
}

static ENVIRONMENT: OnceLock<Result<Environment, RuntimeError>> = OnceLock::new();

/// Loads the library: `path` if one is given, else from beside the command or the working directory.
/// The first call decides for the process.
pub(super) fn environment(path: Option<&Path>) -> Result<&'static Environment, RuntimeError> {
    ENVIRONMENT.get_or_init(|| load(path)).as_ref().map_err(Clone::clone)
}

fn load(path: Option<&Path>) -> Result<Environment, RuntimeError> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => find()?,
    };
    let unloadable = |reason: String| RuntimeError::Unloadable { path: path.display().to_string(), reason };
    if !path.is_file() {
        return Err(unloadable("there is no such file".into()));
    }
    // A library of the wrong kind makes the loader panic in its version check.
    std::panic::catch_unwind(|| {
        let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
        let environment = builder
            .with_name("sightline")
            .with_telemetry(false)
            .build()
            .map_err(|error| error.to_string())?;
        // What goes wrong comes back as an error; its own log would say it again, in its own words.
        environment.set_log_level(LogLevel::Fatal);
        Ok(environment)
    })
    .unwrap_or_else(|_| Err("it is not a usable ONNX Runtime".into()))
    .map_err(unloadable)
}

fn find() -> Result<PathBuf, RuntimeError> {
    let mut places = Vec::new();
    if let Some(directory) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)) {
        places.push(directory.clone());
        places.push(directory.join("../lib"));
        // A build tree: target/PROFILE/sightline, target/PROFILE/deps/test.
        for up in ["../..", "../../.."] {
            places.push(directory.join(up).join(".deps/onnxruntime"));
        }
    }
    places.push(PathBuf::from(".deps/onnxruntime"));
    places.push(PathBuf::from("/usr/local/lib"));
    places.push(PathBuf::from("/usr/lib"));
    places.iter().find_map(|place| newest_in(place)).ok_or_else(|| RuntimeError::NotFound {
        looked: places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

fn newest_in(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
        })
        .max()
}
