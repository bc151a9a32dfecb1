//! Topics that were lost and made anew: epochs go on above all that were.

use std::time::Duration;

use serde_json::Value;

use crate::crew::Crew;
use crate::follow::Follow;
use crate::sightline::{output, wait_for};

const SOON: Duration = Duration::from_secs(60);
const LOST: [&str; 4] =
    ["sightline.cameras", "sightline.placements", "sightline.camera-status", "sightline.job-status"];

#[test]
fn registrations_come_back_into_topics_made_anew_and_epochs_go_on() {
    let mut crew = Crew::new();
    let bootstrap = crew.kafka.bootstrap.clone();
    let apply = || output(&["topics", "apply", "--kafka", &bootstrap, "--pool", "default"]);
    let base = || output(&["topics", "base", "--kafka", &bootstrap]);
    let camera = crew.camera("gate");
    crew.register(std::slice::from_ref(&camera));
    let pod = crew.pod("one", &[]);
    let ids = ["gate".to_owned()];
    crew.wait_until_all_run(&ids, SOON, |_| true);
    let results = || -> Vec<Value> {
        let mut all = crew.detections.of("gate");
        all.retain(|record| record["schema"] == "frame/1");
        all
    };
    wait_for("some results", || (results().len() >= 4).then_some(()));

    // Beside statuses a base would change the epochs of those that run.
    let refused = base();
    let sentence = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(sentence.contains("holds statuses already"), "{sentence}");

    drop(pod);
    let before = results().iter().map(|record| record["epoch"].as_u64().unwrap()).max().unwrap();
    crew.kafka.delete_topics(&LOST);
    let made = wait_for("the topics to be gone, and made anew", || {
        let made = apply();
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        (made.status.success() && LOST.iter().all(|topic| said.contains(&format!("made topic {topic} "))))
            .then_some(said)
    });
    let said = made.lines().find(|line| line.starts_with("wrote a base of ")).expect("apply says the base");
    let base: u64 = said.split(' ').nth(4).unwrap().parse().unwrap();
    assert!(base > before, "{said}");
    // Epochs of jobs go on, too.
    let of_jobs = made.lines().find(|line| line.contains("of topic sightline.job-status"));
    assert!(of_jobs.is_some_and(|line| line.starts_with("wrote a base of ")), "{made}");

    crew.statuses = Follow::topic(&bootstrap, "sightline.camera-status");
    crew.register(&[camera]);
    let _pod = crew.pod("two", &[]);
    crew.wait_until_all_run(&ids, SOON, |pod| pod == "two");
    let status = crew.status("gate").unwrap();
    assert!(status["epoch"].as_u64().unwrap() > base, "{status}");
    wait_for("a reader to take results of the new epoch", || {
        let epochs = crew.accepted("gate").epochs();
        (epochs.first() == Some(&before) && epochs.last() > Some(&base)).then_some(())
    });
}
