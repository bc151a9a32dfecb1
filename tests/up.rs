//! `up`: everything in one process, watched from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/clips.rs"]
mod clips;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/sightline.rs"]
mod sightline;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sightline::{DEADLINE, Metrics, Sightline, command, data, fast_model, output, wait_for};

const STOP_BOUND: Duration = Duration::from_secs(25);

fn up(more: &[&str]) -> Command {
    let model = fast_model();
    command(&[&["up", "--model", &model, "--http", "127.0.0.1:0"], more].concat())
}

fn short_clip(folder: &Path) -> String {
    let clip = folder.join("people.mp4");
    clips::cut(&data("clips/one-by-one-person_a.mp4"), 20, &clip);
    clip.to_string_lossy().into_owned()
}

#[test]
fn once_plays_all_and_ends_and_json_logs_are_json_alone() {
    let folder = tempfile::tempdir().unwrap();
    let clip = short_clip(folder.path());
    let text = up(&["--once", &clip, "test://ball?size=160x120&fps=25&frames=10"]).output().unwrap();
    let said = String::from_utf8(text.stderr).unwrap();
    assert_eq!(text.status.code(), Some(0), "{said}");
    assert!(said.contains("is for trying out: it lives in this process"), "{said}");
    assert!(said.contains("kcat -C -q -b 127.0.0.1:"), "{said}");
    for row in ["people  ended", "ball    ended"] {
        assert!(said.contains(row), "{row}: {said}");
    }
    assert!(said.contains("everything acknowledged"), "{said}");
    assert!(!said.contains("WARN") && !said.contains("Mock cluster") && !said.contains('\u{1b}'), "{said}");

    let json = up(&["--once", &clip, "--log", "json"]).output().unwrap();
    let said = String::from_utf8(json.stderr).unwrap();
    assert_eq!(json.status.code(), Some(0), "{said}");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{said}");
    let started = lines.iter().find(|line| line["message"] == "up").unwrap();
    assert!(started["detections"].as_str().unwrap().starts_with("kcat "), "{started}");
    assert!(lines.iter().any(|line| line["message"] == "camera" && line["state"] == "ended"), "{said}");

    let refused = up(&["no-such-file.mp4", "--log", "json"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let line: Value = serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((&line["level"], &line["exit_code"]), (&"ERROR".into(), &2.into()));
    assert!(line["message"].as_str().unwrap().contains("no-such-file.mp4: there is no such file"), "{line}");
}

#[test]
fn it_can_be_read_watched_and_stopped_and_metrics_are_those_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let cameras = folder.path().join("cameras.yaml");
    fs::write(&cameras, "cameras: [{id: gone, source: gone.mp4}]\n").unwrap();
    let mut running =
        Sightline::spawn(up(&["test://ball?size=160x120&fps=10", "--cameras", cameras.to_str().unwrap()]));
    let http = running.http();

    // The very line of the banner, but for an end after some records.
    let line = running.wait_for_line("read what is detected:");
    let kcat = line.split_once("read what is detected:").unwrap().1.trim().to_owned();
    let read = Command::new("sh").arg("-c").arg(format!("timeout 100 {kcat} -c 8")).output().unwrap();
    let records = String::from_utf8(read.stdout).unwrap();
    assert!(read.status.success(), "{kcat}: {}", String::from_utf8_lossy(&read.stderr));
    let schemas: Vec<_> =
        records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["schema"].clone()).collect();
    assert!(schemas.len() == 8 && schemas.contains(&"frame/1".into()), "{records}");

    let metrics = wait_for("an error of the camera that is not there", || {
        let metrics = Metrics::scrape(&http);
        let labels = [("camera", "gone"), ("code", "not_found")];
        (metrics.sum("sightline_pipeline_camera_errors_total", &labels) > 0.0).then_some(metrics)
    });
    let documented = sightline::documented("sightline_pipeline_");
    // Those of the registry and the consumer beside it are held to the page by their own tests.
    let mut pipeline = metrics;
    pipeline.types.retain(|name, _| name.starts_with("sightline_pipeline_"));
    let described = pipeline.described();
    assert_eq!(described, documented, "code, then docs/METRICS.md");
    for name in documented.keys() {
        let legal = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.starts_with("sightline_pipeline_") && name.chars().all(legal), "{name}");
    }

    let port = http.rsplit_once(':').unwrap().1;
    let model = fast_model();
    let second = output(&["up", "test://ball", "--model", &model, "--http", &format!("127.0.0.1:{port}")]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}: the port is taken; choose another")),
        "{said}"
    );

    running.signal("INT");
    let asked = Instant::now();
    let (status, said) = running.wait();
    assert!(asked.elapsed() < STOP_BOUND);
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("everything acknowledged"), "{said}");
}

