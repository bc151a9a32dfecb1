//! `consume archive` on a real Kafka, into directories and a real S3: each record is in the archive once, whatever dies,
//! read back by DuckDB and pandas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/archived.rs"]
mod archived;
#[path = "support/chance.rs"]
mod chance;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "archive/owners.rs"]
mod owners;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/sightline.rs"]
mod sightline;
#[path = "support/small_disk.rs"]
mod small_disk;

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use archived::{DETECTIONS, EVENTS, frame, happened, is_done, messages, produce};
use chance::{Chance, setting};
use kafka::{Kafka, KafkaKind};
use s3::S3;
use sightline::{Metrics, Sightline, command, documented, get, output, wait_for};

/// One scene at a time: two cores carry one.
static STAGE: Mutex<()> = Mutex::new(());

fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Scene {
    kafka: Kafka,
    dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let kafka = Kafka::start(KafkaKind::Plain);
        let made = output(&["topics", "apply", "--kafka", &kafka.bootstrap, "--partitions", "4"]);
        assert!(made.status.success(), "{made:?}");
        let dir = tempfile::tempdir().unwrap();
        // A session that ends soon: many deaths fit into a minute.
        let quick = "session.timeout.ms=1500\nheartbeat.interval.ms=300\n";
        std::fs::write(dir.path().join("kafka.properties"), quick).unwrap();
        Self { kafka, dir }
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("archive")
    }

    /// An archive of these topics, written every second or 200 records.
    fn command(&self, to: &str, more: &[&str]) -> Command {
        let properties = self.dir.path().join("kafka.properties");
        let args =
            ["consume", "archive", "--kafka", &self.kafka.bootstrap, "--http", "127.0.0.1:0", "--to", to];
        let fast =
            ["--roll-records", "200", "--roll-seconds", "1", "--kafka-config", properties.to_str().unwrap()];
        command(&[&args[..], &fast, more].concat())
    }

    fn archive(&self, more: &[&str]) -> Sightline {
        Sightline::spawn(self.command(self.root().to_str().unwrap(), more))
    }

    fn wait_until_done(&self, topics: &[&str]) {
        for topic in topics {
            wait_for(&format!("all of {topic} to be archived"), || {
                is_done(&self.kafka.bootstrap, topic).then_some(())
            });
        }
    }

    /// What is in the archive is what is in the topic, by DuckDB and by pandas.
    fn verify(&self, root: &Path, topic: &str) -> archived::Found {
        archived::verify(&self.kafka.bootstrap, root, topic)
    }
}

#[test]
fn what_was_produced_is_what_is_read_back() {
    let _stage = stage();
    let scene = Scene::start();
    scene.kafka.set_topic(DETECTIONS, "max.message.bytes=12000000");
    let mut chance = Chance::by("ARCHIVE_SEED");
    let (mut detections, mut events) = messages(&mut chance, 3000);
    detections.extend(archived::bad("frame/1"));
    events.extend(archived::bad("event/1"));
    // Behind what can't be read the rest goes on.
    detections.extend((0..500).map(|n| frame(&mut chance, &format!("camera-{}", n % 7), 9000 + n)));
    events.extend((0..50).map(|n| happened(&mut chance, &format!("camera-{}", n % 7), 9000 + n)));
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections);
    produce(&scene.kafka.bootstrap, EVENTS, &events);

    let mut archive = scene.archive(&[]);
    scene.wait_until_done(&[DETECTIONS, EVENTS]);
    let http = archive.http();
    wait_for("readiness", || (get(&http, "/readyz").0 == 200).then_some(()));
    let metrics = Metrics::scrape(&http);
    let (shown, mut page) = (metrics.described(), documented("sightline_consumer"));
    page.extend(documented("sightline_archive"));
    for (name, described) in &shown {
        assert_eq!(page.get(name), Some(described), "{name}");
    }
    assert!(documented("sightline_archive").keys().all(|name| shown.contains_key(name)), "{shown:?}");
    for (topic, short, raw) in [(DETECTIONS, "detections", 8.0), (EVENTS, "events", 8.0)] {
        let found = scene.verify(&scene.root(), topic);
        let sum = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels);
        let of = ("topic", short);
        assert_eq!(sum("sightline_archive_records_total", &[of]), found.rows as f64);
        assert_eq!(sum("sightline_archive_records_total", &[of, ("as", "raw")]), raw);
        assert_eq!(found.raw as f64, raw);
        assert_eq!(sum("sightline_archive_files_total", &[of]), found.files as f64);
        assert_eq!(sum("sightline_archive_bytes_total", &[of]), found.bytes as f64);
        println!("{topic}: {found:?}");
    }
    print!("{}", archived::query(&scene.root()));
    archive.signal("TERM");
    let (status, said) = archive.wait();
    assert!(status.success(), "{said}");
    assert!(said.contains("is kept as it came, in the column raw"), "{said}");
}

