//! What can be typed. Every flag has an environment variable `SIGHTLINE_…`; a `--config` file stands below both.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod consume;
mod job;
mod registration;
mod tail;
pub(crate) use consume::*;
pub(crate) use job::*;
pub(crate) use registration::*;
pub(crate) use tail::*;

#[derive(Parser, Debug)]
#[command(name = "sightline", version, about, long_about = None, max_term_width = 110, propagate_version = true)]
pub(crate) struct Cli {
    /// Settings from a YAML file: flag names (without dashes) and values. Flags and environment come first
    #[arg(long, global = true, value_name = "FILE", env = "SIGHTLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// How logs are written to standard error
    #[arg(long, global = true, value_enum, default_value = "text", env = "SIGHTLINE_LOG")]
    pub(crate) log: LogFormat,
    /// Which logs: a level, or target=level,… as in `info,sightline_pipeline=debug`
    #[arg(long, global = true, value_name = "FILTER", default_value = "info", env = "SIGHTLINE_LOG_FILTER")]
    pub(crate) log_filter: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Everything in one process: cameras, detection, and a broker made for trying out (or a real one)
    #[cfg(feature = "pipeline")]
    Up(UpArgs),
    /// Work off recorded video: the jobs of a pool, one after the other, shared with the other workers of it
    #[cfg(feature = "pipeline")]
    Worker(WorkerArgs),
    /// Detect and track in files, pictures and streams; results as JSON lines or drawn into a video
    #[cfg(feature = "pipeline")]
    Detect(DetectArgs),
    /// Many cameras to Kafka
    #[cfg(feature = "pipeline")]
    Pipeline(PipelineArgs),
    /// What a stream is and what it costs here, before it becomes a camera
    #[cfg(feature = "pipeline")]
    Probe(ProbeArgs),
    /// The registry: cameras are registered once, and some pipeline always runs them
    Registry(RegistryArgs),
    /// What becomes of detections
    Consume(ConsumeArgs),
    /// What is going by: events, detections, statuses
    Tail(TailArgs),
    /// Registered cameras: add, list, change, move, watch them
    Camera(CameraArgs),
    /// Recorded files: add them, and see how they fare
    Job(JobArgs),
    /// The pods that run cameras
    Pods(PodsArgs),
    /// Completions for a shell
    Completions(CompletionsArgs),
    /// The Kafka topics: make them, or say what differs
    Topics(TopicsArgs),
    /// What a model is, and whether it can be used
    #[cfg(feature = "pipeline")]
    Model(ModelCommandArgs),
    /// The tracker alone, on given detections
    #[cfg(feature = "pipeline")]
    Track(TrackArgs),
    /// How fast a model runs on a video here, against the limit of the machine
    #[cfg(feature = "pipeline")]
    Bench(BenchArgs),
}

/// Which model, read how, run where.
#[cfg(feature = "pipeline")]
#[derive(Args, Debug, Clone)]
pub(crate) struct ModelArgs {
    /// The model: an ONNX file
    #[arg(long, short, value_name = "FILE", env = "SIGHTLINE_MODEL")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) reading: ModelReadingArgs,
}

/// How a model is read and run.
#[cfg(feature = "pipeline")]
#[derive(Args, Debug, Clone)]
pub(crate) struct ModelReadingArgs {
    /// The layout of the model's output, where it can't be told: yolov8, yolov5, yolox, end2end, detr
    #[arg(long, value_name = "HEAD", env = "SIGHTLINE_HEAD")]
    pub(crate) head: Option<sightline_pipeline::detect::Head>,
    /// Class names: a JSON list, a JSON object id → name, or one name a line. Overrides the model's own
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_NAMES")]
    pub(crate) names: Option<PathBuf>,
    /// Input size of a dynamic model: N (the longer side) or HxW, height first. Default: 640, as rectangular as
    /// the stream
    #[arg(long, value_name = "N|HxW", env = "SIGHTLINE_IMGSZ")]
    pub(crate) imgsz: Option<sightline_pipeline::detect::ImageSize>,
    /// What runs the model: auto, cpu, cuda[:N], tensorrt[:N], openvino. One asked for by name runs it, or the
    /// command refuses
    #[arg(long, value_name = "DEVICE", default_value = "auto", env = "SIGHTLINE_DEVICE")]
    pub(crate) device: sightline_pipeline::detect::DeviceChoice,
    /// Where the engines that TensorRT builds are kept for the next start; with --device tensorrt alone
    #[arg(long, value_name = "DIR", env = "SIGHTLINE_ENGINE_CACHE")]
    pub(crate) engine_cache: Option<PathBuf>,
    /// Detect workers, each with a session of its own. Default: one a core
    #[arg(long, value_name = "N", env = "SIGHTLINE_WORKERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// The ONNX Runtime library. Default: looked for beside the command and in .deps/onnxruntime
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_ONNXRUNTIME")]
    pub(crate) onnxruntime: Option<PathBuf>,
}

