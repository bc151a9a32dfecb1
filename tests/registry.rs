//! The registry on a real Apache Kafka: what is acknowledged stays, one alone writes, and bad input is a problem.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/kcat.rs"]
mod kcat;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/sightline.rs"]
mod sightline;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka::{Kafka, KafkaKind};
use registry::{Files, ROLES, Registry, apply_topics, produce, wait_until};
use serde_json::{Value, json};
use sightline::{Metrics, output};

const CAMERAS: &str = "sightline.cameras";

fn gate() -> Value {
    json!({"id": "gate", "source": "rtsp://10.0.0.5/1", "sampling": {"mode": "fps", "fps": 5}})
}

fn started() -> (Kafka, Files) {
    let broker = Kafka::start(KafkaKind::Plain);
    apply_topics(&broker.bootstrap);
    (broker, Files::new())
}

/// Everything in a topic as one text.
fn topic_text(bootstrap: &str, topic: &str) -> String {
    let args =
        ["-m", "60", "-C", "-q", "-e", "-o", "beginning", "-b", bootstrap, "-t", topic, "-f", "%k %h %s\n"];
    let read = Command::new("kcat").args(args).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    String::from_utf8_lossy(&read.stdout).into_owned()
}

#[test]
fn what_is_acknowledged_is_there_after_a_kill_and_conditions_hold() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let registry = Registry::start(bootstrap, &files, &[]);

    let created = registry.send("POST", "/v1/cameras", &gate());
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(
        (created.headers["location"].as_str(), created.headers["etag"].as_str()),
        ("/v1/cameras/gate", "\"1\"")
    );
    let view = registry.get("/v1/cameras/gate").json();
    assert_eq!(view["spec"]["generation"], 1);
    assert_eq!(view["placement"]["slot"], kcat::partition("gate", 6), "nobody lives: the slot of its id");
    registry.send("POST", "/v1/cameras", &gate()).is_problem(409, &[]);

    // The same again changes nothing; a change makes the next generation; an old one is refused.
    let spec = view["spec"].clone();
    assert_eq!(registry.send("PUT", "/v1/cameras/gate", &spec).json()["spec"]["generation"], 1);
    let mut named = spec.clone();
    named["name"] = "Gate".into();
    assert_eq!(registry.send("PUT", "/v1/cameras/gate", &named).headers["etag"], "\"2\"");
    assert_eq!(registry.send("PUT", "/v1/cameras/gate", &named).headers["etag"], "\"2\"");
    registry.send("PUT", "/v1/cameras/gate", &spec).is_problem(412, &[]);
    let patch = json!({"labels": {"site": "hq"}});
    registry.send_if("PATCH", "/v1/cameras/gate", &patch, &[("if-match", "\"1\"")]).is_problem(412, &[]);
    let patched = registry.send_if("PATCH", "/v1/cameras/gate", &patch, &[("if-match", "\"2\"")]);
    assert_eq!(patched.json()["spec"]["generation"], 3);
    registry.send_if("PUT", "/v1/cameras/gate", &gate(), &[("if-none-match", "*")]).is_problem(409, &[]);

    // A move is one record.
    let moved = registry.send("POST", "/v1/cameras/gate:move", &json!({"pool": "gpu"})).json();
    assert_eq!((&moved["placement"]["pool"], &moved["spec"]["generation"]), (&json!("gpu"), &json!(3)));
    registry.send("POST", "/v1/cameras/gate:move", &json!({"pool": "none"})).is_problem(422, &["pool"]);
    registry.send("POST", "/v1/cameras/gate:move", &json!({"pod": "none"})).is_problem(422, &["pod"]);
    registry.send("POST", "/v1/cameras/gate:move", &json!({})).is_problem(422, &[""]);

    // Many at once, each answered alone.
    let answers: Vec<_> = std::thread::scope(|scope| {
        let registry = &registry;
        let send = |n: usize| {
            let mut camera = gate();
            camera["id"] = format!("yard-{n}").into();
            scope.spawn(move || registry.send("POST", "/v1/cameras", &camera).status)
        };
        let sending: Vec<_> = (0..20).map(send).collect();
        sending.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|status| *status == 201), "{answers:?}");
    registry.process.signal("KILL");
    let (_, said) = registry.process.wait();
    assert!(!said.contains("ERROR"), "{said}");

    let begun = Instant::now();
    let registry = Registry::start(bootstrap, &files, &[]);
    assert!(begun.elapsed() < Duration::from_secs(60));
    let page = registry.get("/v1/cameras?limit=15").json();
    assert_eq!((&page["total"], page["items"].as_array().unwrap().len()), (&json!(21), 15));
    let next = page["next"].as_str().unwrap();
    let rest = registry.get(&format!("/v1/cameras?limit=15&cursor={next}")).json();
    assert_eq!((rest["items"].as_array().unwrap().len(), rest.get("next")), (6, None));
    let found = |query: &str| registry.get(&format!("/v1/cameras?{query}")).json()["total"].as_u64().unwrap();
    assert_eq!(
        [found("label=site=hq"), found("pool=gpu"), found("state=running"), found("state=waiting")],
        [1, 1, 0, 21]
    );
    let gate_view = registry.get("/v1/cameras/gate").json();
    assert_eq!(
        (&gate_view["spec"]["generation"], &gate_view["placement"]["pool"]),
        (&json!(3), &json!("gpu"))
    );

    assert_eq!(registry.delete("/v1/cameras/gate").status, 204);
    registry.get("/v1/cameras/gate").is_problem(404, &[]);
    registry.delete("/v1/cameras/gate").is_problem(404, &[]);
    // Changes are followed apart from registrations: an answer doesn't wait for them.
    let deleted = || {
        let audit = registry.get("/v1/audit?camera=gate").json();
        (audit["items"][0]["action"] == "deleted").then_some(audit)
    };
    let audit = sightline::wait_for("the deletion among the changes", deleted);
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|audit| audit["action"].clone()).collect();
    assert_eq!(actions, ["deleted", "moved", "changed", "changed", "created"]);
    assert_eq!(audit["items"][0]["who"], "the-admin");
    let placed = registry.get("/v1/scaling/pipeline?pool=default").json();
    assert_eq!((&placed["wanted_fps"], &placed["pods_wanted"]), (&json!(100.0), &json!(125.0)));

    // Stops when asked.
    registry.process.signal("TERM");
    let (status, said) = registry.process.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_second_registry_takes_over_and_the_first_ends_with_a_sentence() {
    let (broker, files) = started();
    let first = Registry::start(&broker.bootstrap, &files, &[]);
    assert_eq!(first.send("POST", "/v1/cameras", &gate()).status, 201);
    let second = Registry::start(&broker.bootstrap, &files, &[]);
    assert_eq!(second.get("/v1/cameras/gate").status, 200, "it has read everything before it is ready");
    assert_eq!(second.send("PATCH", "/v1/cameras/gate", &json!({"name": "Gate"})).status, 200);
    // It notices by a write, which is not taken: within the 10 s after which it would notice by itself.
    let third = Registry::start(&broker.bootstrap, &files, &[]);
    let refused = second.send("PATCH", "/v1/cameras/gate", &json!({"name": "Yard"}));
    assert_eq!(refused.status, 503, "{refused:?}");
    let (status, said) = second.process.wait();
    assert!(status.code() == Some(1) && said.contains("another registry took over"), "{said}");
    // And by itself, without anything to write.
    let (status, said) = first.process.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("another registry took over"), "{said}");
    assert_eq!(third.get("/v1/cameras/gate").json()["spec"]["name"], "Gate");
}

