//! Cancel, retry, watch: as they lie on Kafka, and as people see them.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kcat;
use crate::queue::*;
use crate::registry::{Registry, wait_until};

/// All records of `job-status`, tombstones, too: partition, key and value.
fn statuses(bootstrap: &str) -> Vec<(u32, String, String)> {
    let args = [
        "-m",
        "60",
        "-C",
        "-q",
        "-e",
        "-o",
        "beginning",
        "-b",
        bootstrap,
        "-t",
        STATUS,
        "-f",
        "%p\t%k\t%s\n",
    ];
    let read = Command::new("kcat").args(args).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8(read.stdout).unwrap();
    let record = |line: &str| {
        let mut parts = line.splitn(3, '\t');
        let mut part = || parts.next().unwrap().to_owned();
        (part().parse().unwrap(), part(), part())
    };
    text.lines().map(record).collect()
}

fn is_seen(registry: &Registry, id: &str, state: &str) {
    wait_until("the state is seen", || {
        registry.get(&format!("/v1/jobs/{id}")).json()["status"]["state"] == state
    });
}

#[test]
fn cancel_and_retry_lie_in_kafka_as_workers_read_them() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4", "b.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let [queued, running] = ["a.mp4", "b.mp4"].map(|name| add_one(&registry, &format!("{root}/{name}")));

    // Nobody has it: it is over at once.
    let answer = registry.raw("POST", &format!("/v1/jobs/{queued}:cancel"), "application/json", b"");
    assert_eq!((answer.status, &answer.json()["status"]["state"]), (200, &json!("cancelled")));
    assert_eq!(answer.json()["cancel"]["who"], "the-admin");
    let cancels: Vec<_> =
        statuses(bootstrap).into_iter().filter(|(_, key, _)| *key == format!("cancel.{queued}")).collect();
    assert_eq!(cancels.len(), 1);
    assert_eq!(cancels[0].0, kcat::partition(&queued, PARTITIONS), "on the partition of the job");
    let cancel: Value = serde_json::from_str(&cancels[0].2).unwrap();
    assert_eq!(
        (&cancel["schema"], &cancel["job"], &cancel["who"]),
        (&json!("job-cancel/1"), &json!(queued), &json!("the-admin"))
    );
    // Twice is once.
    let before = statuses(bootstrap).len();
    assert_eq!(registry.send("POST", &format!("/v1/jobs/{queued}:cancel"), &Value::Null).status, 200);
    assert_eq!(statuses(bootstrap).len(), before);

    // A worker has it: it is told, and says itself what became of it.
    say(
        bootstrap,
        &running,
        "running",
        json!({"epoch": 7, "progress": {"at_s": 1.0, "of_s": 4.0, "frames": 30}}),
    );
    is_seen(&registry, &running, "running");
    let view = registry.get(&format!("/v1/jobs/{running}")).json();
    assert_eq!((&view["provisional"], &view["status"]["progress"]["frames"]), (&json!(true), &json!(30)));
    let rows = &view["provisional_rows"];
    assert_eq!(
        (&rows["epoch"], &rows["results"], &rows["to_s"], &rows["stay"]),
        (&json!(7), &json!(30), &json!(1.0), &json!(false))
    );
    assert!(
        registry.get(&format!("/v1/jobs/{queued}")).json().get("provisional_rows").is_none(),
        "nobody had it"
    );
    assert!(view["left_s"].as_f64().is_some(), "{view}");
    registry.send("POST", &format!("/v1/jobs/{running}:retry"), &Value::Null).is_problem(409, &[]);
    let told = registry.cli(&["job", "cancel", &running]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("is told to stop"), "{told:?}");
    let view = registry.get(&format!("/v1/jobs/{running}")).json();
    assert_eq!((&view["status"]["state"], &view["cancel"]["who"]), (&json!("running"), &json!("the-admin")));
    assert_eq!(of(bootstrap, JOBS, &running).len(), 1);
    let problem =
        registry.send("POST", &format!("/v1/jobs/{running}:retry"), &Value::Null).is_problem(409, &[]);
    assert!(problem["detail"].as_str().unwrap().contains("being cancelled"), "{problem}");
    say(bootstrap, &running, "cancelled", json!({"epoch": 7}));
    is_seen(&registry, &running, "cancelled");

    // Again, from the first attempt on; the cancel is taken back.
    let retried = registry.cli(&["job", "retry", &running, &queued]);
    assert!(retried.status.success(), "{retried:?}");
    let cancel = format!("cancel.{running}");
    let marks: Vec<_> = statuses(bootstrap).into_iter().filter(|(_, key, _)| *key == cancel).collect();
    assert_eq!(
        (marks.len(), marks[1].0, marks[1].2.as_str()),
        (2, kcat::partition(&running, PARTITIONS), "")
    );
    let jobs = of(bootstrap, JOBS, &running);
    assert_eq!(
        (jobs.len(), &jobs[1].value["attempt"], &jobs[1].value["start"]),
        (2, &json!(1), &json!(START))
    );
    let view = registry.get(&format!("/v1/jobs/{running}")).json();
    assert_eq!(
        (&view["status"]["state"], view.get("cancel"), &view["provisional"]),
        (&json!("queued"), None, &json!(true))
    );
    // What the old attempt still says is late.
    say(bootstrap, &running, "claimed", json!({}));
    is_seen(&registry, &running, "claimed");

    let error = json!({"code": "no_video", "message": "there is no video in it"});
    let epoch = registry.get(&format!("/v1/jobs/{running}")).json()["status"]["epoch"].clone();
    let progress = json!({"at_s": 2.0, "of_s": 4.0, "frames": 55});
    say(
        bootstrap,
        &running,
        "failed",
        json!({"epoch": epoch, "attempt": 3, "error": error, "progress": progress}),
    );
    is_seen(&registry, &running, "failed");
    let got = String::from_utf8(registry.cli(&["job", "get", &running]).stdout).unwrap();
    let said = format!("55 results, to 2.0 s of 4.0 s, of an unfinished attempt (epoch {epoch})");
    assert!(got.contains("stay: true") && got.replace("\n", " ").contains(&said), "{got}");
    registry.send("POST", &format!("/v1/jobs/{running}:cancel"), &Value::Null).is_problem(409, &[]);
    let listed = String::from_utf8(registry.cli(&["job", "list", "--state", "failed"]).stdout).unwrap();
    assert!(listed.contains("no_video") && listed.contains(&running), "{listed}");
    assert_eq!(registry.send("POST", &format!("/v1/jobs/{running}:retry"), &Value::Null).status, 200);
    say(bootstrap, &running, "done", json!({"epoch": 9000}));
    is_seen(&registry, &running, "done");
    let view = registry.get(&format!("/v1/jobs/{running}")).json();
    assert_eq!((&view["provisional"], view.get("provisional_rows")), (&json!(false), None));
    registry.send("POST", &format!("/v1/jobs/{running}:retry"), &Value::Null).is_problem(409, &[]);
    let audit = registry.get(&format!("/v1/audit?camera={running}")).json();
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["retried", "retried", "cancelled", "created"]);
}

