//! Cameras that play on, a table, and all between them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::account::{self, Account};
use crate::camera::Camera;
use crate::consumers::{self, DETECTIONS};
use crate::crew::{self, Crew};
use crate::ground::{self, Ground};
use crate::kcat;
use crate::postgres::Postgres;
use crate::sightline::Sightline;

/// Results a second of each camera: enough for the sample's events to be those of every frame, and little enough for two cores.
const FPS: f64 = 10.0;
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) crew: Crew,
    pub(crate) ids: Vec<String>,
    pub(crate) begun: Instant,
    /// When each camera's first round began, µs.
    began: Vec<i64>,
    ground: Ground,
    pods: Vec<(String, Sightline)>,
    database: Postgres,
    consumers: Vec<Sightline>,
}

impl Scene {
    /// So many cameras, and pods with these names; all run.
    pub(crate) fn start(cameras: usize, pods: &[&str]) -> Self {
        let stage = crew::stage();
        let (kafka, database) = (consumers::started(), Postgres::start());
        let consumers = vec![
            consumers::consumer(&kafka.bootstrap, &[]),
            consumers::store(&kafka.bootstrap, &database, &[]),
        ];
        let (truth, clip) = (consumers::truth(), consumers::sample("junction.mp4"));
        // Each is at another place of the clip.
        let serve = |camera: usize| {
            let from = (camera * 8 % 30).to_string();
            let on_air = ["--on-air", "--loops", "forever", "--report-interval", "1", "--from", &from];
            Camera::serve(&clip, &on_air)
        };
        let mut sources: Vec<_> = (0..cameras).map(serve).collect();
        let began = sources.iter_mut().map(Camera::began).collect();
        let model = consumers::sample("junction.onnx").to_string_lossy().into_owned();
        let crew = Crew::on(stage, kafka, tempfile::tempdir().unwrap(), sources, model);
        let ids = crew::ids(cameras);
        let settings = |(id, source): (&String, &Camera)| {
            json!({
                "schema": "camera/1", "id": id, "generation": 1,
                "streams": [{"role": "detect", "uri": source.uri("")}],
                "sampling": {"mode": "fps", "fps": FPS},
                "zones": ground::zones(&truth), "lines": truth["lines"],
            })
        };
        crew.register(&ids.iter().zip(&crew.sources).map(settings).collect::<Vec<_>>());
        let mut scene = Self {
            crew,
            ids,
            begun: Instant::now(),
            began,
            ground: Ground::of(&truth),
            pods: Vec::new(),
            database,
            consumers,
        };
        pods.iter().for_each(|name| scene.add(name));
        scene.all_run();
        scene
    }

    /// A pod comes; it holds nothing yet.
    pub(crate) fn add(&mut self, name: &str) {
        self.say(&format!("{name} is started"));
        self.pods.push((name.to_owned(), self.crew.pod(name, &[])));
    }

    /// Takes a pod out of the scene, to do with it what one likes.
    pub(crate) fn take(&mut self, name: &str) -> Sightline {
        let at = self.pods.iter().position(|(pod, _)| pod == name).unwrap();
        self.pods.remove(at).1
    }

    pub(crate) fn all_run(&self) {
        let here: Vec<_> = self.pods.iter().map(|(name, _)| name.as_str()).collect();
        self.crew.wait_until_all_run(&self.ids, SOON, |pod| here.contains(&pod));
    }

    pub(crate) fn say(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// Ends the pods, waits until all rows are in the table, and compares.
    pub(crate) fn finish(mut self) -> Vec<Account> {
        for (name, pod) in self.pods.drain(..) {
            pod.signal("TERM");
            let (status, said) = pod.wait();
            assert!(status.success(), "{name}: {status}: {said}");
        }
        let bootstrap = self.crew.kafka.bootstrap.as_str();
        consumers::wait_until_stored(bootstrap);
        let records = kcat::read(bootstrap, DETECTIONS);
        let rows = account::rows(&self.database.query(account::QUERY));
        for consumer in &mut self.consumers {
            assert!(consumer.is_running(), "{}", consumer.stderr());
        }
        let account = |(id, began): (&String, &i64)| {
            let of_it = records.iter().filter(|record| record.key == *id).map(|record| record.value.clone());
            let account = Account::of(id, *began, &of_it.collect::<Vec<_>>(), &rows, &self.ground);
            account.print();
            account
        };
        self.ids.iter().zip(&self.began).map(account).collect()
    }
}
