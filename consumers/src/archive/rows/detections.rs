//! The columns of `detections`.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::StringBuilder;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, Int32Array, Int64Array, ListArray, PrimitiveArray, RecordBatch, StructArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use sightline_service::kafka::Record;

use super::Rows;
use super::columns::{Back, Boxes, Front, Lengths, Numbers};
use super::messages::{Frame, Skipped};
use super::read::{Content, Row};

static SKIPPED: LazyLock<Fields> = LazyLock::new(|| {
    let names = ["undecoded", "sampling", "static", "overload", "corrupt", "unpublished", "overlap"];
    names.map(|name| Field::new(name, DataType::Int64, false)).to_vec().into()
});

static DETECTION: LazyLock<Fields> = LazyLock::new(|| {
    let sides = Boxes::fields().map(|side| side.with_nullable(false));
    let mut fields = vec![
        Field::new("class_id", DataType::Int32, false),
        Field::new("label", DataType::Utf8, false),
        Field::new("confidence", DataType::Float32, false),
    ];
    fields.extend(sides);
    fields.extend([
        Field::new("track_id", DataType::Int64, true),
        Field::new("track_state", DataType::Utf8, true),
        Field::new("age_s", DataType::Float64, true),
    ]);
    fields.into()
});

static ELEMENT: LazyLock<Arc<Field>> =
    LazyLock::new(|| Arc::new(Field::new("element", DataType::Struct(DETECTION.clone()), false)));

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = Front::fields("captured_at").to_vec();
    fields.extend([
        Field::new("seq", DataType::Int64, true),
        Field::new("pts_us", DataType::Int64, true),
        Field::new("width", DataType::Int32, true),
        Field::new("height", DataType::Int32, true),
        Field::new("skipped", DataType::Struct(SKIPPED.clone()), true),
        Field::new("detections", DataType::List(ELEMENT.clone()), true),
    ]);
    fields.extend(Back::fields());
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Rows that are being gathered.
pub(super) struct Detections {
    front: Front,
    seq: Numbers<Int64Type>,
    pts_us: Numbers<Int64Type>,
    width: Numbers<Int32Type>,
    height: Numbers<Int32Type>,
    skipped: [Vec<i64>; 7],
    has_skipped: BooleanBufferBuilder,
    lengths: Lengths,
    is_frame: BooleanBufferBuilder,
    list: List,
    back: Back,
}

/// All detections of all rows, one behind the other.
#[derive(Default)]
struct List {
    class_id: Vec<i32>,
    label: StringBuilder,
    confidence: Vec<f32>,
    sides: [Vec<f32>; 4],
    track_id: Numbers<Int64Type>,
    track_state: StringBuilder,
    age_s: Numbers<Float64Type>,
}

/// What one detection takes while rows are gathered, about.
const DETECTION_BYTES: usize = 80;

impl Detections {
    pub(super) fn new(topic: &str, partition: i32) -> Self {
        Self {
            front: Front::new(topic, partition),
            seq: Numbers::default(),
            pts_us: Numbers::default(),
            width: Numbers::default(),
            height: Numbers::default(),
            skipped: Default::default(),
            has_skipped: BooleanBufferBuilder::new(0),
            lengths: Lengths::default(),
            is_frame: BooleanBufferBuilder::new(0),
            list: List::default(),
            back: Back::default(),
        }
    }
}

impl Rows for Detections {
    fn push(&mut self, record: &Record<'_>, row: &Row<'_>) {
        let frame = match &row.content {
            Content::Frame(frame) => Some(frame),
            _ => None,
        };
        self.front.push(record, row);
        self.seq.push(frame.map(|frame| frame.seq));
        self.pts_us.push(frame.map(|frame| frame.pts_us));
        self.width.push(frame.map(|frame| frame.width));
        self.height.push(frame.map(|frame| frame.height));
        let skipped = frame.and_then(|frame| frame.skipped);
        self.has_skipped.append(skipped.is_some());
        let Skipped { undecoded, sampling, static_, overload, corrupt, unpublished, overlap } =
            skipped.unwrap_or_default();
        let counts = [undecoded, sampling, static_, overload, corrupt, unpublished, overlap];
        self.skipped.iter_mut().zip(counts).for_each(|(column, count)| column.push(count));
        self.is_frame.append(frame.is_some());
        self.lengths.push(frame.map_or(0, |frame| frame.detections.len()));
        if let Some(frame) = frame {
            self.list.push(frame);
        }
        self.back.push(record, row);
    }

    fn len(&self) -> usize {
        self.front.len()
    }

    fn bytes(&self) -> usize {
        self.front.bytes() + self.back.bytes() + self.list.class_id.len() * DETECTION_BYTES
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut columns = self.front.take();
        columns.extend([
            Arc::new(self.seq.take()) as ArrayRef,
            Arc::new(self.pts_us.take()),
            Arc::new(self.width.take()),
            Arc::new(self.height.take()),
        ]);
        let skipped = self
            .skipped
            .each_mut()
            .map(|column| Arc::new(Int64Array::from(std::mem::take(column))) as ArrayRef);
        let valid = NullBuffer::new(self.has_skipped.finish());
        columns.push(Arc::new(StructArray::try_new(SKIPPED.clone(), skipped.to_vec(), Some(valid))?));
        let list = StructArray::try_new(DETECTION.clone(), self.list.take(), None)?;
        let valid = NullBuffer::new(self.is_frame.finish());
        let lists = ListArray::try_new(ELEMENT.clone(), self.lengths.take(), Arc::new(list), Some(valid))?;
        columns.push(Arc::new(lists));
        columns.extend(self.back.take());
        RecordBatch::try_new(SCHEMA.clone(), columns)
    }
}

impl List {
    fn push(&mut self, frame: &Frame<'_>) {
        for detection in &frame.detections {
            self.class_id.push(detection.class_id);
            self.label.append_value(&detection.label);
            self.confidence.push(detection.confidence);
            self.sides.iter_mut().zip(detection.box2d).for_each(|(column, side)| column.push(side));
            let track = detection.track.as_ref();
            self.track_id.push(track.map(|track| track.id));
            self.track_state.append_option(track.map(|track| &*track.state));
            self.age_s.push(track.map(|track| track.age_s));
        }
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let floats = |values: &mut Vec<f32>| {
            Arc::new(PrimitiveArray::<Float32Type>::from(std::mem::take(values))) as ArrayRef
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(std::mem::take(&mut self.class_id))),
            Arc::new(self.label.finish()),
            floats(&mut self.confidence),
        ];
        columns.extend(self.sides.iter_mut().map(floats));
        columns.push(Arc::new(self.track_id.take()));
        columns.push(Arc::new(self.track_state.finish()));
        columns.push(Arc::new(self.age_s.take()));
        columns
    }
}
