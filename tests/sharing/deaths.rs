//! Pods that die, and pods that were only asleep.

use std::time::{Duration, Instant};

use crate::accepted::at;
use crate::crew::{Crew, INTERVAL, ids};
use crate::sightline::{Sightline, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// The session's 10 s, and 3 s more; connecting comes on top, and a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(13);
const SLACK: Duration = Duration::from_secs(12);

fn start(crew: &Crew, cameras: usize, pods: &[&str]) -> (Vec<String>, Vec<Sightline>) {
    let ids = ids(cameras);
    crew.register(&ids.iter().map(|id| crew.camera(id)).collect::<Vec<_>>());
    let pods: Vec<_> = pods.iter().map(|name| crew.pod(name, &[])).collect();
    crew.wait_until_all_run(&ids, SOON, |_| true);
    // The first to come had them all for a moment.
    let all_have = || {
        let runners: std::collections::BTreeSet<_> = ids.iter().filter_map(|id| crew.runner(id)).collect();
        (runners.len() == pods.len()).then_some(())
    };
    wait_for("every pod to run some", all_have);
    crew.wait_until_all_run(&ids, SOON, |_| true);
    (ids, pods)
}

fn of<'a>(crew: &Crew, ids: &'a [String], pod: &str) -> Vec<&'a String> {
    ids.iter().filter(|id| crew.runner(id).as_deref() == Some(pod)).collect()
}

#[test]
fn a_pod_that_dies_is_replaced_and_what_nobody_saw_is_said() {
    let crew = Crew::new();
    let (ids, mut pods) = start(&crew, 9, &["one", "two", "three"]);
    let lost: Vec<_> = of(&crew, &ids, "one").into_iter().cloned().collect();
    assert!(!lost.is_empty(), "the first runs none");
    let before: Vec<_> = lost.iter().map(|id| crew.status(id).unwrap()["epoch"].as_u64().unwrap()).collect();
    // It says that it runs when its first result is ready, a moment before that is in the log.
    for (id, before) in lost.iter().zip(&before) {
        wait_for("results to be lost behind", || {
            (crew.accepted(id).results.last()?.epoch == *before).then_some(())
        });
    }
    pods.remove(0).signal("KILL");
    let killed = Instant::now();
    crew.wait_until_all_run(&lost, TAKEN_OVER + SLACK, |pod| pod != "one");
    println!(
        "{} cameras of a killed pod ran elsewhere after {:.1} s",
        lost.len(),
        killed.elapsed().as_secs_f64()
    );
    for (id, before) in lost.iter().zip(before) {
        wait_for("results of the successor", || {
            let accepted = crew.accepted(id);
            (accepted.results.last()?.epoch > before).then_some(())
        });
        let accepted = crew.accepted(id);
        let first = accepted.results.iter().position(|result| result.epoch > before).unwrap();
        let gap = accepted.gaps.last().unwrap_or_else(|| panic!("{id}: no gap"));
        assert_eq!(gap["reason"], "pod_lost", "{id}: {gap}");
        assert_eq!(at(&gap["before"]["captured_at"]), accepted.results[first].captured_at, "{id}");
        let seen = accepted.results[first - 1].captured_at;
        let told = at(&gap["after"]["captured_at"]);
        assert!(
            told <= seen,
            "{id}: the gap begins at the last result that a status told of, or before: {gap}"
        );
    }
}

/// What everybody sees of a camera whose pod slept: one sequence, whatever the sleeper says when it wakes.
fn is_one_sequence(crew: &Crew, id: &str) {
    let accepted = crew.accepted(id);
    assert!(
        accepted.results.is_sorted_by(|a, b| a.captured_at < b.captured_at && a.epoch <= b.epoch),
        "{id}"
    );
    // Between two results a hole is said, or there is none.
    for pair in accepted.results.windows(2) {
        let missing = pair[1].captured_at - pair[0].captured_at - pair[1].overload as i64 * INTERVAL;
        let is_said =
            accepted.gaps.iter().any(|gap| at(&gap["before"]["captured_at"]) == pair[1].captured_at);
        assert!(
            is_said || missing <= 2 * INTERVAL + INTERVAL / 2,
            "{id}: {} ms are missing before {:?}",
            missing / 1_000,
            pair[1]
        );
    }
}