#[test]
fn every_role_may_what_its_routes_say_and_nobody_else_may_anything() {
    let (broker, files) = started();
    let mut registry = Registry::start(&broker.bootstrap, &files, &[]);
    registry.process.wait_for_line("jobs are read");
    registry.send("POST", "/v1/cameras", &gate());
    let document = registry.asking(None).ask("GET", "/openapi.json", &[], None).json();
    let page = registry.asking(None).ask("GET", "/docs", &[], None);
    assert!(page.status == 200 && page.headers["content-type"].starts_with("text/html"), "{page:?}");
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "it asks nobody else");

    let roles: Vec<(Option<String>, i32)> = std::iter::once((None, -1))
        .chain([(Some("slt_wrong".to_owned()), -1)])
        .chain(ROLES.iter().zip(0..).map(|(role, rank)| (Some(files.token(role)), rank)))
        .collect();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let public = operation["security"] == json!([]);
            let description = operation["description"].as_str().unwrap_or_default();
            let needed = (0..).zip(ROLES).find(|(_, role)| description.contains(&format!("`{role}`")));
            if public {
                continue;
            }
            let needed = needed.unwrap_or_else(|| panic!("{path} {method}: no role")).0;
            // A stream of events never ends, and what it refuses is seen all the same.
            let path = path.replace("{id}", "nobody").replace(":watch", ":watch?camera");
            for (token, rank) in &roles {
                let asking = registry.asking(token.clone());
                if path.contains(":watch") && *rank >= needed {
                    continue;
                }
                let headers = [("content-type", "application/json")];
                let body = (method != "get" && method != "delete").then(|| b"{}".to_vec());
                let answer = asking.ask(&method.to_ascii_uppercase(), &path, &headers, body);
                asked += 1;
                match (*rank, *rank >= needed) {
                    (-1, _) => {
                        answer.is_problem(401, &[]);
                        assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
                    }
                    (_, false) => drop(answer.is_problem(403, &[])),
                    (_, true) => {
                        assert!(![401, 403].contains(&answer.status) && answer.status < 500, "{answer:?}");
                    }
                }
            }
        }
    }
    assert!(asked >= 60, "{asked}");

    // A token that is taken out of the file is none any more.
    let viewer = registry.asking(Some(files.token("viewer")));
    assert_eq!(viewer.ask("GET", "/v1/pods", &[], None).status, 200);
    let lines = fs::read_to_string(files.path("tokens")).unwrap();
    let rest: String =
        lines.lines().filter(|line| !line.contains("viewer")).map(|line| format!("{line}\n")).collect();
    fs::write(files.path("tokens"), rest).unwrap();
    wait_until("the token is refused", || viewer.ask("GET", "/v1/pods", &[], None).status == 401);
    assert_eq!(registry.get("/v1/pods").status, 200);

    // Nobody is let in by omission.
    let refused = output(&[
        "registry",
        "--kafka",
        &broker.bootstrap,
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("--insecure-no-auth"), "{said}");
}

