//! `sightline pipeline`: many cameras to Kafka.

use std::path::{Path, PathBuf};

use sightline_pipeline::secrets::Secrets;
use sightline_pipeline::source;
use sightline_pipeline::topology::FleetOptions;
use sightline_service::seal::Keys;

use crate::cli::PipelineArgs;
use crate::exit::{Failure, Outcome};
use crate::serve::{self, Service, Share, Work};
use crate::traces::{self, Unsaid};
use crate::{cameras, kafka, model};

pub(crate) fn run(args: PipelineArgs) -> Outcome {
    let (cameras, share) = match &args.cameras {
        Some(file) => (cameras::from_file(file)?, None),
        None => (
            Vec::new(),
            Some(Share {
                pool: args.pool.clone(),
                capacity_fps: args.capacity_fps,
                policy: crate::registry::policy(args.policy),
            }),
        ),
    };
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    model::decoding(args.decoding)?;
    if share.is_some() {
        source::gst::follow_no_playlists();
    }
    let model = model::open(&args.model.model, &args.model.reading)?;
    let (service, (tracer, _sending)) = Service::start_with(&args.http, |prometheus, _| {
        traces::start(&args.traces, "sightline-pipeline", Unsaid::Nothing, prometheus)
    })?;
    tracing::info!(http = %service.http.local_addr(), cameras = cameras.len(), device = %model.device(), "starting");
    let work = Work {
        options: FleetOptions {
            pod: args.pod.unwrap_or_else(pod),
            workers: model::workers(&args.model.reading),
            // Registered cameras come and go; a pod that shares them runs many.
            decoder_threads: if share.is_some() { 1 } else { decoder_threads(cameras.len()) },
            track: !args.no_track,
            agnostic_nms: false,
            secrets: Secrets::new(args.secrets.clone(), keys(args.seal_keys.as_deref())?),
            tracer,
        },
        cameras,
        model: &model,
        settings,
        topics: kafka::topics(&args.kafka.settings),
        publishing: &args.publishing,
        share,
        worker: None,
        ends: false,
    };
    serve::run(&service, work, |_| {})
}

/// The file of keys that open what the registry sealed, if it can be used now.
pub(crate) fn keys(file: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    file.map(Keys::load).transpose().map_err(Failure::usage)?;
    Ok(file.map(Path::to_owned))
}

/// Software decoders run with one thread as soon as streams fill the cores: less memory, less switching.
pub(crate) fn decoder_threads(cameras: usize) -> u32 {
    u32::from(cameras >= model::cores())
}

/// This process's name where none is given.
pub(crate) fn pod() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { "pipeline".to_owned() } else { host.to_owned() }
}
