//! Files on web servers: a real HTTPS server with signed links, and servers that misbehave in the middle.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::clips::{Coding, Part};
use crate::kcat;
use crate::queue::*;
use crate::s3::S3;
use crate::scene::*;
use crate::sightline::{Sightline, wait_for};

pub(crate) const LOOPBACK: [&str; 4] = ["--allow-network", "127.0.0.0/8", "--retry-after", "1"];
/// A cancel and a stop, at the latest.
const OBEYED: Duration = Duration::from_secs(5);

#[test]
fn a_signed_link_is_worked_off_by_https_and_its_signature_is_shown_nowhere() {
    let _stage = stage();
    let broker = started();
    let bootstrap = &broker.bootstrap;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let made = authority.sign("IP:127.0.0.1");
    let s3 = S3::start_tls(made.certificate, made.key);
    Part { offset: 100, frames: 80, size: (640, 360), coding: Coding::H264Mp4 }
        .make(&s3.bucket("archive"), "clip");
    let link = s3.signed("/archive/clip.mp4", 3600);
    let signature = link.split_once("X-Amz-Signature=").unwrap().1.to_owned();
    let forged = link.replace(&signature, &"0123456789abcdef".repeat(4));
    for (n, (id, uri)) in
        [("job-signed", link.as_str()), ("job-forged", forged.as_str())].into_iter().enumerate()
    {
        add(bootstrap, n as u32, &job(id, uri));
    }
    let trusting = |trusts: bool| {
        let mut command = worker_command(bootstrap, folder.path(), &LOOPBACK);
        if trusts {
            command.env("SSL_CERT_FILE", authority.certificate());
        }
        Sightline::spawn(command)
    };
    let worker = trusting(true);
    wait_until_done(bootstrap, JOBS_GROUP);
    let found = statuses(bootstrap);
    let signed = &found["job-signed"];
    assert_eq!((&signed["state"], &signed["progress"]["frames"]), (&"done".into(), &80.into()), "{signed}");
    assert_eq!(signed["uri"], link, "whole where a retry needs it");
    let forged_one = &found["job-forged"];
    let message = forged_one["error"]["message"].as_str().unwrap_or_default();
    println!("{message}");
    assert_eq!(
        (&forged_one["state"], &forged_one["error"]["code"]),
        (&"failed".into(), &"auth_failed".into())
    );
    assert!(message.contains("clip.mp4?***: its server answers with 403"), "{message}");
    assert!(!message.contains("X-Amz") && !message.contains("camera"), "{message}");
    worker.signal("TERM");
    let (status, said) = worker.wait();
    assert!(status.success() && said.contains("clip.mp4?***"), "{said}");
    assert!(!said.contains(&signature) && !said.contains("X-Amz"), "{said}");

    // Nobody here trusts the authority.
    add(bootstrap, 2, &job("job-untrusted", &link));
    let worker = trusting(false);
    wait_until_done(bootstrap, JOBS_GROUP);
    let error = statuses(bootstrap)["job-untrusted"]["error"].clone();
    println!("{error}");
    assert_eq!(error["code"], "tls_failed", "{error}");
    assert!(error["message"].as_str().unwrap().contains("trust the authority"), "{error}");
    worker.signal("TERM");
    let (_, said) = worker.wait();
    assert!(!said.contains(&signature), "{said}");
}

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Serve,
    Status(u16),
    /// Hangs up before it answers.
    Reset,
    /// Hangs up in the middle of the body.
    Half,
    /// As another content.
    Changed,
    /// All of it, whatever was asked for.
    Whole,
}

/// Serves one file by ranges, each request in the mood that its number gives, one after another.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn of(file: &Path, mood: fn(usize) -> Mood) -> Self {
        let body = Arc::new(std::fs::read(file).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, ranges) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let server = Self { address, requests: requests.clone(), ranges: ranges.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mood = mood(requests.fetch_add(1, Ordering::SeqCst));
                // Whoever asked may be gone.
                let _ = answer(stream, &body, mood, &ranges);
            }
        });
        server
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}/clip.mp4?sig=s3cret", self.address)
    }
}

