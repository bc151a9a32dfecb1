//! Records as they were read, many to an allocation.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use sightline_schema::{HEADER_SCHEMA, HEADER_TRACEPARENT};

use crate::kafka::tail::Tailed;

/// Headers of a record of `detections` that is not sampled: its type and its schema.
const PLAIN: usize = 2;

/// Records of one partition, in order. While it lives, its bytes count as under way.
pub struct Batch {
    pub topic: Arc<str>,
    pub partition: i32,
    records: Vec<Place>,
    bytes: Vec<u8>,
    counted: usize,
    under_way: Arc<AtomicUsize>,
}

struct Place {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    schema: Option<Range<usize>>,
    traceparent: Option<Range<usize>>,
}

/// A record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds since 1970, by whoever wrote it; 0 where it has none.
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// What its header says it is.
    pub schema: Option<&'a str>,
    /// Which trace and span it belongs to, where it is sampled.
    pub traceparent: Option<&'a str>,
}

impl Batch {
    pub(super) fn new(topic: Arc<str>, partition: i32, under_way: Arc<AtomicUsize>) -> Self {
        Self { topic, partition, records: Vec::new(), bytes: Vec::new(), counted: 0, under_way }
    }

    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let headers = message.headers();
        let find = |name: &str| {
            let found = headers?.iter().find(|header| header.key == name);
            found.and_then(|header| header.value)
        };
        let schema = find(HEADER_SCHEMA);
        // What is not sampled has no third header, most of the time, and nothing is looked for.
        let has_more = headers.is_some_and(|headers| headers.count() > PLAIN);
        let traceparent = if has_more { find(HEADER_TRACEPARENT) } else { None };
        let place = Place {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(|key| self.keep(key)),
            value: message.payload().map(|value| self.keep(value)),
            schema: schema.map(|schema| self.keep(schema)),
            traceparent: traceparent.map(|traceparent| self.keep(traceparent)),
        };
        self.records.push(place);
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Counts it as under way until it is dropped.
    pub(super) fn count(&mut self) {
        self.counted = self.bytes.len() + self.records.len() * size_of::<Place>();
        self.under_way.fetch_add(self.counted, Ordering::SeqCst);
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn records(&self) -> impl DoubleEndedIterator<Item = Record<'_>> {
        let slice = |range: &Option<Range<usize>>| range.clone().and_then(|range| self.bytes.get(range));
        self.records.iter().map(move |place| Record {
            offset: place.offset,
            timestamp_ms: place.timestamp_ms,
            key: slice(&place.key),
            value: slice(&place.value),
            schema: slice(&place.schema).and_then(|schema| std::str::from_utf8(schema).ok()),
            traceparent: slice(&place.traceparent).and_then(|text| std::str::from_utf8(text).ok()),
        })
    }

    /// A record as dead letters take it.
    pub fn tailed<'a>(&'a self, record: &Record<'a>) -> Tailed<'a> {
        let place = (self.partition, record.offset);
        Tailed::bare(&self.topic, place, Some(record.timestamp_ms), record.key, record.value)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.under_way.fetch_sub(self.counted, Ordering::SeqCst);
    }
}
