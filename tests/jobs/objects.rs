//! Objects of a bucket, and servers that refuse.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::chance::setting;
use crate::clips::{Coding, Part};
use crate::queue::*;
use crate::s3::{S3, SECRET};
use crate::scene::*;
use crate::sightline::{Sightline, wait_for};

#[test]
fn an_object_is_worked_off_where_it_lies_and_one_that_vanishes_says_so() {
    let _stage = stage();
    let broker = started();
    let s3 = S3::start();
    let bootstrap = &broker.bootstrap;
    let clips = s3.bucket("archive").join("clips");
    std::fs::create_dir_all(&clips).unwrap();
    for (name, coding) in [("small", Coding::H264Mp4), ("stream", Coding::H264Ts)] {
        Part { offset: 100, frames: 80, size: (640, 360), coding }.make(&clips, name);
    }
    // Of many blocks: most of them are not read yet when it vanishes.
    let large =
        Part { offset: 0, frames: 400, size: (1280, 720), coding: Coding::Lossless }.make(&clips, "large");
    println!("{} MiB", std::fs::metadata(&large).unwrap().len() >> 20);
    for (n, name) in ["small.mp4", "stream.ts", "none.mp4"].iter().enumerate() {
        let id = format!("job-{}", name.split('.').next().unwrap());
        add(bootstrap, n as u32, &job(&id, &format!("s3://archive/clips/{name}")));
    }
    add(bootstrap, 3, &job("job-elsewhere", "s3://other/clips/small.mp4"));
    let folder = tempfile::tempdir().unwrap();
    let mut command = worker_command(
        bootstrap,
        folder.path(),
        &["--allow-bucket", "s3://archive/clips", "--retry-after", "1"],
    );
    s3.environment(&mut command, SECRET);
    let worker = Sightline::spawn(command);
    wait_until_done(bootstrap, JOBS_GROUP);
    add(bootstrap, 4, &job("job-large", "s3://archive/clips/large.mp4"));
    wait_for("the large one to run", || (state(bootstrap, "job-large") == "running").then_some(()));
    std::fs::remove_file(&large).unwrap();
    wait_until_done(bootstrap, JOBS_GROUP);
    let found = statuses(bootstrap);
    for (id, state, code) in [
        ("job-small", "done", None),
        ("job-stream", "done", None),
        ("job-none", "failed", Some("not_found")),
        ("job-elsewhere", "failed", Some("forbidden_uri")),
        ("job-large", "failed", Some("not_found")),
    ] {
        let status = &found[id];
        println!("{id}: {}", status["error"]["message"]);
        assert_eq!(
            (status["state"].as_str(), status["error"]["code"].as_str()),
            (Some(state), code),
            "{status}"
        );
    }
    for id in ["job-small", "job-stream"] {
        assert_eq!(found[id]["progress"]["frames"], 80, "{}", found[id]);
    }
    worker.signal("TERM");
    let (status, said) = worker.wait();
    assert!(status.success() && said.contains("cannot read clips/large.mp4"), "not in its middle: {said}");
}

/// `JOB_HOURS` (1) of video, of which little is looked at: what is measured is reading.
#[test]
fn a_long_recording_takes_no_more_memory_than_a_short_one() {
    let _stage = stage();
    let broker = started();
    let s3 = S3::start();
    let bootstrap = &broker.bootstrap;
    let hours = setting("JOB_HOURS", 1);
    let noise = |name: &str, seconds: u64| {
        crate::media::run(&format!(
            "videotestsrc pattern=snow num-buffers={seconds} ! video/x-raw,width=160,height=90,framerate=1/1 ! \
             x264enc speed-preset=ultrafast key-int-max=10 ! h264parse ! mp4mux ! filesink location=\"{}\"",
            s3.bucket("archive").join(name).display()
        ));
        s3.bucket("archive").join(name)
    };
    noise("short.mp4", 300);
    let long = noise("long.mp4", hours * 3600);
    let add_one = |id: &str, name: &str| {
        let mut job = job(id, &format!("s3://archive/{name}"));
        job["spec"] = json!({"sampling": {"mode": "fps", "fps": 0.02}});
        add(bootstrap, 0, &job);
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = worker_command(bootstrap, folder.path(), &["--allow-bucket", "s3://archive"]);
    s3.environment(&mut command, SECRET);
    let worker = Sightline::spawn(command);
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    add_one("job-short", "short.mp4");
    wait_for("the short one", || (state(bootstrap, "job-short") == "done").then_some(()));
    let before = peak();
    add_one("job-long", "long.mp4");
    let deadline = Instant::now() + Duration::from_secs(3600);
    while state(bootstrap, "job-long") != "done" {
        assert!(Instant::now() < deadline, "{:?}", statuses(bootstrap).get("job-long"));
        std::thread::park_timeout(Duration::from_millis(500));
    }
    let (after, mib) = (peak(), std::fs::metadata(long).unwrap().len() >> 20);
    println!("{hours} h in {mib} MiB: {before} MiB after the short one, {after} MiB at the most");
    assert!(after < before + 64, "{before} MiB became {after} MiB");
}

#[test]
fn a_server_that_refuses_ends_in_its_typed_error() {
    let _stage = stage();
    let broker = started();
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = &broker.bootstrap;
    let cases = [
        ("job-403", Some("403 Forbidden"), "auth_failed"),
        ("job-404", Some("404 Not Found"), "not_found"),
        ("job-503", Some("503 Service Unavailable"), "unreachable"),
        ("job-reset", None, "unreachable"),
    ];
    for (n, (id, answer, _)) in cases.iter().enumerate() {
        let address = refuse_with(*answer);
        add(bootstrap, n as u32, &job(id, &format!("http://{address}/clip.mp4")));
    }
    let more = ["--allow-network", "127.0.0.0/8", "--retry-after", "1", "--parallel", "4"];
    let _worker = worker(bootstrap, folder.path(), &more);
    wait_until_done(bootstrap, JOBS_GROUP);
    let found = statuses(bootstrap);
    for (id, _, code) in cases {
        let status = &found[id];
        println!("{id}: {}", status["error"]["message"]);
        assert_eq!(
            (status["state"].as_str(), status["attempt"].as_i64()),
            (Some("failed"), Some(2)),
            "{status}"
        );
        assert_eq!(status["error"]["code"], code, "{status}");
    }
}

/// A server that answers so to everybody, or hangs up; its address.
fn refuse_with(answer: Option<&str>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.map(str::to_owned);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let Some(answer) = &answer else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}
