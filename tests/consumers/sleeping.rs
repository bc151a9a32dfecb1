//! Who slept while others went on.

use std::time::Duration;

use crate::scene::*;
use crate::sightline::{Metrics, Sightline, command, wait_for};

/// An owner that sleeps between building a checkpoint and committing it, while a successor writes further ones, is refused.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "builds without assertions do not stop themselves")]
fn a_consumer_that_slept_on_its_checkpoint_writes_nothing() {
    let _stage = stage();
    // Each commit has a checkpoint of every camera: ten.
    let records = copies(recorded(), 10);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let base_ms = now.as_millis() as i64 - 60_000;
    let undisturbed = undisturbed(&records, base_ms).events;
    for point in ["claim-written", "claim-offsets"] {
        let broker = started();
        let bootstrap = broker.bootstrap.as_str();
        let sleeper = {
            let mut command = command(&["consume", "events", "--kafka", bootstrap, "--http", "127.0.0.1:0"]);
            command.env("SIGHTLINE_STOP_AT", point);
            Sightline::spawn(command)
        };
        let half = records.len() / 2;
        play(bootstrap, &records[..half], Duration::from_secs(8), base_ms);
        wait_for("it to sleep", || sleeper.stderr().contains(&format!("stopped at {point}")).then_some(()));
        let mut successor = consumer(bootstrap, &[]);
        let http = successor.http();
        let commits = || Metrics::scrape(&http).sum("sightline_consumer_commits_total", &[]);
        wait_for("the successor to have all", || {
            (commits() >= 1.0 && lag(bootstrap, EVENTS_GROUP) == 0).then_some(())
        });
        sleeper.signal("CONT");
        // By the group, whose generation went on, or by the broker, which ended its transaction meanwhile.
        wait_for("it to be refused", || {
            let said = sleeper.stderr();
            (said.contains("a checkpoint was not written") || said.contains("beginning anew")).then_some(())
        });
        play(bootstrap, &records[half..], Duration::from_secs(2), base_ms + half as i64);
        wait_until_done(bootstrap, EVENTS_GROUP);
        let disturbed = events(bootstrap);

        assert_eq!(disturbed, undisturbed, "{point}");
        println!("{point}: {} events alike", disturbed.len());
    }
}
