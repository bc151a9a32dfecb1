//! `sightline consume events`: detections become events.

use std::sync::Arc;

use prometheus_client::registry::Registry as Prometheus;
use sightline_consumers::events::{Events, EventsOutlet, Happened};
use sightline_consumers::runner::{Families, Metrics, Runner};
use sightline_service::kafka::{From, ReaderOptions};
use sightline_service::trace::Tracer;

use super::{MOST_BYTES, Place, Process, process};
use crate::cli::EventsArgs;
use crate::exit::{Failure, Outcome};
use crate::registry::wait_for_topics;
use crate::traces::{self, Unsaid};

pub(super) fn run(args: &EventsArgs) -> Outcome {
    let EventsArgs { consumer: args, traces } = args;
    let mut process = Process::begin(args, &["kafka"])?;
    let (tracer, _sending) =
        traces::start(traces, "sightline-consume-events", Unsaid::Sampled, &mut process.prometheus)?;
    let consumer = process.name("events");
    let families = Families::register(&mut process.prometheus);
    let counted = Counted::register(&mut process.prometheus, &families, &consumer, &tracer);
    process.run(|on| work(on, &consumer, args.from, &counted))
}

/// What is counted of a consumer of events.
pub(crate) struct Counted {
    metrics: Arc<Metrics>,
    happened: Arc<Happened>,
    tracer: Tracer,
}

impl Counted {
    pub(crate) fn register(
        prometheus: &mut Prometheus,
        families: &Families,
        consumer: &str,
        tracer: &Tracer,
    ) -> Self {
        let happened = Arc::new(Happened::register(prometheus, consumer));
        Self { metrics: families.of(consumer), happened, tracer: tracer.clone() }
    }
}

/// Works until the process stops.
pub(crate) fn work(on: Place<'_>, consumer: &str, from: From, counted: &Counted) -> Outcome {
    let Place { settings, topics, health, shutdown } = on;
    let Counted { metrics, happened, tracer } = counted;
    let names = [topics.detections(), topics.events(), topics.checkpoints(), topics.dead_letter()];
    if !wait_for_topics(&names, settings, topics, health, shutdown)? {
        return Ok(());
    }
    let options = ReaderOptions {
        group: topics.consumer_group(consumer),
        topics: vec![topics.detections()],
        from,
        most_bytes: MOST_BYTES,
    };
    let process = process();
    let runner = Runner { settings, options, health, part: "kafka", shutdown, metrics: Arc::clone(metrics) };
    let make = || {
        let outlet = EventsOutlet::new(settings, topics, Arc::clone(happened), tracer.clone())?;
        Events::new(settings, topics, (consumer, &process), outlet, Arc::clone(metrics))
    };
    runner.run(make).map_err(Failure::failed)
}