/// How video is decoded.
#[cfg(feature = "pipeline")]
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct DecodingArgs {
    /// What decodes H.264 and H.265: auto, software, nvdec, vaapi. One asked for by name does it, or the command refuses;
    /// auto is the best that opens here
    #[arg(long, value_name = "DECODER", default_value = "auto", env = "SIGHTLINE_DECODER")]
    pub(crate) decoder: sightline_pipeline::source::gst::decoders::DecoderChoice,
}

/// What counts as a detection, where no camera says it.
#[cfg(feature = "pipeline")]
#[derive(Args, Debug, Clone)]
pub(crate) struct ThresholdArgs {
    /// Only these classes, by name
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', env = "SIGHTLINE_CLASSES")]
    pub(crate) classes: Vec<String>,
    /// Confidence threshold of the output, 0..1. The tracker also sees weaker detections, from 0.1 up
    #[arg(long, value_name = "C", default_value_t = 0.25, env = "SIGHTLINE_CONFIDENCE", value_parser = fraction)]
    pub(crate) confidence: f32,
    /// IoU threshold of NMS, 0..1
    #[arg(long, value_name = "IOU", default_value_t = 0.7, env = "SIGHTLINE_IOU", value_parser = fraction)]
    pub(crate) iou: f32,
    /// NMS over all classes together
    #[arg(long, env = "SIGHTLINE_AGNOSTIC_NMS")]
    pub(crate) agnostic_nms: bool,
    /// At most this many frames a second. Default: every frame
    #[arg(long, value_name = "FPS", env = "SIGHTLINE_FPS", value_parser = rate)]
    pub(crate) fps: Option<f64>,
    /// Detect only
    #[arg(long, env = "SIGHTLINE_NO_TRACK")]
    pub(crate) no_track: bool,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct DetectArgs {
    /// Files, pictures (JPEG, PNG), rtsp://, http(s)://, test://PATTERN?size=WxH&fps=N&frames=N
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<String>,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) thresholds: ThresholdArgs,
    /// Results as JSON lines (frame/1); - is standard output
    #[arg(long, short, value_name = "FILE", env = "SIGHTLINE_OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Boxes, labels and track ids drawn: an .mp4, or .jpg for a picture; a directory for several inputs
    #[arg(long, value_name = "FILE|DIR", env = "SIGHTLINE_ANNOTATE")]
    pub(crate) annotate: Option<PathBuf>,
    /// How RTSP brings its packets
    #[arg(long, value_enum, default_value = "tcp", env = "SIGHTLINE_TRANSPORT")]
    pub(crate) transport: TransportArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportArg {
    Tcp,
    Udp,
}

#[cfg(feature = "pipeline")]
impl From<TransportArg> for sightline_schema::Transport {
    fn from(given: TransportArg) -> Self {
        match given {
            TransportArg::Tcp => Self::Tcp,
            TransportArg::Udp => Self::Udp,
        }
    }
}

/// Which Kafka.
#[derive(Args, Debug, Clone)]
pub(crate) struct KafkaArgs {
    /// Kafka's bootstrap servers
    #[arg(long, value_name = "HOST:PORT,…", env = "SIGHTLINE_KAFKA")]
    pub(crate) kafka: String,
    #[command(flatten)]
    pub(crate) settings: KafkaSettingsArgs,
}

/// How Kafka is spoken to.
#[derive(Args, Debug, Clone)]
pub(crate) struct KafkaSettingsArgs {
    /// librdkafka properties (TLS, SASL …): key=value lines. Secrets by KEY.file=PATH or SIGHTLINE_KAFKA_<KEY>
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_KAFKA_CONFIG")]
    pub(crate) kafka_config: Option<PathBuf>,
    /// Goes before each topic's name
    #[arg(long, value_name = "PREFIX", default_value = "sightline.", env = "SIGHTLINE_TOPIC_PREFIX")]
    pub(crate) topic_prefix: String,
}

/// The port for metrics and probes.
#[derive(Args, Debug, Clone)]
pub(crate) struct HttpArgs {
    /// Where /metrics, /livez and /readyz are served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9464", env = "SIGHTLINE_HTTP")]
    pub(crate) http: SocketAddr,
}

/// Where sampled work is told of.
#[derive(Args, Debug, Clone)]
pub(crate) struct TraceArgs {
    /// An OpenTelemetry collector that takes OTLP over HTTP, as in http://otel-collector:4318: traces of sampled frames go there
    #[arg(long, value_name = "URL", env = "SIGHTLINE_OTLP")]
    pub(crate) otlp: Option<String>,
    /// The share of frames that are traced, 0 to 1; of the registry: of requests. Default: 0; of a consumer 1, all that it
    /// reads of
    #[arg(long, value_name = "SHARE", env = "SIGHTLINE_TRACE_SAMPLE", value_parser = share)]
    pub(crate) trace_sample: Option<f64>,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct PipelineArgs {
    /// Runs these cameras, from a YAML file. Without it: its share of the registered ones
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_CAMERAS")]
    pub(crate) cameras: Option<PathBuf>,
    /// Whose cameras it shares with the other pods of it
    #[arg(long, value_name = "POOL", default_value = "default", env = "SIGHTLINE_POOL")]
    pub(crate) pool: String,
    /// Frames a second that it can detect. Default: measured at the start
    #[arg(long, value_name = "FPS", env = "SIGHTLINE_CAPACITY_FPS", value_parser = capacity)]
    pub(crate) capacity_fps: Option<f64>,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) publishing: PublishingArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    /// Where cameras' secrets are: a directory for each, by its name, with the files `username` and `password`
    #[arg(long, value_name = "DIR", env = "SIGHTLINE_SECRETS")]
    pub(crate) secrets: Option<PathBuf>,
    /// This process's name in statuses. Default: the host's name
    #[arg(long, value_name = "NAME", env = "SIGHTLINE_POD")]
    pub(crate) pod: Option<String>,
    /// The keys that open credentials which the registry sealed
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_SEAL_KEYS")]
    pub(crate) seal_keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Detect only
    #[arg(long, env = "SIGHTLINE_NO_TRACK")]
    pub(crate) no_track: bool,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    /// Whose jobs it works off, together with the other workers of it
    #[arg(long, value_name = "POOL", default_value = "default", env = "SIGHTLINE_POOL")]
    pub(crate) pool: String,
    /// So many jobs at once
    #[arg(long, value_name = "N", default_value_t = 1, env = "SIGHTLINE_PARALLEL", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) parallel: u32,
    /// Asked to stop, it goes on for so long with a job that ends in it; others are left to another worker at once
    #[arg(long, value_name = "S", default_value_t = 60, env = "SIGHTLINE_DRAIN", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) drain: u64,
    /// Seconds that a failed job waits before its next attempt; there is one attempt more than there are waits
    #[arg(
        long,
        value_name = "S,…",
        default_value = "10,60",
        value_delimiter = ',',
        env = "SIGHTLINE_RETRY_AFTER"
    )]
    pub(crate) retry_after: Vec<u32>,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    /// This process's name in statuses. Default: the host's name
    #[arg(long, value_name = "NAME", env = "SIGHTLINE_POD")]
    pub(crate) pod: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Detect only
    #[arg(long, env = "SIGHTLINE_NO_TRACK")]
    pub(crate) no_track: bool,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug, Clone)]