fn answer(
    mut stream: TcpStream,
    body: &[u8],
    mood: Mood,
    ranges: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let head: Vec<String> =
        BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert!(head.first().is_some_and(|line| line.starts_with("GET /clip.mp4?sig=s3cret ")), "{head:?}");
    let asked = head.iter().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("range: bytes=").map(str::to_owned)
    });
    let asked = asked.expect("a range");
    ranges.lock().unwrap().push(asked.clone());
    let (from, to) = asked.split_once('-').unwrap();
    let (from, to) = (from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap());
    let part = &body[from..(to + 1).min(body.len())];
    let etag = if mood == Mood::Changed { "two" } else { "one" };
    let total = body.len();
    let last = from + part.len() - 1;
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{total}\r\nETag: \"{etag}\"\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        part.len()
    );
    match mood {
        Mood::Serve | Mood::Changed => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(part)
        }
        Mood::Half => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&part[..part.len() / 2])
        }
        Mood::Reset => {
            // No goodbye: the connection is reset.
            let _ = rustix::net::connect_unspec(&stream);
            Ok(())
        }
        Mood::Status(status) => {
            write!(stream, "HTTP/1.1 {status} Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Mood::Whole => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {total}\r\nConnection: close\r\n\r\n")?;
            stream.write_all(body)
        }
    }
}

