//! Pods that share cameras, and whoever reads what they say.
// Each user takes what it needs.
#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::accepted::Accepted;
use crate::camera::Camera;
use crate::follow::Follow;
use crate::kafka::{Kafka, KafkaKind};
use crate::media::Make;
use crate::sightline::{Sightline, command, data, fast_model, output};

/// Results a second of each camera.
pub(crate) const FPS: f64 = 2.0;
/// µs between two results.
pub(crate) const INTERVAL: i64 = 500_000;

/// The scenes are played one after the other: two cores carry one.
static STAGE: Mutex<()> = Mutex::new(());

/// One scene is on at a time, as long as this is held.
pub(crate) fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pools that have slots.
const POOLS: &str = "default,other,p0,p1,p2,p3";

/// Kafka, a camera that many sessions play, and what the pods say.
pub(crate) struct Crew {
    pub(crate) kafka: Kafka,
    pub(crate) detections: Follow,
    pub(crate) statuses: Follow,
    pub(crate) pods: Follow,
    pub(crate) placements: Follow,
    pub(crate) sources: Vec<Camera>,
    model: String,
    dir: tempfile::TempDir,
    // Last: the stage is free when all else is gone.
    _stage: MutexGuard<'static, ()>,
}

impl Crew {
    /// Kafka with its topics, and one RTSP server that plays 320×180 at 10 frames a second to whoever asks.
    pub(crate) fn new() -> Self {
        let stage = stage();
        let kafka = Kafka::start(KafkaKind::Plain);
        let made = output(&["topics", "apply", "--kafka", &kafka.bootstrap, "--pool", POOLS]);
        assert!(made.status.success(), "{made:?}");
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("clip.mp4");
        small_clip(&clip);
        let source = Camera::serve(&clip, &["--loops", "forever", "--report-interval", "1"]);
        Self::on(stage, kafka, dir, vec![source], fast_model())
    }

    /// A Kafka that has its topics, cameras and a model of one's own.
    pub(crate) fn on(
        stage: MutexGuard<'static, ()>,
        kafka: Kafka,
        dir: tempfile::TempDir,
        sources: Vec<Camera>,
        model: String,
    ) -> Self {
        let follow = |topic: &str| Follow::topic(&kafka.bootstrap, topic);
        let (detections, statuses) = (follow("sightline.detections"), follow("sightline.camera-status"));
        let (pods, placements) = (follow("sightline.pods"), follow("sightline.placements"));
        Self { detections, statuses, pods, placements, kafka, sources, model, dir, _stage: stage }
    }

    /// A pod with this name; `options` as `sightline pipeline` takes them.
    pub(crate) fn pod(&self, name: &str, options: &[&str]) -> Sightline {
        Sightline::spawn(self.pod_command(name, options))
    }

    /// A pod whose cameras may be in this network alone, of those that are loopback and the like.
    pub(crate) fn pod_that_may_reach(&self, name: &str, network: &str) -> Sightline {
        let mut command = self.bare_command(name);
        command.args(["--allow-network", network]);
        Sightline::spawn(command)
    }

    pub(crate) fn pod_command(&self, name: &str, options: &[&str]) -> Command {
        let mut command = self.bare_command(name);
        command.args(["--allow-network", "127.0.0.0/8"]).args(options);
        command
    }

    /// A pod of another pool, with a model of its own.
    pub(crate) fn pod_of(&self, pool: &str, name: &str, model: &str) -> Sightline {
        let mut command = self.command_with(name, model);
        command.args(["--allow-network", "127.0.0.0/8", "--pool", pool]);
        Sightline::spawn(command)
    }

    fn bare_command(&self, name: &str) -> Command {
        self.command_with(name, &self.model)
    }

    fn command_with(&self, name: &str, model: &str) -> Command {
        let bootstrap = self.kafka.bootstrap.as_str();
        let spool = self.dir.path().join(format!("spool-{name}")).to_string_lossy().into_owned();
        let args =
            ["pipeline", "--kafka", bootstrap, "--model", model, "--pod", name, "--capacity-fps", "40"];
        let more = ["--http", "127.0.0.1:0", "--workers", "1", "--spool", &spool];
        command(&[&args[..], &more].concat())
    }

