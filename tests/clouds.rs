//! `gs://` and `az://` on emulators of Google Cloud Storage and Azure Blob Storage: what is archived there is read back by
//! Google's and Microsoft's own clients, and recordings are worked off where they lie. `make test-clouds`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/archived.rs"]
mod archived;
#[path = "support/chance.rs"]
mod chance;
#[path = "jobs/clips.rs"]
#[allow(dead_code, reason = "of the tests of jobs; this one takes what it needs")]
mod clips;
#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "jobs/queue.rs"]
#[allow(dead_code, reason = "of the tests of jobs; this one takes what it needs")]
mod queue;
#[path = "consumers/scene.rs"]
#[allow(dead_code, reason = "of the consumers' tests; this one takes what it needs")]
mod scene;
#[path = "support/sightline.rs"]
mod sightline;

use std::path::Path;
use std::time::{Duration, Instant};

use archived::{DETECTIONS, EVENTS, incompressible, is_done, messages, produce};
use chance::Chance;
use clips::{Coding, Part};
use emulator::{Cloud, Emulator};
use kafka::{Kafka, KafkaKind};
use sightline::{Metrics, Sightline, command, get, output, wait_for};

/// Files above this go up in parts.
const ONE_PUT: u64 = 16 << 20;

#[test]
#[ignore = "make test-clouds"]
fn what_is_archived_on_google_cloud_storage_is_read_back_by_googles_client() {
    archive_and_read_back(Cloud::Google);
}

#[test]
#[ignore = "make test-clouds"]
fn what_is_archived_on_azure_is_read_back_by_microsofts_client() {
    archive_and_read_back(Cloud::Azure);
}

#[test]
#[ignore = "make test-clouds"]
fn a_recording_on_google_cloud_storage_is_worked_off_where_it_lies() {
    work_off(Cloud::Google);
}

#[test]
#[ignore = "make test-clouds"]
fn a_recording_on_azure_is_worked_off_where_it_lies() {
    work_off(Cloud::Azure);
}

struct Scene {
    kafka: Kafka,
    cloud: Emulator,
    dir: tempfile::TempDir,
}

impl Scene {
    fn start(cloud: Cloud) -> Self {
        let kafka = Kafka::start(KafkaKind::Plain);
        let made = output(&["topics", "apply", "--kafka", &kafka.bootstrap, "--partitions", "4"]);
        assert!(made.status.success(), "{made:?}");
        kafka.set_topic(DETECTIONS, "max.message.bytes=12000000");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("kafka.properties"),
            "session.timeout.ms=1500\nheartbeat.interval.ms=300\n",
        )
        .unwrap();
        Self { kafka, cloud: Emulator::start(cloud), dir }
    }

    /// It stops by itself at this point, and stays so until it is killed.
    fn archive(&self, to: &str, point: Option<&str>, more: &[&str]) -> Sightline {
        let properties = self.dir.path().join("kafka.properties");
        let args =
            ["consume", "archive", "--kafka", &self.kafka.bootstrap, "--http", "127.0.0.1:0", "--to", to];
        let fast =
            ["--roll-records", "200", "--roll-seconds", "1", "--kafka-config", properties.to_str().unwrap()];
        let mut command = command(&[&args[..], &fast, more].concat());
        self.cloud.environment(&mut command);
        if let Some(point) = point {
            command.env("SIGHTLINE_STOP_AT", point);
        }
        Sightline::spawn(command)
    }

    fn wait_until_done(&self) {
        for topic in [DETECTIONS, EVENTS] {
            wait_for(&format!("all of {topic} to be archived"), || {
                is_done(&self.kafka.bootstrap, topic).then_some(())
            });
        }
    }

    /// What the cloud's own client finds, as files.
    fn fetched(&self) -> (tempfile::TempDir, Vec<archived::File>) {
        let folder = tempfile::tempdir().unwrap();
        let root = self.cloud.fetch("site/a", folder.path());
        let files =
            [DETECTIONS, EVENTS].into_iter().flat_map(|topic| archived::files(&root, topic)).collect();
        (folder, files)
    }
}

