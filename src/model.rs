//! The model's flags, read; `sightline model inspect`.

use std::path::Path;

use sightline_pipeline::detect::{
    Device, DeviceChoice, EngineCache, Model, ModelError, ModelOptions, parse_names_file,
};
use sightline_pipeline::source::gst;

use crate::cli::{DecodingArgs, InspectArgs, ModelAction, ModelCommandArgs, ModelReadingArgs, OutputFormat};
use crate::exit::{Code, Failure, Outcome};

/// Loads a model, or says why not with the exit code that belongs to it.
pub(crate) fn open(path: &Path, reading: &ModelReadingArgs) -> Result<Model, Failure> {
    Model::open(&options(path, reading)?).map_err(refused)
}

fn options(path: &Path, reading: &ModelReadingArgs) -> Result<ModelOptions, Failure> {
    let names = match &reading.names {
        None => None,
        Some(file) => {
            let told = |reason: String| Failure::usage(format!("--names {}: {reason}", file.display()));
            let text = std::fs::read_to_string(file).map_err(|error| told(error.to_string()))?;
            Some(parse_names_file(&text).map_err(|error| told(error.to_string()))?)
        }
    };
    let engine_cache = match (&reading.engine_cache, reading.device) {
        (None, _) => None,
        (Some(directory), DeviceChoice::Is(Device::TensorRt(_))) => {
            let told = |sentence| Failure::new(Code::CannotWrite, sentence);
            Some(EngineCache::open(directory).map_err(told)?)
        }
        (Some(_), device) => {
            return Err(Failure::usage(format!(
                "--engine-cache keeps what TensorRT builds, and the device is {device}; say --device tensorrt, or leave it out"
            )));
        }
    };
    Ok(ModelOptions {
        path: path.to_owned(),
        head: reading.head,
        names,
        imgsz: reading.imgsz,
        device: reading.device,
        runtime: reading.onnxruntime.clone(),
        engine_cache,
    })
}

/// Makes GStreamer ready, with the decoder that was asked for.
pub(crate) fn decoding(args: DecodingArgs) -> Outcome {
    gst::init().map_err(Failure::failed)?;
    gst::decoders::choose(args.decoder).map_err(|sentence| Failure::new(Code::DeviceRefused, sentence))
}

/// Detect workers: one a core where nothing else is said.
pub(crate) fn workers(reading: &ModelReadingArgs) -> usize {
    reading.workers.map_or_else(cores, usize::from)
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(crate) fn refused(error: ModelError) -> Failure {
    let code = match &error {
        ModelError::Device { .. } => Code::DeviceRefused,
        ModelError::Internal(_) => Code::Failed,
        _ => Code::ModelRefused,
    };
    Failure::new(code, error)
}

pub(crate) fn run(args: &ModelCommandArgs) -> Outcome {
    match &args.action {
        ModelAction::Inspect(args) => inspect(args),
    }
}

fn inspect(args: &InspectArgs) -> Outcome {
    let inspection = Model::inspect(&options(&args.model, &args.reading)?).map_err(refused)?;
    match args.output {
        OutputFormat::Text => print!("{inspection}"),
        OutputFormat::Json => println!("{}", inspection.to_json()),
    }
    match inspection.refusal() {
        None => Ok(()),
        // The text said why already; a script reads the code.
        Some(_) => Err(Failure::silent(Code::ModelRefused)),
    }
}
