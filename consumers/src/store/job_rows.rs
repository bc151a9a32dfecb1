//! Rows that say that a job is whole: those of its older attempts go with them.

use sqlx::{Connection as _, PgConnection};

use super::event_rows::{EventRow, EventRows};
use super::rows::{Rows, column};

/// `job_done` in the table `events`.
pub(super) struct DoneRows;

impl Rows for DoneRows {
    type Row = EventRow;

    const TABLE: &'static str = EventRows::TABLE;

    fn sort(rows: &mut Vec<EventRow>) {
        EventRows::sort(rows);
    }

    async fn upsert(connection: &mut PgConnection, rows: &[EventRow]) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin().await?;
        EventRows::upsert(&mut transaction, rows).await?;
        let jobs = column(rows, |row| row.event.camera.as_str());
        let epochs = column(rows, |row| row.epoch);
        for statement in
            [include_str!("sql/delete_older_events.sql"), include_str!("sql/delete_older_tracks.sql")]
        {
            sqlx::query(statement).bind(&jobs).bind(&epochs).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}
