//! What jobs cost: two workers against `sightline bench` on the same file, from disk and from an S3 server, and what is lost with a
//! worker that is killed. By scripts/bench-jobs.sh; docs/ARCHIVE.md records what it prints.
//!
//! `BENCH_MODEL` and `BENCH_VIDEO` (the sample's), `JOB_COPIES` (8) and `JOB_ROUNDS` (3).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::chance::setting;
use crate::kafka::Kafka;
use crate::kcat;
use crate::queue::*;
use crate::s3::{S3, SECRET};
use crate::scene::*;
use crate::sightline::{Sightline, command, output, wait_for};
use crate::truth::millis;

fn given(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| sample(default), PathBuf::from)
}

fn bench(model: &Path, video: &Path) -> f64 {
    let (model, video) = (model.to_str().unwrap(), video.to_str().unwrap());
    let args = [
        "bench", "--model", model, "--video", video, "--rounds", "1", "--frames", "2000", "--output", "json",
    ];
    let printed = output(&args);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    serde_json::from_slice::<Value>(&printed.stdout).unwrap()["reached_fps"].as_f64().unwrap()
}

/// Two workers with a detect worker each: on two cores, one core each.
fn two_workers(broker: &Kafka, model: &Path, prepare: impl Fn(&mut std::process::Command)) -> [Sightline; 2] {
    ["one", "two"].map(|pod| {
        let args = ["worker", "--kafka", &broker.bootstrap, "--http", "127.0.0.1:0", "--workers", "1"];
        let more = ["--pod", pod, "--model", model.to_str().unwrap()];
        let mut command = command(&[&args[..], &more].concat());
        prepare(&mut command);
        Sightline::spawn(command)
    })
}

/// Results a second of both, each from its first claim to its last end: a member of the group that comes second has nothing to do
/// before the partitions are shared.
fn rate(broker: &Kafka) -> f64 {
    let said = kcat::read(&broker.bootstrap, STATUS);
    let of = |pod: &'static str| {
        let times = |state: &'static str| {
            let said = said
                .iter()
                .filter(move |record| record.value["pod"] == pod && record.value["state"] == state);
            said.map(|record| (millis(&record.value["since"]), record.value["progress"]["frames"].as_u64()))
        };
        let results: u64 = times("done").filter_map(|(_, frames)| frames).sum();
        let ends = times("done").map(|(at, _)| at).max().unwrap();
        let seconds = (ends - times("claimed").map(|(at, _)| at).min().unwrap()) as f64 / 1000.0;
        results as f64 / seconds
    };
    of("one") + of("two")
}

/// Frames a second at which two workers go through `copies` of a file.
fn work_off(model: &Path, uris: &[String], prepare: impl Fn(&mut std::process::Command)) -> f64 {
    let broker = started();
    for (n, uri) in uris.iter().enumerate() {
        add(&broker.bootstrap, n as u32 % PARTITIONS, &job(&format!("job-{n}"), uri));
    }
    let workers = two_workers(&broker, model, prepare);
    // Asked seldom: who asks takes from the two cores, too.
    while lag(&broker.bootstrap, JOBS_GROUP) > 0 {
        std::thread::park_timeout(Duration::from_secs(2));
    }
    let rate = rate(&broker);
    for worker in workers {
        worker.signal("TERM");
        let (status, said) = worker.wait();
        assert!(status.success(), "{said}");
    }
    rate
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[test]
#[ignore = "a measurement: scripts/bench-jobs.sh"]
fn two_workers_against_what_this_machine_does_at_best() {
    let _stage = stage();
    let (model, video) = (given("BENCH_MODEL", "junction.onnx"), given("BENCH_VIDEO", "junction.mp4"));
    let copies = setting("JOB_COPIES", 8);
    let ending = video.extension().unwrap().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start();
    let (mut files, mut objects) = (Vec::new(), Vec::new());
    for n in 0..copies {
        let name = format!("{n}.{ending}");
        std::fs::copy(&video, folder.path().join(&name)).unwrap();
        std::fs::copy(&video, s3.bucket("archive").join(&name)).unwrap();
        files.push(folder.path().join(&name).to_str().unwrap().to_owned());
        objects.push(format!("s3://archive/{name}"));
    }
    let (mut ratios, mut dearer) = (Vec::new(), Vec::new());
    for round in 1..=setting("JOB_ROUNDS", 3) {
        let alone = bench(&model, &video);
        let disk = work_off(&model, &files, |command| {
            command.arg("--allow-file-root").arg(folder.path());
        });
        let bucket = work_off(&model, &objects, |command| {
            command.args(["--allow-bucket", "s3://archive"]);
            s3.environment(command, SECRET);
        });
        println!(
            "round {round}: bench {alone:.1}, two workers from disk {disk:.1} ({:.3}), from S3 {bucket:.1} frames/s ({:.3} of disk)",
            disk / alone,
            bucket / disk
        );
        ratios.push(disk / alone);
        dearer.push(disk / bucket - 1.0);
    }
    println!("ratio {:.3}; S3 costs {:.1} % more", median(ratios), median(dearer) * 100.0);
}

#[test]
#[ignore = "a measurement: scripts/bench-jobs.sh"]
fn what_is_lost_with_a_worker_that_is_killed() {
    let _stage = stage();
    let broker = started();
    let (bootstrap, video) = (&broker.bootstrap, given("BENCH_VIDEO", "junction.mp4"));
    let folder = video.parent().unwrap();
    let mut silent = Vec::new();
    for round in 0..setting("JOB_ROUNDS", 3) {
        let id = format!("job-killed-{round}");
        add(bootstrap, round as u32 % PARTITIONS, &job(&id, video.to_str().unwrap()));
        let first = worker(bootstrap, folder, &["--workers", "1", "--pod", "first"]);
        wait_for("progress", || {
            (statuses(bootstrap).get(&id)?["progress"]["frames"].as_u64()? > 0).then_some(())
        });
        let second = worker(bootstrap, folder, &["--pod", "second"]);
        std::thread::park_timeout(Duration::from_secs(2));
        let killed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        first.signal("KILL");
        let claimed = wait_for("another claim", || {
            let said = kcat::read(bootstrap, STATUS);
            let mut claims =
                said.iter().filter(|record| record.key == id && record.value["state"] == "claimed").skip(1);
            claims.next().map(|record| millis(&record.value["since"]))
        });
        silent.push((claimed as f64 - killed.as_millis() as f64) / 1000.0);
        wait_until_done(bootstrap, JOBS_GROUP);
        second.signal("TERM");
        drop((first, second.wait()));
    }
    println!(
        "a job whose worker is killed begins anew {:.1} s later (of {silent:.1?})",
        median(silent.clone())
    );
}
