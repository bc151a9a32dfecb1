//! Targets by TLS: one whose certificate is wrong gets nothing, and all of it once the certificate is right.

use std::collections::BTreeSet;

use serde_json::json;

use crate::certificates::Authority;
use crate::receiver::{Receiver, Way};
use crate::scene::{Scene, assert_no_secret, event};
use crate::sightline::{Metrics, Sightline, command, get, wait_for};

#[test]
fn a_target_with_a_wrong_certificate_is_told_nothing_and_all_once_it_is_right() {
    let scene = Scene::new();
    let folder = |name: &str| {
        let folder = scene.file(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let (known, unknown) = (Authority::new(&folder("known")), Authority::new(&folder("unknown")));
    let here = "IP:127.0.0.1";
    let right = known.sign(here);
    let desk = Receiver::start_tls(&right);
    let wrong = [
        ("stranger", unknown.sign(here), "signed by nobody this machine trusts; give the authority"),
        ("expired", known.expired(here), "that has expired; see that it is renewed"),
        (
            "elsewhere",
            known.sign("DNS:desk.example"),
            "for another name; give the address by a name that is in it",
        ),
    ];
    let wrong = wrong.map(|(name, certificate, says)| (name, Receiver::start_tls(&certificate), says));
    // One that does not speak TLS at all.
    let plain = Receiver::start(|_, _| Way::Take);
    let mut targets = json!({
        "desk": scene.webhook(&desk.url("/hook/S3CR3T"), json!({})),
        "plain": scene.webhook(&plain.url("/hook/S3CR3T").replace("http:", "https:"), json!({})),
    });
    for (name, receiver, _) in &wrong {
        targets[name] =
            scene.webhook(&receiver.url("/hook/S3CR3T"), json!({"bearer_file": scene.file("token")}));
    }
    let rules = scene.all_to(targets);
    let rules = rules.to_string_lossy();
    let mut command = command(&["consume", "alerts", "--kafka", &scene.broker.bootstrap, "--rules", &rules]);
    command.args(["--http", "127.0.0.1:0", "--from", "earliest"]).env("SSL_CERT_FILE", known.certificate());
    let mut consumer = Sightline::spawn(command);
    let mut wanted = BTreeSet::new();
    for n in 0..20 {
        for camera in ["gate-1", "gate-2", "gate-3"] {
            let event = event(camera, n);
            scene.write(&event);
            wanted.insert(event["id"].as_str().unwrap().to_owned());
        }
    }
    scene.flush();
    scene.wait_until_done("alerts-desk");
    let http = consumer.http();
    let names = wrong.each_ref().map(|(name, ..)| *name);
    let shut = [names[0], names[1], names[2], "plain"];
    wait_for("the circuits to open", || {
        let shown = Metrics::scrape(&http);
        let open = |name: &&str| {
            shown.sum("sightline_alerts_circuits_open", &[("consumer", &format!("alerts-{name}"))]) == 1.0
        };
        shut.iter().all(open).then_some(())
    });
    let shown = Metrics::scrape(&http);
    for name in shut {
        let consumer = format!("alerts-{name}");
        let failed =
            shown.sum("sightline_alerts_failed_total", &[("consumer", &consumer), ("reason", "tls")]);
        let all = shown.sum("sightline_alerts_failed_total", &[("consumer", &consumer)]);
        // Who does not speak TLS hangs up, and for that there is more than one reason.
        assert!(all >= 5.0 && (failed == all || name == "plain"), "{name}: {failed} of {all}");
        assert_eq!(scene.ends_and_committed(&consumer), (60, 0), "{name}");
    }
    assert_eq!(get(&http, "/readyz").0, 200, "a target that is down is no reason to call the process unfit");
    let said = consumer.stderr();
    for (name, receiver, says) in &wrong {
        let is_said =
            |line: &str| line.contains(&format!("target {name}: https://127.0.0.1:")) && line.contains(says);
        assert!(said.lines().any(is_said), "{name}: {said}");
        assert!(receiver.requests().is_empty(), "{name} was shown an event");
        receiver.show(&right);
    }
    assert!(said.contains("target plain: https://127.0.0.1:") && plain.requests().is_empty(), "{said}");

    let ids = |receiver: &Receiver| -> Vec<String> {
        receiver.taken().iter().map(|request| request.id().to_owned()).collect()
    };
    for (name, receiver, _) in &wrong {
        scene.wait_until_done(&format!("alerts-{name}"));
        let taken = ids(receiver);
        assert_eq!((taken.len(), taken.into_iter().collect()), (60, wanted.clone()), "{name}");
    }
    assert_eq!(ids(&desk).len(), 60);
    assert!(scene.dead_letters().is_empty());
    let open = [("consumer", "alerts-expired")];
    assert_eq!(Metrics::scrape(&http).sum("sightline_alerts_circuits_open", &open), 0.0);
    consumer.signal("TERM");
    let (status, said) = consumer.wait();
    assert!(status.success(), "{said}");
    assert_no_secret("its log", &said);
}
