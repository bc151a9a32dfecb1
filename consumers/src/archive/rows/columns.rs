//! What both topics' columns are made of.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float32Type};
use arrow_array::{ArrayRef, Int32Array, Int64Array, PrimitiveArray, StringArray, TimestampMillisecondArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use sightline_service::kafka::Record;

use super::read::{Content, Row};

/// A column of numbers of which some may be missing.
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    valid: BooleanBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), valid: BooleanBufferBuilder::new(0) }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(super) fn push(&mut self, value: Option<T::Native>) {
        self.values.push(value.unwrap_or_default());
        self.valid.append(value.is_some());
    }

    pub(super) fn take(&mut self) -> PrimitiveArray<T> {
        let valid = NullBuffer::new(self.valid.finish());
        PrimitiveArray::new(std::mem::take(&mut self.values).into(), Some(valid))
    }
}

/// A box's four sides.
#[derive(Default)]
pub(super) struct Boxes([Numbers<Float32Type>; 4]);

impl Boxes {
    pub(super) fn push(&mut self, sides: Option<[f32; 4]>) {
        for (n, side) in self.0.iter_mut().enumerate() {
            side.push(sides.map(|sides| sides[n]));
        }
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = ArrayRef> {
        self.0.each_mut().map(|side| Arc::new(side.take()) as ArrayRef).into_iter()
    }

    pub(super) fn fields() -> [Field; 4] {
        ["x_min", "y_min", "x_max", "y_max"].map(|name| Field::new(name, DataType::Float32, true))
    }
}

pub(super) fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns before all others: where a record was, and what it says of itself.
#[derive(Default)]
pub(super) struct Front {
    topic: String,
    partition: i32,
    offset: Vec<i64>,
    timestamp: Vec<i64>,
    schema: StringBuilder,
    camera: StringBuilder,
    epoch: Numbers<arrow_array::types::Int64Type>,
    at: Numbers<arrow_array::types::TimestampMicrosecondType>,
    bytes: usize,
}

impl Front {
    pub(super) fn new(topic: &str, partition: i32) -> Self {
        Self { topic: topic.to_owned(), partition, ..Self::default() }
    }

    pub(super) fn fields(at: &str) -> [Field; 8] {
        [
            Field::new("topic", DataType::Utf8, false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
            Field::new("schema", DataType::Utf8, true),
            Field::new("camera", DataType::Utf8, true),
            Field::new("epoch", DataType::Int64, true),
            Field::new(at, micros(), true),
        ]
    }

    pub(super) fn push(&mut self, record: &Record<'_>, row: &Row<'_>) {
        self.offset.push(record.offset);
        self.timestamp.push(record.timestamp_ms);
        self.schema.append_option(row.schema.as_deref());
        self.camera.append_option(row.camera.as_deref());
        self.epoch.push(row.epoch);
        self.at.push(row.at);
        self.bytes += 64 + row.camera.as_ref().map_or(0, |camera| camera.len());
    }

    pub(super) fn len(&self) -> usize {
        self.offset.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> Vec<ArrayRef> {
        self.bytes = 0;
        let rows = self.offset.len();
        vec![
            Arc::new(StringArray::new_repeated(&self.topic, rows)),
            Arc::new(Int32Array::from_value(self.partition, rows)),
            Arc::new(Int64Array::from(std::mem::take(&mut self.offset))),
            Arc::new(
                TimestampMillisecondArray::from(std::mem::take(&mut self.timestamp)).with_timezone("UTC"),
            ),
            Arc::new(self.schema.finish()),
            Arc::new(self.camera.finish()),
            Arc::new(self.epoch.take()),
            Arc::new(self.at.take().with_timezone("UTC")),
        ]
    }
}

/// The columns behind all others: what has none of its own.
#[derive(Default)]
pub(super) struct Back {
    rest: StringBuilder,
    raw: BinaryBuilder,
    key: BinaryBuilder,
    bytes: usize,
}

impl Back {
    pub(super) fn fields() -> [Field; 3] {
        [
            Field::new("rest", DataType::Utf8, true),
            Field::new("raw", DataType::Binary, true),
            Field::new("key", DataType::Binary, true),
        ]
    }

    pub(super) fn push(&mut self, record: &Record<'_>, row: &Row<'_>) {
        let raw = match &row.content {
            Content::Raw(raw, _) => Some(*raw),
            _ => None,
        };
        // Nearly always it is the camera, and then not worth a column.
        let key = record.key.filter(|key| row.camera.as_ref().is_none_or(|camera| camera.as_bytes() != *key));
        self.rest.append_option(row.rest.as_deref());
        self.raw.append_option(raw);
        self.key.append_option(key);
        let lengths = [row.rest.as_ref().map(String::len), raw.map(<[u8]>::len), key.map(<[u8]>::len)];
        self.bytes += 16 + lengths.into_iter().flatten().sum::<usize>();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> [ArrayRef; 3] {
        self.bytes = 0;
        [Arc::new(self.rest.finish()), Arc::new(self.raw.finish()), Arc::new(self.key.finish())]
    }
}

/// How long each list is.
pub(super) struct Lengths(Vec<i32>);

impl Default for Lengths {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Lengths {
    /// A list has this many more than all before it together.
    pub(super) fn push(&mut self, more: usize) {
        let last = self.0.last().copied().unwrap_or_default();
        self.0.push(last.saturating_add(i32::try_from(more).unwrap_or(i32::MAX)));
    }

    pub(super) fn take(&mut self) -> arrow_buffer::OffsetBuffer<i32> {
        arrow_buffer::OffsetBuffer::new(std::mem::replace(&mut self.0, vec![0]).into())
    }
}