#[test]
fn bad_input_is_a_problem_that_names_the_field() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let with = |name: &str, value: Value| {
        let mut camera = gate();
        camera[name] = value;
        camera
    };
    let post = |camera: &Value| registry.send("POST", "/v1/cameras", camera);
    let zone = |polygon: Value| json!([{"id": "z", "polygon": polygon}]);
    for (camera, field) in [
        (with("id", json!("Gate 3")), "id"),
        (with("colour", json!("red")), "colour"),
        (with("zones", zone(json!([[0, 0], [1, 1]]))), "zones[0].polygon"),
        (with("zones", zone(json!([[0, 0], [1, 1], [1, 0], [0, 1]]))), "zones[0].polygon"),
        (with("zones", zone(json!([[0, 0], [640, 0], [0, 1]]))), "zones[0].polygon[1]"),
        (with("pool", json!("nowhere")), "pool"),
        (with("credentials", json!({"secret": "../x"})), "credentials.secret"),
        (json!({"id": "gate"}), ""),
        (json!([]), ""),
        (json!({"id": "a", "source": "rtsp://127.0.0.1/1"}), "streams[0].uri"),
        (json!({"id": "a", "source": "http://169.254.169.254/meta"}), "streams[0].uri"),
        (json!({"id": "a", "source": "file:///etc/passwd"}), "streams[0].uri"),
        (json!({"id": "a", "source": "gopher://10.0.0.5/"}), "streams[0].uri"),
        // A good name for a bad address.
        (json!({"id": "a", "source": "rtsp://localhost:8554/1"}), "streams[0].uri"),
    ] {
        post(&camera).is_problem(422, &[field]);
    }
    let other = registry.send("PUT", "/v1/cameras/yard", &gate());
    other.is_problem(422, &["id"]);
    registry.send("PATCH", "/v1/cameras/none", &json!({})).is_problem(404, &[]);
    assert_eq!(post(&gate()).status, 201);
    registry.send("PATCH", "/v1/cameras/gate", &json!({"colour": 1})).is_problem(422, &["colour"]);
    registry.send("PATCH", "/v1/cameras/gate", &json!([])).is_problem(422, &[""]);

    // Bodies.
    let raw = |media_type: &str, body: &[u8]| registry.raw("POST", "/v1/cameras", media_type, body);
    raw("application/json", b"{\"id\": ").is_problem(400, &[]);
    raw("application/json", b"{\"id\": \"\xff\"}").is_problem(400, &[]);
    raw("application/yaml", b"id: [").is_problem(400, &[]);
    raw("text/plain", b"id: a").is_problem(415, &[]);
    raw("application/json; charset=latin1", b"{}").is_problem(415, &[]);
    raw("application/json", &vec![b' '; 10 << 20]).is_problem(413, &[]);
    registry.raw("PATCH", "/v1/cameras/gate", "application/yaml", b"name: x").is_problem(415, &[]);
    assert_eq!(raw("application/yaml", b"id: by-yaml\nsource: rtsp://10.0.0.6/1\n").status, 201);

    // Routes, methods, parameters, conditions.
    registry.get("/v2/cameras").is_problem(404, &[]);
    registry.get("/v1/cameras/gate%2F..").is_problem(404, &[]);
    let method = registry.send("PUT", "/v1/cameras", &gate());
    method.is_problem(405, &[]);
    assert_eq!(method.headers["allow"], "GET, POST, HEAD");
    registry.send("BREW", "/v1/cameras", &gate()).is_problem(405, &[]);
    registry.get("/v1/cameras?limit=0").is_problem(400, &["limit"]);
    registry.get("/v1/cameras?colour=red").is_problem(400, &["colour"]);
    registry.get("/v1/cameras?state=fine").is_problem(400, &["state"]);
    registry.get("/v1/audit?cursor=x").is_problem(400, &["cursor"]);
    registry.send_if("PUT", "/v1/cameras/gate", &gate(), &[("if-match", "4")]).is_problem(400, &[]);
    registry
        .send("POST", "/v1/cameras:probe", &json!({"uri": "rtsp://127.0.0.1/1"}))
        .is_problem(422, &["uri"]);
    registry.send("POST", "/v1/cameras:probe", &json!({"uri": "rtsp://[::1]/1"})).is_problem(422, &["uri"]);

    // A class that the pool's model does not have.
    let pod = json!({"schema": "pod/1", "pod": "p", "instance": "i", "pool": "default", "slots": [0, 1, 2, 3, 4, 5],
        "device": "cpu", "capacity_fps": 40.0, "wanted_fps": 0.0, "cameras": 0, "version": "0",
        "since": "2026-11-23T18:40:11Z", "model": {"name": "m", "sha256": "0", "head": "end2end", "input": [384, 640],
        "classes": ["person", "car"]}});
    fs::write(files.path("pod"), pod.to_string()).unwrap();
    produce(&broker.bootstrap, "sightline.pods", "p", &files.path("pod"));
    wait_until("the pod is seen", || registry.get("/v1/pods").text.contains("\"alive\":true"));
    let problem = registry.send("PATCH", "/v1/cameras/gate", &json!({"detect": {"classes": ["preson"]}}));
    let problem = problem.is_problem(422, &["detect.classes[0]"]);
    assert!(problem["detail"].as_str().unwrap().contains("did you mean \"person\"?"), "{problem}");

    let metrics = Metrics::scrape(&registry.http);
    assert!(metrics.sum("sightline_registry_requests_total", &[("status", "422")]) >= 14.0);
    assert_eq!(
        metrics
            .samples
            .iter()
            .filter(|sample| sample.labels.get("status").is_some_and(|s| s.starts_with('5')))
            .count(),
        0
    );
}

