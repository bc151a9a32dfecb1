//! The rules against a second implementation of `docs/EVENTS.md`: both read what `tests/oracle/generate.py` makes up.
//!
//! `ORACLE_SEEDS=FROM..TO` asks for other seeds than the thousand and the old sinners.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/replay.rs"]
mod replay;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use replay::{Answer, Replay};
use serde_json::{Value, json};

const SEEDS: u64 = 1000;

/// Those that show what was found broken, whatever becomes of the thousand. They do as long as the generator makes the same of
/// them: `rules.rs` has each by itself.
const SINNERS: [(u64, &str); 9] = [
    (7, "tracks of an epoch that was read in part gave events"),
    (5, "a middle that lay on a line but for rounding was beyond it"),
    (118, "a late record's time was not in the checkpoint"),
    (72, "a middle that lay on a border but for rounding was inside"),
    (68, "a second cut under a label that does not count gave an event"),
    (193, "a stream that ended twice was down by the second"),
    (2, "tracks over two epochs after the first frame gave events"),
    (133, "tracks of a finished video ended in another order"),
    (167, "an opposite cut under another label takes a crossing back"),
];

/// What the thousand have to bring about, and how often at least: rules that nothing came near were not tested.
const OFTEN: &[(&str, u64)] = &[
    ("camera_down", 700),
    ("camera_up", 500),
    ("crossing: counts by a second one", 100),
    ("crossing: counts by distance at once", 1_000),
    ("crossing: counts by distance later", 300),
    ("crossing: counts by time", 300),
    ("crossing: forgotten with its line", 10),
    ("crossing: forgotten with its track", 100),
    ("crossing: not for the label", 1_000),
    ("crossing: taken back", 300),
    ("down: ended", 200),
    ("down: gap", 100),
    ("down: tick", 400),
    ("forgotten", 30),
    ("forgotten, with tracks", 15),
    ("dwelled", 900),
    ("dwelled: at once", 100),
    ("job: begun anew", 400),
    ("job: begun anew, with tracks", 250),
    ("job_done", 50),
    ("line_crossed", 2_000),
    ("line_crossed direction backward", 1_000),
    ("line_crossed direction forward", 1_000),
    ("linked", 300),
    ("linked: a better pair was taken", 50),
    ("linked: equals by their ids", 9),
    ("linked: there before", 60),
    ("model: an earlier one's", 3_000),
    ("model: its epoch's", 30_000),
    ("passed over: backwards", 600),
    ("passed over: late", 1_000),
    ("passed over: not_taken_up", 500),
    ("passed over: repeat", 700),
    ("taken up: running", 200),
    ("taken up: started", 400),
    ("there before: running", 500),
    ("there before: started", 500),
    ("tie: a step that ends on a line, or the other way round", 700),
    ("tie: on a border, inside", 800),
    ("tie: on a border, outside", 1_000),
    ("track_ended", 6_000),
    ("track_started", 7_000),
    ("zone entered: counts by distance at once", 1_000),
    ("zone entered: counts by distance later", 400),
    ("zone entered: counts by time", 100),
    ("zone entered: under a label that does not count", 6),
    ("zone left: counts by distance at once", 2_000),
    ("zone left: counts by distance later", 300),
    ("zone left: counts by time", 70),
    ("zone left: under a label that does not count", 80),
    ("zone: appeared at first sight", 1_000),
    ("zone: appeared later", 100),
    ("zone: as if never seen", 800),
    ("zone: forgotten entering", 100),
    ("zone: forgotten leaving", 80),
    ("zone: taken back entering", 500),
    ("zone: taken back leaving", 300),
    ("zone: vanished, gone from the spec", 30),
    ("zone: vanished, over", 1_000),
    ("zone_entered", 4_000),
    ("zone_entered appeared", 1_000),
    ("zone_left", 3_000),
    ("zone_left vanished", 1_000),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// One that has shapely.
fn python() -> PathBuf {
    let python = root().join(".deps/oracle/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup.sh test", python.display());
    python
}

/// A Python that makes up runs and knows what happened in them.
struct Oracle {
    process: Child,
    seeds: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Oracle {
    fn start() -> Self {
        let mut process = Command::new(python())
            .arg("-B")
            .arg(root().join("tests/oracle/serve.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seeds = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, seeds, lines }
    }

    /// The lines of a run, what it answers each with, and which rules applied.
    fn ask(&mut self, seed: u64) -> (Vec<String>, Vec<Value>, Value) {
        writeln!(self.seeds, "{seed}").unwrap();
        let mut line =
            || self.lines.next().expect("the oracle goes on; what it printed says why not").unwrap();
        let mut run = Vec::new();
        while run.last().is_none_or(|line: &String| !line.starts_with("{\"end\":")) {
            run.push(line());
        }
        let mut answer = || serde_json::from_str(&line()).unwrap();
        let answers = run.iter().map(|_| answer()).collect();
        (run, answers, answer())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the rules answer each line with.
fn ours(run: &[String]) -> Vec<Value> {
    let mut replay = Replay::default();
    let mut answer = |line: &String| match replay.take(line).unwrap() {
        Answer::Events(events) => serde_json::to_value(events).unwrap(),
        Answer::End(end) => json!([end]),
    };
    run.iter().map(&mut answer).collect()
}

/// Where the two differ first, and how to see it again.
fn difference(seed: u64, run: &[String], theirs: &[Value], ours: &[Value]) -> Option<String> {
    let line = theirs.iter().zip(ours).position(|(a, b)| a != b)?;
    let [theirs, ours] = [&theirs[line], &ours[line]].map(|all| all.as_array().unwrap().as_slice());
    let event = (0..).find(|&n| theirs.get(n) != ours.get(n))?;
    let [theirs, ours] =
        [theirs, ours].map(|all| all.get(event).map_or("nothing".to_owned(), Value::to_string));
    Some(format!(
        "seed {seed}, line {} of the run: {}\n  the oracle: {theirs}\n  the rules:  {ours}\n  see both: \
         diff <(.deps/oracle/bin/python tests/oracle/generate.py {seed} | .deps/oracle/bin/python tests/oracle/events.py) \
         <(.deps/oracle/bin/python tests/oracle/generate.py {seed} | cargo run -q -p sightline-consumers --example replay-events)",
        line + 1,
        run[line]
    ))
}

/// How often what happened.
fn count(answers: &[Value], noted: &Value, counts: &mut BTreeMap<String, u64>) {
    let mut add = |name: String, more: u64| *counts.entry(name).or_default() += more;
    for (name, count) in noted.as_object().into_iter().flatten() {
        add(name.clone(), count.as_u64().unwrap());
    }
    for answer in answers.iter().flat_map(|answer| answer.as_array().unwrap()) {
        if let Some(kind) = answer["type"].as_str() {
            add(kind.to_owned(), 1);
            ["direction", "appeared", "vanished"].iter().filter(|flag| !answer[**flag].is_null()).for_each(
                |flag| {
                    let value = answer[*flag].as_str().unwrap_or("");
                    add(format!("{kind} {flag} {value}").trim().to_owned(), 1);
                },
            );
        }
        for (why, count) in answer["passed_over"].as_object().into_iter().flatten() {
            add(format!("passed over: {why}"), count.as_u64().unwrap());
        }
    }
}

/// Takes seeds until there are none: what happened, and the differences found.
fn work(seeds: &[u64], next: &AtomicUsize) -> (BTreeMap<String, u64>, Vec<String>) {
    let (mut oracle, mut counts, mut found) = (Oracle::start(), BTreeMap::new(), Vec::new());
    while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
        let (run, theirs, noted) = oracle.ask(seed);
        count(&theirs, &noted, &mut counts);
        found.extend(difference(seed, &run, &theirs, &ours(&run)));
    }
    (counts, found)
}

#[test]
fn two_readings_of_the_rule_book_agree() {
    python();
    let asked = std::env::var("ORACLE_SEEDS").ok();
    let seeds: Vec<u64> = match &asked {
        Some(range) => {
            let (from, to) = range.split_once("..").expect("ORACLE_SEEDS is FROM..TO");
            (from.parse().expect("FROM is a number")..to.parse().expect("TO is a number")).collect()
        }
        None => (0..SEEDS).chain(SINNERS.iter().map(|(seed, _)| *seed)).collect(),
    };
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    let (mut counts, mut found) = (BTreeMap::<String, u64>::new(), Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&seeds, &next))).collect();
        for worker in workers {
            let (counted, more) = worker.join().unwrap();
            counted.into_iter().for_each(|(name, count)| *counts.entry(name).or_default() += count);
            found.extend(more);
        }
    });
    counts.iter().for_each(|(name, count)| println!("{count:7} {name}"));
    let shown = &found[..found.len().min(3)];
    assert!(found.is_empty(), "{} of {} seeds differ:\n{}", found.len(), seeds.len(), shown.join("\n"));
    if asked.is_none() {
        for (name, least) in OFTEN {
            let count = counts.get(*name).copied().unwrap_or_default();
            assert!(
                count >= *least,
                "{name:?} happened {count} times, not {least}: the generator brings it about no more"
            );
        }
    }
}
