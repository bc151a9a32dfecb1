//! Twelve cameras for a while, and something happens to one of them, or to the broker, every few seconds.
//!
//! `SOAK_SECONDS` (90), `SOAK_EVERY` (6), `SOAK_SEED` (one by the time; printed). `make soak` runs it for an hour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../live/accounts.rs"]
mod accounts;
#[path = "../support/camera.rs"]
mod camera;
#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/follow.rs"]
mod follow;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/media.rs"]
mod media;
#[path = "../live/scene.rs"]
mod scene;
#[path = "../support/sightline.rs"]
mod sightline;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use camera::Camera;
use chance::{Chance, setting};
use kafka::{Kafka, KafkaKind};
use media::Make;
use scene::Scene;
use sightline::{data, output};

const CAMERAS: usize = 12;
const FPS: f64 = 1.0;
/// Lines to the test camera: what goes wrong, and what puts it right after so many seconds.
const FAULTS: [(&[&str], u64, &[&str]); 10] = [
    (&["fault stall"], 14, &["fault none"]),
    (&["fault garbage"], 8, &["fault none"]),
    (&["fault garbage"], 25, &["fault none"]),
    (&["fault black"], 14, &["fault none"]),
    (&["fault freeze"], 10, &["fault none"]),
    (&["fault silent", "reset"], 12, &["fault none", "reset"]),
    (&["fault babble", "reset"], 5, &["fault none"]),
    (&["reset"], 0, &[]),
    (&["hang-up"], 0, &[]),
    (&["clock +3600"], 10, &["clock -3600"]),
];

/// One camera; what it was told to do wrong is put right at a time.
struct Watched {
    camera: Option<Camera>,
    clip: PathBuf,
    right: Option<(Instant, &'static [&'static str])>,
}

impl Watched {
    fn serve(clip: &Path) -> Self {
        let camera = Camera::serve(clip, &["--loops", "forever", "--speed", "0.4", "--report-interval", "2"]);
        Self { camera: Some(camera), clip: clip.to_owned(), right: None }
    }

    fn camera(&mut self) -> &mut Camera {
        self.camera.as_mut().unwrap()
    }

    fn tell(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| self.camera().tell(line));
    }

    fn put_right(&mut self, now: Instant) {
        if let Some((_, lines)) = self.right.take_if(|(at, _)| *at <= now) {
            self.tell(lines);
        }
    }

    fn restart(&mut self) {
        let port = self.camera().port().to_string();
        self.camera.take().unwrap().kill();
        let options = ["--loops", "forever", "--speed", "0.4", "--report-interval", "2", "--port", &port];
        self.camera = Some(Camera::serve(&self.clip, &options));
    }
}

#[test]
fn cameras_and_broker_fail_one_after_the_other_and_nothing_is_lost_or_grows() {
    let (seconds, every) = (setting("SOAK_SECONDS", 90), setting("SOAK_EVERY", 6));
    println!("SOAK_SECONDS={seconds} SOAK_EVERY={every}");
    let mut chance = Chance::by("SOAK_SEED");

    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    let encoder = "x264enc speed-preset=ultrafast tune=zerolatency key-int-max=25 ! h264parse";
    let make = Make { frames: 100, size: (640, 360), encoder, mux: "mp4mux", audio: false };
    make.from(&data("clips/udacity_solidWhiteRight.mp4"), &clip);
    let mut cameras: Vec<_> = (0..CAMERAS).map(|_| Watched::serve(&clip)).collect();
    let ids: Vec<_> = (0..CAMERAS).map(|n| format!("soak-{n}")).collect();
    let mut yaml = "cameras:\n".to_owned();
    for (id, watched) in ids.iter().zip(&mut cameras) {
        let uri = watched.camera().uri("");
        writeln!(yaml, "  - {{id: {id}, source: {{uri: \"{uri}\"}}, sampling: {{mode: fps, fps: {FPS}}}}}")
            .unwrap();
    }
    let mut kafka = Kafka::start(KafkaKind::Plain);
    let made = output(&["topics", "apply", "--kafka", &kafka.bootstrap, "--partitions", "4"]);
    assert!(made.status.success(), "{made:?}");
    let spool = dir.path().join("spool").to_string_lossy().into_owned();
    let options = ["--spool", spool.as_str()];
    let scene = Scene::start_on(&kafka.bootstrap.clone(), Box::new(()), dir.path(), &yaml, &options);
    for id in &ids {
        scene.runs(id, Duration::from_secs(60), 0);
    }

    let (begun, mut told, mut memory) = (Instant::now(), 0, Vec::new());
    let mut broker_back: Option<Instant> = None;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let now = Instant::now();
        cameras.iter_mut().for_each(|watched| watched.put_right(now));
        if broker_back.take_if(|at| *at <= now).is_some() {
            kafka.resume();
        }
        if begun.elapsed().as_secs() / every > told {
            told += 1;
            let (which, what) = (chance.below(CAMERAS), chance.below(FAULTS.len() + 2));
            let watched = &mut cameras[which];
            if watched.right.is_some() {
                continue;
            }
            match FAULTS.get(what) {
                Some((lines, hold, right)) => {
                    println!("{:>5} s  {} {lines:?} for {hold} s", begun.elapsed().as_secs(), ids[which]);
                    watched.tell(lines);
                    watched.right = Some((now + Duration::from_secs(*hold), right));
                }
                None if what == FAULTS.len() => {
                    println!("{:>5} s  {} restarts", begun.elapsed().as_secs(), ids[which]);
                    watched.restart();
                }
                None if broker_back.is_none() => {
                    let hold = 5 + chance.below(20) as u64;
                    println!("{:>5} s  the broker is away for {hold} s", begun.elapsed().as_secs());
                    kafka.pause();
                    broker_back = Some(now + Duration::from_secs(hold));
                }
                None => {}
            }
        }
        memory.push(scene.held().rss_mib);
        std::thread::sleep(Duration::from_secs(1));
    }

    if broker_back.is_some() {
        kafka.resume();
    }
    let forever = Instant::now() + Duration::from_secs(3_600);
    cameras.iter_mut().for_each(|watched| watched.put_right(forever));
    for id in &ids {
        sightline::wait_for(&format!("{id} running at the end"), || {
            scene.statuses.of(id).pop().filter(|status| status["state"] == "running")
        });
    }
    let quarter = |n: usize| {
        let quarter = &memory[memory.len() * n / 4..memory.len() * (n + 1) / 4];
        quarter.iter().sum::<f64>() / quarter.len() as f64
    };
    println!("memory by quarters, MiB: {:.1?}", [0, 1, 2, 3].map(quarter));
    let (detections, _) = scene.stop();
    for id in &ids {
        let account = accounts::check(id, &detections.of(id), (1e6 / FPS) as i64);
        println!(
            "{id}: {} frames, {} of {} access units overload, {} corrupt, {} begun, {} gaps",
            account.frames,
            account.overload,
            account.arrived,
            account.corrupt,
            account.started,
            account.gaps.len()
        );
        assert!(account.frames as u64 * 4 > seconds, "{id} was hardly seen");
    }
    // Caches and pools fill in the first minutes.
    let allowed = if seconds >= 1_200 { 1.02 } else { 1.25 };
    assert!(quarter(3) <= quarter(1) * allowed, "memory grew");
}
