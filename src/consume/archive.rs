//! `sightline consume archive`: detections and events become Parquet files.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use sightline_consumers::archive::{Archive, Archived, Keep, Keeper, Kind, Options, Rolling, Store};
use sightline_consumers::runner::{Families, Metrics, Runner};
use sightline_service::kafka::{From, ReaderOptions};

use super::{EndsAll, MOST_BYTES, Place, Process};
use crate::cli::{ArchiveArgs, ArchiveTopic};
use crate::exit::{Failure, Outcome};
use crate::registry::wait_for_topics;

/// A topic's parts of the process's health: its reading, and its store.
const fn parts(kind: Kind) -> [&'static str; 2] {
    match kind {
        Kind::Detections => ["detections", "detections store"],
        Kind::Events => ["events", "events store"],
    }
}

pub(super) fn run(args: &ArchiveArgs) -> Outcome {
    let store = Store::open(&args.to).map_err(Failure::usage)?;
    let mut kinds: Vec<_> = args
        .topics
        .iter()
        .map(|topic| match topic {
            ArchiveTopic::Detections => Kind::Detections,
            ArchiveTopic::Events => Kind::Events,
        })
        .collect();
    kinds.dedup();
    let healthy: Vec<_> =
        std::iter::once("kafka").chain(kinds.iter().flat_map(|kind| parts(*kind))).collect();
    let mut process = Process::begin(&args.consumer, &healthy)?;
    let families = Families::register(&mut process.prometheus);
    let counted = Arc::new(Archived::register(&mut process.prometheus));
    let consumer = |kind: &Kind| {
        let name = process.name(&format!("archive-{}", kind.as_str()));
        let metrics = families.of(&name);
        (*kind, name, metrics)
    };
    let consumers: Vec<_> = kinds.iter().map(consumer).collect();
    process.run(|on| {
        let names: Vec<_> = kinds.iter().map(|kind| topic(on, *kind)).collect();
        if !wait_for_topics(&names, on.settings, on.topics, on.health, on.shutdown)? {
            return Ok(());
        }
        let one = |(kind, group, metrics): &(Kind, String, Arc<Metrics>)| {
            let options = Options {
                kind: *kind,
                topic: topic(on, *kind),
                group: on.topics.consumer_group(group),
                store: store.clone(),
                rolling: Rolling {
                    records: args.roll_records,
                    bytes: args.roll_bytes,
                    after: Duration::from_secs(args.roll_seconds),
                    buckets: args.buckets,
                },
                counted: Arc::clone(&counted),
                health: on.health.clone(),
                part: parts(*kind)[1],
                shutdown: on.shutdown.clone(),
                on_duty: Arc::new(AtomicBool::new(false)),
            };
            let keep = Keep { age: args.keep_days, bytes: args.keep_bytes };
            work(on, &options, keep, args.consumer.from, metrics)
        };
        thread::scope(|scope| {
            let threads: Vec<_> = consumers.iter().map(|consumer| scope.spawn(|| one(consumer))).collect();
            let panicked = |_| Err(Failure::failed("a thread of the archive panicked"));
            let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked));
            ended.fold(Ok(()), Result::and)
        })
    })
}

fn topic(on: Place<'_>, kind: Kind) -> String {
    match kind {
        Kind::Detections => on.topics.detections(),
        Kind::Events => on.topics.events(),
    }
}

/// Archives one topic until the process stops.
fn work(on: Place<'_>, options: &Options, keep: Keep, from: From, metrics: &Arc<Metrics>) -> Outcome {
    let Place { settings, health, shutdown, .. } = on;
    let reading = ReaderOptions {
        group: options.group.clone(),
        topics: vec![options.topic.clone()],
        from,
        most_bytes: MOST_BYTES,
    };
    let keeper = Keeper {
        kind: options.kind,
        topic: options.topic.clone(),
        store: options.store.clone(),
        keep,
        on_duty: Arc::clone(&options.on_duty),
        counted: Arc::clone(&options.counted),
        shutdown: shutdown.clone(),
    };
    let part = parts(options.kind)[0];
    let runner = Runner { settings, options: reading, health, part, shutdown, metrics: Arc::clone(metrics) };
    thread::scope(|scope| {
        scope.spawn(|| keeper.run());
        // One that can't go on takes the others along.
        let _ends = EndsAll(shutdown);
        runner.run(|| Ok(Archive::new(options, metrics))).map_err(Failure::failed)
    })
}
