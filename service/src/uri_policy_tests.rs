#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn policy(networks: &[&str], roots: &[&str]) -> UriPolicy {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    UriPolicy::new(networks, roots.iter().map(PathBuf::from).collect())
}

fn stands_for(addresses: &[&str]) -> impl FnOnce(&str) -> io::Result<Vec<IpAddr>> {
    let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    move |_: &str| Ok(addresses)
}

#[test]
fn ordinary_addresses_are_allowed_and_special_ones_are_not() {
    let policy = policy(&[], &[]);
    for good in [
        "rtsp://10.0.0.5/stream",
        "rtsp://u:p@192.168.1.9:8554/1?x=y",
        "rtsps://172.16.0.1/",
        "http://203.0.113.7/a.m3u8",
        "https://[2001:db8::5]:8443/x",
        "rtsp://[fd00::1]/x",
        "RTSP://camera-3.example/1",
        "test://ball",
    ] {
        policy.check(good).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for (bad, what) in [
        ("rtsp://127.0.0.1/", "a loopback"),
        ("rtsp://127.9.9.9:554/", "a loopback"),
        ("rtsp://u:p@127.0.0.1/", "a loopback"),
        ("http://169.254.169.254/latest/meta-data", "a link-local"),
        ("rtsp://0.0.0.0/", "an unspecified"),
        ("rtsp://224.0.0.1/", "a multicast"),
        ("rtsp://255.255.255.255/", "a reserved"),
        ("rtsp://[::1]/", "a loopback"),
        ("rtsp://[::]/", "an unspecified"),
        ("rtsp://[fe80::1]/", "a link-local"),
        ("rtsp://[fe80::1%25eth0]/", "a link-local"),
        ("rtsp://[ff02::1]/", "a multicast"),
        ("rtsp://[::ffff:127.0.0.1]/", "a loopback"),
        ("rtsp://[::ffff:a9fe:a9fe]/", "a link-local"),
        ("rtsp://[::127.0.0.1]/", "a loopback"),
        ("rtsp://[64:ff9b::7f00:1]/", "a loopback"),
        ("rtsp://[2002:7f00:1::]/", "a loopback"),
    ] {
        let error = policy.check(bad).expect_err(bad);
        assert!(error.reason.contains(what) && error.next_step.contains("--allow-network"), "{bad}: {error}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let policy = policy(&[], &[]);
    for bad in [
        "rtsp:///path",
        "rtsp://",
        "http://good.example\\evil/",
        "http://good.example:80:90/",
        "http://good.example:port/",
        "http://good example/",
        "http://[::1/",
        "http://[good.example]/",
        "http://gööd.example/",
    ] {
        assert!(policy.check(bad).unwrap_err().reason.contains("is no host"), "{bad}");
    }
    for bad in ["gopher://x/", "ftp://x/", "udp://239.0.0.1:5000", "javascript://x"] {
        assert!(policy.check(bad).unwrap_err().reason.contains("scheme"), "{bad}");
    }
}

#[test]
fn a_good_name_for_a_bad_address_is_refused() {
    let policy = policy(&[], &[]);
    let uri = "rtsp://camera.example/1";
    policy.check_resolved(uri, stands_for(&["10.0.0.5", "2001:db8::5"])).unwrap();
    let error = policy.check_resolved(uri, stands_for(&["10.0.0.5", "127.0.0.1"])).unwrap_err();
    assert!(error.reason.starts_with("camera.example stands for 127.0.0.1 is a loopback"), "{error}");
    // Who connects looks again.
    policy.check_resolved(uri, |_| Err(io::Error::other("not known"))).unwrap();
    // An address as an odd number is one to the resolver alone, and is looked at then.
    assert_eq!(policy.check("http://2130706433/").unwrap(), Target::Name("2130706433".into()));
    let resolved = resolve("2130706433").unwrap_or_default();
    if !resolved.is_empty() {
        policy.check_resolved("http://2130706433/", resolve).unwrap_err();
    }
    policy.check_resolved("http://localhost/", resolve).unwrap_err();
}

#[test]
fn networks_can_be_allowed() {
    let policy = policy(&["127.0.0.0/8", "fe80::/10"], &[]);
    policy.check("rtsp://127.0.0.1:8554/cam").unwrap();
    policy.check("rtsp://[::ffff:127.0.0.1]/cam").unwrap();
    policy.check("rtsp://[fe80::7]/cam").unwrap();
    policy.check("rtsp://169.254.169.254/").unwrap_err();
    policy.check_resolved("rtsp://localhost/", stands_for(&["127.0.0.1"])).unwrap();
    UriPolicy::lax().check("rtsp://169.254.169.254/").unwrap();
    UriPolicy::lax().check("rtsp://[::1]/").unwrap();
    UriPolicy::lax().check("file:///etc/x").unwrap();
    for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "x/8", "10.0.0.0/"] {
        assert!(bad.parse::<Network>().unwrap_err().to_string().contains("is no network"), "{bad}");
    }
    let network: Network = "10.1.2.3/9".parse().unwrap();
    assert!(
        network.contains("10.127.0.1".parse().unwrap()) && !network.contains("10.128.0.1".parse().unwrap())
    );
    assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("1.2.3.4".parse().unwrap()));
}

#[test]
fn files_lie_under_a_root_or_nowhere() {
    assert!(policy(&[], &[]).check("/clips/a.mp4").unwrap_err().reason.contains("not allowed"));
    let policy = policy(&[], &["/clips/", "/more"]);
    let file = |path: &str| Target::File(PathBuf::from(path));
    assert_eq!(policy.check("/clips/a.mp4").unwrap(), file("/clips/a.mp4"));
    assert_eq!(policy.check("file:///clips/a%20b.mp4").unwrap(), file("/clips/a b.mp4"));
    assert_eq!(policy.check("/clips/x/../a.mp4").unwrap(), file("/clips/a.mp4"));
    for bad in ["/etc/passwd", "/clips/../etc/passwd", "file:///clips/%2e%2e/etc/passwd", "/clipsx/a.mp4"] {
        assert!(policy.check(bad).unwrap_err().reason.contains("outside"), "{bad}");
    }
    for bad in ["a.mp4", "file://clips/a.mp4"] {
        assert!(policy.check(bad).unwrap_err().reason.contains("relative"), "{bad}");
    }
}

#[test]
fn a_link_out_of_a_root_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside.mp4"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(&outside, "x").unwrap();
    std::fs::write(root.join("inside.mp4"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("link.mp4")).unwrap();
    let policy = UriPolicy::new(Vec::new(), vec![root.clone()]);
    policy.check_found(&root.join("inside.mp4")).unwrap();
    policy.check_found(&root.join("not-there.mp4")).unwrap();
    assert!(policy.check_found(&root.join("link.mp4")).unwrap_err().reason.contains("a link out"));
}

#[test]
fn objects_lie_in_buckets_that_are_allowed() {
    let allowed = ["s3://clips/2026", "gs://yard"].map(|bucket| bucket.parse().unwrap());
    let policy = policy(&[], &[]).with_buckets(allowed.to_vec());
    for good in ["s3://clips/2026/gate.mp4", "S3://clips/2026/", "gs://yard/a/b.mp4", "gs://yard"] {
        assert!(matches!(policy.check(good), Ok(Target::Object(_))), "{good}");
    }
    for bad in ["s3://clips/2027/gate.mp4", "s3://clips/20261.mp4", "az://yard/a", "s3://clips/2026/../a"] {
        let error = policy.check(bad).unwrap_err().to_string();
        assert!(error.contains("--allow-bucket") || error.contains(".."), "{bad}: {error}");
    }
    let error = policy.check("s3://key:secret@clips/2026/a").unwrap_err().to_string();
    assert!(error.contains("environment") && !error.contains("secret"), "{error}");
    UriPolicy::lax().check("s3://any/a").unwrap();
}