#[test]
fn a_terminal_shows_the_table_in_place_and_log_lines_above_it() {
    let model = fast_model();
    let command = format!(
        "stty cols 100 rows 24; exec {} up 'test://ball?size=160x120&fps=10' --model '{model}' --http 127.0.0.1:0 \
         --log-filter info,sightline=debug",
        env!("CARGO_BIN_EXE_sightline")
    );
    let mut terminal = Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs: apt-get install bsdutils");
    let mut keys = terminal.stdin.take().unwrap();
    let mut screen = terminal.stdout.take().unwrap();
    let (mut shown, mut bytes) = (String::new(), [0; 4096]);
    let deadline = Instant::now() + DEADLINE;
    // Ctrl-C once the row was drawn over twice.
    let mut interrupted = false;
    loop {
        let read = screen.read(&mut bytes).unwrap();
        if read == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        assert!(Instant::now() < deadline, "{shown}");
        if !interrupted && shown.matches("\u{1b}[32mrunning\u{1b}[0m").count() >= 3 {
            keys.write_all(b"\x03").unwrap();
            interrupted = true;
        }
    }
    assert!(terminal.wait().unwrap().success(), "{shown}");
    assert!(shown.contains("CAMERA") && shown.contains("LATENCY p50/p99"), "{shown}");
    assert!(shown.contains("\r\u{1b}[2A\u{1b}[J"), "the two lines are drawn over: {shown}");
    // Log lines stand by themselves: each begins where a line begins, or where the table was cleared.
    for (at, _) in shown.match_indices(" INFO") {
        let line = shown[..at].rsplit('\n').next().unwrap();
        let line = line.rsplit("\u{1b}[J").next().unwrap();
        let colours = line.trim_start_matches(|c: char| !c.is_ascii_digit());
        assert!(!line.contains("CAMERA") && colours.len() < 60, "{line:?}");
    }
}

#[test]
fn cameras_are_registered_while_it_runs_and_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let start = || {
        let mut process = Sightline::spawn(up(&["--data", &data, "--listen", "127.0.0.1:0"]));
        let line = process.wait_for_line("register another camera");
        let (_, api) = line.split_once("the API: ").unwrap();
        let api = api.trim_end_matches("/docs)").to_owned();
        process.wait_for_line("slots come slots=4");
        (process, api)
    };
    let sightline = |args: &[&str], api: &str| {
        let done = output(&[args, &["--registry", api]].concat());
        assert!(done.status.success(), "{args:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let runs = |id: &str, api: &str| {
        wait_for(&format!("{id} to run"), || {
            let camera: Value =
                serde_json::from_str(&sightline(&["camera", "get", id, "--output", "json"], api)).unwrap();
            (camera["status"]["state"] == "running").then_some(camera)
        })
    };

    let (process, api) = start();
    sightline(&["camera", "add", "gate", "test://ball?size=160x120&fps=10"], &api);
    sightline(&["camera", "add", "door", "test://ball?size=160x120&fps=10"], &api);
    runs("gate", &api);
    runs("door", &api);
    sightline(&["camera", "rm", "door"], &api);
    process.signal("INT");
    let (status, said) = process.wait();
    assert!(status.success() && said.contains("everything acknowledged"), "{status}: {said}");

    let (process, api) = start();
    let gate = runs("gate", &api);
    assert_eq!(gate["spec"]["id"], "gate", "{gate}");
    let list: Value =
        serde_json::from_str(&sightline(&["camera", "list", "--output", "json"], &api)).unwrap();
    assert!(!list.to_string().contains("door"), "{list}");
    process.signal("TERM");
    assert!(process.wait().0.success());
}