/// Where a batch is announced, a file of it is written, all are.
const POINTS: [&str; 3] = ["archive-announced", "archive-file", "archive-written"];

/// Two processes over both topics, killed at random moments and at the worst ones, and the broker once, while records come.
#[test]
fn processes_that_are_killed_leave_each_record_once() {
    let _stage = stage();
    let mut scene = Scene::start();
    let mut chance = Chance::by("ARCHIVE_SEED");
    let kills = setting("ARCHIVE_KILLS", 14);
    let (detections, events) = messages(&mut chance, 8000);
    let start = |scene: &Scene, point: Option<&str>| {
        let mut command = scene.command(scene.root().to_str().unwrap(), &[]);
        if let Some(point) = point {
            command.env("SIGHTLINE_STOP_AT", point);
        }
        Sightline::spawn(command)
    };
    let mut archives = [start(&scene, None), start(&scene, None)];
    let begun = Instant::now();
    let mut said = String::new();
    let bootstrap = scene.kafka.bootstrap.clone();
    std::thread::scope(|threads| {
        let over = Duration::from_secs(kills * 2);
        let playing = [(DETECTIONS, &detections), (EVENTS, &events)].map(|(topic, records)| {
            let to = &bootstrap;
            threads.spawn(move || archived::play(to, topic, records, over))
        });
        for kill in 0..kills {
            std::thread::sleep(Duration::from_millis(400 + chance.below(2600) as u64));
            let who = chance.below(2);
            println!("{:>5.1} s: process {who} is killed ({kill})", begun.elapsed().as_secs_f64());
            archives[who].signal("KILL");
            // Each second one stops by itself at such a point, and stays so until it is killed.
            let point = (kill % 2 == 0).then(|| POINTS[chance.below(3)]);
            said += &std::mem::replace(&mut archives[who], start(&scene, point)).stderr();
            if kill == kills / 2 {
                println!("{:>5.1} s: the broker is killed", begun.elapsed().as_secs_f64());
                scene.kafka.kill9();
                scene.kafka.start_again();
            }
        }
        playing.into_iter().for_each(|playing| playing.join().unwrap());
    });
    // One of them may stand still.
    archives.iter_mut().for_each(|archive| said += &std::mem::replace(archive, start(&scene, None)).stderr());
    scene.wait_until_done(&[DETECTIONS, EVENTS]);
    archives.iter().for_each(|archive| said += &archive.stderr());
    let repeats = said.matches("the same is made again").count();
    for topic in [DETECTIONS, EVENTS] {
        let found = scene.verify(&scene.root(), topic);
        println!("{topic}, after {kills} kills and {repeats} batches made again: {found:?}");
    }
    assert!(repeats > 0, "nothing died where it matters");
}

/// A process that sleeps past its session at the worst moments, and goes on when another has taken over.
#[test]
fn processes_that_sleep_and_wake_leave_each_record_once() {
    sleep_at_the_worst_moments(false);
}

/// The same, and it dies as soon as it wakes: it can take nothing back.
#[test]
fn processes_that_wake_and_die_leave_each_record_once() {
    sleep_at_the_worst_moments(true);
}

