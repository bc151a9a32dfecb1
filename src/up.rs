//! `sightline up`: all of it in one process.

use std::path::{Path, PathBuf};

use sightline_pipeline::secrets::Secrets;
use sightline_pipeline::source;
use sightline_pipeline::topology::FleetOptions;
use sightline_schema::{EMBEDDED_PARTITIONS, Topics};
use sightline_service::kafka::{EmbeddedBroker, KafkaSettings};

use crate::cli::{LogFormat, UpArgs};
use crate::exit::{Failure, Outcome};
use crate::pipeline::{decoder_threads, pod};
use crate::serve::{self, Service, Work};
use crate::table::Table;
use crate::{cameras, kafka, model};

pub(crate) fn run(args: UpArgs, log: LogFormat) -> Outcome {
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
            let wanted = topics.wanted(EMBEDDED_PARTITIONS, &["default"]);
            let names: Vec<_> = wanted.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
            let broker = EmbeddedBroker::start(&names).map_err(Failure::failed)?;
            let settings = KafkaSettings::plain(broker.bootstrap_servers());
            (Some(broker), settings)
        }
    };
    let banner = Banner {
        metrics: format!("http://{}/metrics", service.http.local_addr()),
        device: model.device().to_string(),
        broker: settings.bootstrap().to_owned(),
        embedded: embedded.is_some(),
        kafka_config: args.settings.kafka_config.clone(),
        topics: topics.clone(),
    };
    banner.show(log);
    let work = Work {
        options: FleetOptions {
            pod: pod(),
            workers: model::workers(&args.reading),
            decoder_threads: decoder_threads(all.len()),
            track: !args.thresholds.no_track,
            agnostic_nms: args.thresholds.agnostic_nms,
            secrets: Secrets::new(args.secrets.clone(), None),
        },
        cameras: all,
        model: &model,
        settings,
        topics,
        publishing: &args.publishing,
        share: None,
        ends: args.once,
    };
    let table = Table::new(&work.cameras, &service.metrics, log);
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
                Failure::usage(format!(
                    "samples/{file} is not here; name an INPUT and a --model, or run it from the repository"
                ))
            })
    };
    let inputs = match args.inputs.is_empty() && args.cameras.is_none() {
        true => vec![sample("junction.mp4")?.to_string_lossy().into_owned()],
        false => args.inputs.clone(),
    };
    let model = match &args.model {
        Some(model) => model.clone(),
        None if args.inputs.is_empty() && args.cameras.is_none() => sample("junction.onnx")?,
        None => {
            return Err(Failure::usage(
                "which model? give --model FILE.onnx (samples/export_yolo.md says how to make one)",
            ));
        }
    };
    Ok((inputs, model))
}

/// What a person needs to know first: where things are, and how results are read.
struct Banner {
    metrics: String,
    device: String,
    broker: String,
    embedded: bool,
    kafka_config: Option<PathBuf>,
    topics: Topics,
}

impl Banner {
    fn show(&self, log: LogFormat) {
        let Self { metrics, device, broker, .. } = self;
        let detections = self.kcat(&self.topics.detections(), "end");
        let statuses = self.kcat(&self.topics.camera_status(), "beginning");
        if log == LogFormat::Json {
            let embedded = self.embedded;
            return tracing::info!(metrics, device, broker, embedded, detections, statuses, "up");
        }
        eprintln!("sightline {} · model on {device} · metrics at {metrics}", env!("CARGO_PKG_VERSION"));
        if self.embedded {
            eprintln!(
                "the broker at {broker} is for trying out: it lives in this process and forgets everything with it"
            );
        } else {
            eprintln!("kafka at {broker}");
        }
        eprintln!("read what is detected:  {detections}");
        eprintln!("and how cameras fare:   {statuses}");
        eprintln!("Ctrl-C ends it.\n");
    }

    /// The line that reads a topic. kcat takes the same properties file, as far as it has no `KEY.file`.
    fn kcat(&self, topic: &str, from: &str) -> String {
        let config =
            self.kafka_config.as_ref().map(|file| format!(" -F {}", file.display())).unwrap_or_default();
        format!("kcat{config} -C -q -b {} -t {topic} -o {from}", self.broker)
    }
}
