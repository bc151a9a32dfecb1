//! Workers are killed, stopped past their session and added, and the rows are those of one worker that nothing happens to.
//!
//! `JOB_FILES` (8), `JOB_KILLS` (2) and `JOB_SEED` say how much happens; the whole is 40 and 12.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chance::{Chance, setting};
use crate::clips::{Coding, FPS, Part};
use crate::kafka::Kafka;
use crate::kcat;
use crate::postgres::Postgres;
use crate::queue::*;
use crate::scene::*;
use crate::sightline::{Sightline, wait_for};
use crate::truth::millis;

/// A worker dies so often.
const KILL_EVERY: Duration = Duration::from_secs(10);
/// Longer than the group's session, and than a worker may be silent.
const PAUSE: Duration = Duration::from_secs(17);
/// A crossing so near to an end of a clip, in pictures, may or may not be seen.
const EDGE: u64 = 20;

struct Good {
    id: String,
    file: PathBuf,
    part: Part,
}

fn goods(folder: &Path, chance: &mut Chance) -> Vec<Good> {
    let sizes = [(1280, 720), (960, 540), (640, 360)];
    let codings = [Coding::H264Mp4, Coding::H265Mp4, Coding::H264Ts, Coding::H264Matroska];
    (0..setting("JOB_FILES", 8))
        .map(|n| {
            let part = Part {
                offset: chance.below(400) as u64,
                frames: 120 + chance.below(180) as u64,
                size: sizes[chance.below(sizes.len())],
                coding: codings[n as usize % codings.len()],
            };
            let id = format!("job-good-{n}");
            Good { file: part.make(folder, &id), id, part }
        })
        .collect()
}

/// Files that can't be worked off, each with the error it has to end in.
fn broken(folder: &Path, good: &Path) -> Vec<(String, PathBuf, &'static str)> {
    let whole = std::fs::read(good).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    vec![
        ("job-bad-empty".into(), write("empty.mp4", b""), "no_video"),
        ("job-bad-text".into(), write("text.mp4", b"this is no video\n".repeat(500).as_slice()), "no_video"),
        ("job-bad-cut".into(), write("cut.mp4", &whole[..whole.len() / 2]), "corrupt"),
        ("job-bad-gone".into(), folder.join("gone.mp4"), "not_found"),
    ]
}

/// All jobs on a broker, spread over its partitions.
fn add_all(broker: &Kafka, goods: &[Good], broken: &[(String, PathBuf, &str)]) {
    let files = goods.iter().map(|good| (&good.id, &good.file));
    let files = files.chain(broken.iter().map(|(id, file, _)| (id, file)));
    for (n, (id, file)) in files.enumerate() {
        add(&broker.bootstrap, n as u32 % PARTITIONS, &job(id, &file.to_string_lossy()));
    }
}

#[test]
fn whoever_dies_the_rows_are_those_of_one_worker_that_nothing_happens_to() {
    let _stage = stage();
    let folder = tempfile::tempdir().unwrap();
    let mut chance = Chance::by("JOB_SEED");
    let goods = goods(folder.path(), &mut chance);
    let first = goods.iter().find(|good| good.part.coding == Coding::H264Mp4).unwrap();
    let broken = broken(folder.path(), &first.file);

    let calm = Postgres::start();
    let rows_of_one = {
        let broker = started();
        let (_events, _store) = (consumer(&broker.bootstrap, &[]), store(&broker.bootstrap, &calm, &[]));
        add_all(&broker, &goods, &broken);
        let _worker = worker(&broker.bootstrap, folder.path(), &["--retry-after", "1,2"]);
        work_off(&broker.bootstrap);
        rows(&calm)
    };
    let broker = started();
    let database = Postgres::start();
    let (_events, _store) = (consumer(&broker.bootstrap, &[]), store(&broker.bootstrap, &database, &[]));
    add_all(&broker, &goods, &broken);
    let is_over = AtomicBool::new(false);
    let attempts = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&broker.bootstrap, &is_over));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            disturb(&broker.bootstrap, folder.path(), &mut chance);
        }));
        is_over.store(true, Ordering::SeqCst);
        let looks = watching.join().unwrap();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        looks
    });
    println!("the committed offsets were looked at {attempts} times");

    let found = statuses(&broker.bootstrap);
    for good in &goods {
        assert_eq!(found[&good.id]["state"], "done", "{}", found[&good.id]);
        let epochs = database.query(&format!(
            "SELECT string_agg(DISTINCT epoch::text, ','), count(*) FILTER (WHERE type = 'job_done') FROM events \
             WHERE camera = '{}'",
            good.id
        ));
        assert_eq!(
            epochs,
            format!("{}|1", found[&good.id]["epoch"]),
            "{}: one attempt, whole, once",
            good.id
        );
        as_it_truly_was(&database, good);
    }
    for (id, _, code) in &broken {
        let status = &found[id];
        assert_eq!(
            (status["state"].as_str(), status["error"]["code"].as_str()),
            (Some("failed"), Some(*code)),
            "{status}"
        );
    }
    let rows = rows(&database);
    for (table, wanted) in &rows_of_one {
        let have = &rows[table];
        let missing: Vec<_> = wanted.iter().filter(|row| !have.contains(row)).take(5).collect();
        let extra: Vec<_> = have.iter().filter(|row| !wanted.contains(row)).take(5).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{table}: missing {missing:#?}, extra {extra:#?}");
        assert_eq!(have.len(), wanted.len(), "{table}: a row is there twice");
        println!("{table}: {} rows, those of one worker", have.len());
    }
}

