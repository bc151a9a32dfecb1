//! What is added, and where it lies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kcat;
use crate::queue::*;
use crate::registry::wait_until;
use crate::sightline::Metrics;

#[test]
fn a_file_is_one_job_however_often_it_is_added() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["gate 3.mp4", "yard.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let request = json!({"uris": [format!("{root}/gate 3.mp4")], "labels": {"camera": "gate-3"},
        "spec": {"sampling": {"mode": "fps", "fps": 5}}});

    let report = add(&registry, &request);
    assert_eq!(
        (&report["added"], &report["there"], &report["refused"], &report["next"]),
        (&json!(1), &json!(0), &json!(0), &Value::Null)
    );
    let item = &report["items"][0];
    let uri = format!("file://{root}/gate%203.mp4");
    assert_eq!(
        (&item["uri"], &item["outcome"], &item["state"]),
        (&json!(uri), &json!("added"), &json!("queued"))
    );
    assert_eq!(item["start_is_guess"], true, "nobody said when it began");
    let id = item["id"].as_str().unwrap();
    assert!(id.starts_with("job-") && id.len() == 24, "{id}");

    // The same by the other way to write it.
    let mut again = request.clone();
    again["uris"] = json!([format!("file://{root}/./gate%203.mp4")]);
    let report = add(&registry, &again);
    assert_eq!(
        (&report["items"][0]["outcome"], report["items"][0]["id"].as_str()),
        (&json!("there"), Some(id))
    );
    // Other settings are another job; a start that is said is a setting.
    for (name, value) in
        [("labels", json!({})), ("start", json!(START)), ("spec", json!({})), ("pool", json!("gpu"))]
    {
        let mut other = request.clone();
        other[name] = value;
        let report = add(&registry, &other);
        assert_eq!(report["added"], 1, "{name}: {report}");
        assert_ne!(report["items"][0]["id"].as_str(), Some(id), "{name}");
    }

    let queued = of(bootstrap, JOBS, id);
    assert_eq!(queued.len(), 1, "{queued:?}");
    assert_eq!(queued[0].headers["sightline-schema"], "job/1");
    let job = &queued[0].value;
    assert_eq!((&job["id"], &job["uri"], &job["attempt"]), (&json!(id), &json!(uri), &json!(1)));
    assert_eq!((&job["labels"]["camera"], &job["spec"]["sampling"]["fps"]), (&json!("gate-3"), &json!(5.0)));
    let statuses = of(bootstrap, STATUS, id);
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].partition, kcat::partition(id, PARTITIONS));
    assert_eq!((&statuses[0].value["state"], &statuses[0].value["start"]), (&json!("queued"), &job["start"]));
    assert_eq!(kcat::read(bootstrap, "sightline.jobs.gpu").len(), 1);
    let audit = registry.get(&format!("/v1/audit?camera={id}")).json();
    assert_eq!(
        (&audit["items"][0]["action"], &audit["items"][0]["who"]),
        (&json!("created"), &json!("the-admin"))
    );
    let view = registry.get(&format!("/v1/jobs/{id}")).json();
    assert_eq!((&view["status"]["state"], &view["provisional"]), (&json!("queued"), &json!(false)));

    // It is known to whoever takes over.
    registry.process.signal("KILL");
    registry.process.wait();
    let registry = self::registry(bootstrap, &files, folder.path());
    assert_eq!(add(&registry, &request)["items"][0]["outcome"], "there");
    assert_eq!(of(bootstrap, JOBS, id).len(), 1);
    let metrics = Metrics::scrape(&registry.http);
    assert_eq!(metrics.sum("sightline_registry_jobs", &[("state", "queued")]), 5.0);
    assert_eq!(metrics.sum("sightline_registry_jobs_unqueued", &[]), 0.0);
}

