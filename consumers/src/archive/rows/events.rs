//! The columns of `events`.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::StringBuilder;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, BooleanArray, Float32Array, ListArray, MapArray, RecordBatch, StructArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use sightline_service::kafka::Record;

use super::Rows;
use super::columns::{Back, Boxes, Front, Lengths, Numbers, micros};
use super::messages::EventRow;
use super::read::{Content, Row};

static BEST: LazyLock<Fields> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("epoch", DataType::Int64, true),
        Field::new("seq", DataType::Int64, true),
        Field::new("at", micros(), true),
        Field::new("confidence", DataType::Float32, true),
    ];
    fields.extend(Boxes::fields());
    fields.into()
});

static POINT: LazyLock<Fields> = LazyLock::new(|| {
    vec![Field::new("x", DataType::Float32, false), Field::new("y", DataType::Float32, false)].into()
});

static ELEMENT: LazyLock<Arc<Field>> =
    LazyLock::new(|| Arc::new(Field::new("element", DataType::Struct(POINT.clone()), false)));

static LABEL: LazyLock<Fields> = LazyLock::new(|| {
    vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)].into()
});

static LABELS: LazyLock<Arc<Field>> =
    LazyLock::new(|| Arc::new(Field::new("key_value", DataType::Struct(LABEL.clone()), false)));

/// Columns of text, in their order.
const TEXTS: [&str; 8] = ["id", "type", "track_key", "label", "line", "direction", "zone", "error"];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = Front::fields("at").to_vec();
    fields.extend(TEXTS.map(|name| Field::new(name, DataType::Utf8, true)));
    fields.extend([
        Field::new("snapshot", DataType::Utf8, true),
        Field::new("model", DataType::Utf8, true),
        Field::new("model_sha256", DataType::Utf8, true),
        Field::new("seq", DataType::Int64, true),
        Field::new("generation", DataType::Int64, true),
        Field::new("class_id", DataType::Int32, true),
        Field::new("confidence", DataType::Float32, true),
        Field::new("duration_s", DataType::Float64, true),
        Field::new("appeared", DataType::Boolean, true),
        Field::new("vanished", DataType::Boolean, true),
    ]);
    fields.extend(Boxes::fields());
    fields.extend([
        Field::new("first_seen", micros(), true),
        Field::new("last_seen", micros(), true),
        Field::new("path", DataType::List(ELEMENT.clone()), true),
        Field::new("best", DataType::Struct(BEST.clone()), true),
        Field::new("labels", DataType::Map(LABELS.clone(), false), true),
    ]);
    fields.extend(Back::fields());
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Rows that are being gathered.
pub(super) struct Events {
    front: Front,
    texts: [StringBuilder; 11],
    seq: Numbers<Int64Type>,
    generation: Numbers<Int64Type>,
    class_id: Numbers<Int32Type>,
    confidence: Numbers<Float32Type>,
    duration_s: Numbers<Float64Type>,
    appeared: Vec<Option<bool>>,
    vanished: Vec<Option<bool>>,
    sides: Boxes,
    first_seen: Numbers<TimestampMicrosecondType>,
    last_seen: Numbers<TimestampMicrosecondType>,
    path: Points,
    best: BestSights,
    labels: Labels,
    back: Back,
    bytes: usize,
}

struct Points {
    valid: BooleanBufferBuilder,
    lengths: Lengths,
    x: Vec<f32>,
    y: Vec<f32>,
}

struct BestSights {
    valid: BooleanBufferBuilder,
    epoch: Numbers<Int64Type>,
    seq: Numbers<Int64Type>,
    at: Numbers<TimestampMicrosecondType>,
    confidence: Numbers<Float32Type>,
    sides: Boxes,
}

struct Labels {
    valid: BooleanBufferBuilder,
    lengths: Lengths,
    key: StringBuilder,
    value: StringBuilder,
}

impl Events {
    pub(super) fn new(topic: &str, partition: i32) -> Self {
        let none = || BooleanBufferBuilder::new(0);
        Self {
            front: Front::new(topic, partition),
            texts: Default::default(),
            seq: Numbers::default(),
            generation: Numbers::default(),
            class_id: Numbers::default(),
            confidence: Numbers::default(),
            duration_s: Numbers::default(),
            appeared: Vec::new(),
            vanished: Vec::new(),
            sides: Boxes::default(),
            first_seen: Numbers::default(),
            last_seen: Numbers::default(),
            path: Points { valid: none(), lengths: Lengths::default(), x: Vec::new(), y: Vec::new() },
            best: BestSights {
                valid: none(),
                epoch: Numbers::default(),
                seq: Numbers::default(),
                at: Numbers::default(),
                confidence: Numbers::default(),
                sides: Boxes::default(),
            },
            labels: Labels {
                valid: none(),
                lengths: Lengths::default(),
                key: StringBuilder::new(),
                value: StringBuilder::new(),
            },
            back: Back::default(),
            bytes: 0,
        }
    }
}