/// All records are done, and all that came of them is in the database.
fn work_off(bootstrap: &str) {
    let deadline = Instant::now() + Duration::from_secs(60 * 60);
    while lag(bootstrap, JOBS_GROUP) > 0 {
        assert!(Instant::now() < deadline, "not worked off: {:#?}", statuses(bootstrap));
        std::thread::park_timeout(Duration::from_millis(300));
    }
    wait_until_stored(bootstrap);
}

/// Three workers, of which one dies again and again, one sleeps, and one more comes.
fn disturb(bootstrap: &str, folder: &Path, chance: &mut Chance) {
    let start = |n: usize| {
        let pod = format!("worker-{n}");
        worker(bootstrap, folder, &["--retry-after", "1,2", "--pod", &pod])
    };
    let mut workers: Vec<Sightline> = (0..3).map(start).collect();
    let mut count = workers.len();
    wait_for("a job to run", || {
        statuses(bootstrap).values().any(|status| status["state"] == "running").then_some(())
    });
    let mut kills = setting("JOB_KILLS", 2);
    let mut last = Instant::now();
    let (mut sleeping, mut has_slept): (Option<Instant>, bool) = (None, false);
    while lag(bootstrap, JOBS_GROUP) > 0 {
        std::thread::park_timeout(Duration::from_millis(200));
        if sleeping.is_some_and(|since| since.elapsed() >= PAUSE) {
            workers[0].signal("CONT");
            sleeping = None;
        }
        if last.elapsed() < KILL_EVERY {
            continue;
        }
        last = Instant::now();
        if !has_slept {
            has_slept = true;
            println!("worker 0 sleeps, and one more comes");
            workers[0].signal("STOP");
            sleeping = Some(Instant::now());
            workers.push(start(count));
            count += 1;
        } else if kills > 0 {
            kills -= 1;
            let victim = 1 + chance.below(workers.len() - 1);
            workers[victim].signal("KILL");
            workers[victim] = start(count);
            count += 1;
            println!("a worker is killed, and another takes its place");
        }
    }
    if sleeping.is_some() {
        workers[0].signal("CONT");
    }
    work_off(bootstrap);
    for worker in workers {
        worker.signal("TERM");
        let (status, said) = worker.wait();
        assert!(status.success(), "{said}");
    }
}

/// At every look the committed offsets are behind nothing that is not finished. Gives how many looks there were.
fn watch(bootstrap: &str, is_over: &AtomicBool) -> usize {
    let mut looks = 0;
    let mut before: BTreeMap<u32, i64> = BTreeMap::new();
    while !is_over.load(Ordering::SeqCst) {
        // In this order: what was said of a record lies in its topic before its offset is sent.
        let committed = committed(bootstrap);
        let records = kcat::read(bootstrap, JOBS);
        let said = said_of(bootstrap);
        for record in &records {
            let at = committed[&record.partition];
            let attempt = record.value["attempt"].as_i64().unwrap();
            if (record.offset as i64) < at {
                let is_finished = said.get(&record.key).is_some_and(|said| {
                    said.iter().any(|(state, of)| match state.as_str() {
                        "done" | "cancelled" => true,
                        "failed" => *of >= attempt,
                        _ => *of > attempt,
                    })
                });
                assert!(
                    is_finished,
                    "{record:?} is committed at {at}, and not finished: {:?}",
                    said.get(&record.key)
                );
            }
        }
        for (partition, at) in &committed {
            let last = before.insert(*partition, *at).unwrap_or(*at);
            assert!(last <= *at, "partition {partition} went back from {last} to {at}");
        }
        looks += 1;
        std::thread::park_timeout(Duration::from_millis(100));
    }
    // Every offset is a record: nothing that reads as lag is none.
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for record in kcat::read(bootstrap, JOBS) {
        assert_eq!(record.offset, counts.get(&record.partition).copied().unwrap_or(0), "{record:?}");
        *counts.entry(record.partition).or_default() += 1;
    }
    looks
}