fn archive_and_read_back(cloud: Cloud) {
    let _stage = scene::stage();
    let mut scene = Scene::start(cloud);
    let mut chance = Chance::by("ARCHIVE_SEED");
    let to = scene.cloud.uri("site/a");
    let begun = Instant::now();

    // A container that is not there is said.
    let elsewhere = to.replace("://archive", "://nobodys");
    let mut missing = scene.archive(&elsewhere, None, &[]);
    let said = missing.wait_for_line("there is no such place");
    assert!(said.contains("make the bucket, or correct --to"), "{said}");
    drop(missing);

    // One is killed when a file of its first batch is written, and the others are not.
    let (detections, events) = messages(&mut chance, 3000);
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections);
    produce(&scene.kafka.bootstrap, EVENTS, &events);
    let killed = scene.archive(&to, Some("archive-file"), &["--topics", "detections"]);
    wait_for("it to stop", || killed.stderr().contains("stopped at archive-file").then_some(()));
    killed.signal("KILL");
    drop(killed);
    let mut archive = scene.archive(&to, None, &[]);
    archive.wait_for_line("the same is made again");
    scene.wait_until_done();

    // Another in the middle of a file that goes up in parts.
    let before = scene.cloud.holds();
    produce(&scene.kafka.bootstrap, DETECTIONS, &incompressible(&mut chance, 4));
    let deadline = Instant::now() + Duration::from_secs(60);
    while scene.cloud.holds() < before + ONE_PUT {
        assert!(Instant::now() < deadline, "no upload in parts");
        std::thread::sleep(Duration::from_millis(1));
    }
    archive.signal("KILL");
    let (_, seen) = scene.fetched();
    assert!(seen.iter().all(|file| file.bytes < ONE_PUT), "a file of which not all parts came is seen");
    archive = scene.archive(&to, None, &[]);
    archive.wait_for_line("the same is made again");
    scene.wait_until_done();

    // The store goes away, and comes back.
    scene.cloud.stop();
    produce(&scene.kafka.bootstrap, DETECTIONS, &messages(&mut chance, 1000).0);
    archive.wait_for_line("the store does not answer");
    let http = archive.http();
    wait_for("it to say so", || (get(&http, "/readyz").0 == 503).then_some(()));
    scene.cloud.start_again();
    scene.wait_until_done();
    wait_for("readiness", || (get(&http, "/readyz").0 == 200).then_some(()));
    archive.signal("TERM");
    assert!(archive.wait().0.success());

    let (folder, files) = scene.fetched();
    let root = folder.path().join("site/a");
    assert!(files.iter().any(|file| file.bytes > ONE_PUT), "nothing went up in parts");
    for topic in [DETECTIONS, EVENTS] {
        let found = archived::verify(&scene.kafka.bootstrap, &root, topic);
        println!("{cloud:?}, {topic}: {found:?}");
    }

    // Half of the detections is kept, and what is not the archive's own.
    let note = scene.dir.path().join("notes.parquet");
    std::fs::write(&note, "a note").unwrap();
    scene.cloud.put(&format!("site/a/{DETECTIONS}/notes.parquet"), &note);
    let total: u64 = archived::files(&root, DETECTIONS).iter().map(|file| file.bytes).sum();
    let most = total / 2;
    let more = ["--topics", "detections", "--keep-bytes", &most.to_string()];
    let mut keeper = scene.archive(&to, None, &more);
    keeper.wait_for_line("removed what was kept long enough");
    let http = keeper.http();
    let removed = Metrics::scrape(&http).sum("sightline_archive_files_removed_total", &[]);
    drop(keeper);
    let (folder, kept) = scene.fetched();
    let root = folder.path().join("site/a");
    assert!(root.join(DETECTIONS).join("notes.parquet").exists(), "what is not ours was removed");
    let bytes: u64 = archived::files(&root, DETECTIONS).iter().map(|file| file.bytes).sum();
    assert!(bytes <= most, "{bytes} of {total}, wanted {most}");
    assert_eq!(kept.len() as f64, files.len() as f64 - removed);
    println!(
        "{cloud:?}: {} files, {removed} of them removed, in {:.0} s",
        files.len(),
        begun.elapsed().as_secs_f64()
    );
}

fn work_off(cloud: Cloud) {
    let _stage = scene::stage();
    let broker = scene::started();
    let store = Emulator::start(cloud);
    let folder = tempfile::tempdir().unwrap();
    // Of several blocks, and with what tells where its pictures are at its end.
    let part = Part { offset: 100, frames: 150, size: (1280, 720), coding: Coding::Lossless };
    let clip = part.make(folder.path(), "large");
    store.put("clips/large.mp4", &clip);
    let nowhere = tempfile::tempdir().unwrap();
    let allowed = store.uri("clips");
    let more = ["--allow-bucket", &allowed, "--retry-after", "1"];
    let mut command = queue::worker_command(&broker.bootstrap, nowhere.path(), &more);
    store.environment(&mut command);
    let worker = Sightline::spawn(command);
    for (n, (id, name)) in [("job-large", "large.mp4"), ("job-none", "none.mp4")].into_iter().enumerate() {
        queue::add(&broker.bootstrap, n as u32, &queue::job(id, &store.uri(&format!("clips/{name}"))));
    }
    scene::wait_until_done(&broker.bootstrap, queue::JOBS_GROUP);
    let found = queue::statuses(&broker.bootstrap);
    let (large, none) = (&found["job-large"], &found["job-none"]);
    assert_eq!(
        (large["state"].as_str(), &large["progress"]["frames"]),
        (Some("done"), &150.into()),
        "{large}"
    );
    assert_eq!(
        (none["state"].as_str(), none["error"]["code"].as_str()),
        (Some("failed"), Some("not_found")),
        "{none}"
    );
    println!("{cloud:?}: {} MiB, {}", bytes(&clip) >> 20, none["error"]["message"]);
    worker.signal("TERM");
    let (status, said) = worker.wait();
    assert!(status.success(), "{said}");
    let is_range = |line: &&str| line.contains("GET ") && line.contains("large") && line.contains(" 206");
    let ranges = store.said().lines().filter(is_range).count();
    assert!(ranges > 1, "it was not read by ranges: {}", store.said());
    println!("{cloud:?}: read by {ranges} ranges");
}

fn bytes(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len()
}
