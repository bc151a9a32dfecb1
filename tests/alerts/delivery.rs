//! Who asked to be told is told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::alertmanager::Alertmanager;
use crate::receiver::{Receiver, Request, Way};
use crate::scene::{OTHER_SECRET, SECRET, Scene, TOKEN, assert_no_secret, event, metrics};
use crate::sightline::{documented, wait_for};

/// `name=value`, in the order of the names.
fn listed(labels: &Value) -> Vec<String> {
    let labels = labels.as_object().unwrap().iter();
    let mut listed: Vec<_> =
        labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
    listed.sort();
    listed
}

/// By the very lines that docs/ALERTS.md shows.
fn verified(secret: &str, requests: &[Request]) -> Vec<bool> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ALERTS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let snippet = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let lines = snippet.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 10, "ten lines, not {lines}");
    let script = format!(
        "{snippet}\nimport json, sys\nfor line in sys.stdin:\n    request = json.loads(line)\n    \
         print(verify({secret:?}, request['headers'], request['body'].encode()))\n"
    );
    let mut python = Command::new("python3")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    for request in requests {
        let body = String::from_utf8(request.body.clone()).unwrap();
        writeln!(stdin, "{}", json!({"headers": request.headers, "body": body})).unwrap();
    }
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line == "True").collect()
}

