//! The flags of `sightline consume`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sightline_consumers::store::Keep;
use sightline_schema::Timestamp;
use sightline_service::database::DatabaseSettings;
use sightline_service::kafka::From;

use super::{HttpArgs, KafkaArgs, KafkaSettingsArgs, TraceArgs, size};
use crate::exit::Failure;

#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    #[command(subcommand)]
    pub(crate) consumer: Consumer,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Consumer {
    /// Detections become events: lines crossed, zones entered and left, tracks and cameras that come and go
    Events(EventsArgs),
    /// Events, tracks and how much was seen become rows in PostgreSQL
    Store(StoreArgs),
    /// Detections and events become Parquet files in a directory or an object store, each record once
    Archive(ArchiveArgs),
    /// Events that rules are about go to Alertmanagers and signed webhooks
    Alerts(Box<AlertsArgs>),
}

#[derive(Args, Debug, Clone)]
pub(crate) struct ArchiveArgs {
    #[command(flatten)]
    pub(crate) consumer: ConsumerArgs,
    /// Where to: a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX. Credentials and endpoints come from
    /// the environment (AWS_…, GOOGLE_…, AZURE_…). A --group NAME wants a place of its own
    #[arg(long, value_name = "URL|DIR", env = "SIGHTLINE_TO")]
    pub(crate) to: String,
    /// What is archived
    #[arg(
        long,
        value_enum,
        value_name = "TOPIC,…",
        value_delimiter = ',',
        default_value = "detections,events",
        env = "SIGHTLINE_TOPICS"
    )]
    pub(crate) topics: Vec<ArchiveTopic>,
    /// Cameras are spread over so many folders; a number that divides that of the partitions gives the fewest files
    #[arg(long, value_name = "N", default_value_t = 8, env = "SIGHTLINE_BUCKETS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) buckets: u32,
    /// A partition's file is written after so many records…
    #[arg(long, value_name = "N", default_value_t = 500_000, env = "SIGHTLINE_ROLL_RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) roll_records: u64,
    /// … or so many bytes as they were read…
    #[arg(long, value_name = "SIZE", default_value = "256MiB", env = "SIGHTLINE_ROLL_BYTES", value_parser = size)]
    pub(crate) roll_bytes: u64,
    /// … or this long after its first record, however few there are
    #[arg(long, value_name = "S", default_value_t = 300, env = "SIGHTLINE_ROLL_SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) roll_seconds: u64,
    /// Removes files that are older. Default: keeps all
    #[arg(long, value_name = "DAYS", env = "SIGHTLINE_KEEP_DAYS", value_parser = days)]
    pub(crate) keep_days: Option<std::time::Duration>,
    /// Removes the oldest files of a topic while all of them take more. Default: keeps all
    #[arg(long, value_name = "SIZE", env = "SIGHTLINE_KEEP_BYTES", value_parser = size)]
    pub(crate) keep_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchiveTopic {
    Detections,
    Events,
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

#[derive(Args, Debug, Clone)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) consumer: ConsumerArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) consumer: ConsumerArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Only one of the two: events (with tracks), or rollups (detections per minute). Default: both
    #[arg(long, value_enum, value_name = "WHAT", env = "SIGHTLINE_ONLY")]
    pub(crate) only: Option<Stored>,
    /// How long rows are kept, by table: events=90d, tracks=720h, detections_per_minute=2y. Default: for ever
    #[arg(long, value_name = "TABLE=AGE,…", value_delimiter = ',', env = "SIGHTLINE_KEEP")]
    pub(crate) keep: Vec<Keep>,
    /// Make or change no tables; refuse those of another version
    #[arg(long, env = "SIGHTLINE_NO_MIGRATE")]
    pub(crate) no_migrate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stored {
    Events,
    Rollups,
}

/// Which database.
#[derive(Args, Debug, Clone)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL 15 or later: postgresql://USER@HOST:5432/NAME?sslmode=verify-full. What is left out comes from PGHOST,
    /// PGUSER, PGPASSWORD, …
    #[arg(long, value_name = "URL", env = "SIGHTLINE_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// A file with the password
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_DATABASE_PASSWORD_FILE")]
    pub(crate) database_password_file: Option<PathBuf>,
}

impl DatabaseArgs {
    /// `None` where no database is named. `who` is shown in `pg_stat_activity`.
    pub(crate) fn settings(&self, who: &str) -> Result<Option<DatabaseSettings>, Failure> {
        let password = self.database_password_file.as_deref();
        let settings = |url: &String| DatabaseSettings::new(url, password, who).map_err(Failure::usage);
        self.database.as_ref().map(settings).transpose()
    }
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
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
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

fn days(text: &str) -> Result<std::time::Duration, String> {
    let days = text.parse::<f64>().ok().filter(|days| *days > 0.0 && *days <= 100_000.0);
    days.map(|days| std::time::Duration::from_secs_f64(days * 86_400.0))
        .ok_or_else(|| "give a number of days above 0, as in 30 or 0.5".to_owned())
}
