//! Rows of `detections_per_minute`.

use sqlx::PgConnection;

use super::rollups::MinuteRow;
use super::rows::{Rows, column, sort_by_key};

/// The table `detections_per_minute`.
pub(super) struct RollupRows;

impl Rows for RollupRows {
    type Row = MinuteRow;

    const TABLE: &'static str = "detections_per_minute";

    fn sort(rows: &mut Vec<MinuteRow>) {
        sort_by_key(rows, |row| &row.key);
    }

    async fn upsert(connection: &mut PgConnection, rows: &[MinuteRow]) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/upsert_detections_per_minute.sql"))
            .bind(column(rows, |row| row.key.0.as_str()))
            .bind(column(rows, |row| row.key.1.as_str()))
            .bind(column(rows, |row| row.key.2))
            .bind(column(rows, |row| row.frames as i64))
            .bind(column(rows, |row| row.detections as i64))
            .bind(column(rows, |row| row.most as i64))
            .bind(column(rows, MinuteRow::mean_confidence))
            .execute(connection)
            .await?;
        Ok(())
    }
}
