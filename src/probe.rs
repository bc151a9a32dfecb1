//! `sightline probe`: what a stream is, before it becomes a camera.

use std::time::Duration;

use sightline_pipeline::detect::Thresholds;
use sightline_pipeline::probe::{ProbeOptions, probe};
use sightline_pipeline::source::address::Address;
use sightline_schema::Camera;

use crate::cli::{OutputFormat, ProbeArgs};
use crate::detect::told;
use crate::exit::{Failure, Outcome};
use crate::model;

/// How long a first picture may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn run(args: &ProbeArgs) -> Outcome {
    let uri = match args.uri.as_str() {
        // Who lists processes sees no password.
        "-" => std::io::read_to_string(std::io::stdin()).map_err(Failure::usage)?,
        uri => uri.to_owned(),
    };
    let address = Address::parse(uri.trim()).map_err(Failure::usage)?;
    model::decoding(args.decoding)?;
    let model = args.model.as_ref().map(|path| model::open(path, &args.reading)).transpose()?;
    let of_model = model.as_ref().map(|model| {
        Thresholds::of(&Camera::new("probe", "probe"), &model.classes(), false)
            .map(|thresholds| (model, thresholds))
            .map_err(Failure::usage)
    });
    let of_model = of_model.transpose()?;
    let options = ProbeOptions {
        address: address.clone(),
        transport: args.transport.into(),
        latency_ms: 200,
        duration: Duration::from_secs_f64(args.seconds),
        patience: PATIENCE,
        wanted_fps: args.fps,
    };
    let of_model = of_model.as_ref().map(|(model, thresholds)| (*model, thresholds));
    let probed = probe(&options, of_model).map_err(|error| Failure::failed(told(&address, &error)))?;
    match args.output {
        OutputFormat::Text => print!("{probed}"),
        // Numbers and strings alone: nothing in it can fail.
        OutputFormat::Json => println!("{}", serde_json::to_string(&probed).unwrap_or_default()),
    }
    Ok(())
}
