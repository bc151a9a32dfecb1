//! Targets that are down, and consumers that die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::receiver::{Receiver, Way};
use crate::scene::{Scene, assert_no_secret, event, metrics};
use crate::sightline::{Metrics, wait_for};

fn busy(lines: &str) -> Way {
    Way::Answer(503, lines.to_owned())
}

#[test]
fn a_target_that_hangs_holds_up_no_other_and_gets_all_when_it_is_back() {
    let scene = Scene::new();
    let hangs = Arc::new(AtomicBool::new(true));
    let way = Arc::clone(&hangs);
    let dead = Receiver::start(move |_, _| if way.load(Ordering::SeqCst) { Way::Hang } else { Way::Take });
    let stuck = Receiver::start(|_, _| Way::Hang);
    let desk = Receiver::start(|_, _| Way::Take);
    let rules = scene.all_to(json!({
        "dead": scene.webhook(&dead.url("/"), json!({"timeout_s": 0.3})),
        "stuck": scene.webhook(&stuck.url("/"), json!({"timeout_s": 100})),
        "desk": scene.webhook(&desk.url("/"), json!({})),
    }));
    let mut consumer = scene.consume_all(&rules);
    for n in 0..100 {
        (0..30).for_each(|camera| scene.write(&event(&format!("gate-{camera}"), n)));
    }
    scene.flush();
    scene.wait_until_done("alerts-desk");
    assert_eq!(desk.taken().len(), 3000);
    assert_eq!((dead.taken().len(), stuck.taken().len()), (0, 0));
    assert_eq!(scene.ends_and_committed("alerts-dead"), (3000, 0));
    assert!(stuck.requests().len() <= 8, "no more than `parallel` at a time");
    wait_for("the circuit to open, and the lag to be seen", || {
        let shown = metrics(&mut consumer);
        let sum = |name: &str, target: &str| shown.sum(name, &[("consumer", target)]);
        let open = sum("sightline_alerts_circuits_open", "alerts-dead") == 1.0;
        let lags = ["alerts-dead", "alerts-stuck", "alerts-desk"]
            .map(|target| sum("sightline_consumer_lag_records", target));
        (open && lags == [3000.0, 3000.0, 0.0]).then_some(())
    });
    // A target that is down is no reason to call the process unfit.
    assert_eq!(crate::sightline::get(&consumer.http(), "/readyz").0, 200);
    hangs.store(false, Ordering::SeqCst);
    scene.wait_until_done("alerts-dead");
    let ids: BTreeSet<String> = dead.taken().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 3000);
    assert_eq!(metrics(&mut consumer).sum("sightline_alerts_circuits_open", &[]), 0.0);
    consumer.signal("TERM");
    let asked = Instant::now();
    let (status, said) = consumer.wait();
    // The request that hangs would take 100 s.
    assert!(status.success() && asked.elapsed() < Duration::from_secs(30), "{status}: {:?}", asked.elapsed());
    assert!(said.contains("did not answer in time; see whether it hangs"), "{said}");
    assert!(
        said.contains("one probe at a time") && said.contains("target dead takes alerts again"),
        "{said}"
    );
    assert_no_secret("its log", &said);
}