#[test]
fn what_happens_in_the_sample_is_shown_and_is_a_row_where_a_database_is_named() {
    let database = postgres::Postgres::start();
    let args = ["up", "--database", &database.url(), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut running = Sightline::spawn(command(&args));
    running.wait_for_line("line_crossed");
    let rows = |table: &str| {
        let count = database.try_query(&format!("SELECT count(*) FROM {table}"));
        count.is_ok_and(|count| count != "0").then_some(())
    };
    ["events", "tracks"].iter().for_each(|table| wait_for(table, || rows(table)));
    running.signal("INT");
    let (status, said) = running.wait();
    assert!(status.success() && !said.contains(postgres::PASSWORD), "{said}");
}

#[test]
fn a_recorded_file_is_worked_off_with_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let clip = short_clip(folder.path());
    let mut running = Sightline::spawn(up(&["test://ball?size=160x120&fps=10", "--listen", "127.0.0.1:0"]));
    let line = running.wait_for_line("work off a recorded file: sightline job add FILE");
    let api = line.split_once("--registry ").unwrap().1.trim().to_owned();
    running.wait_for_line("ready cameras=");
    let sightline = |args: &[&str]| output(&[args, &["--registry", &api]].concat());
    let added = sightline(&["job", "add", &clip, "--output", "json"]);
    assert!(added.status.success(), "{added:?}");
    let report: Value = serde_json::from_slice(&added.stdout).unwrap();
    let id = report["items"][0]["id"].as_str().unwrap();
    let watched = sightline(&["job", "watch", "--until-over"]);
    assert!(watched.status.success(), "{watched:?}");
    let job = sightline(&["job", "get", id, "--output", "json"]);
    let job: Value = serde_json::from_slice(&job.stdout).unwrap();
    assert_eq!((&job["status"]["state"], &job["provisional"]), (&"done".into(), &false.into()), "{job}");
    assert_eq!(job["status"]["progress"]["frames"], 20, "{job}");
    // A file that is nothing waits for its next attempt when everything is stopped.
    let empty = folder.path().join("empty.mp4");
    fs::write(&empty, b"").unwrap();
    assert!(sightline(&["job", "add", empty.to_str().unwrap()]).status.success());
    running.wait_for_line("failed: ");
    running.signal("INT");
    let asked = Instant::now();
    let (status, said) = running.wait();
    assert!(asked.elapsed() < STOP_BOUND, "{said}");
    assert!(status.success() && said.contains("everything acknowledged"), "{said}");
}

/// As in a container: its first process ignores what it doesn't handle, and a model takes its time to be read.
#[test]
fn the_first_process_of_a_container_ends_while_it_reads_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("model.onnx");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    for arguments in
        [["up"].as_slice(), &["pipeline", "--kafka", "127.0.0.1:1"], &["worker", "--kafka", "127.0.0.1:1"]]
    {
        let mut contained = Command::new("unshare");
        contained.args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--kill-child",
            env!("CARGO_BIN_EXE_sightline"),
        ]);
        contained.args(arguments).args(["--model", pipe]).stderr(Stdio::piped());
        let mut contained = contained.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", contained.id());
        let first = wait_for("its first process", || {
            fs::read_to_string(&children).ok()?.split_whitespace().next().map(str::to_owned)
        });
        // Until it handles them, signals are lost: a kubelet sends one, and long after the start.
        let asked = Instant::now();
        let status = wait_for("it to end", || {
            let _ = Command::new("kill").args(["-TERM", &first]).stderr(Stdio::null()).status();
            contained.try_wait().unwrap()
        });
        assert_eq!(status.code(), Some(143), "{arguments:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{arguments:?}");
    }
}
