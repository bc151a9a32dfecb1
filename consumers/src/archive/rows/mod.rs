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
