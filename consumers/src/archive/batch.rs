//! The records of one partition from one offset to another, on their way into files: one for each day and bucket of cameras.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sightline_service::kafka::Record;

use super::names::{Day, bucket, path};
use super::rows::{Kind, Row, Rows};
use crate::runner::WorkError;

/// Rows are encoded so many at a time…
const ROWS: usize = 2048;
/// … or when they take this much.
const ROWS_BYTES: usize = 4 << 20;
/// A row group is closed at this size, encoded: what readers skip by, and what is held uncompressed at most.
const GROUP_BYTES: usize = 32 << 20;
const GROUP_ROWS: usize = 250_000;
/// A batch goes over so many files at most: recordings of many days read at once would open one for each.
pub(super) const MOST_FILES: usize = 64;

/// Where the records are from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    pub(super) topic: String,
    pub(super) partition: i32,
}

/// A batch that takes records.
pub(super) struct Open {
    source: Source,
    buckets: u32,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) records: u64,
    /// Of keys and values, as they were read.
    pub(super) read_bytes: u64,
    pub(super) since: Instant,
    files: BTreeMap<(Day, u32), File>,
}

struct File {
    rows: Box<dyn Rows>,
    writer: ArrowWriter<Vec<u8>>,
    encoded: usize,
}

/// A file that is complete and only wants to be written.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    /// Below the archive's root.
    pub(super) path: String,
    pub(super) bytes: Bytes,
}

impl Open {
    pub(super) fn new(source: Source, buckets: u32, first: i64, now: Instant) -> Self {
        Self {
            source,
            buckets,
            first,
            last: first,
            records: 0,
            read_bytes: 0,
            since: now,
            files: BTreeMap::new(),
        }
    }

    pub(super) fn buckets(&self) -> u32 {
        self.buckets
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    /// What it holds in memory, about.
    pub(super) fn memory(&self) -> usize {
        self.files.values().map(|file| file.encoded + file.rows.bytes()).sum()
    }

    pub(super) fn push(&mut self, record: &Record<'_>, row: &Row<'_>) -> Result<(), WorkError> {
        self.last = record.offset;
        self.records += 1;
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| bytes.len() as u64);
        self.read_bytes += length(record.key) + length(record.value);
        let day = row.at.and_then(Day::of_micros);
        let day = day.or_else(|| Day::of_micros(record.timestamp_ms.saturating_mul(1000)));
        let day = day.or_else(|| Day::of_micros(0));
        let key = || record.key.map(String::from_utf8_lossy).unwrap_or_default();
        let bucket = match &row.camera {
            Some(camera) => bucket(camera, self.buckets),
            None => bucket(&key(), self.buckets),
        };
        let Some(day) = day else { return Ok(()) };
        let Self { source, files, .. } = self;
        let file = match files.entry((day, bucket)) {
            std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::btree_map::Entry::Vacant(none) => none.insert(File::new(source)?),
        };
        file.push(record, row)
    }

    /// All of its files, complete.
    pub(super) fn seal(self) -> Result<Vec<Sealed>, WorkError> {
        let Self { source, first, last, files, .. } = self;
        let seal = |((day, bucket), file): ((Day, u32), File)| {
            let path = path(&source.topic, day, bucket, source.partition, (first, last));
            Ok(Sealed { path, bytes: file.seal(&source, (first, last))? })
        };
        files.into_iter().map(seal).collect()
    }
}

impl File {
    fn new(source: &Source) -> Result<Self, WorkError> {
        let writer = ArrowWriter::try_new(Vec::new(), source.kind.schema(), Some(properties(source.kind)))
            .map_err(cannot_encode)?;
        Ok(Self { rows: source.kind.rows(&source.topic, source.partition), writer, encoded: 0 })
    }

    fn push(&mut self, record: &Record<'_>, row: &Row<'_>) -> Result<(), WorkError> {
        self.rows.push(record, row);
        if self.rows.len() >= ROWS || self.rows.bytes() >= ROWS_BYTES { self.encode() } else { Ok(()) }
    }

    fn encode(&mut self) -> Result<(), WorkError> {
        let rows = self.rows.take().map_err(|error| cannot_encode(error.into()))?;
        self.writer.write(&rows).map_err(cannot_encode)?;
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush().map_err(cannot_encode)?;
        }
        self.encoded = self.writer.memory_size() + self.writer.bytes_written();
        Ok(())
    }

    fn seal(mut self, source: &Source, (first, last): (i64, i64)) -> Result<Bytes, WorkError> {
        if self.rows.len() > 0 {
            self.encode()?;
        }
        for (key, value) in [
            ("sightline.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("sightline.topic", source.topic.clone()),
            ("sightline.partition", source.partition.to_string()),
            ("sightline.first", first.to_string()),
            ("sightline.last", last.to_string()),
        ] {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        self.writer.into_inner().map(Bytes::from).map_err(cannot_encode)
    }
}

fn cannot_encode(error: parquet::errors::ParquetError) -> WorkError {
    WorkError::Final(format!(
        "records can't be encoded as Parquet: {error}; this is a fault of sightline, report it"
    ))
}

fn properties(kind: Kind) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("sightline ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Without an index by page readers take whole row groups, which are small.
        .set_offset_index_disabled(true)
        // A raw record may have megabytes: they are not copied into statistics.
        .set_statistics_truncate_length(Some(64))
        .set_column_statistics_enabled(ColumnPath::from("raw"), EnabledStatistics::None)
        .set_column_statistics_enabled(ColumnPath::from("rest"), EnabledStatistics::None)
        .set_column_dictionary_enabled(ColumnPath::from("raw"), false);
    for column in kind.numbers() {
        let column = ColumnPath::from(*column);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    for column in kind.fractions() {
        let column = ColumnPath::new(column.iter().map(|part| (*part).to_owned()).collect());
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column.clone(), Encoding::BYTE_STREAM_SPLIT)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    properties.build()
}
