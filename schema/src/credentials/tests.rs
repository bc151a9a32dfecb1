#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// `uri → (uri, user, password)`.
fn split(uri: &str) -> (String, Option<(String, String)>) {
    let (clean, found) = split_credentials(uri);
    (clean, found.map(|found| (found.user, found.password)))
}

fn found(uri: &str, user: &str, password: &str) -> (String, Option<(String, String)>) {
    (uri.to_owned(), Some((user.to_owned(), password.to_owned())))
}

#[test]
fn user_and_password_are_taken_out() {
    assert_eq!(
        split("rtsp://admin:secret@10.0.0.5/stream1"),
        found("rtsp://10.0.0.5/stream1", "admin", "secret")
    );
    assert_eq!(split("rtsp://admin:secret@10.0.0.5:554"), found("rtsp://10.0.0.5:554", "admin", "secret"));
    assert_eq!(split("RTSPS://a:b@cam.example/x?y=1#z"), found("RTSPS://cam.example/x?y=1#z", "a", "b"));
    assert_eq!(split("https://a:b@cam.example/bus.jpg"), found("https://cam.example/bus.jpg", "a", "b"));
}

#[test]
fn a_user_may_come_without_password_and_the_other_way_round() {
    assert_eq!(split("rtsp://admin@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "admin", ""));
    assert_eq!(split("rtsp://admin:@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "admin", ""));
    assert_eq!(split("rtsp://:pw@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "", "pw"));
    assert_eq!(split("rtsp://@10.0.0.5/s"), ("rtsp://10.0.0.5/s".to_owned(), None));
    assert_eq!(split("rtsp://:@10.0.0.5/s"), ("rtsp://10.0.0.5/s".to_owned(), None));
}

#[test]
fn escapes_are_decoded_once() {
    assert_eq!(split("rtsp://us%40er:p%40ss%3A%2F%25@h/s"), found("rtsp://h/s", "us@er", "p@ss:/%"));
    assert_eq!(split("rtsp://u:%2540@h/s"), found("rtsp://h/s", "u", "%40"));
    assert_eq!(split("rtsp://u:gr%C3%BCn@h/s"), found("rtsp://h/s", "u", "grün"));
    assert_eq!(split("rtsp://u:grün@h/s"), found("rtsp://h/s", "u", "grün"));
    assert_eq!(split("rtsp://u:a+b@h/s"), found("rtsp://h/s", "u", "a+b"));
}

#[test]
fn what_is_no_escape_stays() {
    for password in ["100%", "%", "%4", "%zz", "a%b", "%é", "%ff"] {
        assert_eq!(split(&format!("rtsp://u:{password}@h/s")), found("rtsp://h/s", "u", password));
    }
}

#[test]
fn the_last_at_of_the_authority_and_the_first_colon_count() {
    assert_eq!(split("rtsp://u:p@ss@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "u", "p@ss"));
    assert_eq!(split("rtsp://u:p@@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "u", "p@"));
    assert_eq!(
        split("rtsp://me@example.com:pw@10.0.0.5/s"),
        found("rtsp://10.0.0.5/s", "me@example.com", "pw")
    );
    assert_eq!(split("rtsp://u:a:b:c@10.0.0.5:554/s"), found("rtsp://10.0.0.5:554/s", "u", "a:b:c"));
}

#[test]
fn ipv6_hosts_stay_whole() {
    assert_eq!(split("rtsp://u:p@[fe80::1]:554/s"), found("rtsp://[fe80::1]:554/s", "u", "p"));
    assert_eq!(split("rtsp://u@[::1]/s"), found("rtsp://[::1]/s", "u", ""));
    for uri in ["rtsp://[fe80::1]:554/s", "rtsp://[fe80::1%25eth0]/s", "rtsp://[2001:db8::abcd]/a@b"] {
        assert_eq!(split(uri), (uri.to_owned(), None));
    }
}

#[test]
fn an_at_behind_the_authority_is_no_credential() {
    for uri in [
        "rtsp://10.0.0.5/s?mail=a@b",
        "rtsp://10.0.0.5:554/s?user=a:b@c",
        "rtsp://10.0.0.5?mail=a@b",
        "http://cam.example:8080/bus@2x.jpg",
        "http://cam.example/x#a@b",
        "http://cam.example:/a@b",
        "clips/a@b.mp4",
        "/video/u:p@h/clip.mp4",
        "file:///video/me:you@home/clip.mp4",
        "test://ball",
        "rtsp://10.0.0.5/s",
        "rtsp://",
        "",
    ] {
        assert_eq!(split(uri), (uri.to_owned(), None));
    }
    assert_eq!(split("rtsp://u:p@10.0.0.5/s?mail=a@b"), found("rtsp://10.0.0.5/s?mail=a@b", "u", "p"));
    assert_eq!(split("http://u:p@h/bus@2x.jpg"), found("http://h/bus@2x.jpg", "u", "p"));
}

#[test]
fn a_password_that_ends_the_authority_early_is_still_taken_out() {
    assert_eq!(split("rtsp://admin:pa/ss@10.0.0.5:554/s"), found("rtsp://10.0.0.5:554/s", "admin", "pa/ss"));
    assert_eq!(
        split("rtsp://admin:pa?ss@10.0.0.5/s?x=a@b"),
        found("rtsp://10.0.0.5/s?x=a@b", "admin", "pa?ss")
    );
    assert_eq!(split("rtsp://admin:pa#ss@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "admin", "pa#ss"));
    assert_eq!(split("rtsp://admin:12#34@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "admin", "12#34"));
    assert_eq!(split("rtsp://admin:p/a@b@10.0.0.5/s"), found("rtsp://10.0.0.5/s", "admin", "p/a@b"));
}

#[test]
fn taking_out_twice_changes_nothing() {
    for uri in
        ["rtsp://u:p@ss@h/s", "rtsp://u:a/b@h:554/s?x=a@b", "rtsp://u@[::1]/s", "http://u:p@h/bus@2x.jpg"]
    {
        let (clean, _) = split_credentials(uri);
        assert_eq!(split_credentials(&clean), (clean.clone(), None));
    }
}

#[test]
fn a_password_is_never_shown() {
    let inline = InlineCredentials { user: "admin".into(), password: "hunter2".into() };
    let shown = format!("{inline:?} {:?} {:#?}", Credentials::Inline(inline.clone()), Some(&inline));
    assert!(shown.contains("admin") && !shown.contains("hunter2"), "{shown}");
    assert!(serde_json::to_string(&Credentials::Inline(inline)).is_err());
}

#[test]
fn credentials_come_by_secret_or_inline() {
    let secret: Credentials = serde_json::from_str(r#"{"secret":"gate-3"}"#).unwrap();
    assert_eq!(secret, Credentials::Secret { secret: "gate-3".into() });
    assert_eq!(serde_json::to_string(&secret).unwrap(), r#"{"secret":"gate-3"}"#);
    let inline: Credentials = serde_json::from_str(r#"{"user":"u","password":"p"}"#).unwrap();
    assert_eq!(inline, Credentials::Inline(InlineCredentials { user: "u".into(), password: "p".into() }));
    let no_password: Credentials = serde_json::from_str(r#"{"user":"u"}"#).unwrap();
    assert_eq!(
        no_password,
        Credentials::Inline(InlineCredentials { user: "u".into(), password: String::new() })
    );
}

#[test]
fn a_refusal_does_not_show_the_password() {
    for json in [
        "\"admin:13572468\"",
        "13572468",
        "[13572468]",
        "{}",
        r#"{"password":"13572468"}"#,
        r#"{"user":"u","password":13572468}"#,
        r#"{"user":"u","password":["13572468"]}"#,
        r#"{"user":"u","passwort":"13572468"}"#,
        r#"{"secret":"s","user":"u","password":"13572468"}"#,
    ] {
        let error = serde_json::from_str::<Credentials>(json).unwrap_err().to_string();
        assert!(!error.contains("1357") && error.contains("credentials"), "{json}: {error}");
    }
}

#[test]
fn uris_in_a_text_lose_their_passwords() {
    assert_eq!(
        redact_uris("could not open \"rtsp://u:p@ss@h/s\" (see http://a:b@c/d); retry rtsp://h/s"),
        "could not open \"rtsp://h/s\" (see http://c/d); retry rtsp://h/s"
    );
    assert_eq!(redact_uris("rtsp://u:p@h"), "rtsp://h");
    assert_eq!(redact_uris("no 'rtsp://u:p's@h/s'"), "no 'rtsp://h/s'");
    assert_eq!(redact_uris("größe=rtsp://u:p@h, done"), "größe=rtsp://h, done");
    for text in ["", "nothing", "://", "a://b", "me@example.com", "é://u"] {
        assert!(matches!(redact_uris(text), Cow::Borrowed(same) if same == text));
    }
}

#[test]
fn the_query_of_a_link_is_not_shown() {
    let cases = [
        ("https://host/a.mp4?X-Amz-Signature=s3cret&a=b", "https://host/a.mp4?***"),
        ("HTTP://host/a.mp4?s3cret: its server", "HTTP://host/a.mp4?***: its server"),
        (
            "cannot read https://host/a?s3cret; see (https://host/b#s3cret).",
            "cannot read https://host/a?***; see (https://host/b#***).",
        ),
        ("größe https://host?s3cret", "größe https://host?***"),
        ("\"https://host/a?s3cret\" and https://host/b", "\"https://host/a?***\" and https://host/b"),
        ("https://host/a?", "https://host/a?***"),
        ("https://host/it's.mp4?X-Amz-Signature=s3cret", "https://host/it's.mp4?***"),
        ("cannot read 'https://host/a?s3cret'.", "cannot read 'https://host/a?***'."),
    ];
    for (text, shown) in cases {
        assert_eq!(without_queries(text), shown);
        assert_eq!(without_queries(shown), shown, "twice is once");
    }
    for text in ["s3://a/b?c", "rtsp://host/a?b", "what? https://host/a", "file:///a?b#c", "://", "xhttp", ""]
    {
        assert!(matches!(without_queries(text), Cow::Borrowed(same) if same == text), "{text}");
    }
}
