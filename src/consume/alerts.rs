//! `sightline consume alerts`: events that rules are about go to who asked to be told.

use std::sync::Arc;
use std::thread;

use sightline_consumers::alerts::{AlertFamilies, Alerts, Courier, Rule, Spec, Target};
use sightline_consumers::runner::{Families, Metrics, Runner};
use sightline_service::kafka::{From, ReaderOptions};
use sightline_service::shutdown::Cause;
use sightline_service::trace::Tracer;

use super::{Place, Process};
use crate::cli::{AlertsArgs, ConsumerArgs, KafkaArgs};
use crate::exit::{Failure, Outcome};
use crate::registry::wait_for_topics;
use crate::traces::{self, Unsaid};

/// What lies before the work of one target at most.
const MOST_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn run(args: AlertsArgs) -> Outcome {
    let spec = Spec::load(&args.rules).map_err(Failure::usage)?;
    let opened = spec.targets.iter().map(Target::open).collect::<Result<Vec<_>, _>>();
    let targets = opened.map_err(|why| Failure::usage(format!("{}: {why}", args.rules.display())))?;
    if args.check {
        println!("{}: {spec}", args.rules.display());
        return Ok(());
    }
    let kafka = args.kafka.ok_or_else(|| Failure::usage("which Kafka? give --kafka HOST:PORT"))?;
    let (from, rules, traces) = (args.from, args.rules, args.traces);
    let kafka = KafkaArgs { kafka, settings: args.settings };
    let args = ConsumerArgs { kafka, http: args.http, group: args.group, from };
    // A part of the health lives as long as the process.
    let parts: Vec<&'static str> =
        targets.iter().map(|target| &*format!("alerts-{}", target.name()).leak()).collect();
    let mut process = Process::begin(&args, &[&["kafka"], &parts[..]].concat())?;
    let (tracer, _sending) =
        traces::start(&traces, "sightline-consume-alerts", Unsaid::Sampled, &mut process.prometheus)?;
    let consumers: Vec<String> = parts.iter().map(|part| process.name(part)).collect();
    let shown = Families::register(&mut process.prometheus);
    let families = AlertFamilies::register(&mut process.prometheus);
    let mut tellers = Vec::new();
    for ((target, consumer), part) in targets.into_iter().zip(consumers).zip(parts) {
        let is_told = |rule: &&Rule| rule.to.iter().any(|name| name == target.name());
        let rules: Vec<Rule> = spec.rules.iter().filter(is_told).cloned().collect();
        if rules.is_empty() {
            tracing::warn!("no rule names target {}: nothing goes there", target.name());
        }
        let delivered = families.of(&consumer, rules.iter().map(|rule| rule.name.as_str()));
        let courier = Courier::start(target, rules, delivered).map_err(Failure::failed)?;
        let metrics = shown.of(&consumer);
        tellers.push(Teller { consumer, part, courier, metrics });
    }
    tracing::info!("{}: {spec}", rules.display());
    process.run(|on| work(on, from, &tellers, &tracer))
}

/// What tells one target.
struct Teller {
    consumer: String,
    part: &'static str,
    courier: Arc<Courier>,
    metrics: Arc<Metrics>,
}

/// Each target by a thread of its own, until the process stops.
fn work(on: Place<'_>, from: From, tellers: &[Teller], tracer: &Tracer) -> Outcome {
    let Place { settings, topics, health, shutdown } = on;
    let names = [topics.events(), topics.dead_letter()];
    if !wait_for_topics(&names, settings, topics, health, shutdown)? {
        return Ok(());
    }
    let tell = |teller: &Teller| {
        let options = ReaderOptions {
            group: topics.consumer_group(&teller.consumer),
            topics: vec![topics.events()],
            from,
            most_bytes: MOST_BYTES,
        };
        let metrics = Arc::clone(&teller.metrics);
        let runner = Runner { settings, options, health, part: teller.part, shutdown, metrics };
        let make = || {
            let shared = (Arc::clone(&teller.courier), Arc::clone(&teller.metrics), shutdown.clone());
            Alerts::new(settings, topics, &teller.consumer, shared, tracer.clone())
        };
        let ended = runner.run(make).map_err(Failure::failed);
        // One that can't go on ends the process, which is started again, and not the others in silence.
        shutdown.set(Cause::Finished);
        ended
    };
    thread::scope(|scope| {
        let spawn = |teller| {
            thread::Builder::new().name("alerts".to_owned()).spawn_scoped(scope, move || tell(teller))
        };
        let threads = tellers.iter().map(spawn).collect::<Result<Vec<_>, _>>();
        let threads = threads.map_err(|error| {
            shutdown.set(Cause::Finished);
            Failure::failed(format!("cannot start a thread: {error}"))
        })?;
        let ended = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Failure::failed("telling a target ended by a fault of its own")))
        });
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}