#[test]
fn folders_and_patterns_are_every_video_in_them_a_page_at_a_time() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..25).map(|n| format!("day/{:02}/{n:02}.mp4", n / 5)).collect();
    clips(folder.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    clips(folder.path(), &["day/notes.txt", "20261123_184012.ts", "front.ts"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());

    let mut request = json!({"uris": [format!("{root}/day")], "limit": 10});
    let (mut seen, mut pages, mut passed_over) = (Vec::new(), Vec::new(), 0);
    loop {
        let report = add(&registry, &request);
        let items = report["items"].as_array().unwrap();
        pages.push(items.len());
        passed_over += report["passed_over"].as_u64().unwrap();
        seen.extend(items.iter().map(|item| item["uri"].as_str().unwrap().to_owned()));
        match report["next"].as_str() {
            Some(next) => request["cursor"] = next.into(),
            None => break,
        }
    }
    let wanted: Vec<_> = names.iter().map(|name| format!("file://{root}/{name}")).collect();
    assert_eq!((seen, pages, passed_over), (wanted, vec![10, 10, 5], 1));

    // As the list pages.
    let page = registry.get("/v1/jobs?limit=20&state=queued").json();
    assert_eq!((&page["total"], page["items"].as_array().unwrap().len()), (&json!(25), 20));
    let rest = registry.get(&format!("/v1/jobs?limit=20&cursor={}", page["next"].as_str().unwrap())).json();
    assert_eq!((rest["items"].as_array().unwrap().len(), rest.get("next")), (5, None));
    for (query, total) in [("state=done", 0), ("pool=gpu", 0), ("label=site", 0), ("pool=default", 25)] {
        assert_eq!(registry.get(&format!("/v1/jobs?{query}")).json()["total"], total, "{query}");
    }

    // From a terminal: the pattern is known already but for two files, one of which says when it began.
    let added = registry.cli(&[
        "job",
        "add",
        &format!("{root}/**/0[01].mp4"),
        &format!("{root}/*.ts"),
        "--start-from-name",
        "*%Y%m%d_%H%M%S*",
        "--utc-offset",
        "+01:00",
        "--output",
        "json",
    ]);
    let report: Value = serde_json::from_slice(&added.stdout).unwrap_or_else(|_| panic!("{added:?}"));
    assert_eq!(added.status.code(), Some(1), "one is refused");
    let starts: BTreeMap<_, _> = report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned(), item.clone()))
        .collect();
    assert_eq!(starts["20261123_184012.ts"]["start"], "2026-11-23T17:40:12.000Z");
    for name in ["front.ts", "00.mp4", "01.mp4"] {
        let detail = starts[name]["detail"].as_str().unwrap();
        assert!(detail.contains("does not fit"), "{detail}");
    }
    let added = registry.cli(&["job", "add", &format!("{root}/front.ts"), "--label", "site=hq"]);
    let said = String::from_utf8(added.stdout).unwrap();
    assert!(
        said.contains("is added") && said.contains("a guess") && said.contains("--start-from-name"),
        "{said}"
    );
    assert!(said.ends_with("1 added, 0 there already, 0 refused\n"), "{said}");
    let listed = registry.cli(&["job", "list", "--label", "site=hq"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("queued") && listed.contains("front.ts") && listed.lines().count() == 2,
        "{listed}"
    );
}

#[test]
fn jobs_lie_where_the_least_waits() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..17).map(|n| format!("{n:02}.mp4")).collect();
    clips(folder.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let on = |records: &[kcat::Record]| {
        let mut counts = [0; PARTITIONS as usize];
        records.iter().for_each(|record| counts[record.partition as usize] += 1);
        counts
    };
    let uris: Vec<_> = names[..6].iter().map(|name| format!("{root}/{name}")).collect();
    add(&registry, &json!({"uris": uris, "start": START}));
    assert_eq!(on(&kcat::read(bootstrap, JOBS)), [1; 6], "as many as partitions: one each");
    // What others put there counts.
    let foreign =
        json!({"schema": "job/1", "id": "job-x", "uri": "file:///a.mp4", "start": START, "attempt": 1});
    for _ in 0..2 {
        put(bootstrap, JOBS, 3, "job-x", &foreign);
    }
    for name in &names[6..11] {
        add_one(&registry, &format!("{root}/{name}"));
    }
    assert_eq!(on(&kcat::read(bootstrap, JOBS)), [2, 2, 2, 3, 2, 2]);
    add(
        &registry,
        &json!({"uris": names[11..].iter().map(|name| format!("{root}/{name}")).collect::<Vec<_>>(), "start": START}),
    );
    let counts = on(&kcat::read(bootstrap, JOBS));
    assert_eq!(
        (counts.iter().sum::<i32>(), counts.iter().max(), counts.iter().min()),
        (19, Some(&4), Some(&3))
    );
}

#[test]
fn what_a_registry_that_died_did_not_queue_its_successor_does() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let first = registry(bootstrap, &files, folder.path());
    let id = add_one(&first, &format!("{root}/a.mp4"));
    first.process.signal("KILL");
    first.process.wait();
    // Between its two writes: the status is there, the record is not.
    say(bootstrap, "job-lost", "queued", json!({"labels": {"site": "hq"}}));
    say(bootstrap, "job-over", "done", json!({"epoch": 3}));
    let registry = registry(bootstrap, &files, folder.path());
    wait_until("the lost job is in the queue", || !of(bootstrap, JOBS, "job-lost").is_empty());
    let lost = &of(bootstrap, JOBS, "job-lost")[0].value;
    assert_eq!((&lost["attempt"], &lost["labels"]["site"]), (&json!(1), &json!("hq")));
    assert_eq!(of(bootstrap, JOBS, &id).len(), 1, "was there");
    assert!(of(bootstrap, JOBS, "job-over").is_empty());
    drop(registry);
}