#[test]
fn hundreds_are_imported_and_exported_and_a_terminal_shows_them() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let camera = |n: usize| json!({"id": format!("c-{n:03}"), "source": format!("rtsp://10.0.1.{}/1", n % 250), "labels": {"floor": (n % 3).to_string()}});
    let mut cameras: Vec<_> = (0..500).map(camera).collect();
    cameras.push(json!({"id": "c-000", "source": "rtsp://10.0.0.1/1"}));
    cameras.push(json!({"id": "bad id", "source": "rtsp://10.0.0.1/1"}));
    cameras.push(json!(7));
    let report = registry.send("POST", "/v1/cameras:import", &json!({"cameras": cameras})).json();
    assert_eq!((&report["created"], &report["refused"]), (&json!(500), &json!(3)), "{report}");
    let refused: Vec<_> = report["items"].as_array().unwrap()[500..]
        .iter()
        .map(|item| item["errors"][0]["field"].clone())
        .collect();
    assert_eq!(refused, ["id", "id", ""]);
    let again = registry.send("POST", "/v1/cameras:import", &json!(cameras[..500])).json();
    assert_eq!(again["unchanged"], 500);

    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let exported = registry.cli(&["camera", "export", "--label", "floor=1"]);
    assert_eq!(text(&exported).matches("- schema: camera/1").count(), 167, "{exported:?}");
    fs::write(files.path("cameras.yaml"), &exported.stdout).unwrap();
    let imported = registry.cli(&["camera", "import", files.path("cameras.yaml").to_str().unwrap()]);
    assert_eq!(text(&imported), "0 created, 0 changed, 167 as they were, 0 refused\n");

    let added = registry.cli(&[
        "camera",
        "add",
        "gate",
        "rtsp://10.0.0.5/1",
        "--fps",
        "5",
        "--label",
        "site=hq",
        "--name",
        "Gate",
    ]);
    assert!(
        text(&added).starts_with("camera gate is registered (generation 1), in pool default"),
        "{added:?}"
    );
    let twice = registry.cli(&["camera", "add", "gate", "rtsp://10.0.0.5/1"]);
    assert!(
        twice.status.code() == Some(1) && String::from_utf8_lossy(&twice.stderr).contains("already"),
        "{twice:?}"
    );
    let listed = registry.cli(&["camera", "list", "--label", "site=hq"]);
    assert_eq!(text(&listed).lines().count(), 2, "{listed:?}");
    assert!(text(&listed).contains("gate    waiting  default"), "{listed:?}");
    let all: Value =
        serde_json::from_slice(&registry.cli(&["camera", "list", "--output", "json"]).stdout).unwrap();
    assert_eq!(all["items"].as_array().unwrap().len(), 501);
    let mut edit = registry.cli_command(&["camera", "edit", "gate"]);
    edit.env("EDITOR", "sed -i s/Gate/Portal/").env_remove("VISUAL");
    let edited = edit.output().unwrap();
    assert!(text(&edited).contains("is changed (generation 2)"), "{edited:?}");
    let moved = registry.cli(&["camera", "move", "gate", "--pool", "gpu"]);
    assert!(text(&moved).starts_with("camera gate is in pool gpu now, and was in default\nback: sightline camera move --pool default gate\n"), "{moved:?}");
    let got = text(&registry.cli(&["camera", "get", "gate"]));
    assert!(got.contains("name: Portal") && got.contains("pool: gpu"), "{got}");
    let mut watch = registry.cli_command(&["camera", "watch", "--output", "json"]);
    let mut watching = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(lines.next().unwrap()["event"], "ready");
    let removed = registry.cli(&["camera", "rm", "gate", "nobody"]);
    assert!(removed.status.code() == Some(1) && text(&removed) == "camera gate is deleted\n", "{removed:?}");
    assert_eq!(lines.next().unwrap(), json!({"event": "deleted", "data": {"camera": "gate"}}));
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert!(text(&registry.cli(&["pods"])).starts_with("POD"));
    let completions = registry.cli(&["completions", "bash"]);
    assert!(text(&completions).contains("camera"), "{completions:?}");
}

