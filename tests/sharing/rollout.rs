//! Another model takes over, a share of the cameras at a time, and gives back: docs/MODELS.md, step by step.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crew::Crew;
use crate::evening::registry;
use crate::moves::nothing_is_missing;
use crate::sightline::{command, output};

const SOON: Duration = Duration::from_secs(60);

/// In a share of 10 % is `cam-15`, in one of 50 % `cam-1` and `cam-7`, too.
const IDS: [&str; 6] = ["cam-1", "cam-15", "cam-2", "cam-3", "cam-4", "cam-7"];

/// What `camera move` reports.
fn moved(api: &str, args: &[&str]) -> Value {
    let command = [&["camera", "move"][..], args, &["--registry", api, "--output", "json"]].concat();
    let told = output(&command);
    assert!(told.status.success(), "{args:?}: {told:?}");
    serde_json::from_slice(&told.stdout).unwrap()
}

fn ids(report: &Value) -> Vec<&str> {
    report["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// Runs what a report says takes it back.
fn undo(api: &str, report: &Value) -> Value {
    let commands = report["undo"].as_array().unwrap();
    assert_eq!(commands.len(), 1, "{report}");
    let words: Vec<_> = commands[0].as_str().unwrap().split(' ').collect();
    assert_eq!(words[..3], ["sightline", "camera", "move"]);
    moved(api, &words[3..])
}

#[test]
fn a_model_is_rolled_out_by_shares_and_taken_back_without_a_gap() {
    let crew = Crew::new();
    let (_registry, api) = registry(&crew);
    let junction = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/junction.onnx");
    let _old = crew.pod("old", &[]);
    let _new = crew.pod_of("other", "new", &junction.to_string_lossy());
    ["old", "new"].iter().for_each(|pod| crew.wait_until_on(pod, SOON));
    let all: Vec<_> = IDS.map(str::to_owned).into();
    let file = crew.file("cameras.json");
    let cameras: Vec<_> = all.iter().map(|id| crew.camera(id)).collect();
    std::fs::write(&file, json!({ "cameras": cameras }).to_string()).unwrap();
    let imported = output(&["camera", "import", &file.to_string_lossy(), "--registry", &api]);
    assert!(imported.status.success(), "{imported:?}");
    crew.wait_until_all_run(&all, SOON, |pod| pod == "old");
    std::thread::sleep(Duration::from_secs(3));

    let share = ["--from", "default", "--pool", "other", "--share", "10%"];
    let dry = moved(&api, &[&share[..], &["--dry-run"]].concat());
    assert_eq!(
        (ids(&dry), &dry["undo"][0]),
        (vec!["cam-15"], &json!("sightline camera move --from other --pool default --share 10%"))
    );
    assert_eq!(crew.placements.count("cam-15"), 1, "a dry run places nothing");
    let first = moved(&api, &share);
    assert_eq!((ids(&first), &first["undo"]), (vec!["cam-15"], &dry["undo"]));
    crew.wait_until_all_run(&["cam-15".to_owned()], SOON, |pod| pod == "new");
    assert_eq!(ids(&undo(&api, &first)), ["cam-15"]);
    crew.wait_until_all_run(&["cam-15".to_owned()], SOON, |pod| pod == "old");

    assert_eq!(ids(&moved(&api, &share)), ["cam-15"]);
    let half = moved(&api, &["--from", "default", "--pool", "other", "--share", "50%"]);
    assert_eq!((ids(&half), &half["there"]), (vec!["cam-1", "cam-7"], &json!(1)), "{half}");
    assert_eq!(half["undo"], json!(["sightline camera move --pool default cam-1 cam-7"]));
    std::thread::sleep(Duration::from_secs(3));
    // Back, all of them.
    let back = moved(&api, &["--from", "other", "--pool", "default"]);
    assert_eq!(ids(&back), ["cam-1", "cam-15", "cam-7"]);
    println!("{:#}", back["items"]);
    crew.wait_until_all_run(&all, SOON, |pod| pod == "old");
    std::thread::sleep(Duration::from_secs(3));

    for id in &all {
        let models: BTreeMap<_, _> = crew
            .detections
            .of(id)
            .iter()
            .filter(|record| record["schema"] == "spec/1")
            .map(|spec| (spec["epoch"].as_u64().unwrap(), spec["model"]["name"].as_str().unwrap().to_owned()))
            .collect();
        let accepted = crew.accepted(id);
        assert_eq!(accepted.repeats, 0, "{id}");
        let mut by: Vec<_> = accepted.results.iter().map(|result| models[&result.epoch].as_str()).collect();
        by.dedup();
        let (old, new) = ("yolo11n-320-int8dyn", "junction");
        let wanted = match id.as_str() {
            "cam-15" => vec![old, new, old, new, old],
            "cam-1" | "cam-7" => vec![old, new, old],
            _ => vec![old],
        };
        assert_eq!(by, wanted, "{id}: whose results they are, in order");
        for pair in accepted.results.windows(2).filter(|pair| pair[0].epoch != pair[1].epoch) {
            let [was, is] = [pair[0], pair[1]].map(|result| models[&result.epoch].as_str());
            let gap = (pair[1].captured_at - pair[0].captured_at) / 1_000;
            println!("{id}: {gap} ms between the last result of {was} and the first of {is}");
        }
    }
    nothing_is_missing(&crew, &all);
}

/// Whoever would be left without a pod stays, unless it is said twice.
#[test]
fn a_pool_without_a_pod_gets_no_camera_that_runs() {
    let crew = Crew::new();
    let (_registry, api) = registry(&crew);
    let _old = crew.pod("old", &[]);
    crew.wait_until_on("old", SOON);
    let file = crew.file("cameras.json");
    std::fs::write(&file, json!([crew.camera("cam-1")]).to_string()).unwrap();
    assert!(output(&["camera", "import", &file.to_string_lossy(), "--registry", &api]).status.success());
    crew.wait_until_all_run(&["cam-1".to_owned()], SOON, |pod| pod == "old");
    let args = ["camera", "move", "cam-1", "--pool", "other", "--registry", &api];
    let refused = command(&args).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("no pod of pool other lives"), "{said}");
    assert_eq!(crew.placements.count("cam-1"), 1);
    assert!(output(&[&args[..], &["--no-wait"]].concat()).status.success());
    assert_eq!(crew.placements.count("cam-1"), 2);
}
