//! What traces cost a frame: one that is not sampled, and one that is.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use prometheus_client::registry::Registry;
use sightline_pipeline::cpu::{CpuTime, StageTime};
use sightline_pipeline::lane::DetectTimes;
use sightline_pipeline::trace::StreamTrace;
use sightline_service::trace::{Collector, Resource, Share, Tracer};

fn frames(criterion: &mut Criterion) {
    // Takes connections and never answers: the queue is full, and each span is made and dropped.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stream = |share| {
        let resource = Resource { service: "bench", instance: "bench".to_owned() };
        let (collector, mut registry) = (Collector::new(&url).unwrap(), Registry::default());
        let (tracer, sending) = Tracer::to(collector, Share::new(share), &resource, &mut registry).unwrap();
        // It ends with the process.
        std::mem::forget(sending);
        StreamTrace::new(&tracer, "gate-3", 1827)
    };
    let took = |ms| StageTime { wall: Duration::from_millis(ms), cpu: CpuTime::default() };
    let times = DetectTimes { letterbox: took(1), session: took(8), head: took(1) };
    let way = |stream: &StreamTrace, seq: u64| {
        // Once where it begins, and once where its record is made.
        let trace = stream.begin(seq, None, None);
        if let Some(trace) = &trace {
            trace.taken();
            trace.detected(SystemTime::now(), Some(&times));
            trace.tracked(Duration::from_millis(1), 3);
            trace.accepted();
        }
        black_box(stream.samples(seq))
    };
    let mut group = criterion.benchmark_group("traces");
    for (name, stream) in
        [("off", StreamTrace::default()), ("not sampled", stream(0.0)), ("sampled", stream(1.0))]
    {
        let mut seq = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seq += 1;
                way(&stream, black_box(seq))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