#[test]
fn a_share_of_a_pool_is_moved_and_taken_back() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let camera = |n: usize| {
        let site = ["hq", "yard"][n % 2];
        json!({"id": format!("camera-{n}"), "source": "rtsp://10.0.1.1/1", "labels": {"site": site, "floor": "a b"}})
    };
    let cameras: Vec<_> = (0..200).map(camera).collect();
    assert_eq!(registry.send("POST", "/v1/cameras:import", &json!(cameras)).json()["created"], 200);
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let run = |more: &[&str]| registry.cli(&[&["camera", "move"][..], more].concat());
    let report = |more: &[&str]| -> Value {
        let moved = run(&[more, &["--output", "json"]].concat());
        serde_json::from_slice(&moved.stdout).unwrap_or_else(|error| panic!("{error}: {moved:?}"))
    };
    let in_gpu = || {
        let list = registry.get("/v1/cameras?pool=gpu&limit=1000").json();
        let ids = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|view| view["spec"]["id"].as_str().unwrap().to_owned());
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    let choice = ["--from", "default", "--pool", "gpu", "--label", "floor=a b"];
    let share = |share: &'static str| [&choice[..], &["--share", share]].concat();

    let dry = text(&run(&[&share("10%")[..], &["--dry-run"]].concat()));
    let lines: Vec<_> = dry.lines().collect();
    let (count, rest) = lines[0].split_once(' ').unwrap();
    let count: usize = count.parse().unwrap();
    assert_eq!(rest, "cameras of 200 would move to pool gpu", "{dry}");
    assert!((10..=30).contains(&count) && lines[1].starts_with("  from default: camera-"), "{dry}");
    assert_eq!(lines[2], "no pod of pool gpu lives: nobody runs them there yet");
    let back = "sightline camera move --from gpu --pool default --label 'floor=a b' --share 10%";
    assert_eq!(lines[3..], [format!("back, then: {back}")]);
    assert_eq!(in_gpu().len(), 0, "a dry run moves nothing");

    let first = report(&share("10%"));
    assert_eq!((&first["moved"], &first["undo"]), (&json!(count), &json!([back])));
    let small = in_gpu();
    assert_eq!(small.len(), count);
    let again = report(&share("10%"));
    assert_eq!((&again["moved"], &again["there"]), (&json!(0), &json!(count)), "said twice it is done once");
    let second = report(&share("50%"));
    let large = in_gpu();
    assert!(large.is_superset(&small) && (80..=120).contains(&large.len()), "{}", large.len());
    // Who was there before stays there.
    let undo = second["undo"][0].as_str().unwrap();
    let words: Vec<_> = undo.split(' ').skip(3).collect();
    assert_eq!(words[..2], ["--pool", "default"]);
    report(&words);
    assert_eq!(in_gpu(), small);
    let rest = report(&["--from", "gpu", "--pool", "default", "--label", "site=hq"]);
    assert!(
        rest["items"].as_array().unwrap().iter().all(|item| small.contains(item["id"].as_str().unwrap()))
    );
    let is_hq = |id: &String| id.strip_prefix("camera-").unwrap().parse::<usize>().unwrap().is_multiple_of(2);
    assert_eq!(in_gpu(), small.iter().filter(|id| !is_hq(id)).cloned().collect());

    // Settings are as they were, each move is in the audit, and what can't be is said.
    assert_eq!(registry.get("/v1/cameras/camera-5").json()["spec"]["generation"], 1);
    let audit = registry.get("/v1/audit?camera=camera-5&limit=1").json();
    assert_eq!(
        (&audit["items"][0]["who"], &audit["items"][0]["action"]),
        (&json!("the-admin"), &json!("moved"))
    );
    let refused = |more: &[&str], code: i32, sentence: &str| {
        let moved = run(more);
        let said = text(&moved) + &String::from_utf8_lossy(&moved.stderr);
        assert!(moved.status.code() == Some(code) && said.contains(sentence), "{more:?}: {said}");
    };
    refused(&["--pool", "gpu"], 2, "say which cameras");
    refused(&["--from", "gpu", "--pool", "gpu"], 2, "both gpu");
    refused(&["--from", "default", "--pool", "gpu", "--share", "0%"], 2, "such as 10%");
    refused(&["camera-1", "--share", "10%", "--pool", "gpu"], 2, "cannot be used with");
    refused(&["camera-1", "nobody", "--pool", "gpu"], 1, "nobody");
    let all = "sightline topics apply --pool nowhere";
    refused(&["--from", "default", "--pool", "nowhere"], 1, all);
    refused(&["--from", "default", "--pool", "nowhere"], 1, "not tried any more");
    // By a condition of the API, for whoever looked before.
    let out_of = |from: &str| {
        registry.send("POST", "/v1/cameras/camera-2:move", &json!({"pool": "gpu", "from": from}))
    };
    let problem = out_of("gpu").is_problem(412, &[]);
    assert!(problem["detail"].as_str().unwrap().contains("is in pool \"default\" by now"), "{problem}");
    assert_eq!(out_of("default").json()["placement"]["pool"], "gpu");
}