    /// Registers cameras as a foreign client does: records written with kcat.
    pub(crate) fn register(&self, cameras: &[Value]) {
        let lines: Vec<_> =
            cameras.iter().map(|camera| format!("{}\t{camera}", camera["id"].as_str().unwrap())).collect();
        self.write("sightline.cameras", &lines);
    }

    pub(crate) fn unregister(&self, id: &str) {
        self.write("sightline.cameras", &[format!("{id}\t")]);
    }

    pub(crate) fn place(&self, id: &str, pool: &str, slot: u32) {
        let placement = json!({"schema": "placement/1", "camera": id, "pool": pool, "slot": slot});
        self.write("sightline.placements", &[format!("{id}\t{placement}")]);
    }

    fn write(&self, topic: &str, lines: &[String]) {
        let mut kcat = Command::new("kcat")
            .args([
                "-P",
                "-q",
                "-Z",
                "-K",
                "\t",
                "-X",
                "partitioner=murmur2_random",
                "-b",
                &self.kafka.bootstrap,
                "-t",
            ])
            .arg(topic)
            .stdin(Stdio::piped())
            .spawn()
            .expect("kcat runs: apt-get install kcat");
        let mut input = kcat.stdin.take().unwrap();
        lines.iter().for_each(|line| writeln!(input, "{line}").unwrap());
        drop(input);
        assert!(kcat.wait().unwrap().success());
    }

    /// A file of this scene.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A camera's settings.
    pub(crate) fn camera(&self, id: &str) -> Value {
        json!({
            "schema": "camera/1", "id": id, "generation": 1,
            "streams": [{"role": "detect", "uri": self.sources[0].uri("")}],
            "sampling": {"mode": "fps", "fps": FPS},
        })
    }

    /// Does what this line says, for all sessions; see `tests/camera`.
    pub(crate) fn tell_source(&mut self, line: &str) {
        self.sources[0].tell(line);
    }

    /// Waits until a pod has said that it is there, and holds slots.
    pub(crate) fn wait_until_on(&self, pod: &str, within: Duration) {
        let begun = Instant::now();
        let holds = |record: &Value| record["slots"].as_array().is_some_and(|slots| !slots.is_empty());
        while self.pods.find(pod, 0, holds).is_none() {
            assert!(begun.elapsed() < within, "{pod} holds no slot within {} s", within.as_secs());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// How many sessions were played so far.
    pub(crate) fn plays(&self) -> usize {
        self.sources[0].plays()
    }

    /// The newest status of the newest epoch.
    pub(crate) fn status(&self, id: &str) -> Option<Value> {
        let statuses = self.statuses.of(id);
        let newest = statuses.iter().filter_map(|status| status["epoch"].as_u64()).max()?;
        statuses.into_iter().rfind(|status| status["epoch"] == newest)
    }

    /// Who runs it.
    pub(crate) fn runner(&self, id: &str) -> Option<String> {
        let status = self.status(id).filter(|status| status["state"] == "running")?;
        Some(status["pod"].as_str()?.to_owned())
    }

    /// Waits until all of these run, on pods that `fits` likes.
    pub(crate) fn wait_until_all_run(&self, ids: &[String], within: Duration, fits: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let open: Vec<_> =
                ids.iter().filter(|id| !self.runner(id).is_some_and(|pod| fits(&pod))).collect();
            if open.is_empty() {
                return;
            }
            assert!(
                begun.elapsed() < within,
                "not all run as they should within {} s: {:#?}",
                within.as_secs(),
                open.iter().map(|id| (id, self.status(id))).collect::<Vec<_>>()
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What a reader accepts of a camera so far.
    pub(crate) fn accepted(&self, id: &str) -> Accepted {
        Accepted::of(&self.detections.of(id))
    }
}

pub(crate) fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("cam-{n}")).collect()
}

/// 320×180, 10 frames a second.
fn small_clip(file: &Path) {
    let encoder = "videorate ! video/x-raw,framerate=10/1 ! x264enc speed-preset=ultrafast tune=zerolatency \
                   key-int-max=10 ! h264parse";
    let make = Make { frames: 100, size: (320, 180), encoder, mux: "mp4mux", audio: false };
    make.from(&data("clips/udacity_solidWhiteRight.mp4"), file);
}

/// How much more than its cores this machine has to do.
pub(crate) fn load_per_core() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = load.split(' ').next().unwrap().parse().unwrap();
    load / std::thread::available_parallelism().unwrap().get() as f64
}
