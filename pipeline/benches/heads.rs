//! Decoding a model's output, and suppression.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sightline_pipeline::detect::head::{Head, decode};
use sightline_pipeline::detect::nms::{Candidate, suppress};
use sightline_pipeline::letterbox::InputSize;

const CLASSES: usize = 80;
const INPUT: InputSize = InputSize { height: 640, width: 640 };

/// Values in 0..1, the same in each run; one in ten thousand is a score that counts.
fn noise(length: usize) -> Vec<f32> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u32 << 24) as f32
    };
    (0..length).map(|_| if next() > 0.9999 { 0.95 } else { next() * 0.05 }).collect()
}

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (head, shape) in [
        (Head::Yolov8, [4 + CLASSES, 8400]),
        (Head::Yolov8, [8400, 4 + CLASSES]),
        (Head::Yolov5, [25_200, 5 + CLASSES]),
        (Head::Yolox, [8400, 5 + CLASSES]),
        (Head::End2end, [300, 6]),
    ] {
        let output = noise(shape[0] * shape[1]);
        let mut out = Vec::new();
        group.bench_function(format!("{head} [{}, {}]", shape[0], shape[1]), |b| {
            b.iter(|| {
                out.clear();
                decode(head, black_box(&output), &shape, CLASSES, INPUT, 0.1, &mut out)
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("suppress");
    for count in [200_usize, 5_000, 100_000] {
        let numbers = noise(5 * count);
        let candidates: Vec<Candidate> = numbers
            .chunks_exact(5)
            .zip(0_u32..)
            .map(|(n, at)| {
                let (x, y) = (n[0] * 12_000.0, n[1] * 12_000.0);
                let xyxy = [x, y, x + 20.0 + n[2] * 1_000.0, y + 40.0 + n[3] * 1_000.0];
                Candidate { class_id: at % 3, confidence: n[4], xyxy }
            })
            .collect();
        group.bench_function(format!("{count} candidates"), |b| {
            b.iter_batched(
                || candidates.clone(),
                |mut candidates| suppress(&mut candidates, 0.7, false, 300),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, heads);
criterion_main!(benches);
