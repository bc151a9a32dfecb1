//! The commands around registrations: `registry`, `camera`, `pods`, `completions`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sightline_registry::auth::Role;
use sightline_service::bucket_uri::BucketUri;
use sightline_service::uri_policy::Network;

use super::{DatabaseArgs, HttpArgs, KafkaSettingsArgs, TraceArgs, TransportArg};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RegistryArgs {
    #[command(subcommand)]
    pub(crate) action: Option<RegistryAction>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum RegistryAction {
    /// A new token, and its line for the tokens file
    Token(TokenArgs),
    /// A line for the keys file, with a new key
    Key(KeyArgs),
    /// The API as an OpenAPI 3.1 document
    Openapi,
}

#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// Whose it is: 1 to 63 of a-z, 0-9 and - . _
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it allows: viewer, operator or admin
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
}

#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    /// How it is called: 1 to 63 of a-z, 0-9, - and .
    #[arg(value_name = "KEY_ID")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Kafka's bootstrap servers
    #[arg(long, value_name = "HOST:PORT,…", env = "SIGHTLINE_KAFKA")]
    pub(crate) kafka: Option<String>,
    #[command(flatten)]
    pub(crate) settings: KafkaSettingsArgs,
    /// Where the API is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8700", env = "SIGHTLINE_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Who may what: lines NAME ROLE sha256:HEX, as `sightline registry token` prints them; read again when it changes
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_TOKENS")]
    pub(crate) tokens: Option<PathBuf>,
    /// Everybody who reaches the port may everything
    #[arg(long, conflicts_with = "tokens", env = "SIGHTLINE_INSECURE_NO_AUTH")]
    pub(crate) insecure_no_auth: bool,
    /// The certificate chain in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "SIGHTLINE_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "SIGHTLINE_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Keys that seal users and passwords: lines KEY_ID BASE64, the first seals. Without it only secrets can be named
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_SEAL_KEYS")]
    pub(crate) seal_keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Jobs that are over are forgotten after so many days: 0 for never, or at least 8, since a queue keeps its records for 7
    #[arg(long, value_name = "DAYS", default_value = "30", env = "SIGHTLINE_KEEP_JOBS", value_parser = keep_jobs)]
    pub(crate) keep_jobs: KeepJobs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

/// How long jobs are known after they are over; `None`: for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepJobs(pub(crate) Option<Duration>);

/// The record of a job that is forgotten must not lie in its queue any more: a worker would take it for a new one.
const LEAST_KEEP_DAYS: u64 = 8;

#[cfg(feature = "pipeline")]
impl KeepJobs {
    /// Where nothing else is said.
    pub(crate) const DEFAULT: Self = Self(Some(days_long(30)));
}

fn keep_jobs(text: &str) -> Result<KeepJobs, String> {
    match text.parse::<u64>() {
        Ok(0) => Ok(KeepJobs(None)),
        Ok(days @ LEAST_KEEP_DAYS..=36_500) => Ok(KeepJobs(Some(days_long(days)))),
        _ => Err(format!(
            "give 0 to keep them for ever, or {LEAST_KEEP_DAYS} to 36500 days: longer than a queue keeps its records, which is 7"
        )),
    }
}

const fn days_long(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// Which addresses cameras and jobs may have.
#[derive(Args, Debug, Clone)]
pub(crate) struct PolicyArgs {
    /// Addresses that cameras and jobs may have although they are loopback, link-local or the like; may be given several times
    #[arg(long, value_name = "CIDR", value_delimiter = ',', env = "SIGHTLINE_ALLOW_NETWORK")]
    pub(crate) allow_network: Vec<Network>,
    /// Folders that hold files which may be cameras or jobs; may be given several times. Default: none may
    #[arg(long, value_name = "DIR", value_delimiter = ',', env = "SIGHTLINE_ALLOW_FILE_ROOT")]
    pub(crate) allow_file_root: Vec<PathBuf>,
    /// Buckets, or parts of them, whose objects may be jobs, as in s3://clips/2026; may be given several times. Default: none may
    #[arg(long, value_name = "URI", value_delimiter = ',', env = "SIGHTLINE_ALLOW_BUCKET")]
    pub(crate) allow_bucket: Vec<BucketUri>,
}

/// Where the registry is, and who asks.
#[derive(Args, Debug, Clone)]
pub(crate) struct RegistryAddressArgs {
    /// The registry's address
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8700",
        env = "SIGHTLINE_REGISTRY"
    )]
    pub(crate) registry: String,
    /// The token; better in a file or in the environment, where nobody sees it
    #[arg(long, global = true, value_name = "TOKEN", env = "SIGHTLINE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file that holds the token
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token", env = "SIGHTLINE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The CA to trust instead of the system's, in PEM
    #[arg(long, global = true, value_name = "FILE", env = "SIGHTLINE_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// A table for people, or all of it for scripts
    #[arg(long, global = true, value_enum, default_value = "table", env = "SIGHTLINE_OUTPUT")]
    pub(crate) output: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    Table,
    Json,
    Yaml,
}

