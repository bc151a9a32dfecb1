//! `sightline up`: all of it in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::registry::Registry as Prometheus;
use sightline_consumers::runner::Families;
use sightline_pipeline::jobs::{WorkerMetrics, WorkerOptions};
use sightline_pipeline::reach::Reach;
use sightline_pipeline::secrets::Secrets;
use sightline_pipeline::topology::FleetOptions;
use sightline_registry::auth::Auth;
use sightline_registry::{Options, Registry, Server};
use sightline_schema::{EMBEDDED_PARTITIONS, Topics};
use sightline_service::health::Health;
use sightline_service::kafka::{EmbeddedBroker, From, KafkaSettings};
use sightline_service::shutdown::{Cause, Shutdown};
use sightline_service::trace::Tracer;
use sightline_service::uri_policy::UriPolicy;

use crate::cli::{KeepJobs, LogFormat, UpArgs};
use crate::consume::{CountedEvents, Place, Store, StoreConsumer, events};
use crate::exit::{Failure, Outcome};
use crate::kept::Kept;
use crate::pipeline::{decoder_threads, keys, pod};
use crate::serve::{self, Service, Share, Work};
use crate::table::Table;
use crate::traces::{self, Unsaid};
use crate::{cameras, happening, kafka, model, worker};

pub(crate) fn run(args: UpArgs, log: LogFormat) -> Outcome {
    let WhatToRun { inputs, cameras: file, model: model_path } = what_to_run(&args)?;
    let mut all = cameras::from_inputs(&inputs, args.once, &args.thresholds)?;
    if let Some(file) = &file {
        all.extend(cameras::from_file(file)?);
    }
    cameras::check_unique(&all)?;
    model::decoding(args.decoding)?;
    let model = model::open(&model_path, &args.reading)?;
    let store = args.store.settings("sightline up")?.map(|database| Store {
        database,
        from: From::Earliest,
        keeps: Vec::new(),
        may_migrate: true,
    });
    // What plays once and ends registers nothing.
    let registering = !args.once;
    let (service, ((tracer, _sending), registry, (worker, consumer, storing))) =
        Service::start_with(&args.http, |prometheus, shutdown| {
            let traces = traces::start(&args.traces, "sightline-up", Unsaid::Nothing, prometheus)?;
            let tracer = &traces.0;
            let registry = registering.then(|| registry(&args, tracer, prometheus, shutdown)).transpose()?;
            let worker = registering.then(|| WorkerMetrics::register(prometheus));
            let families = Families::register(prometheus);
            let storing = store.is_some().then(|| StoreConsumer::both(prometheus, &families, tracer));
            let counted = CountedEvents::register(prometheus, &families, EVENTS, tracer);
            Ok((traces, registry, (worker, counted, storing)))
        })?;
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
    let kept = match &args.data {
        Some(folder) if embedded.is_some() => {
            let kept = Kept::in_folder(folder).map_err(shown).map_err(Failure::usage)?;
            kept.restore(&settings, &topics).map_err(shown).map_err(Failure::failed)?;
            Some(kept)
        }
        _ => None,
    };
    let banner = Banner {
        api: registry.as_ref().map(|(_, api)| api.clone()),
        keeps: kept.is_some(),
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
            secrets: Secrets::new(args.secrets.clone(), keys(args.seal_keys.as_deref())?),
            tracer,
        },
        cameras: all,
        model: &model,
        publishing: &args.publishing,
        // Whoever reaches the API of `up` runs it himself: cameras may be anywhere.
        share: registering.then(|| Share {
            pool: "default".to_owned(),
            capacity_fps: None,
            policy: UriPolicy::lax(),
        }),
        worker: worker.map(|metrics| (worker_options(&settings, &topics), metrics)),
        ends: args.once,
        settings,
        topics,
    };
    let table = Table::new(&work.cameras, &service.metrics, log);
    let (settings, topics) = (work.settings.clone(), work.topics.clone());
    std::thread::scope(|scope| {
        let service = &service;
        let (settings, topics) = (&settings, &topics);
        let keeping = kept.map(|kept| scope.spawn(move || keep(&kept, settings, topics, &service.shutdown)));
        let consuming = scope.spawn(|| consume(settings, topics, &consumer, &service.shutdown));
        let storing = store.as_ref().zip(storing.as_ref()).map(|(store, consumers)| {
            scope.spawn(|| keep_rows(store, consumers, settings, topics, &service.shutdown))
        });
        let showing = scope.spawn(|| happening::show(settings, topics, log, &service.shutdown));
        let registering =
            registry.map(|(registry, _)| scope.spawn(|| register(registry, settings, topics, service)));
        let outcome = serve::run(service, work, |shutdown| table.run(shutdown));
        service.shutdown.set(Cause::Finished);
        let joined = [registering, keeping, Some(consuming), storing, Some(showing)]
            .into_iter()
            .flatten()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Failure::failed("a thread beside the cameras panicked")))
            });
        joined.fold(outcome, |outcome, other| outcome.and(other))
    })
}

