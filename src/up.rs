//! `sightline up`: all of it in one process.

use std::path::{Path, PathBuf};

use sightline_pipeline::source;
use sightline_pipeline::topology::FleetOptions;
use sightline_schema::EMBEDDED_PARTITIONS;
use sightline_service::kafka::{EmbeddedBroker, KafkaSettings};

use crate::cli::UpArgs;
use crate::exit::{Failure, Outcome};
use crate::pipeline::{decoder_threads, pod};
use crate::serve::{self, Service, Work};
use crate::table::Table;
use crate::{cameras, kafka, model};

pub(crate) fn run(args: UpArgs) -> Outcome {
    let (inputs, model_path) = what_to_run(&args)?;
    let mut all = cameras::from_inputs(&inputs, args.once, &args.thresholds)?;
    if let Some(file) = &args.cameras {
        all.extend(cameras::from_file(file)?);
    }
    cameras::check_unique(&all)?;
    source::gst::init().map_err(Failure::failed)?;
    let model = model::open(&model_path, &args.reading)?;
    let service = Service::start(&args.http)?;
    let topics = kafka::topics(&args.settings);
    let (embedded, settings) = match &args.kafka {
        Some(bootstrap) => (None, kafka::settings(bootstrap, &args.settings)?),
        None => {
            let wanted = topics.wanted(EMBEDDED_PARTITIONS);
            let names: Vec<_> = wanted.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
            let broker = EmbeddedBroker::start(&names).map_err(Failure::failed)?;
            let settings = KafkaSettings::plain(broker.bootstrap_servers());
            (Some(broker), settings)
        }
    };
    banner(&service, &settings, embedded.is_some(), &model.device().to_string(), &topics.detections());
    let work = Work {
        options: FleetOptions {
            pod: pod(),
            workers: model::workers(&args.reading),
            decoder_threads: decoder_threads(all.len()),
            track: !args.thresholds.no_track,
        },
        cameras: all,
        model: &model,
        settings,
        topics,
        publishing: &args.publishing,
        ends: args.once,
    };
    let table = Table::new(&work.cameras, &service.metrics);
    serve::run(&service, work, |shutdown| table.run(shutdown))
}

/// Without inputs and cameras: the sample clip. Without a model: the sample's.
fn what_to_run(args: &UpArgs) -> Result<(Vec<String>, PathBuf), Failure> {
    let sample = |file: &str| {
        let beside = std::env::current_exe().ok();
        let roots = beside.iter().flat_map(|exe| exe.ancestors().skip(1)).take(4).map(Path::to_owned);
        std::iter::once(PathBuf::from("."))
            .chain(roots)
            .map(|root| root.join("samples").join(file))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                Failure::usage(format!("samples/{file} is not here; name an INPUT and a --model, or run it from the repository"))
            })
    };
    let inputs = match args.inputs.is_empty() && args.cameras.is_none() {
        true => vec![sample("junction.mp4")?.to_string_lossy().into_owned()],
        false => args.inputs.clone(),
    };
    let model = match &args.model {
        Some(model) => model.clone(),
        None if args.inputs.is_empty() && args.cameras.is_none() => sample("junction.onnx")?,
        None => return Err(Failure::usage("which model? give --model FILE.onnx (samples/export_yolo.md says how to make one)")),
    };
    Ok((inputs, model))
}

fn banner(service: &Service, settings: &KafkaSettings, embedded: bool, device: &str, topic: &str) {
    let broker = settings.bootstrap();
    eprintln!("sightline {} · model on {device} · metrics at http://{}/metrics", env!("CARGO_PKG_VERSION"), service.http.local_addr());
    if embedded {
        eprintln!("the broker at {broker} is for trying out: it lives in this process and forgets everything with it");
    } else {
        eprintln!("kafka at {broker}");
    }
    eprintln!("read what is detected:  kcat -C -q -b {broker} -t {topic} -o end");
    eprintln!("and how cameras fare:   kcat -C -q -b {broker} -t {} -o beginning", topic.replace("detections", "camera-status"));
    eprintln!("Ctrl-C ends it.\n");
}
