#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::super::{Context, Known, Role, Seed, SpanId};
use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn resource() -> Resource {
    Resource { service: "sightline-test", instance: "here".to_owned() }
}

fn started(address: &str) -> (Tracer, Sending, Registry) {
    let mut registry = Registry::default();
    let collector = Collector::new(address).unwrap();
    let (tracer, sending) = Tracer::to(collector, Share::new(1.0), &resource(), &mut registry).unwrap();
    (tracer, sending, registry)
}

fn span(seq: u64) -> Span {
    let trace = Seed::new("gate-3", 1).trace(seq);
    let now = SystemTime::now();
    Span {
        context: Context { trace, span: trace.span(Known::Publish) },
        parent: Some(trace.span(Known::Frame)),
        name: "publish",
        role: Role::Producer,
        start: now,
        end: now,
        attributes: vec![("sightline.seq", seq.into())],
        error: None,
    }
}

fn counted(registry: &Registry, series: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{text}"));
    value.trim().parse().unwrap()
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// One request's head and body.
fn read(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&lower);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

fn answer(mut stream: &TcpStream, status: u16, body: &[u8]) {
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())
        .unwrap();
    stream.write_all(body).unwrap();
}

const SENT: &str = "sightline_traces_spans_sent_total";
const FULL: &str = "sightline_traces_spans_dropped_total{reason=\"full\"}";
const AWAY: &str = "sightline_traces_spans_dropped_total{reason=\"away\"}";
const REFUSED: &str = "sightline_traces_spans_dropped_total{reason=\"refused\"}";

#[test]
fn spans_arrive_as_they_were_told_and_a_busy_collector_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tracer, sending, registry) = started(&format!("http://{}", listener.local_addr().unwrap()));
    (0..3).for_each(|seq| tracer.tell(span(seq)));
    let (first, _) = listener.accept().unwrap();
    let (head, busy) = read(&first);
    assert!(
        head.starts_with("post /v1/traces http/1.1") && head.contains("application/x-protobuf"),
        "{head}"
    );
    answer(&first, 503, b"");
    let (second, _) = listener.accept().unwrap();
    let (_, body) = read(&second);
    assert_eq!(body, busy);
    answer(&second, 200, b"");
    wait_for("three spans sent", || counted(&registry, SENT) == 3);

    let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let of = &request.resource_spans[0];
    let named = of.resource.as_ref().unwrap().attributes.iter().map(|attribute| attribute.key.as_str());
    assert!(named.eq(["service.name", "service.version", "service.instance.id"]));
    let spans = &of.scope_spans[0].spans;
    let told = span(1);
    assert_eq!(spans.len(), 3);
    assert_eq!(spans[1].trace_id, told.context.trace.0);
    assert_eq!(spans[1].span_id, told.context.span.0);
    assert_eq!(spans[1].parent_span_id, told.parent.map(|SpanId(id)| id.to_vec()).unwrap());
    assert_eq!((spans[1].name.as_str(), spans[1].kind, spans[1].flags), ("publish", 4, 1));

    // What waits at the end goes out.
    tracer.tell(span(9));
    let ending = thread::spawn(move || drop(sending));
    let (last, _) = listener.accept().unwrap();
    let request = ExportTraceServiceRequest::decode(&read(&last).1[..]).unwrap();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 1);
    // Partial success: one rejected.
    answer(&last, 200, &[0x0a, 0x02, 0x08, 0x01]);
    ending.join().unwrap();
    assert_eq!((counted(&registry, SENT), counted(&registry, REFUSED)), (3, 1));
}

#[test]
fn a_collector_that_hangs_costs_dropped_spans_and_nobody_any_time() {
    // Connections are taken by the system, and never answered.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tracer, sending, registry) = started(&format!("http://{}", listener.local_addr().unwrap()));
    let told = 20_000;
    let began = Instant::now();
    (0..told).for_each(|seq| tracer.tell(span(seq)));
    let took = began.elapsed();
    let dropped = counted(&registry, FULL);
    // One request may be under way.
    let held = told - dropped;
    let most = (MOST_WAITING + MOST_TOGETHER) as u64;
    assert!((MOST_WAITING as u64..=most).contains(&held), "{held} are held");
    // Had one of them waited for the collector, it were seconds.
    assert!(took < REQUEST, "{took:?}");
    let began = Instant::now();
    drop(sending);
    assert!(began.elapsed() < LAST + Duration::from_secs(2), "{:?}", began.elapsed());
    drop(listener);
}

#[test]
fn what_a_collector_refuses_is_counted_and_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tracer, sending, registry) = started(&format!("http://{}", listener.local_addr().unwrap()));
    tracer.tell(span(1));
    let (stream, _) = listener.accept().unwrap();
    read(&stream);
    answer(&stream, 404, b"");
    wait_for("a refused span", || counted(&registry, REFUSED) == 1);
    // Nobody listens any more.
    drop(listener);
    tracer.tell(span(2));
    wait_for("a span given up", || counted(&registry, AWAY) == 1);
    drop(sending);
}

#[test]
fn what_is_off_or_outside_the_share_opens_nothing() {
    let parent = span(1).context;
    assert!(Tracer::default().open(parent, "store", Role::Consumer, "gate-3").is_none());
    assert!(Tracer::default().start("request", Role::Server).is_none());
    let mut registry = Registry::default();
    let collector = Collector::new("http://127.0.0.1:1").unwrap();
    let (tracer, _sending) = Tracer::to(collector, Share::new(0.0), &resource(), &mut registry).unwrap();
    assert!(tracer.open(parent, "store", Role::Consumer, "gate-3").is_none());
    assert!(tracer.start("request", Role::Server).is_none());
}
