//! As it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::events::{Stream, Teller, event, now_ms, time};
use crate::registry::{Registry, wait_until};
use crate::sightline::Metrics;
use crate::started;

const WATCH: &str = "/v1/events:watch";

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_happens_is_told_as_it_happens_to_who_asks_for_it_and_may() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let viewer = files.token("viewer");
    let open = |path: &str| Stream::open(&registry.api, path, &viewer, &[]);
    let teller = Teller::new(&broker.bootstrap, "teller");
    let begun = now_ms();
    let before: Vec<_> =
        (0..40).map(|n| event(["gate", "yard"][n % 2], n, begun - 1000 + n as i64)).collect();
    teller.tell(&before);

    let mut all = Stream::open(&registry.api, "/v1/events", &viewer, &[("accept", "text/event-stream")]);
    assert_eq!(all.until_ready(), [Value::Null; 0], "from now on");
    let mut some = open(&format!("{WATCH}?camera=gate,door&camera=x&type=line_crossed,zone_left"));
    some.until_ready();
    let mut odd = open(&format!("{WATCH}?label=o%27neil+%22x%22%3B+%5C+%C3%BC"));
    odd.until_ready();
    let mut since = open(&format!("{WATCH}?since={}&camera=gate", time(begun - 980)));
    let wanted: Vec<_> = before.iter().filter(|event| event["camera"] == "gate").skip(10).cloned().collect();
    assert_eq!(since.until_ready(), wanted, "from the topic first");

    teller.take_back(&[event("gate", 0, begun)]);
    let now: Vec<_> =
        (100..140).map(|n| event(["gate", "yard", "door"][n % 3], n, begun + n as i64)).collect();
    teller.tell(&now);
    let of =
        |fits: &dyn Fn(&Value) -> bool| now.iter().filter(|event| fits(event)).cloned().collect::<Vec<_>>();
    // A camera's are in order; between cameras there is none.
    let by_camera = |mut events: Vec<Value>| {
        events.sort_by_key(|event| event["camera"].as_str().unwrap().to_owned());
        events
    };
    assert_eq!(by_camera(all.take(40)), by_camera(of(&|_| true)));
    let is_some = |event: &Value| {
        event["camera"] != "yard" && ["line_crossed", "zone_left"].contains(&event["type"].as_str().unwrap())
    };
    let wanted = of(&is_some);
    assert_eq!(by_camera(some.take(wanted.len())), by_camera(wanted));
    let wanted = of(&|event: &Value| event["type"] == "track_ended");
    assert_eq!(by_camera(odd.take(wanted.len())), by_camera(wanted));
    let wanted = of(&|event: &Value| event["camera"] == "gate");
    assert_eq!(since.take(wanted.len()), wanted);

    let metrics = || Metrics::scrape(&registry.http);
    assert_eq!(metrics().sum("sightline_registry_event_watchers", &[]), 4.0);
    assert!(metrics().sum("sightline_registry_events_sent_total", &[]) >= 40.0 + 10.0);
    drop(since);
    wait_until("who left is seen to have left", || {
        metrics().sum("sightline_registry_event_watchers", &[]) == 3.0
    });

    // Refused, by the name of what is wrong.
    for (query, field) in [
        ("?type=walked", "type"),
        ("?since=soon", "since"),
        ("?until=2026-11-23T18:40:12Z", "until"),
        ("?camera=", "camera"),
        ("?limit=3", "limit"),
    ] {
        registry.get(&format!("{WATCH}{query}")).is_problem(400, &[field]);
    }
    let bad =
        Stream::try_open(&registry.api, WATCH, &viewer, &[("last-event-id", "gate/7/3")]).err().unwrap();
    assert_eq!((bad.0, &bad.1["errors"][0]["field"]), (400, &json!("Last-Event-ID")), "{bad:?}");
    assert_eq!(Stream::try_open(&registry.api, WATCH, "slt_wrong", &[]).err().unwrap().0, 401);

    // A token that is none any more ends what it opened, and no other.
    let operator = files.token("operator");
    let mut other = Stream::open(&registry.api, WATCH, &operator, &[]);
    other.until_ready();
    let lines = fs::read_to_string(files.path("tokens")).unwrap();
    let rest: String =
        lines.lines().filter(|line| !line.contains("viewer")).map(|line| format!("{line}\n")).collect();
    fs::write(files.path("tokens"), rest).unwrap();
    assert_eq!(all.next(), None);
    assert_eq!(some.next(), None);
    teller.tell(&[event("gate", 1000, begun)]);
    assert_eq!(other.take(1).len(), 1);
    assert_eq!(Stream::try_open(&registry.api, WATCH, &viewer, &[]).err().unwrap().0, 401);

    // A stop waits for no stream.
    let stopping = Instant::now();
    registry.process.signal("TERM");
    assert_eq!(other.next(), None);
    assert!(stopping.elapsed() < Duration::from_millis(1500), "{:?}", stopping.elapsed());
    let (status, said) = registry.process.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_connection_that_breaks_is_taken_up_without_a_loss_or_a_repeat() {
    const EVENTS: usize = 12_000;
    let (broker, files) = started();
    let viewer = files.token("viewer");
    let mut registry = Registry::start(&broker.bootstrap, &files, &[]);
    let mut chance = Chance::by("EVENTS_API_SEED");
    let cameras: Vec<_> = (0..10).map(|n| format!("camera-{n}")).collect();
    let begun = now_ms();
    let made: Vec<_> = (0..EVENTS).map(|n| event(&cameras[n % 10], n, begun + n as i64)).collect();
    let mut all = Stream::open(&registry.api, WATCH, &viewer, &[]);
    all.until_ready();
    // Another asks for little, so that it is long ago that something came, when its connection breaks.
    let rare = format!("{WATCH}?camera=camera-3&type=camera_down");
    let mut few = Stream::open(&registry.api, &rare, &viewer, &[]);
    few.until_ready();
    let (mut got, mut got_few) = (Vec::new(), Vec::new());
    let few_wanted: Vec<_> = made
        .iter()
        .filter(|event| event["camera"] == "camera-3" && event["type"] == "camera_down")
        .cloned()
        .collect();
    let mut breaks = 0;
    std::thread::scope(|scope| {
        let telling = scope.spawn(|| {
            let teller = Teller::new(&broker.bootstrap, "teller");
            for (n, some) in made.chunks(80).enumerate() {
                teller.tell(some);
                if n % 4 == 0 {
                    teller.take_back(&some[..1]);
                }
            }
        });
        while got.len() < EVENTS {
            let count = 1 + chance.below(600);
            got.extend(all.take(count.min(EVENTS - got.len())));
            breaks += 1;
            if breaks == 5 {
                // The next one knows nothing of this one.
                registry.process.signal("KILL");
                registry = Registry::start(&broker.bootstrap, &files, &[]);
            }
            all.break_off(&registry.api, WATCH, &viewer);
            few.break_off(&registry.api, &rare, &viewer);
            got_few.extend(few.take(1.min(few_wanted.len() - got_few.len())));
        }
        telling.join().unwrap();
    });
    got_few.extend(few.take(few_wanted.len() - got_few.len()));
    assert!(breaks > 20, "{breaks}");
    let by_camera = |events: &[Value]| {
        let mut cameras = BTreeMap::<String, Vec<Value>>::new();
        for event in events {
            cameras.entry(event["camera"].as_str().unwrap().to_owned()).or_default().push(event.clone());
        }
        cameras
    };
    assert_eq!(ids(&got).into_iter().collect::<BTreeSet<_>>().len(), EVENTS);
    assert!(by_camera(&got) == by_camera(&made), "each as it was written, in order");
    assert_eq!(ids(&got_few), ids(&few_wanted));
    println!("{EVENTS} events over {breaks} breaks");
}

