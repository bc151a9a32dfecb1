//! How quick the registry is with 10,000 cameras. By scripts/bench-registry.sh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/sightline.rs"]
mod sightline;

use std::time::{Duration, Instant};

use kafka::{Kafka, KafkaKind};
use registry::{Files, Registry};
use serde_json::json;
use sightline::{Sightline, wait_for};

const CAMERAS: usize = 10_000;

fn within(what: &str, bound: Duration, took: Duration) {
    println!("{what}: {:.0} ms (at most {} ms)", took.as_secs_f64() * 1e3, bound.as_millis());
    assert!(took <= bound, "{what}");
}

#[test]
#[ignore = "a bench: it wants a quiet machine"]
fn ten_thousand_cameras() {
    let broker = Kafka::start(KafkaKind::Plain);
    let args = ["topics", "apply", "--kafka", &broker.bootstrap, "--pool", "default,other"];
    let applied = sightline::output(&args);
    assert!(applied.status.success(), "{applied:?}");
    let files = Files::new();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let camera = |n: usize| {
        json!({
            "id": format!("camera-{n:05}"),
            "source": format!("rtsp://10.{}.{}.5/stream2", n / 256, n % 256),
            "sampling": {"mode": "fps", "fps": 5},
            "zones": [{"id": "dock", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 0.9], [0.1, 0.9]], "classes": ["person"]}],
            "labels": {"site": format!("site-{}", n % 20)}
        })
    };
    // The baseline: a pod of another pool, whose one camera is all there is.
    let mine = json!({"id": "mine", "source": "test://ball?size=320x180&fps=10", "pool": "other", "sampling": {"mode": "fps", "fps": 2}});
    assert_eq!(registry.send("POST", "/v1/cameras", &mine).status, 201);
    let alone = start_pipeline(&broker.bootstrap, &registry, "one");
    let cameras: Vec<_> = (0..CAMERAS).map(camera).collect();
    let begun = Instant::now();
    let report = registry.send("POST", "/v1/cameras:import", &json!(cameras)).json();
    let took = begun.elapsed();
    assert_eq!(report["created"], CAMERAS);
    within("import of 10,000 cameras", Duration::from_secs(10), took);

    for path in [
        "/v1/cameras?limit=100",
        "/v1/cameras?limit=100&cursor=camera-09000",
        "/v1/cameras?label=site=site-7&limit=100",
    ] {
        let mut times: Vec<_> = (0..20)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(registry.get(path).status, 200);
                begun.elapsed()
            })
            .collect();
        times.sort();
        within(&format!("{path}, median of 20"), Duration::from_millis(50), times[10]);
    }

    let half =
        ["camera", "move", "--from", "default", "--pool", "other", "--share", "50%", "--output", "json"];
    let begun = Instant::now();
    let moved = registry.cli(&[&half[..], &["--no-wait", "--at-once", "64"]].concat());
    let took = begun.elapsed();
    assert!(moved.status.success(), "{:?}", String::from_utf8_lossy(&moved.stderr));
    let report: serde_json::Value = serde_json::from_slice(&moved.stdout).unwrap();
    println!("{} cameras moved", report["moved"]);
    within("a move of half of 10,000 cameras", Duration::from_secs(60), took);
    let undo = report["undo"][0].as_str().unwrap().split(' ').skip(1).collect::<Vec<_>>();
    assert!(registry.cli(&[&undo[..], &["--no-wait", "--at-once", "64"]].concat()).status.success());

    registry.process.signal("KILL");
    registry.process.wait();
    let begun = Instant::now();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    within("restart to ready", Duration::from_secs(5), begun.elapsed());
    assert_eq!(registry.get("/v1/cameras?limit=1").json()["total"], CAMERAS + 1);
    let begun = Instant::now();
    assert_eq!(registry.send("PATCH", "/v1/cameras/camera-00007", &json!({"name": "x"})).status, 200);
    within("one change, until the view shows it", Duration::from_secs(1), begun.elapsed());

    let among = start_pipeline(&broker.bootstrap, &registry, "two");
    for (what, alone, among) in
        [("ready", alone.ready, among.ready), ("its camera runs", alone.runs, among.runs)]
    {
        println!("a pipeline's start until {what}, alone: {:.0} ms", alone.as_secs_f64() * 1e3);
        within(&format!("a pipeline's start until {what}, among 10,000"), Duration::from_secs(5), among);
    }
    let each = among.resident.saturating_sub(alone.resident) / CAMERAS as u64;
    println!(
        "resident: {} KiB alone, {} KiB among 10,000: {each} bytes a camera that it does not run (at most 2048)",
        alone.resident / 1024,
        among.resident / 1024
    );
    assert!(each <= 2048);
}

struct Start {
    ready: Duration,
    runs: Duration,
    resident: u64,
}

/// Of a pod in the pool `other`.
fn start_pipeline(bootstrap: &str, registry: &Registry, pod: &str) -> Start {
    let model = sightline::fast_model();
    let args = ["pipeline", "--kafka", bootstrap, "--model", &model, "--pool", "other", "--pod", pod];
    let more = ["--capacity-fps", "40", "--workers", "1", "--http", "127.0.0.1:0"];
    let begun = Instant::now();
    let mut process = Sightline::spawn(sightline::command(&[&args[..], &more].concat()));
    let http = process.http();
    wait_for("it to be ready", || {
        let asked = ureq::get(format!("http://{http}/readyz")).call();
        asked.is_ok().then_some(())
    });
    let ready = begun.elapsed();
    wait_for("its camera to run", || {
        let status = registry.get("/v1/cameras/mine").json()["status"].clone();
        (status["state"] == "running" && status["pod"] == pod).then_some(())
    });
    let runs = begun.elapsed();
    let resident = resident(process.id());
    process.signal("TERM");
    process.wait();
    Start { ready, runs, resident }
}

/// Of a process, in bytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
