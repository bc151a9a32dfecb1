//! Records as rows of columns.

mod columns;
mod detections;
mod events;
mod messages;
mod read;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use sightline_service::kafka::Record;

use self::detections::Detections;
use self::events::Events;
pub(super) use self::read::{Content, Row};

/// What a topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Detections,
    Events,
}

impl Kind {
    /// As it is given and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detections => "detections",
            Self::Events => "events",
        }
    }

    pub(super) fn schema(self) -> SchemaRef {
        match self {
            Self::Detections => detections::schema(),
            Self::Events => events::schema(),
        }
    }

    /// Columns of numbers that grow or spread: a dictionary of them would be as long as they are.
    pub(super) const fn numbers(self) -> &'static [&'static str] {
        match self {
            Self::Detections => &["offset", "timestamp", "seq", "captured_at", "pts_us"],
            Self::Events => &["offset", "timestamp"],
        }
    }

    /// Columns of fractions.
    pub(super) const fn fractions(self) -> &'static [&'static [&'static str]] {
        const LIST: [&str; 3] = ["detections", "list", "element"];
        const fn of(name: &'static str) -> [&'static str; 4] {
            [LIST[0], LIST[1], LIST[2], name]
        }
        const BOX: [[&str; 4]; 5] = [of("confidence"), of("x_min"), of("y_min"), of("x_max"), of("y_max")];
        match self {
            Self::Detections => &[&BOX[0], &BOX[1], &BOX[2], &BOX[3], &BOX[4]],
            Self::Events => &[],
        }
    }

    pub(super) fn rows(self, topic: &str, partition: i32) -> Box<dyn Rows> {
        match self {
            Self::Detections => Box::new(Detections::new(topic, partition)),
            Self::Events => Box::new(Events::new(topic, partition)),
        }
    }
}

/// Rows that are being gathered.
pub(super) trait Rows: Send {
    fn push(&mut self, record: &Record<'_>, row: &Row<'_>);

    fn len(&self) -> usize;

    /// What they take, about.
    fn bytes(&self) -> usize;

    /// Gives them away, and begins anew.
    fn take(&mut self) -> Result<RecordBatch, ArrowError>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    const GOLDEN: [&str; 6] = [
        include_str!("../../../../schema/golden/frame-1.json"),
        include_str!("../../../../schema/golden/event-1.json"),
        include_str!("../../../../schema/golden/gap-1.json"),
        include_str!("../../../../schema/golden/spec-1.json"),
        include_str!("../../../../schema/golden/stream-1.json"),
        include_str!("../../../../schema/golden/tick-1.json"),
    ];

    #[test]
    fn whatever_comes_becomes_a_row() {
        let mut rng = StdRng::seed_from_u64(7);
        for kind in [Kind::Detections, Kind::Events] {
            let mut rows = kind.rows("t", 3);
            let mut raw = 0;
            for n in 0..6000 {
                let mut value = GOLDEN[n % 6].trim_end().as_bytes().to_vec();
                for _ in 0..n / 6 % 4 {
                    let at = rng.random_range(0..value.len());
                    match rng.random_range(0..3) {
                        0 => value[at] = rng.random(),
                        1 => value.insert(at, b"{}[],:\"1eN"[rng.random_range(0..10)]),
                        _ => drop(value.remove(at)),
                    }
                }
                let header = [None, Some("frame/1"), Some("event/1"), Some("gap/1")][rng.random_range(0..4)];
                let row = Row::read(Some(&value), header);
                let is_raw = matches!(row.content, Content::Raw(..));
                // By its grammar: a number that is beyond any type is kept as the text that it is.
                let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&value).is_ok();
                assert!(is_raw || is_json, "{}", String::from_utf8_lossy(&value));
                assert!(n / 6 % 4 > 0 || !is_raw, "{}", String::from_utf8_lossy(&value));
                raw += usize::from(is_raw);
                let value = Some(value.as_slice());
                let record = Record {
                    offset: n as i64,
                    timestamp_ms: 1,
                    key: Some(b"gate-3"),
                    value,
                    schema: header,
                    traceparent: None,
                };
                rows.push(&record, &row);
            }
            let batch = rows.take().unwrap();
            assert_eq!((batch.num_rows(), batch.schema()), (6000, kind.schema()));
            assert!(raw > 1000, "{raw}");
            assert_eq!((rows.len(), rows.bytes()), (0, 0));
        }
    }
}
