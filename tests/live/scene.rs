//! One pipeline process with many cameras, and whoever reads what it says.
// Each user takes what it needs.
#![allow(dead_code)]

use std::any::Any;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use sightline_service::kafka::EmbeddedBroker;

use crate::follow::Follow;
use crate::sightline::{Sightline, command, fast_model};

const DETECTIONS: &str = "sightline.detections";
const STATUS: &str = "sightline.camera-status";

pub(crate) struct Scene {
    pub(crate) detections: Follow,
    pub(crate) statuses: Follow,
    process: Sightline,
    // Last: what reads from it and writes to it ends before it.
    _broker: Box<dyn Any + Send + Sync>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) threads: usize,
    pub(crate) files: usize,
    pub(crate) rss_mib: f64,
}

impl Scene {
    /// Starts the cameras of this YAML on a broker of its own.
    pub(crate) fn start(dir: &Path, cameras: &str) -> Self {
        let broker = EmbeddedBroker::start(&[(DETECTIONS, 4), (STATUS, 4)]).unwrap();
        let bootstrap = broker.bootstrap_servers().to_owned();
        Self::start_on(&bootstrap, Box::new(broker), dir, cameras, &[])
    }

    /// Starts the cameras of this YAML; the topics are there. `broker` is kept as long as the scene.
    pub(crate) fn start_on(
        bootstrap: &str,
        broker: Box<dyn Any + Send + Sync>,
        dir: &Path,
        cameras: &str,
        options: &[&str],
    ) -> Self {
        let file = dir.join("cameras.yaml");
        std::fs::write(&file, cameras).unwrap();
        let (model, file) = (fast_model(), file.to_string_lossy().into_owned());
        let args = ["pipeline", "--cameras", &file, "--kafka", bootstrap, "--model", &model];
        let more = ["--http", "127.0.0.1:0", "--pod", "here"];
        let mut process = Sightline::spawn(command(&[&args[..], &more, options].concat()));
        process.http();
        Self {
            detections: Follow::topic(bootstrap, DETECTIONS),
            statuses: Follow::topic(bootstrap, STATUS),
            process,
            _broker: broker,
        }
    }

    /// Waits for a status of a camera from number `from` on; says how many there were then.
    pub(crate) fn wait(
        &self,
        camera: &str,
        what: &str,
        within: Duration,
        from: usize,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.statuses.find(camera, from, &fits) {
                return status;
            }
            let statuses = self.statuses.of(camera);
            assert!(
                begun.elapsed() < within,
                "{camera}: not {what} within {} s; since then: {:#?}",
                within.as_secs(),
                &statuses[from.min(statuses.len())..]
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Waits until the camera is being retried for this error.
    pub(crate) fn fails(&self, camera: &str, code: &str, within: Duration, from: usize) -> Value {
        let fits = |status: &Value| status["state"] == "retrying" && status["error"]["code"] == code;
        let status = self.wait(camera, &format!("retrying for {code}"), within, from, fits);
        let message = status["error"]["message"].as_str().unwrap();
        assert!(message.ends_with('.') && message.len() > 30, "a sentence that says what to do: {message}");
        status
    }

    /// Waits until the camera runs, without an error.
    pub(crate) fn runs(&self, camera: &str, within: Duration, from: usize) -> Value {
        let fits = |status: &Value| status["state"] == "running" && status["error"].is_null();
        self.wait(camera, "running", within, from, fits)
    }

    /// Waits for a record of a camera in `detections`.
    pub(crate) fn hears(
        &self,
        camera: &str,
        what: &str,
        from: usize,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        crate::sightline::wait_for(&format!("{what} of {camera}"), || {
            self.detections.find(camera, from, &fits)
        })
    }

    /// The number of statuses so far: what comes later is about what happens now.
    pub(crate) fn now(&self, camera: &str) -> usize {
        self.statuses.count(camera)
    }

    pub(crate) fn held(&self) -> Held {
        let proc = format!("/proc/{}", self.process.id());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let number = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.trim().split(' ').next().unwrap().parse::<f64>().unwrap()
        };
        Held {
            threads: number("Threads:") as usize,
            files: std::fs::read_dir(format!("{proc}/fd")).unwrap().count(),
            rss_mib: number("VmRSS:") / 1024.0,
        }
    }

    pub(crate) fn stop(self) -> (Follow, Follow) {
        self.process.signal("TERM");
        let (status, said) = self.process.wait();
        assert!(status.success(), "{status}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        // What was acknowledged is there for whoever reads on.
        std::thread::sleep(Duration::from_millis(500));
        (self.detections, self.statuses)
    }
}
