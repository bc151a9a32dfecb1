//! Databases that are away, read-only, full or not as they should be, and records that no table can hold: each is said, and
//! nothing is lost.

use serde_json::{Value, json};

use crate::kcat;
use crate::postgres::{Postgres, USER};
use crate::scene::*;
use crate::sightline::{Metrics, Sightline, command, get, output, wait_for};
use crate::small_disk::SmallDisk;

const DEAD_LETTERS: &str = "sightline.dead-letter";

/// An event as the rules write it.
fn event(n: usize, label: &str) -> Value {
    json!({"schema": "event/1", "id": format!("gate/1/{n}/7/track_started"), "type": "track_started", "camera": "gate", "epoch": 1,
           "seq": n, "generation": 1, "at": "2026-11-23T18:40:12.033Z", "track_key": "gate/1/7", "class_id": 0, "label": label,
           "confidence": 0.9, "box": [0.4, 0.3, 0.5, 0.6]})
}

fn put(bootstrap: &str, values: &[Value]) {
    let records: Vec<_> =
        values.iter().map(|value| ("gate".to_owned(), "event/1".to_owned(), value.to_string())).collect();
    put_as_it_is(bootstrap, &records);
}

fn put_as_it_is(bootstrap: &str, records: &[(String, String, String)]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    play_to(bootstrap, EVENTS, records, std::time::Duration::ZERO, |_| now.as_millis() as i64);
}

/// None before the tables are made.
fn rows(database: &Postgres) -> usize {
    database.try_query("SELECT count(*) FROM events").map_or(0, |count| count.parse().unwrap())
}

/// Waits until it is said, counted under this reason, and no longer ready.
fn wait_until_said(store: &mut Sightline, reason: &str, sentence: &str) {
    let http = store.http();
    wait_for(sentence, || store.stderr().contains(sentence).then_some(()));
    wait_for("it to be counted", || {
        let failures =
            Metrics::scrape(&http).sum("sightline_store_database_failures_total", &[("reason", reason)]);
        (failures > 0.0).then_some(())
    });
    wait_for("not to be ready", || {
        let (status, body) = get(&http, "/readyz");
        (status == 503 && body.contains("database")).then_some(())
    });
    assert!(!store.stderr().contains(crate::postgres::PASSWORD), "{}", store.stderr());
}

fn wait_for_rows(store: &mut Sightline, database: &Postgres, count: usize) {
    wait_for(&format!("{count} rows"), || (rows(database) == count).then_some(()));
    let http = store.http();
    wait_for("to be ready", || (get(&http, "/readyz").0 == 200).then_some(()));
}