#[test]
fn a_record_that_can_not_be_read_goes_to_the_dead_letters_once_and_the_rest_goes_on() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let mut registry = Registry::start(bootstrap, &files, &[]);
    registry.send("POST", "/v1/cameras", &gate());
    let long = format!("{{\"id\": \"yard\", \"source\": \"{}", "x".repeat(400 * 1024));
    fs::write(files.path("bad"), &long).unwrap();
    produce(bootstrap, CAMERAS, "yard", &files.path("bad"));
    fs::write(files.path("good"), json!({"id": "by-hand", "source": "rtsp://10.0.0.7/1"}).to_string())
        .unwrap();
    produce(bootstrap, CAMERAS, "by-hand", &files.path("good"));
    wait_until("a camera written by hand is known", || registry.get("/v1/cameras/by-hand").status == 200);
    registry.process.wait_for_line("can't be read");
    registry.get("/v1/cameras/yard").is_problem(404, &[]);
    wait_until("it is counted", || {
        Metrics::scrape(&registry.http).sum("sightline_registry_cameras_unreadable", &[]) == 1.0
    });
    assert_eq!(registry.send("PATCH", "/v1/cameras/by-hand", &json!({"name": "x"})).status, 200);

    let letters = || topic_text(bootstrap, "sightline.dead-letter");
    wait_until("the letter is there", || letters().contains("yard"));
    registry.process.signal("KILL");
    registry.process.wait();
    let registry = Registry::start(bootstrap, &files, &[]);
    assert_eq!(registry.get("/v1/cameras/by-hand").status, 200);
    let letter = letters();
    assert_eq!(letter.matches("sightline-why").count(), 1, "told once, over restarts: {}", &letter[..300]);
    for header in [
        "sightline-topic=sightline.cameras".to_owned(),
        format!("sightline-partition={}", kcat::partition("yard", 6)),
        format!("sightline-length={}", long.len()),
        "sightline-sha256=".to_owned(),
    ] {
        assert!(letter.contains(&header), "{header}: {}", &letter[..300]);
    }
    let body = letter.rsplit_once(' ').unwrap().1.trim_end();
    assert!(body.len() <= 256 * 1024 && body.len() > 200 * 1024, "{}", body.len());
    // It can be taken out, or replaced.
    assert_eq!(registry.delete("/v1/cameras/yard").status, 204);
}

