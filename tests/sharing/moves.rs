//! Planned moves lose nothing.

use std::time::Duration;

use crate::crew::{Crew, INTERVAL, ids, load_per_core};

const SOON: Duration = Duration::from_secs(60);

/// Every camera's results are one sequence: no interval longer than twice its own, no time twice, no gap.
pub(crate) fn nothing_is_missing(crew: &Crew, ids: &[String]) {
    for id in ids {
        let accepted = crew.accepted(id);
        let (longest, behind) = accepted.longest_interval(INTERVAL);
        println!(
            "{id}: {} results of runs {:?}, longest interval {} ms, {} late, {} repeats, {} overlapping",
            accepted.results.len(),
            accepted.epochs(),
            longest / 1_000,
            accepted.late,
            accepted.repeats,
            accepted.overlapping
        );
        assert!(accepted.results.is_sorted_by(|a, b| a.captured_at < b.captured_at), "{id}: a time twice");
        // A busy machine drops frames, of an ending run uncounted; and says so by a gap, where it is long enough.
        let busy = load_per_core() > 2.0;
        let allowed = if busy { 4 * INTERVAL } else { 2 * INTERVAL };
        assert!(longest <= allowed, "{id}: {} ms before {behind:?}", longest / 1_000);
        assert!(busy || accepted.gaps.is_empty(), "{id}: {:?}", accepted.gaps);
    }
}

#[test]
fn pods_that_come_and_go_lose_nothing() {
    let crew = Crew::new();
    let ids = ids(12);
    crew.register(&ids.iter().map(|id| crew.camera(id)).collect::<Vec<_>>());
    let pods = ["one", "two", "three"].map(|name| crew.pod(name, &[]));
    crew.wait_until_all_run(&ids, SOON, |_| true);
    let fourth = crew.pod("four", &[]);
    std::thread::sleep(Duration::from_secs(20));
    crew.wait_until_all_run(&ids, SOON, |_| true);
    assert!(ids.iter().any(|id| crew.runner(id).as_deref() == Some("four")), "the fourth runs none");
    let [first, ..] = &pods;
    first.signal("TERM");
    crew.wait_until_all_run(&ids, SOON, |pod| pod != "one");
    std::thread::sleep(Duration::from_secs(3));
    nothing_is_missing(&crew, &ids);
    drop(fourth);
}

#[test]
fn all_pods_are_rolled_and_nothing_is_lost() {
    let crew = Crew::new();
    let ids = ids(9);
    crew.register(&ids.iter().map(|id| crew.camera(id)).collect::<Vec<_>>());
    let mut pods: Vec<_> = ["a1", "b1", "c1"].map(|name| Some(crew.pod(name, &[]))).into();
    crew.wait_until_all_run(&ids, SOON, |_| true);
    std::thread::sleep(Duration::from_secs(8));
    // As a rolling update does: one more, then one less.
    for (at, next) in ["a2", "b2", "c2"].into_iter().enumerate() {
        pods.push(Some(crew.pod(next, &[])));
        crew.wait_until_on(next, SOON);
        let old = pods[at].take().unwrap();
        old.signal("TERM");
        let (status, said) = old.wait();
        assert!(status.success(), "{status}: {said}");
        crew.wait_until_all_run(&ids, SOON, |pod| pod.ends_with('2') || at < 2);
    }
    crew.wait_until_all_run(&ids, SOON, |pod| pod.ends_with('2'));
    std::thread::sleep(Duration::from_secs(3));
    nothing_is_missing(&crew, &ids);
    for gone in ["a1", "b1", "c1"] {
        let last = crew.pods.of(gone).pop().unwrap();
        assert!(last.get("schema").is_none(), "a clean end is a tombstone: {last}");
    }
}

#[test]
fn a_camera_of_one_session_is_let_go_first_and_the_gap_is_said() {
    let mut crew = Crew::new();
    crew.tell_source("fault refuse-sessions");
    let ids = vec!["single".to_owned()];
    crew.register(&[crew.camera("single")]);
    let one = crew.pod("one", &[]);
    crew.wait_until_all_run(&ids, SOON, |pod| pod == "one");
    let _other = crew.pod("other", &["--pool", "other"]);
    crew.wait_until_on("other", SOON);
    std::thread::sleep(Duration::from_secs(3));
    crew.place("single", "other", 0);
    crew.wait_until_all_run(&ids, SOON, |pod| pod == "other");
    std::thread::sleep(Duration::from_secs(3));
    let accepted = crew.accepted("single");
    let (longest, _) = accepted.longest_interval(INTERVAL);
    println!("handed over with {} ms between two results", longest / 1_000);
    assert_eq!(accepted.epochs().len(), 2);
    if longest > 2 * INTERVAL {
        let reasons: Vec<_> = accepted.gaps.iter().map(|gap| gap["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["moved"], "{:?}", accepted.gaps);
    }
    drop(one);
}