pub(crate) struct PublishingArgs {
    /// A directory for results that Kafka has not acknowledged: they outlive this process and a broker that is away.
    /// One for each process
    #[arg(long, value_name = "DIR", env = "SIGHTLINE_SPOOL")]
    pub(crate) spool: Option<PathBuf>,
    /// The most the spool may take on disk; when it is full, its oldest results go: bytes, KiB, MiB, GiB
    #[arg(long, value_name = "SIZE", default_value = "2GiB", env = "SIGHTLINE_SPOOL_MAX", value_parser = spool_size)]
    pub(crate) spool_max: u64,
    /// Send at once instead of gathering records for up to 100 ms: quicker, less well compressed
    #[arg(long, env = "SIGHTLINE_LOW_LATENCY")]
    pub(crate) low_latency: bool,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// Cameras, as for `detect`; files play in real time and again from the start. Default: the sample
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,
    /// Cameras from a YAML file, beside the inputs
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_CAMERAS")]
    pub(crate) cameras: Option<PathBuf>,
    /// The model: an ONNX file. Default: the sample's
    #[arg(long, short, value_name = "FILE", env = "SIGHTLINE_MODEL")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) reading: ModelReadingArgs,
    #[command(flatten)]
    pub(crate) thresholds: ThresholdArgs,
    /// A real Kafka instead of the broker made for trying out
    #[arg(long, value_name = "HOST:PORT,…", env = "SIGHTLINE_KAFKA")]
    pub(crate) kafka: Option<String>,
    #[command(flatten)]
    pub(crate) settings: KafkaSettingsArgs,
    #[command(flatten)]
    pub(crate) publishing: PublishingArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
    /// Where cameras' secrets are: a directory for each, by its name, with the files `username` and `password`
    #[arg(long, value_name = "DIR", env = "SIGHTLINE_SECRETS")]
    pub(crate) secrets: Option<PathBuf>,
    /// Where cameras are registered by API. Default: 127.0.0.1:8700, or a free port where that is taken
    #[arg(long, value_name = "ADDR:PORT", env = "SIGHTLINE_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Who may register, as for `registry`. Without it everybody on this machine
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_TOKENS")]
    pub(crate) tokens: Option<PathBuf>,
    /// The keys that seal users and passwords of registered cameras, as for `registry`
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_SEAL_KEYS")]
    pub(crate) seal_keys: Option<PathBuf>,
    /// Keeps what is registered over a restart, with the broker made for trying out; a real Kafka keeps it itself
    #[arg(long, value_name = "DIR", env = "SIGHTLINE_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Stores what happens there, too: see `consume store`
    #[command(flatten)]
    pub(crate) store: DatabaseArgs,
    /// Play files once, as fast as results are taken, and end when all have ended
    #[arg(long, env = "SIGHTLINE_ONCE")]
    pub(crate) once: bool,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct ProbeArgs {
    /// rtsp://, http(s)://, a file; - reads it from standard input
    #[arg(value_name = "URI")]
    pub(crate) uri: String,
    /// How RTSP brings its packets
    #[arg(long, value_enum, default_value = "tcp", env = "SIGHTLINE_TRANSPORT")]
    pub(crate) transport: TransportArg,
    /// How long it is read after its first picture; a camera's clock is told by reports that come every few seconds
    #[arg(long, value_name = "S", default_value_t = 6.0, env = "SIGHTLINE_SECONDS", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Pictures a second that are to be detected, for the advice
    #[arg(long, value_name = "FPS", default_value_t = 5.0, env = "SIGHTLINE_FPS", value_parser = rate)]
    pub(crate) fps: f64,
    /// What detection costs here: an ONNX file
    #[arg(long, short, value_name = "FILE", env = "SIGHTLINE_MODEL")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) reading: ModelReadingArgs,
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}

#[derive(Args, Debug)]
pub(crate) struct TopicsArgs {
    #[command(subcommand)]
    pub(crate) action: TopicsAction,
}

#[derive(Subcommand, Debug)]
pub(crate) enum TopicsAction {
    /// Make what is missing, and set what differs; never touches partitions
    Apply(TopicsActionArgs),
    /// Say what differs; exit 1 if anything does
    Check(TopicsActionArgs),
    /// Let epochs go on in a camera-status or job-status that was made anew by other means than `apply`, which does it itself
    Base(BaseArgs),
}

#[derive(Args, Debug)]
pub(crate) struct BaseArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    /// In job-status instead of camera-status
    #[arg(long)]
    pub(crate) jobs: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TopicsActionArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    /// Partitions a topic: set once, since growing them moves keys
    #[arg(long, value_name = "N", default_value_t = 48, env = "SIGHTLINE_PARTITIONS")]
    pub(crate) partitions: i32,
    /// Copies of each partition
    #[arg(long, value_name = "N", default_value_t = 1, env = "SIGHTLINE_REPLICATION")]
    pub(crate) replication: i32,
    /// A pool of pipelines and workers; may be given several times
    #[arg(
        long,
        value_name = "POOL",
        default_value = "default",
        value_delimiter = ',',
        env = "SIGHTLINE_POOLS"
    )]
    pub(crate) pool: Vec<String>,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct ModelCommandArgs {
    #[command(subcommand)]
    pub(crate) action: ModelAction,
}