#[test]
fn no_password_is_seen_anywhere() {
    const PASSWORD: &str = "hunter2-s3cr3t";
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let registry = Registry::start(bootstrap, &files, &["--log-filter", "trace"]);
    let mut told = String::new();
    let uri = format!("rtsp://ann:{PASSWORD}@10.0.0.5/1");
    let camera = json!({"id": "gate", "source": uri});
    let created = registry.send("POST", "/v1/cameras", &camera);
    assert_eq!(created.status, 201, "{created:?}");
    let sealed = created.json()["spec"]["credentials"]["sealed"].clone();
    assert_eq!(sealed["key"], "k1", "{created:?}");
    told.push_str(&created.text);
    // Given again, given back, patched beside it: the same credentials.
    assert_eq!(registry.send("PUT", "/v1/cameras/gate", &camera).json()["spec"]["generation"], 1);
    let spec = registry.get("/v1/cameras/gate").json()["spec"].clone();
    assert_eq!(registry.send("PUT", "/v1/cameras/gate", &spec).json()["spec"]["generation"], 1);
    let patched = registry.send("PATCH", "/v1/cameras/gate", &json!({"name": "Gate"})).json();
    assert_eq!(patched["spec"]["credentials"]["sealed"], sealed);
    // On another camera they are worth nothing.
    let mut stolen = spec;
    stolen["id"] = "yard".into();
    registry.send("POST", "/v1/cameras", &stolen).is_problem(422, &["credentials.sealed"]);
    // Wrong things with a password in them.
    for wrong in [
        json!({"id": "x", "source": [uri]}),
        json!({"id": "x", "source": uri, "credentials": {"user": "bob", "password": PASSWORD}}),
        json!({"id": "x", "source": uri.replace("10.0.0.5", "127.0.0.1")}),
        json!({"id": uri, "source": uri}),
        json!({"cameras": [uri]}),
    ] {
        for (method, path) in [
            ("POST", "/v1/cameras"),
            ("PATCH", "/v1/cameras/gate"),
            ("PUT", "/v1/cameras/x"),
            ("POST", "/v1/cameras:import"),
            ("POST", "/v1/cameras:probe"),
        ] {
            told.push_str(&format!("\n{method} {path} {}", registry.send(method, path, &wrong).text));
        }
    }
    let inline = json!({"credentials": {"user": "ann", "password": PASSWORD}});
    told.push_str(&registry.send("PATCH", "/v1/cameras/gate", &inline).text);
    for path in ["/v1/cameras", "/v1/cameras/gate", "/v1/cameras:export?format=yaml", "/v1/audit", "/v1/pods"]
    {
        told.push_str(&registry.get(path).text);
    }
    told.push_str(&sightline::get(&registry.http, "/metrics").1);
    for topic in ["cameras", "placements", "audit", "dead-letter", "camera-status"] {
        told.push_str(&topic_text(bootstrap, &format!("sightline.{topic}")));
    }
    registry.process.signal("TERM");
    told.push_str(&registry.process.wait().1);
    assert!(told.contains("camera changed") && told.contains("\"sealed\""));
    for line in told.lines() {
        assert!(!line.contains(PASSWORD), "{}", &line[..line.len().min(400)]);
    }

    // Without keys nothing inline is taken, and what is sealed stays.
    let (tokens, listen) = (files.path("tokens"), "127.0.0.1:0");
    let args = [
        "registry",
        "--kafka",
        bootstrap,
        "--listen",
        listen,
        "--http",
        listen,
        "--tokens",
        tokens.to_str().unwrap(),
    ];
    let mut keyless = Registry::of(sightline::command(&args), &files);
    keyless.process.wait_for_line("ready cameras=");
    let refused = keyless.send("PATCH", "/v1/cameras/gate", &inline).is_problem(422, &["credentials"]);
    assert!(refused["detail"].as_str().unwrap().contains("--seal-keys"), "{refused}");
    assert_eq!(keyless.send("PATCH", "/v1/cameras/gate", &json!({"name": "Yard"})).status, 200);
}

#[test]
fn tls_serves_a_certificate_and_the_next_one_when_the_files_change() {
    let (broker, files) = started();
    let authority = certificates::Authority::new(files.folder.path());
    let one = authority.sign("IP:127.0.0.1");
    let copy = |from: &certificates::Certificate| {
        fs::copy(&from.certificate, files.path("tls.pem")).unwrap();
        fs::copy(&from.key, files.path("tls.key")).unwrap();
    };
    copy(&one);
    let (pem, key) = (files.path("tls.pem"), files.path("tls.key"));
    let more = ["--tls-cert", pem.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let registry = Registry::start(&broker.bootstrap, &files, &more);
    assert!(registry.api.starts_with("https://"), "{}", registry.api);
    let list = |ca: &str| registry.cli(&["camera", "list", "--ca", ca]);
    let ca = authority.certificate();
    let listed = list(ca.to_str().unwrap());
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "no camera\n", "{listed:?}");
    let untrusted = registry.cli(&["camera", "list"]);
    assert!(!untrusted.status.success(), "{untrusted:?}");
    // As the system's authorities do.
    let trusted = registry.cli_command(&["camera", "list"]).env("SSL_CERT_FILE", &ca).output().unwrap();
    assert!(trusted.status.success(), "{trusted:?}");
    // Signed by somebody else from now on.
    let other = tempfile::tempdir().unwrap();
    let stranger = certificates::Authority::new(other.path());
    copy(&stranger.sign("IP:127.0.0.1"));
    let new_ca = stranger.certificate();
    wait_until("the new certificate is served", || list(new_ca.to_str().unwrap()).status.success());
    let refused = output(&[
        "registry",
        "--kafka",
        &broker.bootstrap,
        "--insecure-no-auth",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--tls-cert",
        key.to_str().unwrap(),
        "--tls-key",
        pem.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn metrics_are_those_of_the_page() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    registry.send("POST", "/v1/cameras", &gate());
    let metrics = Metrics::scrape(&registry.http);
    assert_eq!(
        metrics.described(),
        sightline::documented("sightline_registry_"),
        "code, then docs/METRICS.md"
    );
    assert_eq!(metrics.sum("sightline_registry_cameras", &[("state", "waiting")]), 1.0);
    assert_eq!(metrics.sum("sightline_registry_writes_total", &[("outcome", "created")]), 1.0);
    let of_pool =
        |what: &str| metrics.sum(&format!("sightline_registry_pool_{what}"), &[("pool", "default")]);
    // As /v1/scaling/pipeline: nobody lives who could say what a pod can do, so it is taken for 1 frame a second.
    assert_eq!((of_pool("pods"), of_pool("capacity_fps")), (0.0, 0.0));
    assert_eq!((of_pool("wanted_fps"), of_pool("pods_wanted")), (5.0, 6.25));
}

/// Pods that live and run nothing: their records, again and again, until dropped.
struct FakePods(Option<std::thread::JoinHandle<()>>, std::sync::mpsc::Sender<()>);

impl FakePods {
    fn live(bootstrap: &str, files: &Files, pods: &[(&str, f64, &[u32])]) -> Self {
        let bootstrap = bootstrap.to_owned();
        let written: Vec<_> = pods
            .iter()
            .map(|(name, capacity, slots)| {
                let pod = json!({"schema": "pod/1", "pod": name, "instance": "i", "pool": "default", "slots": slots,
                    "device": "cpu", "capacity_fps": capacity, "wanted_fps": 0.0, "cameras": 0, "version": "0",
                    "since": "2026-11-23T18:40:11Z", "model": {"name": "m", "sha256": "0", "head": "end2end",
                    "input": [384, 640], "classes": ["person"]}});
                let path = files.path(&format!("pod-{name}"));
                fs::write(&path, pod.to_string()).unwrap();
                ((*name).to_owned(), path)
            })
            .collect();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            loop {
                for (name, path) in &written {
                    produce(&bootstrap, "sightline.pods", name, path);
                }
                if stopped.recv_timeout(Duration::from_secs(3))
                    != Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    return;
                }
            }
        });
        Self(Some(thread), stop)
    }
}

