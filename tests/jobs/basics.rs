//! One worker, and what it does with each kind of job.

use std::io::Write as _;

use serde_json::json;

use crate::clips::{Coding, Part};
use crate::kcat;
use crate::queue::*;
use crate::scene::*;
use crate::sightline::{Metrics, documented, wait_for};
use crate::web::{LOOPBACK, Mood, Server};

#[test]
fn a_queue_is_worked_off_and_each_job_ends_in_its_state() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 60, size: (640, 360), coding: Coding::H264Mp4 };
    let good = part.make(folder.path(), "good").to_string_lossy().into_owned();
    let empty = folder.path().join("empty.mp4");
    std::fs::write(&empty, b"").unwrap();
    let empty = empty.to_string_lossy().into_owned();

    add(bootstrap, 0, &job("job-good", &good));
    put(bootstrap, JOBS, 0, "x", "job/1", "{ no job");
    add(bootstrap, 0, &job("job-empty", &empty));
    add(bootstrap, 0, &job("job-gone", &folder.path().join("gone.mp4").to_string_lossy()));
    add(bootstrap, 1, &job("job-outside", "/etc/hostname"));
    add(bootstrap, 1, &job("job-loopback", "http://127.0.0.1/a.mp4"));
    let mut unfit = job("job-unfit", &good);
    unfit["spec"]["detect"] = json!({"classes": ["giraffe"]});
    add(bootstrap, 2, &unfit);
    let mut wrong = job("job-wrong", &good);
    wrong["spec"]["lines"] = json!([{"id": "l", "from": [0, 0], "to": [7, 7]}]);
    add(bootstrap, 2, &wrong);
    cancel(bootstrap, "job-unwanted");
    add(bootstrap, 3, &job("job-unwanted", &good));
    // Two records of one job: one attempt.
    add(bootstrap, 4, &job("job-twice", &good));
    add(bootstrap, 4, &job("job-twice", &good));

    let mut worker = worker(bootstrap, folder.path(), &["--retry-after", "1,2", "--pod", "worker-a"]);
    wait_until_done(bootstrap, JOBS_GROUP);
    let found = statuses(bootstrap);
    let wanted = [
        ("job-good", "done", 1, None),
        ("job-empty", "failed", 3, Some("no_video")),
        ("job-gone", "failed", 3, Some("not_found")),
        ("job-outside", "failed", 1, Some("forbidden_uri")),
        ("job-loopback", "failed", 1, Some("forbidden_uri")),
        ("job-unfit", "failed", 1, Some("settings_invalid")),
        ("job-wrong", "failed", 1, Some("settings_invalid")),
        ("job-unwanted", "cancelled", 1, None),
        ("job-twice", "done", 1, None),
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (id, state, attempt, code) in wanted {
        let status = &found[id];
        assert_eq!(
            (status["state"].as_str(), status["attempt"].as_i64()),
            (Some(state), Some(attempt)),
            "{status}"
        );
        assert_eq!(status["error"]["code"].as_str(), code, "{status}");
        println!("{id}: {state} {}", status["error"]["message"]);
    }
    assert_eq!(found["job-good"]["progress"]["frames"], 60);
    assert_eq!(kcat::headers(bootstrap, "sightline.dead-letter").len(), 1);

    // What is published is a camera's, by the recording's own time, the same in each attempt.
    let records = kcat::read(bootstrap, DETECTIONS);
    let of = |id: &str| records.iter().filter(|record| record.key == id).collect::<Vec<_>>();
    let good = of("job-good");
    let schemas: Vec<_> = good.iter().map(|record| record.schema()).collect();
    assert_eq!((schemas[0], schemas[1], schemas[schemas.len() - 1]), ("spec/1", "stream/1", "stream/1"));
    assert_eq!(good[good.len() - 1].value["complete"], true);
    let times: Vec<_> = good.iter().filter_map(|record| record.value["captured_at"].as_str()).collect();
    assert_eq!((times.len(), times[0], times[1]), (60, START, "2026-03-01T12:00:00.040Z"));
    let claims: Vec<_> = of("job-twice").iter().map(|record| record.value["epoch"].clone()).collect();
    assert!(claims.iter().all(|epoch| *epoch == claims[0]), "one attempt: {claims:?}");

    let scraped = Metrics::scrape(&worker.http());
    assert_eq!(scraped.sum("sightline_worker_jobs_total", &[("outcome", "done")]), 2.0);
    for stage in ["decode", "queue", "letterbox", "session", "head", "track"] {
        let frames = scraped.sum("sightline_pipeline_stage_seconds_count", &[("stage", stage)]);
        assert_eq!(frames, 120.0, "{stage}: two recordings of 60 frames");
    }
    let decoding = scraped.sum("sightline_pipeline_stage_seconds_sum", &[("stage", "decode")]);
    assert!(decoding > 0.0 && decoding < 120.0, "{decoding} s");
    let runs = [("device", "cpu"), ("model", "junction"), ("pool", "default")];
    assert_eq!(scraped.sum("sightline_pipeline_info", &runs), 1.0);
    let known = documented("sightline_worker");
    let mine = scraped.described().into_iter().filter(|(name, _)| name.starts_with("sightline_worker"));
    assert_eq!(mine.collect::<std::collections::BTreeMap<_, _>>(), known);
    worker.signal("TERM");
    let (status, said) = worker.wait();
    assert!(status.success(), "{said}");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_again() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 300, size: (1280, 720), coding: Coding::H264Ts };
    let file = part.make(folder.path(), "grows");
    add(bootstrap, 0, &job("job-grows", &file.to_string_lossy()));
    let worker = worker(bootstrap, folder.path(), &["--retry-after", "1"]);
    wait_for("it to run", || (state(bootstrap, "job-grows") == "running").then_some(()));
    // A packet of the transport stream that nothing is made of.
    let mut packet = [0xff_u8; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    std::fs::File::options().append(true).open(&file).unwrap().write_all(&packet).unwrap();
    wait_for("its second attempt", || (state(bootstrap, "job-grows") == "done").then_some(()));
    let done = statuses(bootstrap).remove("job-grows").unwrap();
    assert_eq!(
        (done["attempt"].as_i64(), done["progress"]["frames"].as_i64()),
        (Some(2), Some(300)),
        "{done}"
    );
    worker.signal("TERM");
    let (_, said) = worker.wait();
    assert!(said.contains("changed while it was read"), "{said}");
}

