//! `sightline job …`: recorded files that are worked off once.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::RegistryAddressArgs;

#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    pub(crate) action: JobAction,
    #[command(flatten)]
    pub(crate) registry: RegistryAddressArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum JobAction {
    /// Add recorded files: each becomes a job that a worker of the pool takes
    Add(AddJobsArgs),
    /// Jobs and how they fare
    List(JobFilterArgs),
    /// All of one job
    Get(JobIdArgs),
    /// Cancel jobs; a worker that has one stops it
    Cancel(JobIdsArgs),
    /// Try jobs again that failed or were cancelled
    Retry(JobIdsArgs),
    /// Progress as it is made
    Watch(WatchJobsArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AddJobsArgs {
    /// Files and folders of the registry's machine, https://, s3://BUCKET/KEY, gs://, az://; a folder, the beginning of keys,
    /// or a pattern (*, **, ?, [a-z]) is every video in it
    #[arg(value_name = "URI", required = true)]
    pub(crate) uris: Vec<String>,
    /// Whose workers take them
    #[arg(long, default_value = "default")]
    pub(crate) pool: String,
    /// When the first picture was taken, as in 2026-11-23T18:40:12+01:00. Default: when the file was last changed
    #[arg(long, value_name = "TIME", conflicts_with = "start_from_name", value_parser = time)]
    pub(crate) start: Option<String>,
    /// The same by the file's name: %Y %m %d or %j, %H %M %S %L, or %s; * is anything, as in "*%Y%m%d_%H%M%S*"
    #[arg(long, value_name = "PATTERN")]
    pub(crate) start_from_name: Option<String>,
    /// Of the clock that gave the names, as in +02:00. Default: UTC
    #[arg(long, value_name = "OFFSET", requires = "start_from_name", allow_hyphen_values = true)]
    pub(crate) utc_offset: Option<String>,
    /// Zones, lines and what else is looked for: a camera's settings, in YAML or JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
    /// Frames a second that are detected. Default: every frame
    #[arg(long, value_name = "FPS", value_parser = super::rate)]
    pub(crate) fps: Option<f64>,
    /// A label; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Stop behind so many files
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: u64,
}

#[derive(Args, Debug)]
pub(crate) struct JobFilterArgs {
    /// Only in these states: queued, claimed, running, waiting, done, failed, cancelled
    #[arg(long, value_name = "STATE,…", value_delimiter = ',')]
    pub(crate) state: Vec<String>,
    /// Only with this label; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Only of this pool
    #[arg(long)]
    pub(crate) pool: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct JobIdArgs {
    #[arg(value_name = "JOB")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct JobIdsArgs {
    #[arg(value_name = "JOB", required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct WatchJobsArgs {
    /// These jobs alone
    #[arg(value_name = "JOB")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: JobFilterArgs,
    /// End when none is left to do; exit code 1 if any failed
    #[arg(long)]
    pub(crate) until_over: bool,
}

fn time(given: &str) -> Result<String, String> {
    let time = given.parse::<sightline_schema::Timestamp>().map_err(|error| error.to_string())?;
    Ok(time.to_string())
}