#[derive(Args, Debug)]
pub(crate) struct CameraArgs {
    #[command(subcommand)]
    pub(crate) action: CameraAction,
    #[command(flatten)]
    pub(crate) registry: RegistryAddressArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum CameraAction {
    /// Register a camera, by its address or from a file
    Add(AddArgs),
    /// Cameras and how they fare
    List(FilterArgs),
    /// All of one camera
    Get(IdArgs),
    /// Change a camera's settings in $EDITOR
    Edit(IdArgs),
    /// Delete cameras
    Rm(RmArgs),
    /// Move cameras to a pool or a pod, named or a share of a pool
    Move(MoveArgs),
    /// What a stream is, seen from the registry
    Probe(ProbeAddressArgs),
    /// Create or replace the cameras of a file
    Import(ImportArgs),
    /// All cameras, as import takes them
    Export(ExportArgs),
    /// Changes as they happen, until Ctrl-C
    Watch(WatchArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// A DNS label: 1 to 63 of a-z, 0-9 and -
    #[arg(value_name = "ID", required_unless_present = "file")]
    pub(crate) id: Option<String>,
    /// Its address; user and password in it are sealed
    #[arg(value_name = "URI", required_unless_present = "file")]
    pub(crate) uri: Option<String>,
    /// All settings of one camera, in YAML or JSON; - is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["id", "uri"])]
    pub(crate) file: Option<PathBuf>,
    /// For people
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The pool that runs it
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// Frames a second that are detected. Default: every frame
    #[arg(long, value_name = "FPS", value_parser = super::rate)]
    pub(crate) fps: Option<f64>,
    /// A label; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// The secret that holds user and password
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Only in these states; `waiting` is a camera that nobody ever ran
    #[arg(long, value_name = "STATE,…", value_delimiter = ',')]
    pub(crate) state: Vec<String>,
    /// Only with this label; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Only of this pool
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// Only on this pod
    #[arg(long)]
    pub(crate) pod: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct IdArgs {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct MoveArgs {
    #[arg(value_name = "ID", conflicts_with_all = ["from", "label", "share"])]
    pub(crate) ids: Vec<String>,
    /// To the pod with the most room in this pool
    #[arg(long, required_unless_present = "pod", conflicts_with = "pod")]
    pub(crate) pool: Option<String>,
    /// To this pod
    #[arg(long, conflicts_with_all = ["from", "label", "share"])]
    pub(crate) pod: Option<String>,
    /// Those of this pool, instead of naming cameras
    #[arg(long, value_name = "POOL")]
    pub(crate) from: Option<String>,
    /// Those with this label; may be given several times, and all have to hold
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Of those only a share, such as 10%: by a hash of their ids, so that a larger share holds every smaller one
    #[arg(long, value_name = "SHARE")]
    pub(crate) share: Option<crate::client::Share>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many are on their way at a time: the next is moved when one is handed over
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) at_once: u8,
    /// Wait for none of them
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ProbeAddressArgs {
    /// rtsp://, http(s)://
    #[arg(value_name = "URI")]
    pub(crate) uri: String,
    /// How RTSP brings its packets
    #[arg(long, value_enum, default_value = "tcp")]
    pub(crate) transport: TransportArg,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// A cameras.yaml, or the same in JSON; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// This camera alone
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PodsArgs {
    /// Only of this pool
    #[arg(long)]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryAddressArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
