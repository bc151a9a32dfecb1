//! Objects of a bucket, and servers that refuse.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

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
    assert!(worker.wait().0.success());
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
        ("job-503", Some("503 Service Unavailable"), "rejected"),
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
