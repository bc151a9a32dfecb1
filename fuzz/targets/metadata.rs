//! What a model file says of itself: metadata as `KEY=VALUE` lines, then shapes as lines of numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_pipeline::detect::facts::{
    Element, ModelDescription, Overrides, TensorFacts, parse_names_file, understand,
};

fuzz_target!(|text: &str| {
    let _ = parse_names_file(text);
    let mut model = ModelDescription::default();
    let mut shapes = Vec::new();
    for line in text.lines() {
        match line.split_once('=') {
            Some((key, value)) => {
                model.metadata.insert(key.to_owned(), value.to_owned());
            }
            None => shapes.push(tensor(line, shapes.len())),
        }
    }
    model.inputs = shapes.drain(..shapes.len().min(1)).collect();
    model.outputs = shapes;
    if let Ok(plan) = understand(&model, &Overrides::default()) {
        for source in [(1, 1), (1920, 1080), (3, 16_384)] {
            let _ = plan.input_for(source);
        }
    }
});

/// `f32 1 84 ?`
fn tensor(line: &str, index: usize) -> TensorFacts {
    let mut words = line.split(' ');
    let element = match words.next() {
        Some("f16") => Element::F16,
        Some("i64") => Element::I64,
        Some("u8") => Element::Other("uint8".into()),
        _ => Element::F32,
    };
    TensorFacts { name: format!("t{index}"), element, dims: words.map(|word| word.parse().ok()).collect() }
}
