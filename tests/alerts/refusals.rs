//! What is refused for good, and what is no event: a dead letter with a sentence, and the rest goes on.

use serde_json::{Value, json};

use crate::receiver::{Receiver, Way};
use crate::scene::{EVENTS, Scene, assert_no_secret, event, metrics};

#[test]
fn what_a_target_refuses_for_good_is_a_dead_letter_and_redirects_are_not_followed() {
    let scene = Scene::new();
    // To loopback by another name, and to another host.
    let elsewhere = Receiver::start(|_, _| Way::Take);
    let port = elsewhere.url("").rsplit_once(':').unwrap().1.to_owned();
    let places =
        [elsewhere.url("/S3CR3T"), format!("http://localhost:{port}/"), format!("http://[::1]:{port}/")];
    let desk = Receiver::start(move |request, _| {
        let seq = request.json()["event"]["seq"].as_u64().unwrap() as usize;
        match seq {
            0..=4 => {
                let status = [301, 302, 303, 307, 308][seq];
                Way::Answer(status, format!("Location: {}\r\n", places[seq % 3]))
            }
            5 => Way::Answer(400, "X-Reason: S3CR3T\r\n".to_owned()),
            6 => Way::Answer(401, String::new()),
            7 => Way::Answer(410, String::new()),
            _ => Way::Take,
        }
    });
    let target = scene.webhook(
        &desk.url("/hook/S3CR3T?key=S3CR3T"),
        json!({"bearer_file": scene.file("token"), "parallel": 2}),
    );
    let mut consumer = scene.consume_all(&scene.all_to(json!({"desk": target})));
    (0..20).for_each(|n| scene.write(&event("gate-1", n)));
    scene.flush();
    scene.wait_until_done("alerts-desk");
    assert_eq!(desk.taken().len(), 12, "those behind them arrive");
    assert_eq!(desk.requests().len(), 20, "none of them is asked twice");
    assert_eq!(elsewhere.requests().len(), 0);

    let letters = scene.dead_letters();
    let wanted = [
        "answered 301, a redirect, and those are not followed; give the address",
        "answered 302, a redirect",
        "answered 303, a redirect",
        "answered 307, a redirect",
        "answered 308, a redirect",
        "answered 400 and refuses it; see its own log for why",
        "answered 401 and refuses it; see that both sides have the same secret or token",
        "answered 410 and refuses it",
    ];
    assert_eq!(letters.len(), wanted.len());
    for (n, (letter, sentence)) in letters.iter().zip(wanted).enumerate() {
        assert!(letter.why().contains(sentence), "{}", letter.why());
        assert!(letter.why().starts_with("target desk: http://127.0.0.1:"), "{}", letter.why());
        let value: Value = serde_json::from_slice(&letter.value).unwrap();
        assert_eq!(value, event("gate-1", n), "as it came");
        assert_eq!(letter.headers["sightline-topic"], EVENTS);
        assert_no_secret("a dead letter", &format!("{:?}", letter.headers));
    }
    let shown = metrics(&mut consumer);
    let given_up = |reason: &str| shown.sum("sightline_alerts_given_up_total", &[("reason", reason)]);
    assert_eq!((given_up("redirect"), given_up("refused")), (5.0, 3.0));
    assert_eq!(shown.sum("sightline_alerts_circuits_open", &[]), 0.0, "it lives");
    let said = consumer.stderr();
    assert_eq!(said.matches("it goes to the dead letters").count(), 8, "{said}");
    assert_no_secret("its log", &said);
}

#[test]
fn what_is_no_event_is_a_dead_letter_and_the_next_one_arrives() {
    let scene = Scene::new();
    scene.broker.set_topic(EVENTS, "max.message.bytes=20000000");
    let desk = Receiver::start(|_, _| Way::Take);
    let rules = scene.all_to(json!({"desk": scene.webhook(&desk.url("/"), json!({}))}));
    let mut consumer = scene.consume_all(&rules);
    let mut large = event("gate-1", 3);
    large["labels"]["note"] = "x".repeat(10 << 20).into();
    let mut loitered = event("gate-1", 4);
    loitered["type"] = "loitered".into();
    let mut injected = event("gate-1", 5);
    injected["id"] = "gate-1\r\nx-evil: yes".into();
    scene.write_as("gate-1", b"this is not JSON", "event/1");
    scene.write_as("gate-1", b"\xff\xfe{}", "event/1");
    scene.write_as("gate-1", br#"{"schema":"event/2","all":"is new"}"#, "event/2");
    scene.write(&large);
    scene.write(&loitered);
    scene.write(&injected);
    scene.write(&event("gate-1", 6));
    scene.flush();
    scene.wait_until_done("alerts-desk");
    let taken: Vec<_> = desk.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(taken, [event("gate-1", 6)["id"].as_str().unwrap()]);
    let letters = scene.dead_letters();
    let wanted = [
        "not a valid event/1; look at what wrote it: expected ident",
        "not a valid event/1; look at what wrote it: invalid utf-8",
        "\"event/2\" is not known to this version, and nobody is told of it; upgrade",
        "bytes, and an event 262144 at most",
        "unknown variant `loitered`",
        "its id is not 1 to 512 visible characters",
    ];
    assert_eq!(letters.len(), wanted.len());
    for (letter, sentence) in letters.iter().zip(wanted) {
        assert!(letter.why().contains(sentence), "{}", letter.why());
    }
    assert_eq!(letters[0].value, b"this is not JSON");
    assert!(letters[3].value.len() == 256 * 1024 && letters[3].headers["sightline-length"].len() == 8);
    let shown = metrics(&mut consumer);
    let passed =
        |reason: &str| shown.sum("sightline_consumer_records_passed_over_total", &[("reason", reason)]);
    assert_eq!((passed("unreadable"), passed("unknown")), (5.0, 1.0));
}