/// Takes the port of the API, so that it is refused before any work begins. Gives the API's address, too.
fn registry(
    args: &UpArgs,
    tracer: &Tracer,
    prometheus: &mut Prometheus,
    shutdown: &Shutdown,
) -> Result<(Registry, String), Failure> {
    let (asked, or_another) = match args.listen {
        Some(listen) => (listen, false),
        None => (SocketAddr::from(([127, 0, 0, 1], API_PORT)), true),
    };
    let auth = match &args.tokens {
        Some(tokens) => Auth::by_tokens(tokens.clone()).map_err(Failure::usage)?,
        None if asked.ip().is_loopback() => Auth::Nobody,
        None => {
            return Err(Failure::usage(format!(
                "everybody who reaches {asked} could register cameras; give --tokens FILE, or listen on loopback"
            )));
        }
    };
    let server = match Server::bind(asked, None) {
        Err(_) if or_another => Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None),
        bound => bound,
    };
    let server = server.map_err(Failure::failed)?;
    let address = format!("{}://{}", server.scheme(), server.local_addr());
    let options = Options {
        auth,
        seal_keys: args.seal_keys.clone(),
        policy: UriPolicy::lax(),
        database: args.store.settings("sightline registry")?,
        keep_jobs: KeepJobs::DEFAULT.0,
        probe: std::env::current_exe().ok(),
        tracer: tracer.clone(),
    };
    let registry = Registry::start(server, options, prometheus, shutdown).map_err(Failure::failed)?;
    Ok((registry, address))
}

/// Recorded files that are added by the API, one at a time, beside the cameras. Files may lie anywhere, as cameras may.
fn worker_options(settings: &KafkaSettings, topics: &Topics) -> WorkerOptions {
    WorkerOptions {
        settings: settings.clone(),
        topics: topics.clone(),
        pool: "default".to_owned(),
        pod: pod(),
        process: crate::consume::process(),
        parallel: 1,
        // A stop is Ctrl-C here: nobody waits for a file's end.
        drain: Duration::ZERO,
        backoff: worker::BACKOFF_S.map(Duration::from_secs).to_vec(),
        reach: Reach::by(UriPolicy::lax()),
    }
}

/// Works until the process stops; where it can't, nothing does.
fn register(registry: Registry, settings: &KafkaSettings, topics: &Topics, service: &Service) -> Outcome {
    let worked = match crate::registry::wait_for_kafka(settings, topics, &service.health, &service.shutdown)?
    {
        true => registry.work(settings, topics, &service.health).map_err(Failure::failed),
        false => Ok(()),
    };
    service.shutdown.set(Cause::Finished);
    worked
}

/// Events, as they happen. Its own readiness is not that of the cameras.
fn consume(
    settings: &KafkaSettings,
    topics: &Topics,
    counted: &CountedEvents,
    shutdown: &Shutdown,
) -> Outcome {
    let health = Health::new(&["kafka"]);
    let on = Place { settings, topics, health: &health, shutdown };
    let outcome = events(on, EVENTS, From::Earliest, counted);
    shutdown.set(Cause::Finished);
    outcome
}

