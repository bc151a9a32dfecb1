//! The flags of `sightline tail`.

use clap::{Args, ValueEnum};
use sightline_service::kafka::From;

use super::KafkaArgs;
use super::consume::from;

#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// What goes by
    #[arg(value_enum, default_value = "events")]
    pub(crate) what: Stream,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    /// These cameras alone; may be given several times
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) camera: Vec<String>,
    /// From a time on (2026-11-23T18:00:00Z), or from what is kept (earliest). Default: from now on
    #[arg(long, value_name = "WHEN", default_value = "latest", value_parser = from)]
    pub(crate) since: From,
    /// Lines for people, or the records as JSON lines. Default: lines on a terminal, JSON elsewhere
    #[arg(long, value_enum, value_name = "SHAPE")]
    pub(crate) output: Option<Lines>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    /// Results of frames, and what stands between them
    Detections,
    /// What happened
    Events,
    /// How cameras fare
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lines {
    Text,
    Json,
}
