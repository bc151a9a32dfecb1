//! Events, tracks and how much was seen, as rows in PostgreSQL.
//!
//! Two consumers: one reads `events` and commits when its rows are written; the other reads `detections`, remembers the minute
//! it is in, and keeps it in checkpoints as `events` does. Both write by the key of a row, so that what is written twice is
//! there once.

mod event_rows;
mod events;
mod job_rows;
mod keep;
mod metrics;
mod migrate;
mod rollup_rows;
mod rollups;
mod rows;
mod track_rows;
mod writer;

pub use self::events::StoreEvents;
pub use self::keep::{Keep, keep};
pub use self::metrics::{StoreFamilies, StoreMetrics};
pub use self::migrate::migrate;
pub use self::rollups::{CameraRollups, MinuteRow, Rollups, RollupsOutlet};
pub use self::writer::RowWriter;

/// What each of the two writes.
pub const EVENT_TABLES: [&str; 2] = ["events", "tracks"];
pub const ROLLUP_TABLES: [&str; 1] = ["detections_per_minute"];
