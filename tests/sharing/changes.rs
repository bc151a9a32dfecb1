//! Cameras that are changed, moved between pools, taken away and registered again while they run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::crew::{Crew, INTERVAL, ids};
use crate::sightline::wait_for;

const SOON: Duration = Duration::from_secs(60);

fn epoch(status: &Value) -> u64 {
    status["epoch"].as_u64().unwrap()
}

#[test]
fn settings_change_in_mid_stream_and_only_what_is_read_needs_a_new_run() {
    let crew = Crew::new();
    let mut camera = crew.camera("gate");
    crew.register(&[camera.clone()]);
    let _pod = crew.pod("one", &[]);
    let ids = ["gate".to_owned()];
    crew.wait_until_all_run(&ids, SOON, |_| true);
    let first = crew.status("gate").unwrap();

    // A zone: the same run, another spec.
    camera["generation"] = json!(2);
    camera["zones"] = json!([{"id": "dock", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 0.9]]}]);
    crew.register(&[camera.clone()]);
    let second = wait_for("generation 2", || crew.status("gate").filter(|status| status["generation"] == 2));
    assert_eq!(epoch(&second), epoch(&first));
    let spec = wait_for("a spec with the zone", || {
        crew.detections.find("gate", 0, |record| record["schema"] == "spec/1" && record["generation"] == 2)
    });
    assert_eq!((&spec["zones"][0]["id"], epoch(&spec)), (&json!("dock"), epoch(&first)));

    // Another uri: another run.
    camera["generation"] = json!(3);
    let uri = camera["streams"][0]["uri"].as_str().unwrap().replace("/cam", "/cam?other");
    camera["streams"][0]["uri"] = json!(uri);
    crew.register(&[camera.clone()]);
    let third = wait_for("generation 3", || {
        crew.status("gate").filter(|status| status["generation"] == 3 && status["state"] == "running")
    });
    assert!(epoch(&third) > epoch(&first));

    // A class that the model has not: said in the status, and nothing else stops.
    camera["generation"] = json!(4);
    camera["detect"] = json!({"classes": ["unicorn"]});
    crew.register(&[camera.clone()]);
    let fourth = wait_for("a refusal", || crew.status("gate").filter(|status| status["state"] == "retrying"));
    assert_eq!(fourth["error"]["code"], "model_missing");
    assert!(fourth["error"]["message"].as_str().unwrap().contains("unicorn"), "{fourth}");
    camera["generation"] = json!(5);
    camera["detect"] = json!({"classes": ["car"]});
    crew.register(&[camera.clone()]);
    let fifth = wait_for("it to run again", || {
        crew.status("gate").filter(|status| status["generation"] == 5 && status["state"] == "running")
    });

    // Off, gone, and there again: with a higher epoch.
    camera["generation"] = json!(6);
    camera["enabled"] = json!(false);
    crew.register(&[camera.clone()]);
    wait_for("it to be disabled", || {
        crew.statuses.of("gate").pop().filter(|status| status["state"] == "disabled")
    });
    crew.unregister("gate");
    std::thread::sleep(Duration::from_secs(2));
    camera["generation"] = json!(1);
    camera["enabled"] = json!(true);
    crew.register(&[camera]);
    let again = wait_for("it to run after it was registered again", || {
        let last = crew.statuses.of("gate").pop()?;
        (last["state"] == "running" && last["generation"] == 1).then_some(last)
    });
    assert!(epoch(&again) > epoch(&fifth));
}

#[test]
fn a_camera_that_never_worked_can_be_taken_away() {
    let crew = Crew::new();
    let mut camera = crew.camera("gone");
    camera["streams"][0]["uri"] = json!("rtsp://127.0.0.1:1/cam");
    crew.register(&[camera, crew.camera("well")]);
    let pod = crew.pod("one", &[]);
    wait_for("it to fail", || crew.status("gone").filter(|status| status["error"]["code"] == "unreachable"));
    crew.unregister("gone");
    // Its status goes with it.
    wait_for("its tombstone", || {
        crew.statuses.of("gone").pop().filter(|status| status.get("schema").is_none())
    });
    crew.wait_until_all_run(&["well".to_owned()], SOON, |_| true);
    drop(pod);
}

#[test]
fn cameras_move_between_pools_without_a_gap() {
    let crew = Crew::new();
    let ids = ids(4);
    crew.register(&ids.iter().map(|id| crew.camera(id)).collect::<Vec<_>>());
    let _one = crew.pod("one", &[]);
    let _other = crew.pod("other", &["--pool", "other"]);
    crew.wait_until_all_run(&ids, SOON, |pod| pod == "one");
    std::thread::sleep(Duration::from_secs(3));
    for (slot, id) in (0..).zip(&ids) {
        crew.place(id, "other", slot);
    }
    crew.wait_until_all_run(&ids, SOON, |pod| pod == "other");
    std::thread::sleep(Duration::from_secs(3));
    for id in &ids {
        let accepted = crew.accepted(id);
        let (longest, behind) = accepted.longest_interval(INTERVAL);
        println!("{id}: runs {:?}, longest interval {} ms", accepted.epochs(), longest / 1_000);
        assert_eq!(accepted.epochs().len(), 2, "{id}");
        assert!(longest <= 2 * INTERVAL, "{id}: {} ms before {behind:?}", longest / 1_000);
        assert!(accepted.gaps.is_empty(), "{id}: {:?}", accepted.gaps);
        let ended = crew.detections.find(id, 0, |record| record["state"] == "ended");
        assert_eq!(ended.map(|record| epoch(&record)), Some(accepted.epochs()[0]), "{id}");
    }
}