/// Consumers are killed, and one beside them comes and goes, while the receiver fails now and then.
#[test]
fn consumers_that_are_killed_lose_nothing_and_keep_the_order_of_each_camera() {
    let scene = Scene::new();
    // Each event fails sometimes, by its number.
    let desk = Receiver::start(|request, times| {
        let seq = request.json()["event"]["seq"].as_u64().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        match (seq % 150, times) {
            (7, 0) => Way::Cut,
            (23, 0) => busy(""),
            (41, 0) => busy("Retry-After: 1\r\n"),
            _ => Way::Take,
        }
    });
    let rules = scene.all_to(json!({"desk": scene.webhook(&desk.url("/"), json!({"timeout_s": 5}))}));
    let mut consumers = [scene.consume_all(&rules), scene.consume_all(&rules)];
    let (cameras, each) = (12, 150);
    for n in 0..each {
        (0..cameras).for_each(|camera| scene.write(&event(&format!("gate-{camera}"), n)));
    }
    scene.flush();
    let all = cameras * each;
    let (mut kills, begun) = (0, Instant::now());
    for part in 1..=3 {
        wait_for("some more to arrive", || (desk.taken().len() > all * part / 5).then_some(()));
        println!("{:>5.1} s: consumer {} is killed", begun.elapsed().as_secs_f64(), part % 2);
        consumers[part % 2].signal("KILL");
        consumers[part % 2] = scene.consume_all(&rules);
        kills += 1;
    }
    scene.wait_until_done("alerts-desk");
    let taken = desk.taken();
    let mut first: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for request in &taken {
        let event = request.json()["event"].clone();
        if seen.insert(request.id().to_owned()) {
            first
                .entry(event["camera"].as_str().unwrap().to_owned())
                .or_default()
                .push(event["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(seen.len(), all, "none is lost");
    for (camera, seqs) in first {
        assert!(seqs.is_sorted(), "{camera}: {seqs:?}");
    }
    println!(
        "{:>5.1} s: {all} events, {kills} kills, {} arrived twice",
        begun.elapsed().as_secs_f64(),
        taken.len() - all
    );
    for consumer in &consumers {
        assert_no_secret("its log", &consumer.stderr());
    }
    assert!(scene.dead_letters().is_empty());
}

#[test]
fn what_is_worth_another_attempt_gets_one() {
    let scene = Scene::new();
    let ways = [
        Way::Answer(500, String::new()),
        Way::Answer(408, String::new()),
        Way::Answer(425, String::new()),
        Way::Answer(429, "Retry-After: 1\r\n".into()),
        Way::Cut,
        Way::Babble,
    ];
    let count = ways.len();
    let desk = Receiver::start(move |request, times| {
        let seq = request.json()["event"]["seq"].as_u64().unwrap() as usize;
        if times == 0 { ways[seq].clone() } else { Way::Take }
    });
    let rules = scene.all_to(json!({"desk": scene.webhook(&desk.url("/"), json!({}))}));
    let mut consumer = scene.consume_all(&rules);
    (0..count).for_each(|n| scene.write(&event("gate-1", n)));
    scene.flush();
    scene.wait_until_done("alerts-desk");
    assert_eq!((desk.taken().len(), desk.requests().len()), (count, 2 * count));
    let shown = metrics(&mut consumer);
    let failed = |reason: &str| shown.sum("sightline_alerts_failed_total", &[("reason", reason)]);
    assert_eq!(["server_error", "busy", "broken"].map(failed), [1.0, 3.0, 2.0]);
    assert!(scene.dead_letters().is_empty());
    assert_no_secret("its log", &consumer.stderr());
}

#[test]
fn an_event_that_waited_too_long_goes_to_the_dead_letters() {
    let scene = Scene::new();
    let dead = Receiver::start(|_, _| busy(""));
    let target = scene.webhook(&dead.url("/hook?key=S3CR3T"), json!({"give_up_after_h": 0.0005}));
    let mut consumer = scene.consume_all(&scene.all_to(json!({"desk": target})));
    (0..40).for_each(|n| scene.write(&event(&format!("gate-{n}"), 0)));
    scene.flush();
    scene.wait_until_done("alerts-desk");
    let letters = scene.dead_letters();
    let ids: BTreeSet<String> = letters
        .iter()
        .map(|letter| serde_json::from_slice::<serde_json::Value>(&letter.value).unwrap()["id"].to_string())
        .collect();
    assert_eq!((letters.len(), ids.len()), (40, 40));
    for letter in &letters {
        let why = letter.why();
        assert!(why.contains("longer than give_up_after_h") && why.contains("answered 503"), "{why}");
        assert!(why.contains("target desk: http://127.0.0.1:"), "{why}");
        assert_eq!(letter.headers["sightline-consumer"], "alerts-desk");
        assert_no_secret("a dead letter", why);
    }
    let shown: Metrics = metrics(&mut consumer);
    assert_eq!(shown.sum("sightline_alerts_given_up_total", &[("reason", "too_old")]), 40.0);
}