#[test]
fn matched_events_arrive_signed_and_in_the_alertmanager() {
    let scene = Scene::new();
    let (desk, manager) = (Receiver::start(|_, _| Way::Take), Alertmanager::start());
    // One member of the cluster is away: nobody listens there.
    let away = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let targets = json!({
        "desk": scene.webhook(&desk.url("/hook?key=S3CR3T"), json!({"bearer_file": scene.file("token")})),
        "oncall": {"alertmanager": [away, manager.url()], "timeout_s": 5},
    });
    let rules = scene.rules(
        targets,
        json!([
            {"name": "entry", "to": ["desk", "oncall"], "types": ["zone_entered"], "cameras": ["gate-*"],
             "zones": ["dock"], "min_confidence": 0.5, "summary": "{label} in {zone} of {camera}"},
            {"name": "hq", "to": ["desk", "oncall"], "types": ["zone_entered"], "labels": {"site": "hq"},
             "hours": {"from": "22:00", "to": "06:00", "days": ["mon"], "time_zone": "Europe/Berlin"},
             "severity": "critical"},
        ]),
    );
    let mut consumer = scene.consume_all(&rules);
    let mut wanted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for n in 0..40 {
        for (camera, site) in [("gate-1", "hq"), ("gate-2", "plant"), ("yard-1", "hq"), ("yard-2", "plant")] {
            let mut event = event(camera, n);
            event["labels"]["site"] = site.into();
            event["new_field"] = json!({"of": "a later version"});
            // Half of them weak, on a Tuesday.
            if n % 2 == 1 {
                (event["confidence"], event["at"]) = (0.4.into(), "2026-11-24T22:30:00.000Z".into());
            } else {
                let mut rules = Vec::new();
                rules.extend(camera.starts_with("gate").then_some("entry"));
                rules.extend((site == "hq").then_some("hq"));
                if !rules.is_empty() {
                    wanted.insert(event["id"].as_str().unwrap().to_owned(), rules);
                }
            }
            scene.write(&event);
        }
    }
    scene.flush();
    scene.wait_until_done("alerts-desk");
    scene.wait_until_done("alerts-oncall");

    let requests = desk.taken();
    assert_eq!(requests.len(), wanted.len(), "each once");
    for request in &requests {
        let body = request.json();
        assert_eq!(body["rules"], json!(wanted[request.id()]), "{body}");
        assert_eq!(body["event"]["id"], request.id());
        assert_eq!(body["event"]["new_field"]["of"], "a later version");
        let is_entry = body["rules"][0] == "entry";
        assert_eq!(body["severity"], if is_entry { "warning" } else { "critical" });
        assert!(!is_entry || body["summary"].as_str().unwrap().starts_with("person in dock of gate-"));
        let headers = ["webhook-id", "content-type", "user-agent", "authorization"];
        let found = headers.map(|name| request.headers[name].as_str());
        let agent = format!("sightline/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(found, [request.id(), "application/json", &agent, &format!("Bearer {TOKEN}")]);
        assert_eq!(request.head, "POST /hook?key=S3CR3T HTTP/1.1");
    }
    assert!(verified(SECRET, &requests).iter().all(|valid| *valid));
    assert!(verified(OTHER_SECRET, &requests).iter().all(|valid| !valid));
    // Of a camera in its order.
    for camera in ["gate-1", "gate-2", "yard-1"] {
        let of_camera = requests.iter().map(Request::json).filter(|body| body["event"]["camera"] == camera);
        let seqs: Vec<_> = of_camera.map(|body| body["event"]["seq"].as_u64().unwrap()).collect();
        assert!(seqs.len() == 20 && seqs.is_sorted(), "{camera}: {seqs:?}");
    }

    let alerts = manager.get("alerts");
    let labels: BTreeSet<Vec<String>> = alerts.iter().map(|alert| listed(&alert["labels"])).collect();
    let label = |rule: &str, severity: &str, camera: &str, site: &str| {
        listed(
            &json!({"alertname": rule, "severity": severity, "camera": camera, "type": "zone_entered", "class": "person",
               "zone": "dock", "site": site}),
        )
    };
    let should: BTreeSet<Vec<String>> = [
        label("entry", "warning", "gate-1", "hq"),
        label("entry", "warning", "gate-2", "plant"),
        label("hq", "critical", "gate-1", "hq"),
        label("hq", "critical", "yard-1", "hq"),
    ]
    .into();
    assert_eq!(labels, should);
    for alert in &alerts {
        assert_eq!(alert["startsAt"], "2026-11-23T22:30:00.000Z");
        assert_eq!(alert["annotations"]["confidence"], "0.8741");
        assert!(wanted.contains_key(alert["annotations"]["event"].as_str().unwrap()), "{alert}");
    }
    let mut groups: Vec<(Vec<String>, usize)> = manager
        .get("alerts/groups")
        .iter()
        .map(|group| (listed(&group["labels"]), group["alerts"].as_array().unwrap().len()))
        .collect();
    groups.sort();
    let group = |rule: &str, site: &str| listed(&json!({"alertname": rule, "site": site}));
    assert_eq!(groups, [(group("entry", "hq"), 1), (group("entry", "plant"), 1), (group("hq", "hq"), 2)]);

    let shown = metrics(&mut consumer);
    let sum = |name: &str, consumer: &str| shown.sum(name, &[("consumer", consumer)]);
    assert_eq!(sum("sightline_alerts_sent_total", "alerts-desk"), 60.0);
    assert_eq!(sum("sightline_alerts_sent_total", "alerts-oncall"), 80.0);
    assert_eq!(sum("sightline_alerts_delivery_seconds_count", "alerts-desk"), 60.0);
    assert_eq!(sum("sightline_consumer_records_total", "alerts-desk"), 160.0);
    let by_rule = [("consumer", "alerts-desk"), ("rule", "hq")];
    assert_eq!(shown.sum("sightline_alerts_matched_total", &by_rule), 40.0);
    assert!(sum("sightline_alerts_failed_total", "alerts-oncall") >= 1.0, "one member is away");
    let wanted = documented("sightline_alerts");
    let mut wanted = wanted.into_iter().chain(documented("sightline_consumer")).collect::<BTreeMap<_, _>>();
    // That of the consumer of events alone.
    wanted.remove("sightline_consumer_events_total");
    wait_for("the lag to be known", || {
        let shown = crate::sightline::get(&consumer.http(), "/metrics").1;
        assert_no_secret("/metrics", &shown);
        shown.contains("sightline_consumer_lag_records{").then_some(())
    });
    assert_eq!(metrics(&mut consumer).described(), wanted);
    consumer.signal("TERM");
    let (status, said) = consumer.wait();
    assert!(status.success(), "{said}");
    assert!(said.contains("can't be reached"), "{said}");
    assert_no_secret("its log", &said);
}

/// While one secret takes the other's place both sign.
#[test]
fn a_secret_is_exchanged_while_it_runs() {
    let scene = Scene::new();
    let desk = Receiver::start(|_, _| Way::Take);
    let consumer =
        scene.consume_all(&scene.all_to(json!({"desk": scene.webhook(&desk.url("/"), json!({}))})));
    scene.write(&event("gate-1", 0));
    wait_for("the first", || (desk.taken().len() == 1).then_some(()));
    std::fs::write(scene.file("secret"), format!("{OTHER_SECRET}\n{SECRET}\n")).unwrap();
    // It is read again within a second or so: some more are signed by the old one alone.
    let mut n = 0;
    let both = wait_for("one that both secrets signed", || {
        n += 1;
        scene.write(&event("gate-1", n));
        wait_for("it to arrive", || (desk.taken().len() > n).then_some(()));
        desk.taken().into_iter().find(|request| request.headers["webhook-signature"].contains(' '))
    });
    let both = [both];
    assert_eq!((verified(SECRET, &both), verified(OTHER_SECRET, &both)), (vec![true], vec![true]));
    assert_no_secret("its log", &consumer.stderr());
}

/// Where a new target begins is kept: what comes while its consumer is away is not passed over.
#[test]
fn a_new_target_begins_with_what_comes_and_passes_over_nothing_from_then_on() {
    let scene = Scene::new();
    let desk = Receiver::start(|_, _| Way::Take);
    let rules = scene.all_to(json!({"desk": scene.webhook(&desk.url("/"), json!({}))}));
    (0..8).for_each(|n| scene.write(&event(&format!("gate-{n}"), 0)));
    scene.flush();
    let consumer = scene.consume(&rules, &[]);
    // Before anything came that it would have had to do.
    scene.wait_until_done("alerts-desk");
    consumer.signal("KILL");
    drop(consumer);
    (0..8).for_each(|n| scene.write(&event(&format!("gate-{n}"), 1)));
    scene.flush();
    let _consumer = scene.consume(&rules, &[]);
    scene.wait_until_done("alerts-desk");
    let ids: BTreeSet<String> = desk.taken().iter().map(|request| request.id().to_owned()).collect();
    let wanted = (0..8).map(|n| event(&format!("gate-{n}"), 1)["id"].as_str().unwrap().to_owned());
    assert_eq!(ids, wanted.collect());
}