/// Rows, as things happen.
fn keep_rows(
    store: &Store,
    consumers: &[StoreConsumer],
    settings: &KafkaSettings,
    topics: &Topics,
    shutdown: &Shutdown,
) -> Outcome {
    let health = Health::new(&StoreConsumer::PARTS);
    let outcome = store.work(Place { settings, topics, health: &health, shutdown }, consumers);
    shutdown.set(Cause::Finished);
    outcome
}

/// With the reason behind it.
fn shown(error: anyhow::Error) -> String {
    format!("{error:#}")
}

fn keep(kept: &Kept, settings: &KafkaSettings, topics: &Topics, shutdown: &Shutdown) -> Outcome {
    kept.follow(settings, topics, shutdown).map_err(|error| {
        shutdown.set(Cause::Finished);
        Failure::failed(format!("registrations are not kept any more: {error:#}"))
    })
}

/// The consumer that `up` runs.
const EVENTS: &str = "events";

/// Where the API is unless it is said; another where this one is taken.
const API_PORT: u16 = 8700;

/// What was given, or the samples.
struct WhatToRun {
    inputs: Vec<String>,
    cameras: Option<PathBuf>,
    model: PathBuf,
}

/// Without inputs and cameras: the sample clip. Without a model: the sample's.
fn what_to_run(args: &UpArgs) -> Result<WhatToRun, Failure> {
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
    let (mut inputs, mut cameras) = (args.inputs.clone(), args.cameras.clone());
    if inputs.is_empty() && cameras.is_none() && args.data.is_none() {
        // Played once and to its end it is looked at for its results, else for what happens in it.
        match args.once {
            true => inputs.push(sample("junction.mp4")?.to_string_lossy().into_owned()),
            false => cameras = Some(sample("cameras.yaml")?),
        }
    }
    let model = match &args.model {
        Some(model) => model.clone(),
        None if args.inputs.is_empty() && args.cameras.is_none() => sample("junction.onnx")?,
        None => {
            return Err(Failure::usage(
                "which model? give --model FILE.onnx (samples/export_yolo.md says how to make one)",
            ));
        }
    };
    Ok(WhatToRun { inputs, cameras, model })
}

/// What a person needs to know first: where things are, and how results are read.
struct Banner {
    /// Where cameras are registered.
    api: Option<String>,
    /// What is registered outlives the process.
    keeps: bool,
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
            let (embedded, api) = (self.embedded, self.api.as_deref());
            return tracing::info!(metrics, device, broker, embedded, detections, statuses, api, "up");
        }
        eprintln!("sightline {} · model on {device} · metrics at {metrics}", env!("CARGO_PKG_VERSION"));
        if self.embedded {
            let but = if self.keeps { ", but for what is registered" } else { "" };
            eprintln!(
                "the broker at {broker} is for trying out: it lives in this process and forgets everything with it{but}"
            );
        } else {
            eprintln!("kafka at {broker}");
        }
        eprintln!("read what is detected:  {detections}");
        eprintln!("and how cameras fare:   {statuses}");
        if let Some(api) = &self.api {
            let registry = if api.ends_with(&format!(":{API_PORT}")) {
                String::new()
            } else {
                format!(" --registry {api}")
            };
            eprintln!(
                "register another camera: sightline camera add gate rtsp://…{registry}   (the API: {api}/docs)"
            );
            eprintln!("work off a recorded file: sightline job add FILE{registry}");
        }
        eprintln!("Ctrl-C ends it.\n");
    }

    /// The line that reads a topic. kcat takes the same properties file, as far as it has no `KEY.file`.
    fn kcat(&self, topic: &str, from: &str) -> String {
        let config =
            self.kafka_config.as_ref().map(|file| format!(" -F {}", file.display())).unwrap_or_default();
        format!("kcat{config} -C -q -b {} -t {topic} -o {from}", self.broker)
    }
}
