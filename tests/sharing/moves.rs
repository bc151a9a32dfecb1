//! Planned moves lose nothing.

use std::time::Duration;

use crate::crew::{Crew, INTERVAL, ids};

const SOON: Duration = Duration::from_secs(60);

/// Every camera's results are one sequence: no interval longer than twice its own, no time twice, no gap.
fn nothing_is_missing(crew: &Crew, ids: &[String]) {
    for id in ids {
        let accepted = crew.accepted(id);
        let (longest, behind) = accepted.longest_interval();
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
        assert!(longest <= 2 * INTERVAL, "{id}: {} ms before {behind:?}", longest / 1_000);
        assert!(accepted.gaps.is_empty(), "{id}: {:?}", accepted.gaps);
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