/// Who slept hears that it is out, and joins again.
fn they_wake(crew: &Crew, ids: &[String], newest: &[u64]) {
    std::thread::sleep(Duration::from_secs(12));
    crew.wait_until_all_run(ids, SOON, |_| true);
    for (id, before) in ids.iter().zip(newest) {
        let statuses = crew.statuses.of(id);
        let claims = statuses.iter().filter(|status| status["state"] == "claimed");
        println!(
            "{id}: claims by {:?}",
            claims.map(|claim| claim["pod"].as_str().unwrap()).collect::<Vec<_>>()
        );
        assert!(crew.status(id).unwrap()["epoch"].as_u64().unwrap() >= *before, "{id}: an epoch went back");
        is_one_sequence(crew, id);
    }
}

#[test]
fn a_pod_that_slept_while_it_ran_counts_no_more() {
    let crew = Crew::new();
    let (ids, pods) = start(&crew, 6, &["one", "two"]);
    let slept: Vec<_> = of(&crew, &ids, "one").into_iter().cloned().collect();
    pods[0].signal("STOP");
    crew.wait_until_all_run(&slept, TAKEN_OVER + SLACK, |pod| pod != "one");
    let newest: Vec<_> = slept.iter().map(|id| crew.status(id).unwrap()["epoch"].as_u64().unwrap()).collect();
    pods[0].signal("CONT");
    they_wake(&crew, &slept, &newest);
    for id in &slept {
        assert!(crew.accepted(id).epochs().len() >= 2, "{id}");
    }
}

/// In each of four pools a pod stops itself at another point of its claim, past its session; others take over; it goes on.
#[test]
fn a_pod_that_sleeps_at_any_point_of_a_claim_does_not_count() {
    const POINTS: [&str; 4] = ["before-join", "before-claim", "claim-written", "claim-offsets"];
    let crew = Crew::new();
    let ids = ids(8);
    let pool = |at: usize| format!("p{at}");
    let camera = |(n, id): (usize, &String)| {
        let mut camera = crew.camera(id);
        camera["pool"] = pool(n % 4).into();
        camera
    };
    crew.register(&ids.iter().enumerate().map(camera).collect::<Vec<_>>());
    let sleepers: Vec<_> = POINTS
        .iter()
        .enumerate()
        .map(|(at, point)| {
            let mut command = crew.pod_command(&format!("sleeper-{point}"), &["--pool", &pool(at)]);
            command.env("SIGHTLINE_STOP_AT", point);
            Sightline::spawn(command)
        })
        .collect();
    let sleepers: Vec<_> = sleepers
        .into_iter()
        .zip(POINTS)
        .map(|(mut sleeper, point)| {
            sleeper.wait_for_line(&format!("stopped at {point}"));
            sleeper
        })
        .collect();
    let _others: Vec<_> = (0..4).map(|at| crew.pod(&format!("other-{at}"), &["--pool", &pool(at)])).collect();
    crew.wait_until_all_run(&ids, TAKEN_OVER + SLACK, |pod| pod.starts_with("other"));
    let newest: Vec<_> = ids.iter().map(|id| crew.status(id).unwrap()["epoch"].as_u64().unwrap()).collect();
    sleepers.iter().for_each(|sleeper| sleeper.signal("CONT"));
    they_wake(&crew, &ids, &newest);
    for (sleeper, point) in sleepers.iter().zip(POINTS) {
        let said = sleeper.stderr();
        let refused = ["were refused", "may not have been written"].iter().any(|words| said.contains(words));
        assert!(refused || point != "claim-written", "{point}: {said}");
    }
}
