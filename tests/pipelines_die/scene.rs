//! Cameras that play on, a table, and all between them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::accepted::Accepted;
use crate::camera::Camera;
use crate::compare::{self, Compared, Row};
use crate::consumers::{self, DETECTIONS};
use crate::crew::{self, Crew};
use crate::gaps::{self, Gap, Why};
use crate::ground::{self, Ground, What};
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

/// One camera's account.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) compared: Compared,
    pub(crate) accepted: Accepted,
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
        let rows = rows(&self.database);
        for consumer in &mut self.consumers {
            assert!(consumer.is_running(), "{}", consumer.stderr());
        }
        let account = |(id, began): (&String, &i64)| {
            let records: Vec<_> = records
                .iter()
                .filter(|record| record.key == *id)
                .map(|record| record.value.clone())
                .collect();
            let accepted = Accepted::of(&records);
            let gaps = gaps::of(&accepted);
            let end = accepted.results.last().map_or(*began, |result| result.captured_at);
            let truth = self.ground.until(*began, end);
            let rows: Vec<_> =
                rows.iter().filter(|(camera, _)| camera == id).map(|(_, row)| row.clone()).collect();
            let compared = compare::compare(&truth, &rows, &gaps);
            let account = Account { id: id.clone(), gaps, compared, accepted };
            account.print(*began, self.ground.round);
            account
        };
        self.ids.iter().zip(&self.began).map(account).collect()
    }
}

impl Account {
    /// Times are those of the clip: round, and seconds in it.
    fn print(&self, began: i64, round: i64) {
        let Self { id, accepted, compared, .. } = self;
        let time = |at: i64| {
            let since = at.saturating_sub(began);
            format!("{}:{:05.2}", since.div_euclid(round), since.rem_euclid(round) as f64 / 1e6)
        };
        println!(
            "{id}: {} results of {} runs, {} late, {} repeats, {} overlapping",
            accepted.results.len(),
            accepted.epochs().len(),
            accepted.late,
            accepted.repeats,
            accepted.overlapping
        );
        for gap in self.gaps.iter().filter(|gap| gap.why != Why::Edge) {
            let long = (gap.to - gap.from) as f64 / 1e6;
            println!("{id}: gap of {long:.1} s, {} to {}: {:?}", time(gap.from), time(gap.to), gap.why);
        }
        println!(
            "{id}: required {:?}; {} rows true, by gaps {:?}, {} missing, {} extra",
            compared.required,
            compared.true_rows,
            compared.excused,
            compared.missing.len(),
            compared.extra.len()
        );
        for event in &compared.missing {
            println!("{id}: missing {} {:?}", time(event.at), event.what);
        }
        for row in &compared.extra {
            println!("{id}: extra {} {:?} {}", time(row.at), row.what, row.id);
        }
    }
}

/// What happened at lines and zones, by camera.
fn rows(database: &Postgres) -> Vec<(String, Row)> {
    let rows = database.query(
        "SELECT jsonb_build_object('id', id, 'camera', camera, 'track', track_key, 'type', type, 'label', label, \
         'place', coalesce(line, zone), 'direction', direction, 'appeared', appeared, 'vanished', vanished, \
         'at', (extract(epoch FROM at) * 1000000)::bigint) FROM events WHERE coalesce(line, zone) IS NOT NULL",
    );
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let how = match &row {
            row if row["appeared"] == true => "appeared".to_owned(),
            row if row["vanished"] == true => "vanished".to_owned(),
            _ => text("direction"),
        };
        let what = What { kind: text("type"), label: text("label"), place: text("place"), how };
        (text("camera"), Row { what, at: row["at"].as_i64().unwrap(), track: text("track"), id: text("id") })
    };
    rows.lines().map(row).collect()
}
