//! Tiny ONNX models, written byte by byte: one picture input, one output that is always the same.
//!
//! Field numbers are those of onnx.proto3 (ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto).
// A module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// A model that says `values`, whatever it is shown.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// `[1, 3, H, W]`.
    pub input: &'a [u64],
    pub output: &'a [u64],
    /// Of the output, row by row; zeros where there are none.
    pub values: Vec<f32>,
    pub metadata: &'a [(&'a str, &'a str)],
}

impl Model<'_> {
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = usize::try_from(self.output.iter().product::<u64>()).unwrap();
        let mut values = self.values.clone();
        values.resize(count, 0.0);
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let constant = [
            self.output.iter().flat_map(|dim| number(1, *dim)).collect(),
            number(2, FLOAT),
            bytes(8, b"said"),
            bytes(9, &raw),
        ]
        .concat();
        let node = [bytes(1, b"said"), bytes(2, b"output0"), bytes(4, b"Identity")].concat();
        let graph = [
            bytes(1, &node),
            bytes(2, b"made"),
            bytes(5, &constant),
            bytes(11, &value_info("images", self.input)),
            bytes(12, &value_info("output0", self.output)),
        ]
        .concat();
        let mut model = [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat();
        for (key, value) in self.metadata {
            model.extend(bytes(14, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat()));
        }
        model
    }
}

const FLOAT: u64 = 1;

fn value_info(name: &str, dims: &[u64]) -> Vec<u8> {
    let shape: Vec<u8> = dims.iter().flat_map(|dim| bytes(1, &number(1, *dim))).collect();
    let tensor = [number(1, FLOAT), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