#[test]
fn a_cancel_is_obeyed_soon_and_a_stop_leaves_what_takes_longer() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 400, size: (1280, 720), coding: Coding::H264Mp4 };
    let long = part.make(folder.path(), "long").to_string_lossy().into_owned();
    let longer = Part { frames: 750, ..part }.make(folder.path(), "longer").to_string_lossy().into_owned();
    add(bootstrap, 0, &job("job-a", &longer));
    add(bootstrap, 1, &job("job-b", &long));
    let first = worker(bootstrap, folder.path(), &["--parallel", "2", "--drain", "0", "--pod", "first"]);
    wait_for("both to run", || {
        let found = statuses(bootstrap);
        let runs = |id: &str| found.get(id).is_some_and(|status| status["state"] == "running");
        (runs("job-a") && runs("job-b")).then_some(())
    });
    cancel(bootstrap, "job-a");
    wait_for("the cancel to be obeyed", || (state(bootstrap, "job-a") == "cancelled").then_some(()));
    let said = kcat::read(bootstrap, STATUS);
    let at = |of: &dyn Fn(&kcat::Record) -> bool| said.iter().find(|record| of(record)).unwrap().timestamp_ms;
    let asked = at(&|record| record.key == "cancel.job-a");
    let obeyed = at(&|record| record.key == "job-a" && record.value["state"] == "cancelled");
    let began = at(&|record| record.key == "job-a" && record.value["state"] == "claimed");
    println!("cancelled {} ms after it was asked for", obeyed - asked);
    assert!((0..=5000).contains(&(obeyed - asked)), "{} ms", obeyed - asked);
    // It would have gone on for longer than that: by how far it had come in its time.
    let progress = statuses(bootstrap).remove("job-a").unwrap()["progress"].clone();
    let [at_s, of_s] = ["at_s", "of_s"].map(|name| progress[name].as_f64().unwrap());
    let left_ms = (of_s - at_s) * (obeyed - began) as f64 / at_s.max(0.04);
    assert!(left_ms > 5000.0, "{left_ms} ms were left: {progress}");
    first.signal("TERM");
    let (status, said) = first.wait();
    assert!(status.success() && said.contains("left to another worker"), "{said}");
    let left = statuses(bootstrap).remove("job-b").unwrap();
    assert_eq!((left["state"].as_str(), left["attempt"].as_i64()), (Some("queued"), Some(1)), "{left}");
    // The next takes it from its beginning, and a stop waits for one that ends in time.
    let second = worker(bootstrap, folder.path(), &["--drain", "300", "--pod", "second"]);
    wait_for("it to run again", || (state(bootstrap, "job-b") == "running").then_some(()));
    second.signal("TERM");
    let (status, said) = second.wait();
    assert!(status.success() && said.contains("finishing it first"), "{said}");
    let done = statuses(bootstrap).remove("job-b").unwrap();
    assert_eq!(done["state"], "done", "{said}");
    assert_eq!(done["progress"]["frames"], 400);
    assert_eq!(lag(bootstrap, JOBS_GROUP), 0);
}

