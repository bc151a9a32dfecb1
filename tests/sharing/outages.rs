//! Kafka goes away under the pods, for long enough that the whole group is thrown out.

use std::time::Duration;

use crate::crew::{Crew, INTERVAL, ids};
use crate::sightline::wait_for;

const SOON: Duration = Duration::from_secs(60);

/// Longer than a session; the real thing, 2 minutes, is `OUTAGE_SECONDS=120`.
fn outage() -> Duration {
    let seconds = std::env::var("OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(25))
}

#[test]
fn an_outage_closes_no_stream_and_loses_no_frame() {
    let mut crew = Crew::new();
    let ids = ids(6);
    crew.register(&ids.iter().map(|id| crew.camera(id)).collect::<Vec<_>>());
    let _pods = ["one", "two"].map(|name| crew.pod(name, &[]));
    crew.wait_until_all_run(&ids, SOON, |_| true);
    std::thread::sleep(Duration::from_secs(5));
    crew.wait_until_all_run(&ids, SOON, |_| true);
    let plays = crew.plays();
    let before: Vec<_> = ids.iter().map(|id| crew.accepted(id).results.len()).collect();
    crew.kafka.kill9();
    std::thread::sleep(outage());
    assert_eq!(crew.plays(), plays, "a stream was opened anew");
    crew.kafka.start_again();
    // As many results as there were pictures in the meantime.
    let wanted = (outage().as_secs_f64() * crate::crew::FPS) as usize;
    for (id, before) in ids.iter().zip(before) {
        wait_for(&format!("the results of {id} from the spool"), || {
            (crew.accepted(id).results.len() >= before + wanted).then_some(())
        });
    }
    std::thread::sleep(Duration::from_secs(15));
    crew.wait_until_all_run(&ids, SOON, |_| true);
    println!("{} sessions before the outage, {} after it", plays, crew.plays());
    for id in &ids {
        let accepted = crew.accepted(id);
        let (longest, behind) = accepted.longest_interval(INTERVAL);
        println!(
            "{id}: {} results of runs {:?}, longest interval {} ms, {} late, {} overlapping",
            accepted.results.len(),
            accepted.epochs(),
            longest / 1_000,
            accepted.late,
            accepted.overlapping
        );
        assert!(longest <= 2 * INTERVAL, "{id}: {} ms before {behind:?}", longest / 1_000);
        assert!(accepted.gaps.is_empty(), "{id}: {:?}", accepted.gaps);
        assert!(accepted.results.is_sorted_by(|a, b| a.captured_at < b.captured_at), "{id}");
    }
}
