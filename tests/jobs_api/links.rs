//! Links that are signed in their query: whole for those who may add jobs, and for nobody else.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::http::Server;
use crate::queue::*;
use crate::registry::{Registry, wait_until};

const SECRET: &str = "s3cret";

#[test]
fn what_a_link_is_signed_with_is_shown_to_those_who_may_add_jobs_alone() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let server = Server::serve([("/a.mp4?X-Amz-Signature=s3cret", b"x".to_vec())]);
    let root = files.folder.path().to_path_buf();
    let mut registry = Registry::start(
        bootstrap,
        &files,
        &["--allow-network", "127.0.0.0/8", "--allow-file-root", root.to_str().unwrap()],
    );
    registry.process.wait_for_line("jobs are read");
    let link = server.uri("/a.mp4?X-Amz-Signature=s3cret");
    let struck_out = server.uri("/a.mp4?***");
    let id = add_one(&registry, &link);
    // A worker that says more than it should.
    let error = json!({"code": "auth_failed", "message": format!("cannot read {link}: it is refused")});
    let more = json!({"uri": link, "attempt": 2, "not_before": START, "error": error});
    say(bootstrap, &id, "waiting", more);
    wait_until("it is seen", || {
        registry.get(&format!("/v1/jobs/{id}")).json()["status"]["state"] == "waiting"
    });

    let seen = |role: &str, path: &str| {
        let answer = registry.asking(Some(files.token(role))).ask("GET", path, &[], None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    };
    for path in [format!("/v1/jobs/{id}"), "/v1/jobs".to_owned()] {
        let viewed = seen("viewer", &path);
        assert!(viewed.text.contains(&struck_out) && !viewed.text.contains(SECRET), "{}", viewed.text);
        assert!(viewed.text.contains(&format!("cannot read {struck_out}: it is refused")), "{}", viewed.text);
        for role in ["operator", "admin"] {
            assert!(seen(role, &path).text.contains(&link), "{role}");
        }
    }
    for args in [&["job", "list", "--output", "json"][..], &["job", "list"], &["job", "get", &id]] {
        let mut command = registry.cli_command(args);
        let shown = command.env("SIGHTLINE_TOKEN", files.token("viewer")).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("***") && !shown.contains(SECRET), "{args:?}: {shown}");
    }
    let mut command = registry.cli_command(&["job", "watch", "--output", "json"]);
    command.env("SIGHTLINE_TOKEN", files.token("viewer"));
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut next_job = || lines.find(|line| line.contains(r#""event":"job""#)).unwrap();
    let first = next_job();
    assert!(first.contains(&struck_out) && !first.contains(SECRET), "{first}");
    say(bootstrap, &id, "running", json!({"uri": link, "attempt": 2, "epoch": 7}));
    let changed = next_job();
    assert!(changed.contains("running") && !changed.contains(SECRET), "{changed}");
    watching.kill().unwrap();
    watching.wait().unwrap();

    // What can't be added is said to who adds it, and to nobody by the log.
    let gone = server.uri("/gone.mp4?X-Amz-Signature=s3cret");
    let report = registry.send("POST", "/v1/jobs", &json!({"uris": [gone]})).json();
    let detail = report["items"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("answers with 404") && !detail.contains(SECRET), "{detail}");
    // Its worker is told the whole of it.
    let job = of(bootstrap, JOBS, &id).remove(0);
    assert_eq!(job.value["uri"], link);
    let asked: Value = registry.get(&format!("/v1/audit?camera={id}")).json();
    assert!(!asked.to_string().contains(SECRET), "{asked}");
    registry.process.signal("TERM");
    let (_, said) = registry.process.wait();
    assert!(!said.contains(SECRET), "{said}");
}
