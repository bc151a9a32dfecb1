//! What is refused, whom, and in which words.

use serde_json::{Value, json};

use crate::http::Server;
use crate::queue::*;
use crate::registry::ROLES;

#[test]
fn roles_and_bad_requests_are_told_apart() {
    let (broker, files) = started();
    let bootstrap = broker.bootstrap.as_str();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let registry = registry(bootstrap, &files, folder.path());
    let good = json!({"uris": [format!("{root}/a.mp4")], "start": START});

    let ask = |role: Option<&str>, method: &str, path: &str, body: Option<&Value>| {
        let body = body.map(|body| body.to_string().into_bytes());
        let headers = [("content-type", "application/json")];
        registry.asking(role.map(|role| files.token(role))).ask(method, path, &headers, body).status
    };
    assert_eq!(ask(None, "GET", "/v1/jobs", None), 401);
    assert_eq!(ask(Some("viewer"), "POST", "/v1/jobs", Some(&good)), 403);
    assert_eq!(ask(Some("operator"), "POST", "/v1/jobs", Some(&good)), 200);
    let id = registry.get("/v1/jobs").json()["items"][0]["status"]["job"].as_str().unwrap().to_owned();
    for role in ROLES {
        let seen =
            [format!("/v1/jobs/{id}"), "/v1/jobs".to_owned()].map(|path| ask(Some(role), "GET", &path, None));
        assert_eq!(seen, [200, 200], "{role}");
    }
    for verb in ["cancel", "retry"] {
        let path = format!("/v1/jobs/{id}:{verb}");
        assert_eq!(ask(Some("viewer"), "POST", &path, None), 403);
        assert_eq!(ask(Some("operator"), "POST", &path, None), 200);
        registry.send("POST", &format!("/v1/jobs/job-none:{verb}"), &Value::Null).is_problem(404, &[]);
    }
    registry.get("/v1/jobs/job-none").is_problem(404, &[]);
    registry.get("/v1/jobs?state=fine").is_problem(400, &["state"]);
    registry.get("/v1/jobs?colour=red").is_problem(400, &["colour"]);
    registry.send("DELETE", &format!("/v1/jobs/{id}"), &Value::Null).is_problem(405, &[]);

    let with = |name: &str, value: Value| {
        let mut request = good.clone();
        request[name] = value;
        request
    };
    for (request, field) in [
        (with("uris", json!([])), "uris"),
        (with("colour", json!(1)), "colour"),
        (with("pool", json!("none")), "pool"),
        (with("pool", json!("No Pool")), "pool"),
        (with("limit", json!(1001)), "limit"),
        (with("cursor", json!("x")), "cursor"),
        (with("start", json!("yesterday")), "start"),
        (with("start_from_name", json!("%Y%m%d")), "start_from_name"),
        (with("utc_offset", json!("+02:00")), "utc_offset"),
        (json!({"uris": ["/a"], "start_from_name": "%H"}), "start_from_name"),
        (with("labels", json!({"a": "x".repeat(1000)})), "labels.a"),
        (with("spec", json!({"zones": [{"id": "z", "polygon": [[0, 0], [1, 1]]}]})), "spec.zones[0].polygon"),
        (with("spec", json!({"source": "rtsp://10.0.0.5/1"})), "spec.source"),
        (with("spec", json!({"detect": {"confidence": 7}})), "spec.detect.confidence"),
    ] {
        let problem = registry.send("POST", "/v1/jobs", &request);
        assert_eq!(problem.status, 422, "{request}: {problem:?}");
        assert_eq!(problem.json()["errors"][0]["field"], field, "{problem:?}");
    }
    assert_eq!(registry.get("/v1/jobs").json()["total"], 1, "none of it was added");
}

