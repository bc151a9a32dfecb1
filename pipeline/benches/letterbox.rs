//! One picture from its planes into the model's input.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sightline_pipeline::frame::{Colour, HostPlanes, PixelFormat, PlaneData};
use sightline_pipeline::letterbox::{ChannelOrder, Fit, InputSize, Letterbox, Preprocess};

struct Bytes([Vec<u8>; 3]);

impl PlaneData for Bytes {
    fn plane(&self, index: usize) -> &[u8] {
        &self.0[index]
    }
}

/// A picture without two equal neighbours.
fn picture(format: PixelFormat, width: u32, height: u32) -> HostPlanes {
    let (w, h) = (width as usize, height as usize);
    let (strides, rows) = match format {
        PixelFormat::I420 => ([w, w.div_ceil(2), w.div_ceil(2)], [h, h.div_ceil(2), h.div_ceil(2)]),
        PixelFormat::Nv12 => ([w, 2 * w.div_ceil(2), 0], [h, h.div_ceil(2), 0]),
        PixelFormat::I422 => ([w, w.div_ceil(2), w.div_ceil(2)], [h; 3]),
        PixelFormat::I444 => ([w; 3], [h; 3]),
        PixelFormat::Gray8 => ([w, 0, 0], [h, 0, 0]),
        PixelFormat::Rgb => ([3 * w, 0, 0], [h, 0, 0]),
    };
    let plane = |index: usize| (0..strides[index] * rows[index]).map(|at| (at * 31 % 251) as u8).collect();
    let data = Arc::new(Bytes([plane(0), plane(1), plane(2)]));
    HostPlanes { format, colour: Colour::unsignalled(height), width, height, strides, data }
}

fn letterbox(c: &mut Criterion) {
    let preprocess = Preprocess { fit: Fit::Centred, order: ChannelOrder::Rgb, unit: true, pad: 114.0 };
    let wide = InputSize { height: 384, width: 640 };
    let square = InputSize { height: 640, width: 640 };
    let mut group = c.benchmark_group("letterbox");
    for (format, width, height, input) in [
        (PixelFormat::I420, 1920, 1080, wide),
        (PixelFormat::Nv12, 1920, 1080, wide),
        (PixelFormat::I420, 1280, 720, wide),
        (PixelFormat::Nv12, 1280, 720, wide),
        (PixelFormat::I420, 768, 432, wide),
        (PixelFormat::I420, 1920, 1080, square),
        (PixelFormat::Rgb, 640, 480, square),
    ] {
        let planes = picture(format, width, height);
        let mut letterbox = Letterbox::new((width, height), format, planes.colour, input, preprocess);
        let mut tensor = vec![0.0; 3 * input.width as usize * input.height as usize];
        group.bench_function(
            format!("{format:?} {width}x{height} to {}x{}", input.width, input.height),
            |b| {
                b.iter(|| letterbox.write(black_box(&planes), black_box(&mut tensor)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, letterbox);
criterion_main!(benches);
