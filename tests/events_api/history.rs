//! What was.

use serde_json::{Value, json};

use crate::events::{Stream, Teller, event, now_ms, time};
use crate::postgres::{PASSWORD, Postgres};
use crate::registry::{Registry, wait_until};
use crate::sightline::{Metrics, Sightline, command};
use crate::started;

#[test]
fn the_history_is_what_was_written_page_by_page_and_comes_back_with_its_database() {
    const EVENTS: usize = 500;
    let (broker, files) = started();
    let mut database = Postgres::start();
    let begun = now_ms();
    // Several at once, over weeks, so that pages end between events of one moment.
    let made: Vec<_> =
        (0..EVENTS).map(|n| event(["gate", "yard"][n % 2], n, begun - (n as i64 / 5) * 17_000_000)).collect();
    Teller::new(&broker.bootstrap, "teller").tell(&made);
    let url = database.url();
    let args =
        ["consume", "store", "--kafka", &broker.bootstrap, "--database", &url, "--http", "127.0.0.1:0"];
    let store = Sightline::spawn(command(&[&args[..], &["--only", "events"]].concat()));
    wait_until("the rows are there", || {
        database.try_query("SELECT count(*) FROM events").is_ok_and(|count| count == EVENTS.to_string())
    });
    store.signal("TERM");
    assert!(store.wait().0.success());

    let empty = Postgres::start();
    let early = Registry::start(&broker.bootstrap, &files, &["--database", &empty.url()]);
    let problem = early.get("/v1/events").is_problem(503, &[]);
    assert!(problem["detail"].as_str().unwrap().contains("consume store"), "{problem}");
    drop((early, empty));

    let password = files.path("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let without = database.url_without_password();
    let args = ["--database", &without, "--database-password-file", password.to_str().unwrap()];
    let registry = Registry::start(&broker.bootstrap, &files, &args);
    let viewer = registry.asking(Some(files.token("viewer")));
    let page = |query: &str| viewer.ask("GET", &format!("/v1/events?{query}"), &[], None).json();
    let pages = |query: &str, limit: usize| {
        let (mut events, mut cursor) = (Vec::new(), String::new());
        loop {
            let found = page(&format!("{query}&limit={limit}{cursor}"));
            let some = found["events"].as_array().unwrap().clone();
            let is_last = found["next"].is_null();
            assert!(some.len() == limit || is_last, "{} of {limit}", some.len());
            events.extend(some);
            match found["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return events,
            }
        }
    };
    let newest_first = |fits: &dyn Fn(&Value) -> bool| {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let mut events: Vec<_> = made.iter().filter(|event| fits(event)).cloned().collect();
        events.sort_by_key(|event| std::cmp::Reverse((text(event, "at"), text(event, "id"))));
        events
    };
    let all = newest_first(&|_| true);
    for limit in [7, 100, 499, 500, 501, 1000] {
        assert!(pages("", limit) == all, "in pages of {limit}");
    }
    assert_eq!(page("")["events"].as_array().unwrap().len(), 100);
    let cameras = |name: &'static str| move |event: &Value| event["camera"] == name;
    assert!(pages("camera=gate", 60) == newest_first(&cameras("gate")));
    assert!(pages("camera=gate,yard&camera=door", 60) == all);
    let some = |event: &Value| event["camera"] == "yard" && event["type"] == "zone_left";
    assert!(pages("camera=yard&type=zone_left,dwelled&zone=dock&label=car", 9) == newest_first(&some));
    let odd = |event: &Value| event["type"] == "track_ended";
    assert!(pages("label=o%27neil+%22x%22%3B+%5C+%C3%BC", 20) == newest_first(&odd));
    let crossed = |event: &Value| event["line"] == "in";
    assert!(pages("line=in", 1000) == newest_first(&crossed));
    let (since, until) = (time(begun - 40 * 17_000_000), time(begun - 3 * 17_000_000));
    let between = |event: &Value| {
        let at = event["at"].as_str().unwrap();
        at >= since.as_str() && at < until.as_str()
    };
    let wanted = newest_first(&between);
    assert_eq!(wanted.len(), 37 * 5);
    assert!(pages(&format!("since={since}&until={until}"), 10) == wanted);
    for nothing in [
        "camera=%27%3B+DROP+TABLE+events%3B+--",
        "label=%22",
        "since=9999-01-01T00:00:00Z",
        "until=-009000-01-01T00:00:00Z",
    ] {
        assert_eq!(page(nothing), json!({"events": [], "next": null}), "{nothing}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("type=walked", "type"),
        ("since=now", "since"),
        ("until=2026", "until"),
        ("zone=a%00", "zone"),
        ("cursor=x", "cursor"),
        ("colour=red", "colour"),
    ] {
        registry.get(&format!("/v1/events?{query}")).is_problem(400, &[field]);
    }

    // The database goes, and comes back; what happens goes on meanwhile.
    database.stop_at_once();
    let refused = registry.get("/v1/events");
    let problem = refused.is_problem(503, &[]);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the database 127.0.0.1:") && !refused.text.contains(PASSWORD), "{problem}");
    assert!(refused.headers["retry-after"].parse::<u32>().is_ok());
    let mut live = Stream::open(&registry.api, "/v1/events:watch", &files.token("viewer"), &[]);
    live.until_ready();
    database.start_again();
    wait_until("the history is back", || registry.get("/v1/events").status == 200);
    assert!(pages("", 300) == all);
    let metrics = Metrics::scrape(&registry.http);
    let failures = |reason| metrics.sum("sightline_registry_history_failures_total", &[("reason", reason)]);
    assert!(failures("unreachable") >= 1.0);
    assert!(metrics.sum("sightline_registry_history_seconds_count", &[]) > 20.0);

    // What was not made as it should be is said, and not in whole.
    database.query("ALTER TABLE events RENAME COLUMN zone TO area");
    let problem = registry.get("/v1/events").is_problem(503, &[]);
    assert!(problem["detail"].as_str().unwrap().contains("not as this version made it"), "{problem}");
    registry.process.signal("TERM");
    let (_, said) = registry.process.wait();
    assert!(!said.contains(PASSWORD), "{said}");
}

#[test]
fn without_a_database_it_is_said_what_to_do() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let problem = registry.get("/v1/events?camera=gate").is_problem(404, &[]);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("--database") && detail.contains("text/event-stream"), "{problem}");
    registry.get("/v1/events?limit=0").is_problem(400, &["limit"]);
}
