//! With a registry beside them: cameras registered by its API go where there is room, and pods carry the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::crew::{Crew, ids};
use crate::sightline::{Sightline, command, output, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// A registry beside the crew, and where it is.
pub(crate) fn registry(crew: &Crew) -> (Sightline, String) {
    let args =
        ["registry", "--kafka", &crew.kafka.bootstrap, "--insecure-no-auth", "--listen", "127.0.0.1:0"];
    let more = ["--http", "127.0.0.1:0", "--allow-network", "127.0.0.0/8"];
    let mut process = Sightline::spawn(command(&[&args[..], &more].concat()));
    let line = process.wait_for_line("api=");
    let (_, api) = line.split_once("api=").unwrap();
    let api = api.split_whitespace().next().unwrap().trim_matches('"').to_owned();
    process.wait_for_line("ready cameras=");
    (process, api)
}

fn loads(crew: &Crew, ids: &[String]) -> BTreeMap<String, usize> {
    let mut loads = BTreeMap::new();
    ids.iter().filter_map(|id| crew.runner(id)).for_each(|pod| *loads.entry(pod).or_default() += 1);
    loads
}

#[test]
fn three_pods_and_a_registry_carry_the_same_and_pods_take_over_without_it() {
    let crew = Crew::new();
    let (registry, api) = registry(&crew);
    let mut pods: Vec<_> = ["one", "two", "three"].iter().map(|name| crew.pod(name, &[])).collect();
    ["one", "two", "three"].iter().for_each(|name| crew.wait_until_on(name, SOON));
    let ids = ids(24);
    let file = crew.file("cameras.json");
    let cameras: Vec<_> = ids.iter().map(|id| crew.camera(id)).collect();
    std::fs::write(&file, json!({"cameras": cameras}).to_string()).unwrap();
    let begun = Instant::now();
    let imported = output(&["camera", "import", &file.to_string_lossy(), "--registry", &api]);
    assert!(imported.status.success(), "{imported:?}");
    crew.wait_until_all_run(&ids, SOON, |_| true);
    println!("24 cameras ran {:.1} s after they were sent in", begun.elapsed().as_secs_f64());
    let even = || {
        let loads = loads(&crew, &ids);
        let (least, most) = (loads.values().min()?, loads.values().max()?);
        (loads.len() == 3 && loads.values().sum::<usize>() == 24 && most - least <= 1).then_some(loads)
    };
    let found = wait_for("loads within a camera of even", even);
    println!("even after {:.1} s: {found:?}", begun.elapsed().as_secs_f64());
    for id in &ids {
        let placements = crew.placements.count(id);
        assert!(placements <= 2, "{id} was placed {placements} times");
    }

    // Without it only evening-out stops.
    registry.signal("KILL");
    let lost: Vec<_> = ids.iter().filter(|id| crew.runner(id).as_deref() == Some("one")).cloned().collect();
    pods.remove(0).signal("KILL");
    crew.wait_until_all_run(&lost, Duration::from_secs(30), |pod| pod != "one");
    crew.wait_until_all_run(&ids, SOON, |pod| pod != "one");
}