impl Rows for Events {
    fn push(&mut self, record: &Record<'_>, row: &Row<'_>) {
        let event = match &row.content {
            Content::Event(event) => Some(&**event),
            _ => None,
        };
        self.front.push(record, row);
        let model = event.and_then(|event| event.model.as_ref());
        let texts = [
            event.map(|event| &*event.id),
            event.map(|event| &*event.kind),
            event.and_then(|event| event.track_key.as_deref()),
            event.and_then(|event| event.label.as_deref()),
            event.and_then(|event| event.line.as_deref()),
            event.and_then(|event| event.direction.as_deref()),
            event.and_then(|event| event.zone.as_deref()),
            event.and_then(|event| event.error.as_deref()),
            event.and_then(|event| event.snapshot.as_deref()),
            model.map(|model| &*model.name),
            model.map(|model| &*model.sha256),
        ];
        self.bytes += 256 + texts.iter().flatten().map(|text| text.len()).sum::<usize>();
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_option(text));
        self.seq.push(event.map(|event| event.seq));
        self.generation.push(event.map(|event| event.generation));
        self.class_id.push(event.and_then(|event| event.class_id));
        self.confidence.push(event.and_then(|event| event.confidence));
        self.duration_s.push(event.and_then(|event| event.duration_s));
        self.appeared.push(event.map(|event| event.appeared));
        self.vanished.push(event.map(|event| event.vanished));
        self.sides.push(event.and_then(|event| event.box2d));
        self.first_seen.push(event.and_then(|event| event.first_seen).map(|time| time.as_micros()));
        self.last_seen.push(event.and_then(|event| event.last_seen).map(|time| time.as_micros()));
        self.path.push(event);
        self.best.push(event);
        self.labels.push(event);
        self.back.push(record, row);
    }

    fn len(&self) -> usize {
        self.front.len()
    }

    fn bytes(&self) -> usize {
        self.front.bytes() + self.back.bytes() + self.bytes
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.bytes = 0;
        let mut columns = self.front.take();
        columns.extend(self.texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend([
            Arc::new(self.seq.take()) as ArrayRef,
            Arc::new(self.generation.take()),
            Arc::new(self.class_id.take()),
            Arc::new(self.confidence.take()),
            Arc::new(self.duration_s.take()),
            Arc::new(BooleanArray::from(std::mem::take(&mut self.appeared))),
            Arc::new(BooleanArray::from(std::mem::take(&mut self.vanished))),
        ]);
        columns.extend(self.sides.take());
        columns.extend([times(&mut self.first_seen), times(&mut self.last_seen)]);
        columns.extend([self.path.take()?, self.best.take()?, self.labels.take()?]);
        columns.extend(self.back.take());
        RecordBatch::try_new(SCHEMA.clone(), columns)
    }
}

fn times(column: &mut Numbers<TimestampMicrosecondType>) -> ArrayRef {
    Arc::new(column.take().with_timezone("UTC"))
}

impl Points {
    fn push(&mut self, event: Option<&EventRow>) {
        let path = event.map(|event| event.path.as_slice()).filter(|path| !path.is_empty());
        self.valid.append(path.is_some());
        let path = path.unwrap_or_default();
        self.lengths.push(path.len());
        self.x.extend(path.iter().map(|[x, _]| x));
        self.y.extend(path.iter().map(|[_, y]| y));
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let [x, y] = [&mut self.x, &mut self.y]
            .map(|column| Arc::new(Float32Array::from(std::mem::take(column))) as ArrayRef);
        let points = StructArray::try_new(POINT.clone(), vec![x, y], None)?;
        let valid = NullBuffer::new(self.valid.finish());
        let lists = ListArray::try_new(ELEMENT.clone(), self.lengths.take(), Arc::new(points), Some(valid))?;
        Ok(Arc::new(lists))
    }
}

impl BestSights {
    fn push(&mut self, event: Option<&EventRow>) {
        let best = event.and_then(|event| event.best);
        self.valid.append(best.is_some());
        self.epoch.push(best.map(|best| best.epoch));
        self.seq.push(best.map(|best| best.seq));
        self.at.push(best.map(|best| best.at.as_micros()));
        self.confidence.push(best.map(|best| best.confidence));
        self.sides.push(best.map(|best| best.box2d));
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.epoch.take()),
            Arc::new(self.seq.take()),
            times(&mut self.at),
            Arc::new(self.confidence.take()),
        ];
        columns.extend(self.sides.take());
        let valid = NullBuffer::new(self.valid.finish());
        Ok(Arc::new(StructArray::try_new(BEST.clone(), columns, Some(valid))?))
    }
}

impl Labels {
    fn push(&mut self, event: Option<&EventRow>) {
        let labels = event.map(|event| &event.labels).filter(|labels| !labels.is_empty());
        self.valid.append(labels.is_some());
        self.lengths.push(labels.map_or(0, |labels| labels.len()));
        for (key, value) in labels.into_iter().flatten() {
            self.key.append_value(key);
            self.value.append_value(value);
        }
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.key.finish()), Arc::new(self.value.finish())];
        let entries = StructArray::try_new(LABEL.clone(), columns, None)?;
        let valid = NullBuffer::new(self.valid.finish());
        let maps = MapArray::try_new(LABELS.clone(), self.lengths.take(), entries, Some(valid), false)?;
        Ok(Arc::new(maps))
    }
}