fn committed(bootstrap: &str) -> BTreeMap<u32, i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let (group, topic) = JOBS_GROUP;
    let asking: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut partitions = rdkafka::TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, PARTITIONS as i32 - 1);
    let found = asking.committed_offsets(partitions, Duration::from_secs(60)).unwrap();
    let at = |place: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        (place.partition() as u32, place.offset().to_raw().unwrap_or(-1).max(0))
    };
    found.elements().into_iter().map(at).collect()
}

/// State and attempt of all that was ever said of each job, whether it was committed or not.
fn said_of(bootstrap: &str) -> BTreeMap<String, Vec<(String, i64)>> {
    let args =
        ["-m", "60", "-C", "-q", "-e", "-X", "isolation.level=read_uncommitted", "-o", "beginning", "-b"];
    let output = Command::new("kcat").args(args).args([bootstrap, "-t", STATUS]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut said: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let Some(job) = value["job"].as_str().filter(|_| value["schema"] == "job-status/1") else { continue };
        let state = value["state"].as_str().unwrap().to_owned();
        said.entry(job.to_owned()).or_default().push((state, value["attempt"].as_i64().unwrap()));
    }
    said
}

/// The crossings of a part of the clip are those that truly happened in it.
fn as_it_truly_was(database: &Postgres, good: &Good) {
    let Part { offset, frames, .. } = good.part;
    let begin = millis(&START.into());
    let found = database.query(&format!(
        "SELECT label, line, direction, (extract(epoch FROM at) * 1000)::bigint FROM events \
         WHERE camera = '{}' AND type = 'line_crossed' ORDER BY at",
        good.id
    ));
    let mut found: Vec<(String, i64)> = found
        .lines()
        .map(|line| {
            let (row, at) = line.rsplit_once('|').unwrap();
            (row.to_owned(), at.parse::<i64>().unwrap() - begin)
        })
        .collect();
    let count = found.len();
    for crossing in truth()["crossings"].as_array().unwrap() {
        let frame = crossing["frame"].as_u64().unwrap();
        if frame < offset || frame >= offset + frames {
            continue;
        }
        let row = ["label", "line", "direction"].map(|field| crossing[field].as_str().unwrap()).join("|");
        let at = ((frame - offset) * 1000 / FPS) as i64;
        let is_near = |(of, ms): &(String, i64)| *of == row && (ms - at).abs() <= 400;
        match found.iter().position(is_near) {
            Some(place) => drop(found.remove(place)),
            None => {
                let is_at_an_edge = frame < offset + EDGE || frame + EDGE >= offset + frames;
                assert!(is_at_an_edge, "{} {:?}: {row} at {at} ms is missing", good.id, good.part);
            }
        }
    }
    assert!(found.is_empty(), "{} {:?}: did not happen: {found:?}", good.id, good.part);
    println!("{}: {count} crossings, all of them as they truly were", good.id);
}

/// The tables of what can be worked off, without what differs from attempt to attempt.
fn rows(database: &Postgres) -> BTreeMap<&'static str, Vec<String>> {
    let dump = |(table, columns): (&'static str, &str)| {
        let rows = database
            .query(&format!("SELECT {columns} FROM {table} AS t WHERE camera LIKE 'job-good-%' ORDER BY 1"));
        (table, rows.lines().map(str::to_owned).collect())
    };
    let tables = [
        ("events", "(to_jsonb(t) - '{id,epoch,track_key,written_at}'::text[] #- '{more,best,epoch}')::text"),
        ("tracks", "(to_jsonb(t) - '{track_key,written_at}'::text[] #- '{best,epoch}')::text"),
        ("detections_per_minute", "(to_jsonb(t) - 'written_at')::text"),
    ];
    tables.into_iter().map(dump).collect()
}