#[test]
fn each_address_that_gives_no_job_has_its_sentence() {
    let (broker, files) = started();
    let folder = tempfile::tempdir().unwrap();
    clips(folder.path(), &["a.mp4", "notes/b.txt"]);
    let root = folder.path().canonicalize().unwrap().display().to_string();
    let server = Server::serve([("/a.mp4", b"x".to_vec())]);
    let registry = registry(&broker.bootstrap, &files, folder.path());
    let cases = [
        (format!("{root}/a.mp4"), None),
        (
            "/etc/passwd".to_owned(),
            Some("lies outside the folders that are allowed; put it there, or let whoever runs Sightline"),
        ),
        (format!("file://{root}/%2e%2e/x.mp4"), Some("lies outside the folders")),
        (format!("{root}/none.mp4"), Some("cannot look at")),
        (format!("{root}/notes"), Some("there is no video below it")),
        (format!("{root}/*.mkv"), Some("nothing fits this pattern")),
        (server.uri("/a.mp4"), Some("is a loopback address, which is not allowed here")),
        ("http://169.254.169.254/latest/meta-data".to_owned(), Some("is a link-local address")),
        ("https://ann:secret@10.0.0.5/a.mp4".to_owned(), Some("holds a user or password")),
        (
            "rtsp://10.0.0.5/1".to_owned(),
            Some("is a stream that has no end; register it by sightline camera add"),
        ),
        (
            "s3://clips/a.mp4".to_owned(),
            Some(
                "lies outside the buckets that are allowed; put it there, or let whoever runs Sightline allow it with --allow-bucket s3://clips",
            ),
        ),
        ("s3://key:secret@clips/a.mp4".to_owned(), Some("with credentials in the environment")),
        ("ftp://host/a.mp4".to_owned(), Some("the scheme ftp:// is not allowed")),
        ("a.mp4".to_owned(), Some("the path is relative")),
        (String::new(), Some("is empty")),
    ];
    let uris: Vec<_> = cases.iter().map(|(uri, _)| uri).collect();
    let report = add(&registry, &json!({"uris": uris}));
    assert_eq!((&report["added"], &report["refused"]), (&json!(1), &json!(cases.len() - 1)));
    for (n, (uri, said)) in cases.iter().enumerate() {
        let item = &report["items"][n];
        assert_eq!(item["index"], n);
        assert_eq!(item["detail"].as_str().is_none(), said.is_none(), "{uri}: {item}");
        if let Some(said) = said {
            let detail = item["detail"].as_str().unwrap();
            assert!(detail.contains(said), "{uri}: {detail}");
            assert_eq!(item["errors"][0]["field"], format!("uris[{n}]"));
        }
    }
    assert!(!report.to_string().contains("secret"), "{report}");
    assert!(server.requests().is_empty(), "nobody was asked who must not be");
}

#[test]
fn a_file_by_http_is_dated_by_its_server_or_by_whoever_adds_it() {
    let (broker, files) = started();
    let server = Server::serve([("/a.mp4", b"x".to_vec())]);
    let root = files.folder.path().to_path_buf();
    let mut registry = crate::registry::Registry::start(
        &broker.bootstrap,
        &files,
        &["--allow-network", "127.0.0.0/8", "--allow-file-root", root.to_str().unwrap()],
    );
    registry.process.wait_for_line("jobs are read");
    let report = add(&registry, &json!({"uris": [server.uri("/a.mp4"), server.uri("/none.mp4")]}));
    let detail = |n: usize| report["items"][n]["detail"].as_str().unwrap().to_owned();
    assert!(
        detail(0).contains("does not say when it was made; say when it began with --start"),
        "{}",
        detail(0)
    );
    assert!(detail(1).contains("answers with 404"), "{}", detail(1));
    // A link may be signed for reading alone, so its first byte is asked for.
    let requests = server.requests();
    let first_byte = |request: &String| {
        request.starts_with("GET ") && request.to_ascii_lowercase().contains("range: bytes=0-0")
    };
    assert!(requests.iter().all(first_byte), "{requests:?}");
    let report = add(&registry, &json!({"uris": [server.uri("/a.mp4")], "start": START}));
    assert_eq!((&report["added"], &report["items"][0]["start"]), (&json!(1), &json!(START)));
    assert_eq!(server.requests().len(), 2, "there was nothing to ask for");
}
