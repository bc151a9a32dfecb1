#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const INPUT: InputSize = InputSize { height: 64, width: 96 };
/// Cells of P3…P5 over `INPUT`: 8×12 + 4×6 + 2×3.
const CELLS: usize = 126;

fn decoded(head: Head, output: &[f32], shape: &[usize], classes: usize) -> Vec<Candidate> {
    let mut out = vec![];
    decode(head, output, shape, classes, INPUT, 0.25, &mut out).unwrap();
    out
}

fn transposed(rows: &[Vec<f32>]) -> Vec<f32> {
    (0..rows[0].len()).flat_map(|column| rows.iter().map(move |row| row[column])).collect()
}

fn candidate_of(class_id: u32, confidence: f32, xyxy: [f32; 4]) -> Candidate {
    Candidate { class_id, confidence, xyxy }
}

#[test]
fn names_are_what_people_type() {
    for head in Head::ALL {
        assert_eq!(head.to_string().parse(), Ok(head));
    }
    let error = "YOLOv8".parse::<Head>().unwrap_err();
    assert_eq!(error, "no head YOLOv8; there are yolov8, yolov5, yolox, end2end, detr");
}

#[test]
fn yolov8_takes_each_anchors_best_class() {
    // More anchors than a block, the last block not full.
    let mut rows = vec![vec![50.0, 40.0, 20.0, 10.0, 0.1, 0.2, 0.05]; 1200];
    rows[3] = vec![10.0, 20.0, 8.0, 6.0, 0.3, 0.9, 0.3];
    rows[511] = vec![11.0, 20.0, 8.0, 6.0, 0.6, 0.6, 0.3];
    rows[512] = vec![12.0, 20.0, 8.0, 6.0, f32::NAN, 0.26, f32::NAN];
    rows[1199] = vec![13.0, 20.0, 8.0, 6.0, 0.1, 0.1, 1.001];
    // Not above the threshold; no numbers.
    rows[600] = vec![13.0, 20.0, 8.0, 6.0, 0.25, 0.1, 0.1];
    rows[601] = vec![f32::NAN, 20.0, 8.0, 6.0, 0.9, 0.1, 0.1];
    rows[602] = vec![1.0, 20.0, f32::INFINITY, 6.0, 0.9, 0.1, 0.1];
    rows[603] = vec![1.0, 20.0, 8.0, 6.0, f32::NAN, f32::NAN, f32::NAN];
    let expected = [
        candidate_of(1, 0.9, [6.0, 17.0, 14.0, 23.0]),
        // Of equals, the first.
        candidate_of(0, 0.6, [7.0, 17.0, 15.0, 23.0]),
        candidate_of(1, 0.26, [8.0, 17.0, 16.0, 23.0]),
        candidate_of(2, 1.0, [9.0, 17.0, 17.0, 23.0]),
    ];
    assert_eq!(decoded(Head::Yolov8, &transposed(&rows), &[7, 1200], 3), expected);
    assert_eq!(decoded(Head::Yolov8, &rows.concat(), &[1200, 7], 3), expected);
}

#[test]
fn yolov5_multiplies_and_asks_objectness_too() {
    let rows = [
        vec![10.0, 20.0, 8.0, 6.0, 0.5, 0.6, 0.9],
        // 0.2 × 1.5 would do, but 0.2 is no object; 0.9 × 0.2 is too little.
        vec![10.0, 20.0, 8.0, 6.0, 0.2, 1.5, 0.1],
        vec![10.0, 20.0, 8.0, 6.0, 0.9, 0.2, 0.1],
        vec![10.0, 20.0, 8.0, 6.0, f32::NAN, 0.9, 0.9],
        vec![10.0, 20.0, 8.0, 6.0, 0.9, f32::NAN, 0.5],
    ];
    let expected =
        [candidate_of(1, 0.45, [6.0, 17.0, 14.0, 23.0]), candidate_of(1, 0.45, [6.0, 17.0, 14.0, 23.0])];
    assert_eq!(decoded(Head::Yolov5, &rows.concat(), &[5, 7], 2), expected);
}

