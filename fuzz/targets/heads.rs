//! A model's output of any shape and with any numbers: an error, or candidates that are all numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_pipeline::detect::head::{Head, decode, decode_detr};
use sightline_pipeline::detect::nms;
use sightline_pipeline::letterbox::InputSize;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[head, first, second, classes, side, threshold], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let numbers: Vec<f32> = rest.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
    let head = Head::ALL[usize::from(head) % Head::ALL.len()];
    let (classes, threshold) = (usize::from(classes), f32::from(threshold) / 255.0);
    let input = InputSize { height: u32::from(side), width: 8 * u32::from(side) };
    // Of the right length, mostly; too short otherwise.
    let shape = [usize::from(first), usize::from(second)];
    let mut output = numbers.clone();
    if second % 16 != 0 {
        output.resize(shape[0] * shape[1], f32::NAN);
    }
    let mut found = Vec::new();
    let _ = decode(head, &output, &shape, classes, input, threshold, &mut found);
    let _ = decode(head, &output, &shape[..usize::from(first) % 2], classes, input, threshold, &mut found);
    let labels: Vec<i64> = numbers.iter().map(|number| *number as i64).collect();
    let boxes = numbers.repeat(4);
    let _ = decode_detr(&labels, &boxes, &numbers, classes, threshold, &mut found);
    for candidate in &found {
        // Above the threshold, and then cut to 1.
        assert!(candidate.confidence >= threshold && candidate.confidence <= 1.0, "{candidate:?}");
        assert!(candidate.xyxy.iter().all(|side| side.is_finite()), "{candidate:?}");
    }
    nms::suppress(&mut found, 0.45, second % 2 == 0, 300);
    assert!(found.len() <= 300);
});
