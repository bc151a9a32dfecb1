//! Jobs that were over long ago are forgotten, with their cancels, and nothing else is.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::kcat;
use crate::queue::*;
use crate::registry::{Registry, wait_until};
use crate::sightline::output;

const DAY: u64 = 86_400;

fn ago(days: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(days * DAY);
    let date = Command::new("date").args(["-u", "-d", &format!("@{}", now.as_secs()), "+%FT%TZ"]).output();
    String::from_utf8(date.unwrap().stdout).unwrap().trim().to_owned()
}

fn cancel(bootstrap: &str, id: &str, at: &str) {
    let value = json!({"schema": "job-cancel/1", "job": id, "at": at, "who": "ops"});
    put(bootstrap, STATUS, kcat::partition(id, PARTITIONS), &format!("cancel.{id}"), &value);
}

/// What compaction would keep: the value of each key, and which are tombstones.
fn kept(bootstrap: &str) -> Vec<(String, bool)> {
    let args =
        ["-m", "60", "-C", "-q", "-e", "-o", "beginning", "-b", bootstrap, "-t", STATUS, "-f", "%k\t%S\n"];
    let read = Command::new("kcat").args(args).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8(read.stdout).unwrap();
    let mut last = std::collections::BTreeMap::new();
    for line in text.lines() {
        let (key, size) = line.split_once('\t').unwrap();
        // kcat says of a tombstone that it is -1 long.
        last.insert(key.to_owned(), size.parse::<i64>().unwrap() <= 0);
    }
    last.into_iter().collect()
}

#[test]
fn jobs_that_were_over_long_ago_are_forgotten_with_their_cancels() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let (old, young) = (ago(31), ago(29));
    for (id, state, since) in [
        ("job-old-done", "done", &old),
        ("job-old-failed", "failed", &old),
        ("job-old-cancelled", "cancelled", &old),
        ("job-old-running", "running", &old),
        ("job-old-waiting", "waiting", &old),
        ("job-young-done", "done", &young),
        ("job-young-cancelled", "cancelled", &young),
    ] {
        say(bootstrap, id, state, json!({"since": since, "epoch": 7}));
    }
    cancel(bootstrap, "job-old-cancelled", &old);
    cancel(bootstrap, "job-young-cancelled", &young);
    cancel(bootstrap, "job-of-nobody", &old);

    let registry = registry(bootstrap, &files, folder.path());
    let listed = || -> Vec<String> {
        let page: Value = registry.get("/v1/jobs").json();
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["status"]["job"].as_str().unwrap().to_owned()).collect()
    };
    let left = ["job-old-running", "job-old-waiting", "job-young-cancelled", "job-young-done"];
    wait_until("the old ones to be forgotten", || listed() == left);
    registry.get("/v1/jobs/job-old-done").is_problem(404, &[]);
    let gone: Vec<_> = kept(bootstrap).into_iter().filter(|(_, gone)| *gone).map(|(key, _)| key).collect();
    assert_eq!(
        gone,
        [
            "cancel.job-of-nobody",
            "cancel.job-old-cancelled",
            "job-old-cancelled",
            "job-old-done",
            "job-old-failed"
        ]
    );
    // A file that was forgotten is a new job.
    let id = add_one(&registry, &format!("{root}/a.mp4"));
    drop(registry);
    say(bootstrap, &id, "done", json!({"since": old, "epoch": 9}));

    // For ever is for ever.
    let keeping = ["--allow-file-root", root.as_str(), "--keep-jobs", "0"];
    let mut registry = Registry::start(bootstrap, &files, &keeping);
    registry.process.wait_for_line("jobs are read");
    assert_eq!(registry.get(&format!("/v1/jobs/{id}")).json()["status"]["state"], "done");
    let request = json!({"uris": [format!("{root}/a.mp4")], "start": START});
    assert_eq!(add(&registry, &request)["there"], 1);
    drop(registry);
    let mut registry = Registry::start(bootstrap, &files, &["--allow-file-root", root.as_str()]);
    registry.process.wait_for_line("jobs are read");
    wait_until("it is forgotten", || registry.get(&format!("/v1/jobs/{id}")).status == 404);
    assert_eq!(add(&registry, &request)["added"], 1);
    // What is read at the next start says the same.
    drop(registry);
    let registry = self::registry(bootstrap, &files, folder.path());
    assert_eq!(registry.get(&format!("/v1/jobs/{id}")).json()["status"]["state"], "queued");
    assert_eq!(registry.get("/v1/jobs").json()["total"], 5);
}

#[test]
fn a_job_is_kept_for_longer_than_its_record_lies_in_a_queue() {
    for days in ["7", "1", "-1", "x", "1.5"] {
        let refused = output(&[
            "registry",
            "--kafka",
            "127.0.0.1:1",
            "--insecure-no-auth",
            &format!("--keep-jobs={days}"),
        ]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("longer than a queue keeps its records, which is 7"), "{said}");
    }
}
