//! Pods are killed, one after the other.

use std::time::Duration;

use crate::chance::{Chance, setting};
use crate::scene::Scene;

/// Kills come so much earlier or later, by chance: a round of the clip is 30 s, and each should meet another place of it.
const SPREAD_S: usize = 10;

/// A pod is killed every `DEATH_EVERY` seconds for `DEATH_SECONDS`; another comes at once, under its name or a new one.
#[test]
fn what_happened_outside_of_the_gaps_is_in_the_table_once_whoever_dies() {
    let (seconds, every) = (setting("DEATH_SECONDS", 75), setting("DEATH_EVERY", 30));
    let cameras = setting("DEATH_CAMERAS", 3) as usize;
    println!("DEATH_SECONDS={seconds} DEATH_EVERY={every} DEATH_CAMERAS={cameras}");
    let mut chance = Chance::by("DEATH_SEED");
    let mut scene = Scene::start(cameras, &["one", "two", "three"]);
    let mut kills = 0;
    let end = scene.begun.elapsed() + Duration::from_secs(seconds);
    let mut due = scene.begun.elapsed() + Duration::from_secs(every / 2);
    while due < end {
        let spread = Duration::from_secs(chance.below(SPREAD_S) as u64);
        std::thread::sleep((due + spread).saturating_sub(scene.begun.elapsed()));
        scene.all_run();
        let camera = &scene.ids[kills % cameras];
        let name = scene.crew.runner(camera).unwrap();
        scene.say(&format!("{name}, which runs {camera}, is killed"));
        let pod = scene.take(&name);
        pod.signal("KILL");
        drop(pod);
        kills += 1;
        let next = if kills % 2 == 0 { name } else { format!("heir-{kills}") };
        scene.add(&next);
        due += Duration::from_secs(every);
    }
    std::thread::sleep(end.saturating_sub(scene.begun.elapsed()));
    scene.all_run();
    scene.say("all run");
    let accounts = scene.finish();
    for account in &accounts {
        let compared = &account.compared;
        assert!(compared.missing.is_empty(), "{}: {} events are missing", account.id, compared.missing.len());
        assert!(compared.extra.is_empty(), "{}: {} rows too many", account.id, compared.extra.len());
    }
}