fn sleep_at_the_worst_moments(dies: bool) {
    let _stage = stage();
    let mut chance = Chance::by("ARCHIVE_SEED");
    for point in POINTS {
        let scene = Scene::start();
        let (detections, _) = messages(&mut chance, 2000);
        produce(&scene.kafka.bootstrap, DETECTIONS, &detections[..1000]);
        let to = scene.root();
        let mut command = scene.command(to.to_str().unwrap(), &["--topics", "detections"]);
        command.env("SIGHTLINE_STOP_AT", point);
        let sleeper = Sightline::spawn(command);
        wait_for("it to sleep", || sleeper.stderr().contains(&format!("stopped at {point}")).then_some(()));
        let other = scene.archive(&["--topics", "detections"]);
        scene.wait_until_done(&[DETECTIONS]);
        assert!(other.stderr().contains("the same is made again"), "{}", other.stderr());
        sleeper.signal("CONT");
        if dies {
            std::thread::sleep(Duration::from_millis(chance.below(30) as u64));
            sleeper.signal("KILL");
        }
        produce(&scene.kafka.bootstrap, DETECTIONS, &detections[1000..]);
        scene.wait_until_done(&[DETECTIONS]);
        let found = scene.verify(&to, DETECTIONS);
        println!("{point}, {}: {found:?}", if dies { "then killed" } else { "then awake" });
    }
}

#[test]
fn a_store_that_refuses_or_is_away_loses_nothing() {
    let _stage = stage();
    let scene = Scene::start();
    scene.kafka.set_topic(DETECTIONS, "max.message.bytes=12000000");
    let mut chance = Chance::by("ARCHIVE_SEED");
    let mut s3 = S3::start();
    let (detections, events) = messages(&mut chance, 2000);
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections);
    produce(&scene.kafka.bootstrap, EVENTS, &events);

    // A wrong secret is said, and shown to nobody.
    let to = "s3://archive/site/a";
    let spawn = |secret: &str, to: &str, s3: &S3| {
        let mut command = scene.command(to, &[]);
        s3.environment(&mut command, secret);
        Sightline::spawn(command)
    };
    const WRONG: &str = "a-secret-that-is-wrong";
    let mut refused = spawn(WRONG, to, &s3);
    refused.wait_for_line("the store refuses it with 403");
    let http = refused.http();
    let (status, ready) = get(&http, "/readyz");
    assert!(status == 503 && ready.contains("check its credentials"), "{ready}");
    let failures = [("reason", "refused")];
    assert!(Metrics::scrape(&http).sum("sightline_archive_store_failures_total", &failures) >= 1.0);
    refused.signal("TERM");
    let (_, said) = refused.wait();
    assert!(!said.contains(WRONG) && !said.contains(s3::SECRET) && !said.contains("Signature="), "{said}");

    // So is a bucket that is not there.
    let mut missing = spawn(s3::SECRET, "s3://nobodys/x", &s3);
    missing.wait_for_line("NoSuchBucket");
    drop(missing);

    // The server dies in the middle, and comes back.
    let mut archive = spawn(s3::SECRET, to, &s3);
    archive.wait_for_line("archiving");
    s3.kill9();
    produce(&scene.kafka.bootstrap, DETECTIONS, &messages(&mut chance, 1000).0);
    archive.wait_for_line("the store does not answer");
    let http = archive.http();
    wait_for("it to say so", || (get(&http, "/readyz").0 == 503).then_some(()));
    s3.start_again();
    scene.wait_until_done(&[DETECTIONS, EVENTS]);
    wait_for("readiness", || (get(&http, "/readyz").0 == 200).then_some(()));

    // A file so large that it goes up in parts, cut off.
    produce(&scene.kafka.bootstrap, DETECTIONS, &archived::incompressible(&mut chance, 4));
    wait_for("an upload in parts", || s3.has_parts().then_some(()));
    s3.kill9();
    std::thread::sleep(Duration::from_secs(1));
    s3.start_again();
    scene.wait_until_done(&[DETECTIONS, EVENTS]);
    for topic in [DETECTIONS, EVENTS] {
        let found = scene.verify(&s3.bucket("archive").join("site/a"), topic);
        println!("{topic}: {found:?}");
    }
    archive.signal("TERM");
    assert!(archive.wait().0.success());

    // Half of it is kept, by a process that has nothing else to ask the store.
    let bytes = || -> u64 {
        let files = archived::files(&s3.bucket("archive").join("site/a"), DETECTIONS);
        files.iter().map(|file| file.bytes).sum()
    };
    let most = bytes() / 2;
    let mut keeper = scene.command(to, &["--topics", "detections", "--keep-bytes", &most.to_string()]);
    s3.environment(&mut keeper, s3::SECRET);
    let mut keeper = Sightline::spawn(keeper);
    let said = keeper.wait_for_line("removed what was kept long enough");
    assert!(bytes() <= most, "{} of at most {most}: {said}", bytes());
}

