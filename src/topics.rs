//! `sightline topics apply|check`.

use std::time::Duration;

use sightline_service::kafka::{Difference, apply, check};

use crate::cli::{TopicsAction, TopicsActionArgs, TopicsArgs};
use crate::exit::{Code, Failure, Outcome};
use crate::kafka;

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &TopicsArgs) -> Outcome {
    match &args.action {
        TopicsAction::Apply(args) => run_apply(args),
        TopicsAction::Check(args) => run_check(args),
    }
}

fn run_apply(args: &TopicsActionArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let wanted = kafka::topics(&args.kafka.settings).wanted(args.partitions, &pools(args));
    let report = apply(&settings, &wanted, args.replication, PATIENCE).map_err(Failure::failed)?;
    for change in &report.done {
        println!("{change}");
    }
    for left in &report.left {
        println!("left as it is: {left}");
    }
    if report.done.is_empty() && report.left.is_empty() {
        println!("all {} topics are as they should be", wanted.len());
    }
    if report.left.is_empty() { Ok(()) } else { Err(Failure::silent(Code::Failed)) }
}

fn run_check(args: &TopicsActionArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let topics = kafka::topics(&args.kafka.settings);
    let wanted = topics.wanted(args.partitions, &pools(args));
    let differences = check(&settings, &wanted, PATIENCE).map_err(Failure::failed)?;
    for difference in &differences {
        println!("{difference}");
    }
    if differences.is_empty() {
        println!("all {} topics are as they should be", wanted.len());
        return Ok(());
    }
    // Partitions say in their own sentence what can be done.
    if differences.iter().all(|difference| matches!(difference, Difference::Partitions { .. })) {
        return Err(Failure::silent(Code::Failed));
    }
    let prefix = kafka::prefix_flag(&topics);
    Err(Failure::failed(format!("mend it with: sightline topics apply {}{prefix}", settings.flags())))
}

fn pools(args: &TopicsActionArgs) -> Vec<&str> {
    args.pool.iter().map(String::as_str).collect()
}
