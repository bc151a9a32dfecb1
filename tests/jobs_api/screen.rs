//! What takes long, and what a person sees of it on a terminal.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::queue::*;
use crate::registry::wait_until;
use crate::sightline::wait_for;

#[test]
fn a_queue_that_takes_nothing_is_202_and_the_job_goes_there_later() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4", "b.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let known = add_one(&registry, &format!("{root}/b.mp4"));
    let cancelled = registry.send("POST", &format!("/v1/jobs/{known}:cancel"), &Value::Null);
    assert_eq!(cancelled.status, 200, "{cancelled:?}");

    // No record is small enough for the queue; its statuses are.
    broker.set_topic(JOBS, "max.message.bytes=1");
    let request = json!({"uris": [format!("{root}/a.mp4")], "start": START});
    let answer = registry.send("POST", "/v1/jobs", &request);
    assert_eq!(answer.status, 202, "{answer:?}");
    let report = answer.json();
    assert_eq!((&report["added"], &report["items"][0]["state"]), (&json!(1), &json!("queued")));
    let id = report["items"][0]["id"].as_str().unwrap().to_owned();
    let retried = registry.send("POST", &format!("/v1/jobs/{known}:retry"), &Value::Null);
    assert_eq!(retried.status, 202, "{retried:?}");
    assert_eq!(retried.headers["location"], format!("/v1/jobs/{known}"));
    assert_eq!(retried.json()["status"]["state"], "queued");
    // To people it is no failure.
    let told = registry.cli(&["job", "add", &format!("{root}/a.mp4"), "--start", START]);
    assert!(told.status.success(), "{told:?}");
    assert_eq!(of(bootstrap, JOBS, &id).len(), 0);
    assert_eq!(of(bootstrap, JOBS, &known).len(), 1);

    broker.set_topic(JOBS, "max.message.bytes=1000000");
    wait_until("both are in their queue", || {
        of(bootstrap, JOBS, &id).len() == 1 && of(bootstrap, JOBS, &known).len() == 2
    });
    let again = registry.send("POST", "/v1/jobs", &request);
    assert_eq!((again.status, &again.json()["there"]), (200, &json!(1)));
    assert_eq!((of(bootstrap, JOBS, &id).len(), of(bootstrap, JOBS, &known).len()), (1, 2), "once each");
}

#[test]
fn a_terminal_shows_bars_that_fill_and_what_failed_above_them() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["good.mp4", "bad.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let [good, bad] = ["good.mp4", "bad.mp4"].map(|name| add_one(&registry, &format!("{root}/{name}")));
    let running = |at_s: f64| {
        let progress = json!({"at_s": at_s, "of_s": 40.0, "frames": 30});
        say(
            bootstrap,
            &good,
            "running",
            json!({"epoch": 7, "uri": format!("file://{root}/good.mp4"), "progress": progress}),
        );
    };
    running(10.0);
    wait_until("it is seen", || {
        registry.get(&format!("/v1/jobs/{good}")).json()["status"]["state"] == "running"
    });

    let command =
        format!("stty cols 120 rows 24; exec {} job watch --until-over", env!("CARGO_BIN_EXE_sightline"));
    let mut terminal = Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env("SIGHTLINE_REGISTRY", &registry.api)
        .env("SIGHTLINE_TOKEN", files.token("viewer"))
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs: apt-get install bsdutils");
    // Nobody types; without an end of typing.
    let keys = terminal.stdin.take();
    let mut screen = terminal.stdout.take().unwrap();
    let shown = Arc::new(Mutex::new(String::new()));
    let drawing = shown.clone();
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = screen.read(&mut bytes) {
            drawing.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    });
    let wait_for_screen = |what: &str| {
        wait_for(what, || shown.lock().unwrap().contains(what).then_some(()));
    };
    // A quarter of thirty, then three quarters; the time left by the speed that it had.
    wait_for_screen("25 %");
    running(30.0);
    wait_for_screen("75 %");
    say(bootstrap, &good, "done", json!({"epoch": 7}));
    wait_for_screen("1/2 jobs");
    let error = json!({"code": "no_video", "message": "there is no video in it"});
    say(bootstrap, &bad, "failed", json!({"attempt": 3, "error": error}));
    let status = terminal.wait().unwrap();
    reading.join().unwrap();
    let shown = shown.lock().unwrap().clone();
    assert_eq!(status.code(), Some(1), "one failed: {shown}");
    // The bar moves a moment before its text does.
    let filled = |percent: &str| {
        let drawn = shown.split(['\r', '\n']).find(|line| line.contains(percent)).unwrap();
        drawn.matches('█').count()
    };
    assert_eq!((filled("25 %"), filled("75 %")), (7, 22), "{shown}");
    assert!(shown.contains("good.mp4") && shown.contains("left"), "{shown}");
    assert!(shown.contains(&format!("{bad} failed: there is no video in it")), "{shown}");
    assert!(shown.contains("\u{1b}[1A") || shown.contains("\u{1b}[A"), "drawn over in place: {shown:?}");
    assert!(shown.contains("1 failed; sightline job list --state failed says why"), "{shown}");
    drop(keys);
}