#[test]
fn what_breaks_in_the_middle_is_asked_for_again_and_what_is_refused_there_costs_an_attempt() {
    let _stage = stage();
    let broker = started();
    let bootstrap = &broker.bootstrap;
    let folder = tempfile::tempdir().unwrap();
    // Of many blocks.
    let file = folder.path().join("clip.mp4");
    crate::media::run(&format!(
        "videotestsrc pattern=snow num-buffers=60 ! video/x-raw,width=1280,height=720,framerate=25/1 ! \
         x264enc speed-preset=ultrafast quantizer=18 pass=quant key-int-max=25 ! h264parse ! mp4mux ! filesink location=\"{}\"",
        file.display()
    ));
    let blocks = std::fs::metadata(&file).unwrap().len().div_ceil(4 << 20) as usize;
    println!("{blocks} blocks");
    assert!(blocks > 5, "of many blocks: {blocks}");
    let servers = [
        (
            "job-passing",
            Server::of(&file, |n| match n {
                0 => Mood::Status(503),
                2 => Mood::Status(503),
                3 => Mood::Reset,
                5 => Mood::Half,
                6 => Mood::Status(429),
                _ => Mood::Serve,
            }),
        ),
        ("job-refused", Server::of(&file, |n| if n == 3 { Mood::Status(403) } else { Mood::Serve })),
        ("job-replaced", Server::of(&file, |n| if n == 3 { Mood::Changed } else { Mood::Serve })),
        ("job-whole", Server::of(&file, |_| Mood::Whole)),
        ("job-moved", Server::of(&file, |_| Mood::Status(302))),
    ];
    for (n, (id, server)) in servers.iter().enumerate() {
        add(bootstrap, n as u32, &job(id, &server.uri()));
    }
    let more = [&LOOPBACK[..], &["--parallel", "2"]].concat();
    let worker = worker(bootstrap, folder.path(), &more);
    wait_until_done(bootstrap, JOBS_GROUP);
    let all = kcat::read(bootstrap, STATUS);
    let found = statuses(bootstrap);
    for (id, state, attempt, first, sentence) in [
        ("job-passing", "done", 1, None, ""),
        ("job-refused", "done", 2, Some("auth_failed"), "its server answers with 403"),
        ("job-replaced", "done", 2, Some("corrupt"), "it was replaced while it was read"),
        ("job-whole", "failed", 2, Some("rejected"), "its server gives no parts of a file"),
        ("job-moved", "failed", 2, Some("rejected"), "it redirects, and that is not followed here"),
    ] {
        let status = &found[id];
        assert_eq!(
            (status["state"].as_str(), status["attempt"].as_i64()),
            (Some(state), Some(attempt)),
            "{status}"
        );
        let waited = all.iter().find(|record| record.key == id && record.value["state"] == "waiting");
        let error = waited.map(|record| record.value["error"].clone()).unwrap_or_default();
        println!("{id}: {error}");
        assert_eq!(error["code"].as_str(), first, "{id}: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(sentence), "{id}: {message}");
        assert!(!message.contains("s3cret") && !message.contains("camera"), "{id}: {message}");
        if state == "done" {
            assert_eq!(status["progress"]["frames"], 60, "{status}");
        }
    }
    // Never as a whole: a byte to look at it, then a block at a time, and what broke off once more.
    let ranges = servers[0].1.ranges.lock().unwrap().clone();
    assert_eq!(&ranges[..2], ["0-0", "0-0"]);
    let longest = ranges.iter().map(|range| {
        let (from, to) = range.split_once('-').unwrap();
        to.parse::<u64>().unwrap() + 1 - from.parse::<u64>().unwrap()
    });
    assert_eq!(longest.max(), Some(4 << 20), "{ranges:?}");
    assert!(servers[0].1.requests.load(Ordering::SeqCst) >= blocks + 6, "{ranges:?}");
    // A whole file is not read to find out that it is not wanted.
    assert!(servers[3].1.requests.load(Ordering::SeqCst) <= 2);
    worker.signal("TERM");
    let (_, said) = worker.wait();
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_retry_goes_where_least_is_to_be_done() {
    let _stage = stage();
    let broker = started();
    let bootstrap = &broker.bootstrap;
    let folder = tempfile::tempdir().unwrap();
    let clip = Part { offset: 0, frames: 20, size: (640, 360), coding: Coding::H264Mp4 }
        .make(folder.path(), "clip")
        .to_string_lossy()
        .into_owned();
    let gone = folder.path().join("gone.mp4").to_string_lossy().into_owned();
    // The oldest are taken first, as far as partitions are there already; in each other partition but one wait enough, whichever
    // was worked at before.
    for id in ["job-gone-a", "job-gone-b"] {
        add(bootstrap, 0, &job(id, &gone));
    }
    for n in [1, 2, 3, 5] {
        for of in ["a", "b", "c", "d"] {
            add(bootstrap, n, &job(&format!("job-good-{n}-{of}"), &clip));
        }
    }
    let _worker = worker(bootstrap, folder.path(), &["--retry-after", "1"]);
    wait_for("the second attempts to be queued", || {
        let again: Vec<_> =
            kcat::read(bootstrap, JOBS).into_iter().filter(|record| record.value["attempt"] == 2).collect();
        (again.len() >= 2).then(|| {
            for record in &again {
                assert_eq!(record.partition, 4, "{record:?}");
            }
        })
    });
    wait_until_done(bootstrap, JOBS_GROUP);
}

/// It takes whoever comes, and never answers.
#[test]
fn a_server_that_says_nothing_holds_up_neither_a_cancel_nor_a_stop() {
    let _stage = stage();
    let broker = started();
    let bootstrap = &broker.bootstrap;
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/clip.mp4", silent.local_addr().unwrap());
    add(bootstrap, 0, &job("job-unwanted", &uri));
    add(bootstrap, 1, &job("job-left", &uri));
    let more = [&LOOPBACK[..], &["--parallel", "2", "--drain", "0"]].concat();
    let worker = worker(bootstrap, folder.path(), &more);
    let is = |id: &str, wanted: &str| state(bootstrap, id) == wanted;
    wait_for("both to be opened", || {
        (is("job-unwanted", "running") && is("job-left", "running")).then_some(())
    });
    let asked = Instant::now();
    cancel(bootstrap, "job-unwanted");
    wait_for("the cancel to be obeyed", || is("job-unwanted", "cancelled").then_some(()));
    println!("cancelled after {:?}", asked.elapsed());
    assert!(asked.elapsed() < OBEYED, "{:?}", asked.elapsed());
    assert!(is("job-left", "running"));
    let asked = Instant::now();
    worker.signal("TERM");
    let (status, said) = worker.wait();
    println!("stopped after {:?}", asked.elapsed());
    assert!(status.success() && asked.elapsed() < OBEYED, "{:?}: {said}", asked.elapsed());
    assert!(is("job-left", "queued"), "{said}");
}