#[test]
fn a_watch_shows_progress_and_ends_when_all_is_over() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4", "b.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let [good, bad] = ["a.mp4", "b.mp4"].map(|name| add_one(&registry, &format!("{root}/{name}")));
    say(
        bootstrap,
        &good,
        "running",
        json!({"epoch": 7, "progress": {"at_s": 1.0, "of_s": 4.0, "frames": 30}}),
    );
    is_seen(&registry, &good, "running");

    let mut watching = registry.cli_command(&["job", "watch", "--until-over", "--output", "json"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(watching.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let mut next = |wanted: &dyn Fn(&Value) -> bool| loop {
        let event = events.next().expect("the watch goes on");
        if wanted(&event) {
            return event;
        }
    };
    let summary = next(&|event| event["event"] == "summary");
    assert_eq!((&summary["data"]["queued"], &summary["data"]["running"]), (&json!(1), &json!(1)));
    let first = next(&|event| event["event"] == "job");
    assert_eq!(
        (&first["data"]["status"]["job"], &first["data"]["status"]["progress"]["of_s"]),
        (&json!(good), &json!(4.0))
    );
    next(&|event| event["event"] == "ready");
    say(bootstrap, &good, "done", json!({"epoch": 7}));
    next(&|event| event["data"]["status"]["state"] == "done");
    let error = json!({"code": "no_video", "message": "there is no video in it"});
    say(bootstrap, &bad, "failed", json!({"attempt": 3, "error": error}));
    let failed = next(&|event| event["data"]["status"]["state"] == "failed");
    assert_eq!(failed["data"]["status"]["error"]["code"], "no_video");
    let last = next(&|event| event["event"] == "summary" && event["data"]["failed"] == 1);
    assert_eq!(last["data"]["done"], 1);
    assert_eq!(watching.wait().unwrap().code(), Some(1), "one failed");
}
