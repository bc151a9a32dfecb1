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

const CAMERAS: usize = 10_000;

fn within(what: &str, bound: Duration, took: Duration) {
    println!("{what}: {:.0} ms (at most {} ms)", took.as_secs_f64() * 1e3, bound.as_millis());
    assert!(took <= bound, "{what}");
}

#[test]
#[ignore = "a bench: it wants a quiet machine"]
fn ten_thousand_cameras() {
    let broker = Kafka::start(KafkaKind::Plain);
    let applied = sightline::output(&["topics", "apply", "--kafka", &broker.bootstrap]);
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

    registry.process.signal("KILL");
    registry.process.wait();
    let begun = Instant::now();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    within("restart to ready", Duration::from_secs(5), begun.elapsed());
    assert_eq!(registry.get("/v1/cameras?limit=1").json()["total"], CAMERAS);
    let begun = Instant::now();
    assert_eq!(registry.send("PATCH", "/v1/cameras/camera-00007", &json!({"name": "x"})).status, 200);
    within("one change, until the view shows it", Duration::from_secs(1), begun.elapsed());
}
