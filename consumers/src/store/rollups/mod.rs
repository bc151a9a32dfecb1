//! How much was seen, by the minute.

mod camera;

use std::sync::Arc;

use sightline_service::kafka::Reader;
use sightline_service::trace::OpenSpan;

pub use self::camera::{CameraRollups, MinuteRow};
use super::rollup_rows::RollupRows;
use super::writer::RowWriter;
use crate::checkpointed::{Checkpointed, Outlet};
use crate::runner::WorkError;

/// What `consume store` does with partitions of `detections`.
pub type Rollups = Checkpointed<CameraRollups, RollupsOutlet>;

/// To the table `detections_per_minute`.
pub struct RollupsOutlet {
    writer: RowWriter,
    rows: Vec<MinuteRow>,
}

impl RollupsOutlet {
    pub fn new(writer: RowWriter) -> Self {
        Self { writer, rows: Vec::new() }
    }
}

impl Outlet for RollupsOutlet {
    type Item = MinuteRow;

    fn send(&mut self, row: MinuteRow, _: Option<&Arc<OpenSpan>>) -> Result<(), WorkError> {
        self.rows.push(row);
        Ok(())
    }

    fn flush(&mut self, reader: &Reader) -> Result<(), WorkError> {
        // A row that no table can hold stands in the log; there is no record to put aside.
        self.writer.write::<RollupRows>(&mut self.rows, reader, |_, _| {})?;
        self.rows.clear();
        Ok(())
    }
}
