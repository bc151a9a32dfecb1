//! Registered cameras lead nowhere that is not allowed: behind a good name, a redirect or a playlist neither.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::crew::Crew;
use crate::sightline::wait_for;
use crate::web::Web;

/// The one address of this machine that the pod may reach.
const ALLOWED: &str = "127.0.0.3";

#[test]
fn what_is_not_allowed_is_not_asked() {
    let crew = Crew::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    let secret = || Web::answer("127.0.0.1", answer.to_owned());
    let [(by_name, a), (by_redirect, b), (by_list, c)] = [secret(), secret(), secret()];
    let there = by_redirect.uri("", "latest");
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (redirecting, redirected) = Web::answer(ALLOWED, redirect);
    let there = by_list.uri("", "latest.ts");
    let list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{there}\n#EXT-X-ENDLIST\n");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nConnection: close\r\n";
    let (listing, listed) =
        Web::answer(ALLOWED, format!("{head}Content-Length: {}\r\n\r\n{list}", list.len()));

    let cases = [
        ("name", by_name.uri("", "latest").replace("127.0.0.1", "localhost"), "stands for"),
        ("other", "rtsp://127.0.0.2:8554/cam".to_owned(), "loopback"),
        ("metadata", "http://169.254.169.254/latest".to_owned(), "link-local"),
        ("file", "file:///etc/hostname".to_owned(), "files are not allowed"),
        ("redirect", redirecting.uri("", "cam.mp4"), "redirects"),
        ("playlist", listing.uri("", "cam.m3u8"), "playlist"),
    ];
    let cameras: Vec<_> = cases
        .iter()
        .map(|(id, uri, _)| {
            let mut camera = crew.camera(id);
            camera["streams"][0]["uri"] = json!(uri);
            camera
        })
        .collect();
    crew.register(&cameras);
    let _pod = crew.pod_that_may_reach("one", &format!("{ALLOWED}/32"));
    for (id, uri, why) in &cases {
        let status = wait_for(&format!("a refusal of {id}"), || {
            crew.status(id).filter(|status| status["state"] == "retrying")
        });
        println!("{id}: {}", status["error"]["message"]);
        assert_eq!(status["error"]["code"], "forbidden_uri", "{uri}: {status}");
        assert!(status["error"]["message"].as_str().unwrap().contains(why), "{uri}: {status}");
    }
    assert!(redirected.load(Ordering::SeqCst) > 0 && listed.load(Ordering::SeqCst) > 0);
    let asked = [a, b, c].map(|asked| asked.load(Ordering::SeqCst));
    assert_eq!(asked, [0; 3], "asked by name, by redirect, by playlist");
}

/// A secret that is not there is said, and looked for again; it is read when it comes.
#[test]
fn a_secret_that_comes_late_is_waited_for() {
    let crew = Crew::new();
    let secrets = crew.file("secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    let mut camera = crew.camera("gate");
    camera["credentials"] = json!({"secret": "the-gate"});
    crew.register(&[camera]);
    let folder = secrets.to_string_lossy().into_owned();
    let _pod = crew.pod("one", &["--secrets", &folder]);
    let status =
        wait_for("it to be missed", || crew.status("gate").filter(|status| status["state"] == "retrying"));
    assert_eq!(status["error"]["code"], "secret_missing", "{status}");
    assert!(status["error"]["message"].as_str().unwrap().contains("\"the-gate\""), "{status}");
    let secret = secrets.join("the-gate");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("username"), "ops\n").unwrap();
    std::fs::write(secret.join("password"), "sesame\n").unwrap();
    wait_for("it to run", || crew.status("gate").filter(|status| status["state"] == "running"));
    assert!(crew.statuses.of("gate").iter().all(|status| !status.to_string().contains("sesame")));
}
