//! `sightline topics apply|check|base`.

use std::time::Duration;

use sightline_schema::{TopicSpec, Topics};
use sightline_service::kafka::{Change, Difference, KafkaSettings, apply, check, write_base};

use crate::cli::{BaseArgs, TopicsAction, TopicsActionArgs, TopicsArgs};
use crate::exit::{Code, Failure, Outcome};
use crate::kafka;

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &TopicsArgs) -> Outcome {
    match &args.action {
        TopicsAction::Apply(args) => run_apply(args),
        TopicsAction::Check(args) => run_check(args),
        TopicsAction::Base(args) => run_base(args),
    }
}

fn run_apply(args: &TopicsActionArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let topics = kafka::topics(&args.kafka.settings);
    let wanted = wanted(args, &topics);
    let report = apply(&settings, &wanted, args.replication, PATIENCE).map_err(Failure::failed)?;
    for change in &report.done {
        println!("{change}");
    }
    for topic in [topics.camera_status(), topics.job_status()] {
        if is_made_anew(&report.done, &topic, &topics) {
            say_base(&settings, &topic, &topics)?;
        }
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
    let wanted = wanted(args, &topics);
    let differences = check(&settings, &wanted, args.replication, PATIENCE).map_err(Failure::failed)?;
    for difference in &differences {
        println!("{difference}");
    }
    if differences.is_empty() {
        println!("all {} topics are as they should be", wanted.len());
        return Ok(());
    }
    // The others say in their own sentence what can be done.
    if !differences.iter().any(Difference::can_be_applied) {
        return Err(Failure::silent(Code::Failed));
    }
    let prefix = kafka::prefix_flag(&topics);
    Err(Failure::failed(format!("mend it with: sightline topics apply {}{prefix}", settings.flags())))
}

fn run_base(args: &BaseArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let topics = kafka::topics(&args.kafka.settings);
    let topic = if args.jobs { topics.job_status() } else { topics.camera_status() };
    say_base(&settings, &topic, &topics)
}

fn say_base(settings: &KafkaSettings, topic: &str, topics: &Topics) -> Outcome {
    let base = write_base(settings, topic, topics, PATIENCE).map_err(Failure::failed)?;
    println!("wrote a base of {base} into each partition of topic {topic}: epochs go on above it");
    Ok(())
}

/// Whether the topic that gives epochs was made just now beside one that has results already.
fn is_made_anew(done: &[Change], topic: &str, topics: &Topics) -> bool {
    let made = |name: &str| {
        done.iter().any(|change| matches!(change, Change::Created { topic, .. } if *topic == name))
    };
    made(topic) && !made(&topics.detections())
}

fn wanted(args: &TopicsActionArgs, topics: &Topics) -> Vec<TopicSpec> {
    let wanted = topics.wanted(args.partitions, &pools(args));
    wanted.into_iter().map(|topic| topic.with_copies(args.replication)).collect()
}

fn pools(args: &TopicsActionArgs) -> Vec<&str> {
    args.pool.iter().map(String::as_str).collect()
}