#[test]
fn a_full_disk_loses_nothing() {
    let _stage = stage();
    let scene = Scene::start();
    let mut chance = Chance::by("ARCHIVE_SEED");
    let (detections, _) = messages(&mut chance, 3000);
    let Some(disk) = small_disk::SmallDisk::mount(128 << 10) else {
        println!("left out: only root can mount a small disk");
        return;
    };
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections);
    let to = disk.path().join("archive");
    let mut archive = Sightline::spawn(scene.command(to.to_str().unwrap(), &["--topics", "detections"]));
    let said = archive.wait_for_line("No space left on device");
    assert!(said.contains("make room"), "{said}");
    let http = archive.http();
    wait_for("the failure to be counted", || {
        let full = [("reason", "full")];
        (Metrics::scrape(&http).sum("sightline_archive_store_failures_total", &full) > 0.0).then_some(())
    });
    disk.grow(64 << 20);
    scene.wait_until_done(&[DETECTIONS]);
    println!("{:?}", scene.verify(&to, DETECTIONS));
}

#[test]
fn only_so_much_is_kept() {
    let _stage = stage();
    let scene = Scene::start();
    let mut chance = Chance::by("ARCHIVE_SEED");
    let (detections, _) = messages(&mut chance, 3000);
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections);
    let archive = scene.archive(&[]);
    scene.wait_until_done(&[DETECTIONS]);
    archive.signal("TERM");
    assert!(archive.wait().0.success());
    let files = archived::files(&scene.root(), DETECTIONS);
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    assert!(files.len() > 8, "{files:?}");
    // Two of them are old; what is not ours is older, and stays.
    let folder = files[0].path.parent().unwrap();
    let foreign = folder.join("notes.parquet");
    std::fs::write(&foreign, vec![0; 1000]).unwrap();
    let left = folder.join("sightline.detections-0-7-9.parquet#1");
    std::fs::write(&left, vec![0; 1000]).unwrap();
    let old: Vec<_> =
        files[..2].iter().map(|file| file.path.clone()).chain([foreign.clone(), left.clone()]).collect();
    for path in &old {
        let aged = Command::new("touch").args(["-d", "10 days ago"]).arg(path).status().unwrap();
        assert!(aged.success());
    }
    let most = total / 2;
    let mut keeper =
        scene.archive(&["--topics", "detections", "--keep-days", "7", "--keep-bytes", &most.to_string()]);
    keeper.wait_for_line("removed what was kept long enough");
    let kept = archived::files(&scene.root(), DETECTIONS);
    let bytes: u64 = kept.iter().map(|file| file.bytes).sum();
    let newest = files.iter().map(|file| file.bytes).max().unwrap();
    assert!(bytes <= most && bytes + 2 * newest > most, "{bytes} of {total}, wanted {most}");
    assert!(!old[0].exists() && !old[1].exists() && foreign.exists() && !left.exists());
    // The oldest went.
    let oldest_kept = kept.iter().map(|file| file.written).min().unwrap();
    let gone = files.iter().filter(|file| !file.path.exists());
    assert!(gone.clone().skip(2).all(|file| file.written <= oldest_kept));
    let http = keeper.http();
    let removed = [("topic", "detections")];
    let removed = Metrics::scrape(&http).sum("sightline_archive_files_removed_total", &removed);
    assert_eq!(removed as usize, gone.count());
    println!("{removed} of {} files removed, {bytes} of {total} bytes kept", files.len());
}

#[test]
fn what_can_not_be_is_refused_at_once() {
    let refused = |to: &str| {
        let ended = output(&["consume", "archive", "--kafka", "127.0.0.1:1", "--to", to]);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    let said = refused("s3://key:hunter2@bucket/x");
    assert!(said.contains("environment") && !said.contains("hunter2"), "{said}");
    assert!(refused("ftp://host/x").contains("give a directory"));
    assert!(refused("/proc/archive").contains("can't be the archive's directory"));
}