impl Drop for FakePods {
    fn drop(&mut self) {
        let _ = self.1.send(());
        let _ = self.0.take().unwrap().join();
    }
}

#[test]
fn a_camera_goes_where_there_is_room_and_loads_are_evened_out() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    // All on the slots of one pod, before any lives.
    let on_first = |id: &String| kcat::partition(id, 6) < 3;
    let ids: Vec<_> = (0..).map(|n| format!("c-{n}")).filter(on_first).take(6).collect();
    let camera =
        |id: &String| json!({"id": id, "source": "test://ball", "sampling": {"mode": "fps", "fps": 5}});
    let cameras: Vec<_> = ids.iter().map(camera).collect();
    assert_eq!(registry.send("POST", "/v1/cameras:import", &json!(cameras)).json()["created"], 6);
    let pods = [("one", 40.0, &[0, 1, 2][..]), ("two", 40.0, &[3, 4, 5])];
    let begun = Instant::now();
    let _living = FakePods::live(&broker.bootstrap, &files, &pods);
    wait_until("both pods are seen", || registry.get("/v1/pods").text.matches("\"alive\":true").count() == 2);
    let scaling = registry.get("/v1/scaling/pipeline").json();
    assert_eq!((&scaling["pods"], &scaling["pods_wanted"]), (&json!(2), &json!(0.938)), "{scaling}");
    // The seventh goes to the pod that has nothing.
    let seventh = registry.send("POST", "/v1/cameras", &camera(&"seventh".to_owned())).json();
    assert_eq!(seventh["placement"]["pod"], "two", "{seventh}");
    let moved = registry.send("POST", "/v1/cameras/seventh:move", &json!({"pod": "one"})).json();
    assert_eq!(moved["placement"]["pod"], "one", "{moved}");
    let on = |pod: &str| registry.get(&format!("/v1/cameras?pod={pod}")).json()["total"].as_u64().unwrap();
    assert_eq!((on("one"), on("two")), (7, 0));
    wait_until("it is even", || on("one") == 4 && on("two") == 3);
    assert!(begun.elapsed() > Duration::from_secs(9), "membership was stable first");
    let metrics = Metrics::scrape(&registry.http);
    assert_eq!(metrics.sum("sightline_registry_evened_total", &[]), 3.0);
    let moves = || registry.get("/v1/audit?who=registry").json()["items"].as_array().unwrap().len();
    wait_until("each is among the changes", || moves() >= 3);
    assert_eq!(moves(), 3);
}

#[test]
fn a_stream_is_probed_without_its_password_on_any_command_line() {
    let (broker, files) = started();
    let registry = Registry::start(&broker.bootstrap, &files, &[]);
    let probed =
        registry.send("POST", "/v1/cameras:probe", &json!({"uri": "test://ball?size=320x180&fps=10"}));
    assert_eq!(probed.status, 200, "{probed:?}");
    assert_eq!(
        (&probed.json()["video"]["width"], &probed.json()["video"]["height"]),
        (&json!(320), &json!(180))
    );
    // An address of the documentation's network, where nobody answers.
    let asked = Instant::now();
    registry
        .send("POST", "/v1/cameras:probe", &json!({"uri": "rtsp://192.0.2.1/1"}))
        .is_problem(422, &["uri"]);
    assert!(asked.elapsed() < Duration::from_secs(30));
    let by_cli = registry.cli(&["camera", "probe", "test://ball?size=320x180&fps=10"]);
    assert!(String::from_utf8_lossy(&by_cli.stdout).contains("width: 320"), "{by_cli:?}");
}
