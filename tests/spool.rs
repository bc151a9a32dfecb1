//! The spool on a real Apache Kafka: brokers that are away, processes that are killed, disks that are full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/chance.rs"]
mod chance;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/sightline.rs"]
mod sightline;
#[path = "support/told.rs"]
mod told;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chance::Chance;
use kafka::{Kafka, KafkaKind};
use sightline::{Metrics, Sightline, command, data, fast_model, output, wait_for};
use told::{DETECTIONS, Told};

const STOP_BOUND: Duration = Duration::from_secs(25);
const LIVE: [&str; 2] = ["yard", "gate"];

/// A broker with topics, two live cameras, and a memory that holds 20 records.
struct Stage {
    broker: Kafka,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        let broker = Kafka::start(KafkaKind::Plain);
        let applied = output(&["topics", "apply", "--kafka", &broker.bootstrap, "--partitions", "6"]);
        assert!(applied.status.success(), "{applied:?}");
        let folder = tempfile::tempdir().unwrap();
        let cameras =
            LIVE.map(|id| format!("{{id: {id}, source: 'test://ball?size=160x120&fps=10'}}")).join(", ");
        fs::write(folder.path().join("cameras.yaml"), format!("cameras: [{cameras}]\n")).unwrap();
        fs::write(folder.path().join("kafka.properties"), "queue.buffering.max.messages=20\n").unwrap();
        Self { broker, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn spool(&self) -> String {
        self.path("spool")
    }

    fn command(&self, cameras: &str, spool: &str, more: &[&str]) -> Command {
        let (model, cameras, config) = (fast_model(), self.path(cameras), self.path("kafka.properties"));
        let args = [
            "pipeline",
            "--kafka",
            &self.broker.bootstrap,
            "--cameras",
            &cameras,
            "--model",
            &model,
            "--http",
            "127.0.0.1:0",
            "--kafka-config",
            &config,
            "--low-latency",
            "--spool",
            spool,
        ];
        command(&[&args[..], more].concat())
    }

    fn run(&self, cameras: &str, more: &[&str]) -> (Sightline, String) {
        let mut running = Sightline::spawn(self.command(cameras, &self.spool(), more));
        let http = running.http();
        (running, http)
    }

    fn told(&self) -> Told {
        Told::read(&self.broker.bootstrap)
    }

    /// The files that hold records.
    fn files(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(self.spool()).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> =
            found.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
        found.sort();
        found
    }
}

fn metric(http: &str, name: &str) -> f64 {
    Metrics::scrape(http).sum(&format!("sightline_pipeline_{name}"), &[])
}

fn published(http: &str) -> f64 {
    metric(http, "frames_published_total")
}

fn published_of(http: &str, camera: &str) -> u64 {
    Metrics::scrape(http).sum("sightline_pipeline_frames_published_total", &[("camera", camera)]) as u64
}

fn unpublished(http: &str) -> f64 {
    Metrics::scrape(http).sum("sightline_pipeline_frames_skipped_total", &[("reason", "unpublished")])
}

/// Waits until so many more frames were accepted.
fn wait_for_frames(http: &str, more: f64) {
    let wanted = published(http) + more;
    wait_for(&format!("{more} more frames"), || (published(http) >= wanted).then_some(()));
}

fn wait_until_drained(http: &str) {
    wait_for("an empty spool", || (metric(http, "spool_bytes") == 0.0).then_some(()));
}

/// SIGTERM, the bound, exit code 0. Gives all it said.
fn stop(running: Sightline) -> String {
    running.signal("TERM");
    let asked = Instant::now();
    let (status, said) = running.wait();
    assert!(asked.elapsed() < STOP_BOUND, "{:?}: {said}", asked.elapsed());
    assert_eq!(status.code(), Some(0), "{said}");
    said
}

#[test]
fn a_broker_that_is_away_for_longer_than_the_memory_holds_costs_nothing() {
    let mut stage = Stage::set();
    let clip = data("clips/car-detection.mp4");
    let text = fs::read_to_string(stage.path("cameras.yaml")).unwrap();
    let with_file = text.replace("]\n", &format!(", {{id: cars, source: '{}'}}]\n", clip.display()));
    fs::write(stage.path("three.yaml"), with_file).unwrap();
    let (running, http) = stage.run("three.yaml", &[]);
    wait_for_frames(&http, 20.0);
    stage.broker.kill9();
    let away = Instant::now();
    let in_spool = |http: &str| (metric(http, "spool_bytes") > 10_000.0).then_some(());
    wait_for("a spool that fills", || in_spool(&http));
    // The file ends, and the live cameras fill the memory many times.
    wait_for("the file's end", || {
        let ended = Metrics::scrape(&http).sum("sightline_pipeline_cameras", &[("state", "ended")]);
        (ended >= 1.0).then_some(())
    });
    wait_for("half a minute", || (away.elapsed() > Duration::from_secs(30)).then_some(()));
    wait_for_frames(&http, 50.0);
    assert!(metric(&http, "spool_oldest_age_seconds") > 15.0);
    stage.broker.start_again();
    wait_until_drained(&http);
    wait_for_frames(&http, 20.0);
    assert_eq!(unpublished(&http), 0.0);
    let said = stop(running);
    assert!(said.contains("everything acknowledged"), "{said}");
    assert!(stage.files().is_empty(), "{:?}", stage.files());

    let told = stage.told();
    assert_eq!((told.repeats, told.gaps.len()), (0, 0));
    for camera in LIVE {
        let epochs = told.epochs(camera);
        assert_eq!(epochs.len(), 1);
        assert!(epochs[0].frames.len() > 300 && epochs[0].ended, "{camera}");
    }
    assert_eq!(told.epochs("cars")[0].frames.len(), 377);
}

#[test]
fn a_killed_process_leaves_what_it_had_to_the_next() {
    let mut stage = Stage::set();
    let mut safe: Vec<[u64; 2]> = Vec::new();
    for (before, after) in [(15.0, 7.0), (3.0, 33.0), (40.0, 90.0)] {
        let (running, http) = stage.run("cameras.yaml", &[]);
        wait_for_frames(&http, before);
        stage.broker.kill9();
        wait_for_frames(&http, after);
        // What is older than a second is on disk.
        let known = LIVE.map(|camera| published_of(&http, camera));
        let at = Instant::now();
        wait_for("two seconds", || (at.elapsed() > Duration::from_secs(2)).then_some(()));
        running.signal("KILL");
        drop(running);
        safe.push(known);
        stage.broker.start_again();
    }
    let (running, http) = stage.run("cameras.yaml", &[]);
    wait_for("a replay", || (metric(&http, "spool_replayed_total") > 30.0).then_some(()));
    wait_for_frames(&http, 20.0);
    wait_until_drained(&http);
    assert!(running.stderr().contains("the spool holds results of an earlier process"));
    stop(running);

    let told = stage.told();
    assert!(told.gaps.is_empty(), "{:?}", told.gaps);
    for (at, camera) in LIVE.iter().enumerate() {
        let epochs = told.epochs(camera);
        assert_eq!(epochs.len(), 4, "{camera}");
        for (epoch, safe) in epochs.iter().zip(&safe) {
            assert!(
                epoch.frames.len() as u64 >= safe[at],
                "{camera}: {} of {}",
                epoch.frames.len(),
                safe[at]
            );
            assert!(!epoch.ended);
        }
        assert!(epochs[3].ended);
    }
    assert_eq!(told.late, 0, "what was left comes before the new epoch");
    // The gap to the next epoch begins at what was left, not at what Kafka knew of it.
    for gap in &told.unseen {
        let after = &gap["after"];
        let epochs = &told.cameras[gap["camera"].as_str().unwrap()];
        let last = epochs[&after["epoch"].as_u64().unwrap()].frames.last().copied();
        assert_eq!((after["seq"].as_u64(), gap["reason"].as_str()), (last, Some("pod_lost")), "{gap}");
    }
    assert!(!told.unseen.is_empty());
}

#[test]
fn twenty_kills_at_any_moment_lose_nothing_that_is_older_than_two_seconds() {
    const KILLS: usize = 20;
    let mut chance = Chance::by("KILLS_SEED");
    let mut stage = Stage::set();
    let (mut safe, mut while_away) = (Vec::new(), 0);
    for _ in 0..KILLS {
        let (running, http) = stage.run("cameras.yaml", &[]);
        wait_for("a frame of each", || LIVE.iter().all(|id| published_of(&http, id) > 0).then_some(()));
        let (away, life) = (chance.below(2) == 0, Duration::from_millis(200 + chance.below(4_000) as u64));
        if away {
            stage.broker.pause();
        }
        let (begun, mut known) = (Instant::now(), Vec::new());
        while begun.elapsed() < life {
            known.push((Instant::now(), LIVE.map(|id| published_of(&http, id))));
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let epochs = LIVE.map(|id| epoch_of(&running, id));
        running.signal("KILL");
        let killed = Instant::now();
        drop(running);
        let old = |(at, _): &&(Instant, [u64; 2])| killed - *at >= Duration::from_secs(2);
        safe.push((epochs, known.iter().rfind(old).map_or([0; 2], |(_, known)| *known)));
        if away {
            while_away += known.last().unwrap().1.iter().sum::<u64>() as usize;
            stage.broker.resume();
        }
    }
    let (running, http) = stage.run("cameras.yaml", &[]);
    wait_for_frames(&http, 20.0);
    wait_until_drained(&http);
    stop(running);

    let told = stage.told();
    println!("{} repeats, {} gaps, {} unseen", told.repeats, told.gaps.len(), told.unseen.len());
    assert!(told.gaps.is_empty(), "{:?}", told.gaps);
    assert_eq!(told.late, 0);
    assert!(told.repeats <= while_away, "{} repeats of {while_away}", told.repeats);
    for (at, camera) in LIVE.iter().enumerate() {
        let epochs = &told.cameras[*camera];
        for (kill, (numbers, safe)) in safe.iter().enumerate() {
            let found = epochs.get(&numbers[at]).map_or(0, |epoch| epoch.frames.len()) as u64;
            assert!(found >= safe[at], "{camera}: {found} of {} before kill {kill}", safe[at]);
        }
        // What begins an epoch goes with its first frames, where a kill takes those: but no frame of a later epoch comes
        // without the gap before it.
        let of_camera = told.unseen.iter().filter(|gap| gap["camera"] == **camera);
        let gaps: BTreeSet<_> = of_camera.map(|gap| gap["epoch"].as_u64().unwrap()).collect();
        let begun: BTreeSet<_> = epochs
            .iter()
            .filter(|(_, epoch)| !epoch.frames.is_empty())
            .skip(1)
            .map(|(number, _)| *number)
            .collect();
        assert!(begun.is_subset(&gaps), "{camera}: {begun:?} began, {gaps:?} behind a gap");
        assert!(begun.len() >= KILLS / 2, "{camera}: {begun:?}");
    }
}

/// The epoch of a camera in this process, as its log says it.
fn epoch_of(running: &Sightline, camera: &str) -> u64 {
    let said = running.stderr();
    let line =
        said.lines().find(|line| line.contains("claimed") && line.contains(&format!("camera={camera} ")));
    let line = line.unwrap_or_else(|| panic!("{camera} is not claimed: {said}"));
    let number = line.split("epoch=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no epoch: {line}"))
}

#[test]
fn a_stop_without_a_broker_keeps_its_bound_and_the_next_start_publishes() {
    let mut stage = Stage::set();
    let (running, http) = stage.run("cameras.yaml", &[]);
    wait_for_frames(&http, 10.0);
    stage.broker.kill9();
    wait_for_frames(&http, 60.0);
    let said = stop(running);
    let left = said.lines().find(|line| line.contains("records stay in")).expect("a sentence").to_owned();
    assert!(left.contains(&stage.spool()) && left.contains("are published at the next start"), "{left}");
    // A start and a stop while the broker is still away change nothing.
    let files = stage.files();
    assert!(!files.is_empty());
    let (mut waiting, _) = stage.run("cameras.yaml", &[]);
    waiting.wait_for_line("no broker answers");
    assert!(stop(waiting).contains("records stay in"));
    assert_eq!(stage.files(), files);

    // A second process can't have the directory, nor can one that is no directory.
    stage.broker.start_again();
    let (running, http) = stage.run("cameras.yaml", &[]);
    wait_for("a claim", || running.stderr().contains("claimed").then_some(()));
    let second = stage.command("cameras.yaml", &stage.spool(), &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process uses this directory"));
    let file = stage.path("cameras.yaml");
    let refused = stage.command("cameras.yaml", &file, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&format!("--spool {file}: it can't be made")));

    wait_until_drained(&http);
    wait_for_frames(&http, 20.0);
    stop(running);
    let told = stage.told();
    assert!(told.gaps.is_empty() && told.late == 0, "{:?}", told.gaps);
    for camera in LIVE {
        let epochs = told.epochs(camera);
        assert_eq!(epochs.len(), 2, "{camera}");
        assert!(epochs.iter().all(|epoch| epoch.ended), "{camera}: the end was kept, too");
        assert!(epochs[0].frames.len() >= 30, "{camera}");
    }
}

#[test]
fn a_recording_that_waits_for_room_takes_no_worker_from_a_live_camera() {
    let mut stage = Stage::set();
    let clip = data("clips/car-detection.mp4");
    let text = fs::read_to_string(stage.path("cameras.yaml")).unwrap();
    let with_file = text.replace("]\n", &format!(", {{id: cars, source: '{}'}}]\n", clip.display()));
    fs::write(stage.path("three.yaml"), with_file).unwrap();
    let spool = stage.spool();
    let more = ["--workers", "1", "--spool-max", "64KiB"];
    let mut running = Sightline::spawn(stage.command("three.yaml", &spool, &more));
    let http = running.http();
    wait_for("the file", || (published_of(&http, "cars") > 5).then_some(()));
    stage.broker.kill9();
    let overload = || {
        let of = |camera: &&str| {
            let labels = [("reason", "overload"), ("camera", *camera)];
            Metrics::scrape(&http).sum("sightline_pipeline_frames_skipped_total", &labels)
        };
        LIVE.iter().map(of).sum::<f64>()
    };
    wait_for("a spool that is full", || (metric(&http, "spool_evicted_total") > 0.0).then_some(()));
    let (before, cars) = (overload(), published_of(&http, "cars"));
    assert!(cars < 377, "the file did not wait");
    wait_for_frames(&http, 60.0);
    assert!(overload() - before < 10.0, "{} frames of live cameras had no worker", overload() - before);
    assert_eq!(published_of(&http, "cars"), cars, "the file waits");
    stage.broker.start_again();
    wait_for("the file's end", || (published_of(&http, "cars") == 377).then_some(()));
    stop(running);
    let told = stage.told();
    let frames = told.epochs("cars")[0].frames.len() as u64;
    let of_cars = told.gaps.iter().filter(|gap| gap["camera"] == "cars");
    assert_eq!(frames + of_cars.map(|gap| gap["frames"].as_u64().unwrap()).sum::<u64>(), 377);
}

/// A small file system of its own.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], at);
        Self(at.to_owned())
    }

    fn change(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(options: &[&str], at: &Path) {
    let status = Command::new("mount").args(options).arg(at).status().expect("mount runs, as root");
    assert!(status.success(), "mount {options:?} {}", at.display());
}

#[test]
fn a_disk_that_is_full_or_read_only_is_said_and_costs_what_is_counted() {
    let mut stage = Stage::set();
    let disk = Disk::mount(Path::new(&stage.spool()), "48k");
    let (running, http) = stage.run("cameras.yaml", &["--workers", "1"]);
    wait_for_frames(&http, 10.0);
    wait_until_drained(&http);
    let said = |running: &Sightline, what: &str| running.stderr().contains(what).then_some(());
    let unwritable = format!("the spool {} can't be written to", stage.spool());
    disk.change("ro");
    stage.broker.kill9();
    wait_for("the reason", || said(&running, &format!("{unwritable}: Read-only file system")));
    wait_for("drops, counted", || (unpublished(&http) >= 10.0).then_some(()));
    assert!(metric(&http, "spool_errors_total") >= 1.0);
    // It can be written to again: it fills.
    disk.change("rw");
    wait_for("that the disk is full", || said(&running, &format!("{unwritable}: No space left on device")));
    let before = unpublished(&http);
    wait_for("drops again", || (unpublished(&http) > before + 10.0).then_some(()));
    // Room: nothing more is dropped.
    disk.change("size=64m");
    wait_for_frames(&http, 40.0);
    let dropped = unpublished(&http);
    wait_for_frames(&http, 40.0);
    assert_eq!(unpublished(&http), dropped);
    stage.broker.start_again();
    wait_until_drained(&http);
    wait_for_frames(&http, 20.0);
    stop(running);
    let told = stage.told();
    assert!(told.gaps.is_empty(), "{:?}", told.gaps);
    assert_eq!(told.unpublished as f64, dropped, "what the metrics said is in the records");
}

#[test]
fn a_full_spool_loses_its_oldest_and_says_how_many() {
    let mut stage = Stage::set();
    let (running, http) = stage.run("cameras.yaml", &["--spool-max", "64KiB"]);
    wait_for_frames(&http, 10.0);
    stage.broker.kill9();
    wait_for("evictions", || (metric(&http, "spool_evicted_total") > 40.0).then_some(()));
    assert!(metric(&http, "spool_bytes") <= 70_000.0);
    // The loss is told by whoever comes next.
    running.signal("KILL");
    drop(running);
    stage.broker.start_again();
    let (running, http) = stage.run("cameras.yaml", &["--spool-max", "64KiB"]);
    wait_until_drained(&http);
    wait_for_frames(&http, 20.0);
    stop(running);
    let told = stage.told();
    assert_eq!(told.late, 0);
    for camera in LIVE {
        let gaps: Vec<_> = told.gaps.iter().filter(|gap| gap["camera"] == camera).collect();
        assert_eq!(gaps.len(), 1, "{camera}: {gaps:?}");
        assert_eq!(gaps[0]["reason"], "spool_full");
        assert!(gaps[0]["frames"].as_u64().unwrap() > 10 && gaps[0]["before"].is_object(), "{gaps:?}");
    }
}

#[test]
fn a_record_that_is_too_large_is_a_gap_and_the_others_arrive() {
    let stage = Stage::set();
    stage.broker.set_topic(DETECTIONS, "max.message.bytes=340");
    let clip = data("clips/car-detection.mp4");
    let cameras = format!("cameras: [{{id: cars, source: '{}'}}]\n", clip.display());
    fs::write(stage.path("cars.yaml"), cameras).unwrap();
    let (running, http) = stage.run("cars.yaml", &[]);
    wait_for("the file's end", || {
        let ended = Metrics::scrape(&http).sum("sightline_pipeline_cameras", &[("state", "ended")]);
        (ended >= 1.0).then_some(())
    });
    wait_until_drained(&http);
    let refused = metric(&http, "records_refused_total");
    let said = stop(running);
    assert!(said.contains("is larger than max.message.bytes of the topic"), "{said}");
    let told = stage.told();
    let frames = told.epochs("cars")[0].frames.len();
    assert!(!told.gaps.is_empty() && frames > 20, "{frames} frames, {} gaps", told.gaps.len());
    assert!(told.gaps.iter().all(|gap| gap["reason"] == "refused"), "{:?}", told.gaps);
    assert_eq!(frames + told.gaps.len(), 377, "each frame is there, or counted");
    assert!(refused >= told.gaps.len() as f64);
}
