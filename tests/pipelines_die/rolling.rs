//! All pods are replaced, one after the other, as an update does it.

use std::time::Duration;

use crate::chance::setting;
use crate::crew::load_per_core;
use crate::gaps::Why;
use crate::scene::Scene;

const SOON: Duration = Duration::from_secs(60);
/// So long all is still before and behind a round, so that something happens there, too.
const STILL: Duration = Duration::from_secs(6);

/// `ROLL_ROUNDS` times all pods are replaced: one more comes, then one of the old goes.
#[test]
fn what_happened_while_all_pods_were_rolled_is_in_the_table_once() {
    let (rounds, cameras) = (setting("ROLL_ROUNDS", 1), setting("ROLL_CAMERAS", 3) as usize);
    println!("ROLL_ROUNDS={rounds} ROLL_CAMERAS={cameras}");
    let names = |round: u64| ["a", "b", "c"].map(|letter| format!("{letter}{round}"));
    let first = names(0);
    let mut scene = Scene::start(cameras, &first.each_ref().map(String::as_str));
    std::thread::sleep(STILL);
    for round in 0..rounds {
        for (old, new) in names(round).into_iter().zip(names(round + 1)) {
            scene.add(&new);
            scene.crew.wait_until_on(&new, SOON);
            scene.say(&format!("{old} is told to end"));
            let pod = scene.take(&old);
            pod.signal("TERM");
            let (status, said) = pod.wait();
            assert!(status.success(), "{old}: {status}: {said}");
            scene.all_run();
            scene.say(&format!("{old} has ended, and all run"));
        }
        std::thread::sleep(STILL);
    }
    let busy = load_per_core() > 2.0;
    for account in scene.finish() {
        let (id, compared) = (&account.id, &account.compared);
        assert!(account.accepted.epochs().len() > 1, "{id} was never handed over");
        // A busy machine drops frames, of an ending run uncounted; what it dropped is no fault of the update.
        let by_the_update = |why: &Why| !matches!(why, Why::Edge | Why::Overload(_)) && !busy;
        let gap = account.gaps.iter().find(|gap| by_the_update(&gap.why));
        assert!(gap.is_none(), "{id}: {gap:?}");
        assert!(compared.missing.is_empty(), "{id}: {} events are missing", compared.missing.len());
        assert!(compared.extra.is_empty(), "{id}: {} rows too many", compared.extra.len());
    }
}