#[test]
fn a_database_that_does_not_do_it_is_waited_for_and_nothing_is_lost() {
    let _stage = stage();
    let (broker, mut database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.as_str();
    put(bootstrap, &[event(1, "person")]);

    // Away when it begins.
    database.stop_at_once();
    let mut store = store(bootstrap, &database, &["--only", "events"]);
    wait_until_said(&mut store, "unreachable", "does not answer (Connection refused");
    database.start_again();
    wait_for_rows(&mut store, &database, 1);

    let mut sent = 1;
    let mut next = |count: usize| {
        let events: Vec<_> = (0..count).map(|n| event(sent + 1 + n, "person")).collect();
        put(bootstrap, &events);
        sent += count;
        sent
    };

    // A standby: nothing may be written.
    database.superuser(&format!("ALTER ROLE {USER} SET default_transaction_read_only = on"));
    database.superuser(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sightline store'",
    );
    let wanted = next(2);
    wait_until_said(&mut store, "read_only", "is read-only");
    database.superuser(&format!("ALTER ROLE {USER} RESET default_transaction_read_only"));
    // The setting is that of a session: Sightline begins a new one after each failure.
    wait_for_rows(&mut store, &database, wanted);

    // Somebody took a column away.
    database.query("ALTER TABLE events RENAME COLUMN zone TO area");
    let wanted = next(2);
    wait_until_said(&mut store, "schema", "a table in the database");
    assert!(store.stderr().contains("undo what was changed there"), "{}", store.stderr());
    database.query("ALTER TABLE events RENAME COLUMN area TO zone");
    wait_for_rows(&mut store, &database, wanted);

    // Or the right to write.
    database.query("ALTER TABLE events OWNER TO sightline");
    database.superuser_in_video("REVOKE INSERT ON events FROM sightline");
    let wanted = next(2);
    wait_until_said(&mut store, "refused", "GRANT it");
    database.superuser_in_video("GRANT INSERT ON events TO sightline");
    wait_for_rows(&mut store, &database, wanted);

    // It takes the connection and says nothing.
    database.pause();
    let wanted = next(2);
    std::thread::sleep(std::time::Duration::from_secs(3));
    database.resume();
    wait_for_rows(&mut store, &database, wanted);
    store.signal("TERM");
    assert!(store.wait().0.success());
}

#[test]
fn a_store_with_nothing_to_write_is_ready_when_its_database_is() {
    let _stage = stage();
    let (broker, mut database) = (started(), Postgres::start());
    database.stop_at_once();
    let mut store = store(&broker.bootstrap, &database, &[]);
    wait_until_said(&mut store, "unreachable", "does not answer (Connection refused");
    database.start_again();
    wait_for_rows(&mut store, &database, 0);
    assert_eq!(database.query("SELECT count(*) FROM tracks"), "0", "the tables are there");
    store.signal("TERM");
    assert!(store.wait().0.success());
}

#[test]
fn a_full_disk_under_the_database_loses_nothing() {
    let _stage = stage();
    let Some(disk) = SmallDisk::mount(2 << 20) else {
        // A file system of a few MiB is made by whoever may: in CI that is always so.
        assert!(std::env::var_os("CI").is_none(), "a small disk could not be mounted");
        eprintln!("NOT RUN: mounting a small disk needs root");
        return;
    };
    let (broker, database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.as_str();
    put(bootstrap, &[event(0, "person")]);
    let mut store = store(bootstrap, &database, &["--only", "events"]);
    wait_for_rows(&mut store, &database, 1);
    database.move_table("events", disk.path());

    let events: Vec<_> = (1..=20_000).map(|n| event(n, "person")).collect();
    put(bootstrap, &events);
    wait_until_said(&mut store, "full", "No space left on device");
    disk.grow(64 << 20);
    wait_for_rows(&mut store, &database, 20_001);
}

#[test]
fn what_no_table_can_hold_is_put_aside_alone() {
    let _stage = stage();
    let (broker, database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.as_str();
    let mut values: Vec<_> = (0..50).map(|n| event(n, "person")).collect();
    values[17]["label"] = "a\u{0}b".into();
    values[31]["seq"] = u64::MAX.into();
    values[32]["labels"] = json!({"site": "h\u{0}q"});
    values[40]["a_field_of_later"] = json!({"more": [1, 2]});
    let mut records: Vec<_> =
        values.iter().map(|value| ("gate".to_owned(), "event/1".to_owned(), value.to_string())).collect();
    let plain = |schema: &str, text: &str| ("gate".to_owned(), schema.to_owned(), text.to_owned());
    records.push(plain("event/1", "not JSON"));
    records.push(plain("event/1", r#"{"schema":"event/1","id":"gate/1/2/3/what"}"#));
    records.push(plain("event/2", r#"{"schema":"event/2"}"#));
    records.push(plain("event/1", &event(90, "person").to_string().replace("0.9", "NaN")));
    // As large as a broker takes by default.
    records.push(plain("event/1", &format!("{{\"schema\":\"event/1\",\"id\":\"{}\"", "x".repeat(900_000))));
    // So large a reason fits no record, and so large a key no index.
    let kind = format!("\"type\":\"{}\"", "x".repeat(880_000));
    records.push(plain(
        "event/1",
        &event(92, "person").to_string().replace("\"type\":\"track_started\"", &kind),
    ));
    let mut endless = event(93, "person");
    endless["id"] = noise(6_000).into();
    records.push(plain("event/1", &endless.to_string()));
    records.push(plain("event/1", &event(91, "person").to_string()));
    put_as_it_is(bootstrap, &records);
    let mut store = store(bootstrap, &database, &["--only", "events"]);
    wait_until_done(bootstrap, ROWS_GROUP);
    assert_eq!(rows(&database), 50 - 3 + 1);
    let http = store.http();
    let metrics = Metrics::scrape(&http);
    let passed =
        |reason: &str| metrics.sum("sightline_consumer_records_passed_over_total", &[("reason", reason)]);
    assert_eq!((passed("unreadable"), passed("unknown")), (9.0, 1.0));
    assert_eq!(metrics.sum("sightline_store_rows_refused_total", &[("table", "events")]), 3.0);
    assert!(store.stderr().contains("this version does not know its schema"), "{}", store.stderr());
    let letters = kcat::headers(bootstrap, DEAD_LETTERS);
    let why: Vec<_> = letters.iter().map(|letter| letter["sightline-why"].clone()).collect();
    assert_eq!(why.len(), 9, "{why:#?}");
    assert!(why.iter().all(|why| why.len() <= 1024), "{why:#?}");
    for part in [
        "can't hold a value",
        "is larger than a table holds",
        "is not a valid event/1; look at what wrote it",
    ] {
        assert!(why.iter().any(|why| why.contains(part)), "{part}: {why:#?}");
    }
    assert!(letters.iter().all(|letter| letter["sightline-topic"] == EVENTS));
    // Again from the beginning: the same rows.
    let before = tables(&database);
    let url = database.url();
    let args = ["consume", "store", "--kafka", bootstrap, "--database", &url, "--http", "127.0.0.1:0"];
    let again = [&args[..], &["--only", "events", "--group", "again", "--from", "earliest"]].concat();
    let _again = Sightline::spawn(command(&again));
    wait_until_done(bootstrap, ("sightline.sightline-store-events-again", EVENTS));
    assert_eq!(tables(&database), before);
}

/// A text that nothing makes shorter.
fn noise(length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 1_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..length).map(letter).collect()
}

#[test]
fn detections_that_can_not_be_hold_nothing_up() {
    let _stage = stage();
    // Of a camera that had a run before.
    let mut recorded = recorded().to_vec();
    for record in &mut recorded {
        record.value["epoch"] = (record.value["epoch"].as_u64().unwrap() + 5).into();
    }
    let records = copies(&recorded, 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let base_ms = now.as_millis() as i64 - 60_000;
    let undisturbed = undisturbed(&records, base_ms);
    let (camera, frames): (String, Vec<_>) = {
        let frames = records.iter().filter(|(_, schema, _)| schema == "frame/1");
        (
            records[0].0.clone(),
            frames.map(|(.., text)| serde_json::from_str::<Value>(text).unwrap()).collect(),
        )
    };
    let of_it = |schema: &str, text: String| (camera.clone(), schema.to_owned(), text);
    let with = |frame: &Value, field: &str, value: Value| {
        let mut changed = frame.clone();
        changed[field] = value;
        of_it("frame/1", changed.to_string())
    };
    let middle = &frames[frames.len() / 2 - 1];
    let spec = records.iter().find(|(_, schema, _)| schema == "spec/1").unwrap();
    let mut large: Value = serde_json::from_str(&spec.2).unwrap();
    large["labels"] = json!({"site": "x".repeat(700_000)});
    let boxed = |sides: Value| json!([{"class_id": 0, "label": "person", "confidence": 0.9, "box": sides}]);
    let unreadable = [
        of_it("frame/1", "not JSON".to_owned()),
        of_it("frame/1", middle.to_string().replacen("\"seq\":", "\"seq\":NaN,\"was\":", 1)),
        with(middle, "captured_at", "x".repeat(900_000).into()),
        with(middle, "detections", boxed(json!([0.4, 0.3, 1.5, 0.6]))),
        with(middle, "detections", boxed(json!([0.6, 0.3, 0.4, 0.6]))),
        with(middle, "camera", "c".repeat(5_000).into()),
        of_it("spec/1", large.to_string()),
        of_it("tick/1", r#"{"schema":"tick/1"}"#.to_owned()),
    ];
    let later = (middle["epoch"].as_u64().unwrap(), middle["seq"].as_u64().unwrap());
    let passed_over = [
        of_it("frame/2", r#"{"schema":"frame/2"}"#.to_owned()),
        // Of an older run, and once more.
        with(middle, "epoch", (later.0 - 1).into()),
        with(middle, "seq", later.1.into()),
        // Of a camera whose begin was never read.
        (String::from("nobody"), "frame/1".to_owned(), with(middle, "camera", "nobody".into()).2),
    ];
    let written = middle.to_string();
    let place = records.iter().position(|(.., text)| *text == written).unwrap() + 1;
    let (mut all, mut last) = (records.clone(), frames[frames.len() - 1].clone());
    // Its time goes back.
    last["seq"] = (last["seq"].as_u64().unwrap() + 1_000).into();
    last["captured_at"] = frames[0]["captured_at"].clone();
    let end = all.iter().rposition(|(_, schema, _)| schema == "frame/1").unwrap() + 1;
    all.insert(end, of_it("frame/1", last.to_string()));
    all.splice(place..place, unreadable.iter().chain(&passed_over).cloned());

    let (broker, database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.as_str();
    play(bootstrap, &all, std::time::Duration::ZERO, base_ms);
    let mut consumers = [consumer(bootstrap, &[]), store(bootstrap, &database, &["--only", "rollups"])];
    [EVENTS_GROUP, ROLLUPS_GROUP].iter().for_each(|group| wait_until_done(bootstrap, *group));
    for running in &mut consumers {
        let metrics = Metrics::scrape(&running.http());
        for (reason, count, sentence) in [
            ("unreadable", 8.0, "a record can't be read; a copy goes to"),
            ("unknown", 1.0, "this version does not know its schema"),
            ("late", 1.0, "it is of an older run of its camera"),
            ("repeat", 1.0, "its frame was read before"),
            ("backwards", 1.0, "look at the clock of the camera"),
        ] {
            let passed = metrics.sum("sightline_consumer_records_passed_over_total", &[("reason", reason)]);
            assert_eq!(passed, count, "{reason}: {}", running.stderr());
            assert!(running.stderr().contains(sentence), "{reason}: {}", running.stderr());
        }
    }
    assert_eq!(kcat::headers(bootstrap, DEAD_LETTERS).len(), 2 * unreadable.len());
    assert_eq!(events(bootstrap), undisturbed.events);
    let minutes = "detections_per_minute";
    assert_eq!(tables(&database)[minutes], undisturbed.tables[minutes]);
}

/// A row's place counts within its partition alone, as within a chunk of TimescaleDB.
#[test]
fn of_partitioned_tables_old_rows_go_and_no_other() {
    let _stage = stage();
    let (broker, database) = (started(), Postgres::start());
    let bootstrap = broker.bootstrap.as_str();
    let first = store(bootstrap, &database, &["--only", "rollups"]);
    wait_for("the tables", || {
        database.try_query("SELECT 1 FROM detections_per_minute").is_ok().then_some(())
    });
    drop(first);
    for statement in [
        "DROP TABLE detections_per_minute",
        "CREATE TABLE detections_per_minute (camera text, label text, minute timestamptz, frames bigint, detections bigint, \
         max_simultaneous bigint, mean_confidence double precision, written_at timestamptz DEFAULT now(), \
         PRIMARY KEY (camera, label, minute)) PARTITION BY RANGE (minute)",
        "CREATE TABLE before PARTITION OF detections_per_minute FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "CREATE TABLE since PARTITION OF detections_per_minute FOR VALUES FROM ('2021-01-01') TO ('9999-01-01')",
        "INSERT INTO detections_per_minute VALUES ('old', 'car', '2020-06-01', 1, 1, 1, 1), ('new', 'car', now(), 1, 1, 1, 1)",
    ] {
        database.query(statement);
    }
    let _store = store(bootstrap, &database, &["--only", "rollups", "--keep", "detections_per_minute=90d"]);
    wait_for("the old row to go", || (database.query("SELECT count(*) FROM before") == "0").then_some(()));
    assert_eq!(database.query("SELECT camera FROM detections_per_minute"), "new");
}

#[test]
fn settings_that_can_not_be_are_refused_in_a_sentence() {
    let _stage = stage();
    let (broker, database) = (started(), Postgres::start());
    let refused = |more: &[&str]| {
        let args = ["consume", "store", "--kafka", &broker.bootstrap, "--http", "127.0.0.1:0"];
        let output = output(&[&args[..], more].concat());
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    for (more, wanted) in [
        (&[][..], "which database? give --database"),
        (&["--database", "mysql://me:hunter2@db/x"], "it begins with neither postgresql:// nor postgres://"),
        (&["--database", "postgresql://me:hunter2@db:x/x"], "--database is no address of a database"),
        (
            &["--database", "postgresql://me@db/x", "--database-password-file", "/nowhere"],
            "the password of the database can't be read from /nowhere",
        ),
        (&["--database", "postgresql://me@db/x", "--keep", "events=soon"], "events=90d"),
    ] {
        let said = refused(more);
        assert!(said.contains(wanted), "{more:?}: {said}");
    }

    // A wrong password, and tables that it may not make, are waited for: they are cured elsewhere.
    let wrong = database.url().replace(crate::postgres::PASSWORD, "hunter2");
    let args = |url: &str, more: &[&str]| {
        let args = ["consume", "store", "--kafka", &broker.bootstrap, "--database", url, "--only", "events"];
        Sightline::spawn(command(&[&args[..], &["--http", "127.0.0.1:0"], more].concat()))
    };
    put(&broker.bootstrap, &[event(1, "person")]);
    let mut store = args(&wrong, &[]);
    wait_until_said(&mut store, "refused", "does not let sightline in");
    assert!(!store.stderr().contains("hunter2"), "{}", store.stderr());
    drop(store);
    let mut store = args(&database.url(), &["--no-migrate"]);
    wait_until_said(&mut store, "schema", "run once without --no-migrate");
    drop(store);
    // By a file, and old rows go.
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), format!("{}\n", crate::postgres::PASSWORD)).unwrap();
    let file = password.path().to_str().unwrap();
    let store = args(&database.url_without_password(), &["--database-password-file", file]);
    wait_for("a row", || {
        database.try_query("SELECT 1 FROM events").is_ok_and(|rows| rows == "1").then_some(())
    });
    drop(store);
    database.query("UPDATE events SET at = now() - interval '91 days'");
    database.query("INSERT INTO events SELECT 'young', now() - interval '89 days', type, camera, epoch, seq, generation, track_key, class_id, label, confidence, line, direction, zone, duration_s, appeared, vanished, x_min, y_min, x_max, y_max, labels, more FROM events");
    let _store = args(&database.url(), &["--keep", "events=90d", "--no-migrate"]);
    wait_for("the old row to go", || (database.query("SELECT id FROM events") == "young").then_some(()));

    // Of before events said which model saw them: the rows stay, and new ones say it.
    drop(_store);
    database.query("ALTER TABLE events DROP COLUMN model, DROP COLUMN model_sha256");
    database.query("ALTER TABLE tracks DROP COLUMN model, DROP COLUMN model_sha256");
    database.query("DELETE FROM sightline_migrations WHERE version = 2");
    let mut seen = event(2, "person");
    seen["model"] = json!({"name": "junction", "sha256": "9f0c"});
    put(&broker.bootstrap, &[seen]);
    let mut store = args(&database.url(), &["--no-migrate"]);
    wait_until_said(&mut store, "schema", "are of version 1, and version 2 is wanted");
    drop(store);
    let store = args(&database.url(), &[]);
    let models =
        "SELECT DISTINCT coalesce(model, 'none'), coalesce(model_sha256, 'none') FROM events ORDER BY 1";
    wait_for("a row with its model", || {
        database.try_query(models).is_ok_and(|rows| rows == "junction|9f0c\nnone|none").then_some(())
    });
    drop(store);

    // Of a later version.
    database.query("UPDATE sightline_migrations SET version = 1000000 WHERE version = 2");
    put(&broker.bootstrap, &[event(3, "person")]);
    let mut store = args(&database.url(), &[]);
    wait_until_said(&mut store, "schema", "made by a newer Sightline");
}
