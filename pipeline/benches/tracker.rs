//! Time of one update, by the number of objects in view.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sightline_pipeline::detection::Detection;
use sightline_pipeline::track::{Tracker, TrackerConfig};
use sightline_schema::Box2d;

const INTERVAL_US: i64 = 33_333;

/// Objects in rows of 20, walking up and down a little; neighbours overlap. Every tenth is unsure, every
/// twentieth is hidden in one frame of ten.
fn frame(objects: usize, number: usize) -> Vec<Detection> {
    let visible = (0..objects).filter(|object| object % 20 != 7 || !(number + object).is_multiple_of(10));
    visible
        .map(|object| {
            let phase = number as f32 * 0.05 + object as f32;
            let x = (object % 20) as f32 * 0.045 + 0.01 * phase.sin();
            let y = (object / 20) as f32 * 0.08 + 0.01 * phase.cos();
            let confidence = if object % 10 == 3 { 0.4 } else { 0.9 };
            Detection {
                class_id: 0,
                confidence,
                box2d: Box2d { x_min: x, y_min: y, x_max: x + 0.06, y_max: y + 0.12 },
            }
        })
        .collect()
}

fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracker_update");
    for objects in [10, 50, 200] {
        let frames: Vec<Vec<Detection>> = (0..1000).map(|number| frame(objects, number)).collect();
        group.bench_function(BenchmarkId::from_parameter(objects), |bencher| {
            let mut tracker = Tracker::new(TrackerConfig::default(), (1920, 1080));
            let mut number = 0;
            bencher.iter(|| {
                number += 1;
                tracker.update(number * INTERVAL_US, &frames[number as usize % frames.len()])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, update);
criterion_main!(benches);