#[test]
fn a_watcher_that_takes_nothing_is_ended_and_disturbs_nobody() {
    const EVENTS: usize = 6_000;
    let (broker, files) = started();
    let viewer = files.token("viewer");
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let open = |last: Option<&str>| Stream::again(&registry.api, WATCH, &viewer, last);
    let (mut slow, mut quick) = (open(None), open(None));
    slow.until_ready();
    quick.until_ready();
    let begun = now_ms();
    let made: Vec<_> = (0..EVENTS)
        .map(|n| {
            let mut event = event("gate", n, begun + n as i64);
            // More than the buffers of a connection hold.
            event["labels"]["note"] = "x".repeat(8 << 10).into();
            event
        })
        .collect();
    let all = std::thread::scope(|scope| {
        let taking = scope.spawn(|| quick.take(EVENTS));
        let teller = Teller::new(&broker.bootstrap, "teller");
        made.chunks(100).for_each(|some| teller.tell(some));
        taking.join().unwrap()
    });
    assert!(all == made, "who reads is told all");
    let slow_ones =
        || Metrics::scrape(&registry.http).sum("sightline_registry_event_watchers_slow_total", &[]);
    wait_until("the slow one is given up", || slow_ones() == 1.0);
    let mut got = Vec::new();
    let last = loop {
        let sent = slow.next().expect("a last word");
        if sent.event == "ended" {
            break sent;
        }
        got.push(sent.data);
    };
    assert_eq!(last.data["reason"], "slow", "{last:?}");
    assert!(last.data["detail"].as_str().unwrap().contains("Last-Event-ID"));
    assert_eq!(slow.next(), None);
    assert!(!got.is_empty() && got.len() < EVENTS, "{}", got.len());
    // It goes on where it was, and has all.
    let mut again = open(slow.last_id.as_deref());
    got.extend(again.take(EVENTS - got.len()));
    assert!(got == made);
    again.until_ready();
    assert_eq!(slow_ones(), 1.0);
}