#[test]
fn yolox_adds_the_grid() {
    let mut rows = vec![vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]; CELLS];
    // Row 1, column 2 of the finest grid; the first cell of the next; the last of all.
    rows[14] = vec![0.5, 0.25, 0.0, 2.0_f32.ln(), 0.8, 0.5, 0.9];
    rows[96] = vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.4];
    rows[125] = vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.4];
    // exp overflows.
    rows[50] = vec![0.0, 0.0, 1e4, 0.0, 1.0, 0.5, 0.4];
    let found = decoded(Head::Yolox, &rows.concat(), &[CELLS, 7], 2);
    let expected = [
        candidate_of(1, 0.72, [16.0, 2.0, 24.0, 18.0]),
        candidate_of(0, 0.5, [-8.0, -8.0, 8.0, 8.0]),
        candidate_of(0, 0.5, [48.0, 16.0, 80.0, 48.0]),
    ];
    assert_eq!(found.len(), 3);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.class_id, expected.class_id);
        assert!((found.confidence - expected.confidence).abs() < 1e-6);
        assert!(found.xyxy.iter().zip(expected.xyxy).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?}");
    }
    // With a fourth level: 1×1 more.
    let mut rows = vec![vec![0.0; 7]; CELLS + 1];
    rows[CELLS] = vec![0.5, 0.5, 0.0, 0.0, 1.0, 1.0, 0.0];
    let expected = [candidate_of(0, 1.0, [0.0, 0.0, 64.0, 64.0])];
    assert_eq!(decoded(Head::Yolox, &rows.concat(), &[CELLS + 1, 7], 2), expected);
    let error = decode(Head::Yolox, &[0.0; 7 * 100], &[100, 7], 2, INPUT, 0.25, &mut vec![]).unwrap_err();
    assert_eq!(error.to_string(), "100 anchors are no yolox grid for an input of 64x96");
}

#[test]
fn end2end_is_final() {
    let rows = [
        [1.0, 2.0, 3.0, 4.0, 0.9, 1.0],
        [1.0, 2.0, 3.0, 4.0, 0.25, 1.0],
        // No class of ours.
        [1.0, 2.0, 3.0, 4.0, 0.9, 2.0],
        [1.0, 2.0, 3.0, 4.0, 0.9, -1.0],
        [1.0, 2.0, 3.0, 4.0, 0.9, f32::NAN],
        [1.0, 2.0, 3.0, 4.0, 0.9, f32::INFINITY],
        [1.0, 2.0, f32::NAN, 4.0, 0.9, 0.0],
        // Half precision.
        [1.0, 2.0, 3.0, 4.0, 0.8, 0.999],
    ];
    let expected = [candidate_of(1, 0.9, [1.0, 2.0, 3.0, 4.0]), candidate_of(1, 0.8, [1.0, 2.0, 3.0, 4.0])];
    assert_eq!(decoded(Head::End2end, rows.as_flattened(), &[8, 6], 2), expected);
}

#[test]
fn detr_is_final_and_in_source_pixels() {
    let boxes = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [1.0; 4], [1.0; 4], [1.0; 4]].concat();
    let (labels, scores) = ([1, 0, -1, 2, 0], [0.9, 0.3, 0.9, 0.9, 0.2]);
    let mut out = vec![];
    decode_detr(&labels, &boxes, &scores, 2, 0.25, &mut out).unwrap();
    let expected = [candidate_of(1, 0.9, [1.0, 2.0, 3.0, 4.0]), candidate_of(0, 0.3, [5.0, 6.0, 7.0, 8.0])];
    assert_eq!(out, expected);
    for (labels, boxes, scores) in [
        (&labels[1..], &boxes[..], &scores[..]),
        (&labels, &boxes[1..], &scores),
        (&labels, &boxes, &scores[1..]),
    ] {
        let error = decode_detr(labels, boxes, scores, 2, 0.25, &mut out).unwrap_err();
        assert!(matches!(error, HeadError::Unequal { .. }), "{error}");
    }
    assert_eq!(out, expected);
}

#[test]
fn wrong_shapes_and_lengths_are_errors() {
    let shapes: [&[usize]; 9] = [
        &[],
        &[7],
        &[1, 2, 3],
        &[7, 5],
        &[5, 7],
        &[6, 3],
        &[3, 6],
        &[usize::MAX, 7],
        &[usize::MAX, usize::MAX],
    ];
    for head in Head::ALL {
        for shape in shapes {
            for length in [0, 1, 18, 35] {
                let _ = decode(head, &vec![0.9; length], shape, 2, INPUT, 0.25, &mut vec![]);
            }
        }
        assert!(matches!(
            decode(head, &[0.9; 35], &[5, 7], 80, INPUT, 0.25, &mut vec![]),
            Err(HeadError::Shape { .. })
        ));
        assert!(matches!(
            decode(head, &[0.9; 34], &[5, 7], 2, INPUT, 0.25, &mut vec![]),
            Err(HeadError::Length { .. })
        ));
        assert_eq!(decode(head, &[], &[0, 7], 2, INPUT, 0.25, &mut vec![]), Ok(()));
    }
}