#[cfg(feature = "pipeline")]
#[derive(Subcommand, Debug)]
pub(crate) enum ModelAction {
    /// Head, classes, input, precision, metadata, and what would be refused and why
    Inspect(InspectArgs),
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The model: an ONNX file
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) reading: ModelReadingArgs,
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct TrackArgs {
    /// Detections: MOT text rows (frame,id,x,y,w,h,conf[,class]) or frame/1 lines; - is standard input
    #[arg(value_name = "DETS")]
    pub(crate) detections: PathBuf,
    /// Frame size in pixels, for MOT rows
    #[arg(long, value_name = "WxH", env = "SIGHTLINE_SIZE")]
    pub(crate) size: Option<String>,
    /// Frames a second, for MOT rows
    #[arg(long, value_name = "FPS", env = "SIGHTLINE_FPS", value_parser = rate)]
    pub(crate) fps: Option<f64>,
    /// Where the tracks go, in the same form; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-", env = "SIGHTLINE_OUT")]
    pub(crate) out: PathBuf,
}

#[cfg(feature = "pipeline")]
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The video: a file
    #[arg(long, value_name = "FILE", env = "SIGHTLINE_VIDEO")]
    pub(crate) video: String,
    /// Rounds; each measures decoding, bare sessions and everything together, one after the other
    #[arg(long, value_name = "N", default_value_t = 3, env = "SIGHTLINE_ROUNDS", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    /// Frames a round, at most
    #[arg(long, value_name = "N", default_value_t = 500, env = "SIGHTLINE_FRAMES", value_parser = clap::value_parser!(u64).range(10..))]
    pub(crate) frames: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}

