//! Whose a place is: one group's, of one Kafka.

use std::path::Path;

use super::*;

/// The mark of a topic's place.
fn mark(root: &Path, topic: &str) -> std::path::PathBuf {
    root.join(topic).join("_owner.json")
}

fn group(topic: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("-{name}") };
    format!("sightline.sightline-archive-{}{name}", topic.trim_start_matches("sightline."))
}

fn paths(root: &Path) -> Vec<std::path::PathBuf> {
    [DETECTIONS, EVENTS]
        .into_iter()
        .flat_map(|topic| archived::files(root, topic))
        .map(|file| file.path)
        .collect()
}

/// It ends, and says why.
fn refused(archive: Sightline) -> String {
    let (status, said) = archive.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

#[test]
fn another_group_is_refused_until_it_takes_the_place_over() {
    let _stage = stage();
    let scene = Scene::start();
    let mut chance = Chance::by("ARCHIVE_SEED");
    let (detections, events) = messages(&mut chance, 2000);
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections[..1000]);
    produce(&scene.kafka.bootstrap, EVENTS, &events[..200]);
    let first = scene.archive(&[]);
    scene.wait_until_done(&[DETECTIONS, EVENTS]);
    let before = paths(&scene.root());

    // It writes nothing, and removes nothing of what is another's.
    let said = refused(scene.archive(&["--group", "lab", "--keep-bytes", "1"]));
    for words in [
        "sightline.detections in ",
        " is of the group sightline.sightline-archive-detections, and this is sightline.sightline-archive-detections-lab: ",
        "give this one a --to of its own, or take the place over as docs/OPERATIONS.md says",
    ] {
        assert!(said.contains(words) || said.contains(&words.replace("detections", "events")), "{said}");
    }
    assert_eq!(paths(&scene.root()), before);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md")).unwrap();
    assert!(page.contains("**Taking a place over**"), "the sentence names what is not there");
    // Nor does it disturb the one whose place it is.
    first.signal("TERM");
    assert!(first.wait().0.success());

    // As the handbook says.
    for topic in [DETECTIONS, EVENTS] {
        let offsets = scene.dir.path().join(format!("{topic}.csv"));
        let (old, new) = (group(topic, ""), group(topic, "lab"));
        let reset =
            ["--group", &old, "--topic", topic, "--reset-offsets", "--to-current", "--export", "--dry-run"];
        let exported = scene.kafka.groups(&reset);
        let lines = exported.lines().filter(|line| line.starts_with('"') || line.starts_with("sightline."));
        std::fs::write(&offsets, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let from = offsets.to_str().unwrap();
        scene.kafka.groups(&["--group", &new, "--reset-offsets", "--from-file", from, "--execute"]);
        std::fs::remove_file(mark(&scene.root(), topic)).unwrap();
    }
    produce(&scene.kafka.bootstrap, DETECTIONS, &detections[1000..]);
    produce(&scene.kafka.bootstrap, EVENTS, &events[200..]);
    let second = scene.archive(&["--group", "lab"]);
    for topic in [DETECTIONS, EVENTS] {
        wait_for("the rest to be archived", || {
            archived::is_done_by(&scene.kafka.bootstrap, topic, &group(topic, "lab")).then_some(())
        });
        println!("{topic}: {:?}", scene.verify(&scene.root(), topic));
    }
    // Now it is the first that is refused.
    let said = refused(scene.archive(&["--topics", "events"]));
    assert!(said.contains("is of the group sightline.sightline-archive-events-lab"), "{said}");
    drop(second);
}

#[test]
fn of_groups_that_begin_together_one_gets_the_place() {
    let _stage = stage();
    let scene = Scene::start();
    let mut chance = Chance::by("ARCHIVE_SEED");
    produce(&scene.kafka.bootstrap, EVENTS, &messages(&mut chance, 1000).1);
    for round in 0..3 {
        let root = scene.dir.path().join(format!("place-{round}"));
        let names = ["a", "b"].map(|name| format!("{name}{round}"));
        let start = |name: &String| {
            let more = ["--topics", "events", "--group", name];
            Sightline::spawn(scene.command(root.to_str().unwrap(), &more))
        };
        let [mut a, mut b] = names.each_ref().map(start);
        let loser = wait_for("one of them to be refused", || match (a.is_running(), b.is_running()) {
            (true, true) => None,
            (false, _) => Some(0),
            (true, false) => Some(1),
        });
        let (loses, mut wins) = if loser == 0 { (a, b) } else { (b, a) };
        let winner = group(EVENTS, &names[1 - loser]);
        assert!(refused(loses).contains(&format!("is of the group {winner}")));
        wait_for("the other to archive all", || {
            archived::is_done_by(&scene.kafka.bootstrap, EVENTS, &winner).then_some(())
        });
        assert!(wins.is_running());
        println!("{winner}: {:?}", scene.verify(&root, EVENTS));
    }
}

#[test]
fn a_place_of_another_kafka_is_refused() {
    let _stage = stage();
    let scene = Scene::start();
    let archive = scene.archive(&["--topics", "events"]);
    let mark = mark(&scene.root(), EVENTS);
    let owner: serde_json::Value =
        wait_for("the mark", || serde_json::from_slice(&std::fs::read(&mark).ok()?).ok());
    archive.signal("TERM");
    assert!(archive.wait().0.success());
    let cluster = owner["cluster"].as_str().unwrap().to_owned();
    let mut other = owner;
    other["cluster"] = "KJr7Lq2wTnuUj0cVxH1yZQ".into();
    std::fs::write(&mark, other.to_string()).unwrap();
    let said = refused(scene.archive(&["--topics", "events"]));
    let wanted = format!("is of another Kafka (cluster KJr7Lq2wTnuUj0cVxH1yZQ, and this is {cluster})");
    assert!(said.contains(&wanted) && said.contains("give this one a --to of its own"), "{said}");
    // And one that says nothing is nobody's to take.
    std::fs::write(&mark, "").unwrap();
    let said = refused(scene.archive(&["--topics", "events"]));
    assert!(said.contains("_owner.json in ") && said.contains("does not say whose the place is"), "{said}");
}

/// One group, first to one place and then to another: what is in the two together is each record once.
#[test]
fn a_group_that_moves_leaves_each_record_in_one_of_both_places() {
    let _stage = stage();
    let scene = Scene::start();
    let mut chance = Chance::by("ARCHIVE_SEED");
    let (_, events) = messages(&mut chance, 4000);
    let places = ["old", "new"].map(|name| scene.dir.path().join(name));
    let all = scene.dir.path().join("all");
    for (place, part) in places.iter().zip(events.chunks(500)) {
        let archive = Sightline::spawn(scene.command(place.to_str().unwrap(), &["--topics", "events"]));
        produce(&scene.kafka.bootstrap, EVENTS, part);
        scene.wait_until_done(&[EVENTS]);
        archive.signal("TERM");
        assert!(archive.wait().0.success());
        let files = archived::files(place, EVENTS);
        assert!(!files.is_empty());
        for file in files {
            let to = all.join(file.path.strip_prefix(place).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(!to.exists(), "{} is in both", to.display());
            std::fs::copy(&file.path, to).unwrap();
        }
    }
    println!("{:?}", scene.verify(&all, EVENTS));
}
