//! The flags of `sightline consume`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sightline_schema::Timestamp;
use sightline_service::kafka::From;

use super::{HttpArgs, KafkaArgs, KafkaSettingsArgs};

#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    #[command(subcommand)]
    pub(crate) consumer: Consumer,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Consumer {
    /// Detections become events: lines crossed, zones entered and left, tracks and cameras that come and go
    Events(ConsumerArgs),
    /// Events that rules are about go to Alertmanagers and signed webhooks
    Alerts(Box<AlertsArgs>),
}

/// What all consumers are told.
#[derive(Args, Debug, Clone)]
pub(crate) struct ConsumerArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    /// Consumes beside the others, with offsets and state of its own under this name. Default: shares the work with all that
    /// have none
    #[arg(long, value_name = "NAME", env = "SIGHTLINE_GROUP", value_parser = group)]
    pub(crate) group: Option<String>,
    /// Where a group begins that has committed nothing: earliest, latest, or a time (2026-11-23T18:00:00Z)
    #[arg(long, value_name = "WHERE", default_value = "earliest", requires = "group", env = "SIGHTLINE_FROM", value_parser = from)]
    pub(crate) from: From,
}

/// What `consume alerts` is told.
#[derive(Args, Debug, Clone)]
pub(crate) struct AlertsArgs {
    /// Who is told of what: a YAML file (docs/ALERTS.md)
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_RULES")]
    pub(crate) rules: PathBuf,
    /// Only says whether the rules and the files they name can be used
    #[arg(long)]
    pub(crate) check: bool,
    /// Kafka's bootstrap servers
    #[arg(long, value_name = "HOST:PORT,…", required_unless_present = "check", env = "SIGHTLINE_KAFKA")]
    pub(crate) kafka: Option<String>,
    #[command(flatten)]
    pub(crate) settings: KafkaSettingsArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    /// Tells beside the others, with offsets of its own under this name. Default: shares the work with all that have none
    #[arg(long, value_name = "NAME", env = "SIGHTLINE_GROUP", value_parser = group)]
    pub(crate) group: Option<String>,
    /// Where a target begins that was never told: latest, earliest, or a time (2026-11-23T18:00:00Z)
    #[arg(long, value_name = "WHERE", default_value = "latest", env = "SIGHTLINE_FROM", value_parser = from)]
    pub(crate) from: From,
}

pub(crate) fn from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        time => time
            .parse::<Timestamp>()
            .map(|time| From::Time(time.as_micros().div_euclid(1000)))
            .map_err(|_| "give earliest, latest, or a time like 2026-11-23T18:00:00Z".to_owned()),
    }
}

fn group(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=40).contains(&text.len()) && text.chars().all(legal);
    if fits { Ok(text.to_owned()) } else { Err("write 1 to 40 of a-z, 0-9 and -".to_owned()) }
}