/// Bytes, or a number with a unit: `512MiB`.
#[cfg(feature = "pipeline")]
fn spool_size(given: &str) -> Result<u64, String> {
    const LEAST: u64 = 64 << 10;
    match size(given)? {
        bytes if bytes < LEAST => Err("give at least 64KiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Bytes, or with a unit.
pub(crate) fn size(given: &str) -> Result<u64, String> {
    let units = [("KiB", 1_u64 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, unit)| Some((given.strip_suffix(name)?, unit)))
        .unwrap_or((given, 1));
    let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "give a size as in 512MiB, 2GiB, or in bytes".to_owned())
}

#[cfg(feature = "pipeline")]
fn fraction(given: &str) -> Result<f32, String> {
    let value: f32 = given.parse().map_err(|_| "give a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("give a number from 0 to 1".to_owned()) }
}

fn share(given: &str) -> Result<f64, String> {
    let value: f64 = given.parse().map_err(|_| "give a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("give a number from 0 to 1".to_owned()) }
}

#[cfg(feature = "pipeline")]
fn seconds(given: &str) -> Result<f64, String> {
    let value: f64 = given.parse().map_err(|_| "give a number of seconds".to_owned())?;
    if (1.0..=600.0).contains(&value) { Ok(value) } else { Err("give 1 to 600".to_owned()) }
}

#[cfg(feature = "pipeline")]
#[cfg(feature = "pipeline")]
fn capacity(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fps) if fps > 0.0 && f64::is_finite(fps) => Ok(fps),
        _ => Err("give frames a second, above 0".to_owned()),
    }
}

fn rate(given: &str) -> Result<f64, String> {
    let value: f64 = given.parse().map_err(|_| "give a number of frames a second".to_owned())?;
    if value > 0.0 && value <= 240.0 { Ok(value) } else { Err("give more than 0 and at most 240".to_owned()) }
}

#[cfg(all(test, feature = "pipeline"))]
mod tests {
    use super::spool_size;

    #[test]
    fn a_size_is_bytes_or_has_a_unit() {
        let sizes = ["1048576", "512MiB", "2GiB", "1024 KiB", "1TiB"].map(spool_size);
        assert_eq!(sizes, [Ok(1 << 20), Ok(512 << 20), Ok(2 << 30), Ok(1 << 20), Ok(1 << 40)]);
        for wrong in ["", "GiB", "2GB", "-1", "1.5GiB", "99999999999TiB", "63KiB"] {
            assert!(spool_size(wrong).is_err(), "{wrong}");
        }
    }
}