/// A demuxer that knows all it needs from an index at the beginning comes to the last byte and calls that the end.
#[test]
fn what_is_cut_off_fails_however_much_of_it_can_be_read() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 60, size: (640, 360), coding: Coding::IndexFirst };
    let whole = part.make(folder.path(), "whole");
    let matroska = Part { coding: Coding::H264Matroska, ..part }.make(folder.path(), "whole");
    let cut = |file: &std::path::Path, name: &str| {
        let (bytes, cut) = (std::fs::read(file).unwrap(), folder.path().join(name));
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        cut
    };
    let (first, second) = (cut(&whole, "cut.mp4"), cut(&matroska, "cut.mkv"));
    let pipe = folder.path().join("pipe.mp4");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let servers = [&whole, &first].map(|file| Server::of(file, |_| Mood::Serve));
    let path = |file: &std::path::Path| file.to_string_lossy().into_owned();
    let cases = [
        ("job-whole", path(&whole), "done", ""),
        ("job-whole-mkv", path(&matroska), "done", ""),
        ("job-whole-web", servers[0].uri(), "done", ""),
        ("job-cut", path(&first), "corrupt", "cut.mp4 is cut off: "),
        ("job-cut-mkv", path(&second), "corrupt", "cut.mkv is cut off: "),
        ("job-cut-web", servers[1].uri(), "corrupt", "clip.mp4?*** is cut off: "),
        ("job-pipe", path(&pipe), "rejected", "pipe.mp4 is no regular file"),
    ];
    for (n, (id, uri, ..)) in cases.iter().enumerate() {
        add(bootstrap, n as u32 % PARTITIONS, &job(id, uri));
    }
    let _worker = worker(bootstrap, folder.path(), &[&LOOPBACK[..], &["--parallel", "2"]].concat());
    wait_until_done(bootstrap, JOBS_GROUP);
    let (found, records) = (statuses(bootstrap), kcat::read(bootstrap, DETECTIONS));
    for (id, _, end, sentence) in cases {
        let (status, error) = (&found[id], &found[id]["error"]);
        println!("{id}: {} {}", status["state"], error["message"]);
        let is_whole = end == "done";
        let have = if is_whole { &status["state"] } else { &error["code"] };
        assert_eq!(have, end, "{status}");
        assert!(error["message"].as_str().unwrap_or_default().contains(sentence), "{status}");
        let frames = status["progress"]["frames"].as_u64().unwrap();
        assert_eq!(frames == 60, is_whole, "{status}");
        assert_eq!(frames > 0, id != "job-pipe", "{status}");
        let is_complete = records.iter().any(|record| record.key == id && record.value["complete"] == true);
        assert_eq!(is_complete, is_whole, "{id}");
    }
}

/// As a file leaves it that killed four workers, and one that killed one.
#[test]
fn a_job_in_which_five_workers_died_is_given_up() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let part = Part { offset: 0, frames: 20, size: (640, 360), coding: Coding::H264Mp4 };
    let file = part.make(folder.path(), "clip").to_string_lossy().into_owned();
    for (partition, (id, deaths)) in [("job-poison", 4), ("job-unlucky", 1)].into_iter().enumerate() {
        let mut status = job(id, &file);
        status["schema"] = "job-status/1".into();
        status["job"] = id.into();
        status["state"] = "running".into();
        status["deaths"] = deaths.into();
        for time in ["added_at", "since"] {
            status[time] = START.into();
        }
        let place = kcat::partition(id, PARTITIONS);
        put(bootstrap, STATUS, place, id, "job-status/1", &status.to_string());
        add(bootstrap, partition as u32, &job(id, &file));
    }
    let _worker = worker(bootstrap, folder.path(), &[]);
    wait_until_done(bootstrap, JOBS_GROUP);
    let found = statuses(bootstrap);
    let (poison, unlucky) = (&found["job-poison"], &found["job-unlucky"]);
    println!("{}", poison["error"]["message"]);
    assert_eq!(
        (&poison["state"], &poison["error"]["code"]),
        (&"failed".into(), &"internal".into()),
        "{poison}"
    );
    assert!(poison["error"]["message"].as_str().unwrap().contains("died 5 times"), "{poison}");
    assert_eq!((&unlucky["state"], &unlucky["deaths"]), (&"done".into(), &2.into()), "{unlucky}");
}
