//! Rows of `tracks`: objects that were seen, from their `track_ended`.

use sightline_schema::{Event, EventType, ModelRef, Timestamp};
use sqlx::PgConnection;

use super::rows::{Rows, column, json, sort_by_key};

/// The table `tracks`.
pub(super) struct TrackRows;

pub(super) struct TrackRow {
    /// The track's key, and its last sight in microseconds since 1970: who is seen again after a while is another row.
    key: (String, i64),
    camera: String,
    class_id: Option<u32>,
    label: Option<String>,
    first_seen: Timestamp,
    confidence: Option<f32>,
    best: Option<String>,
    path: String,
    labels: String,
    model: Option<ModelRef>,
}

impl TrackRow {
    /// `None` for other events.
    pub(super) fn of(event: &Event) -> Result<Option<Self>, String> {
        if event.kind != EventType::TrackEnded {
            return Ok(None);
        }
        let Some(track_key) = event.track_key.clone() else {
            return Err("a track_ended without track_key".to_owned());
        };
        Ok(Some(Self {
            key: (track_key, event.last_seen.unwrap_or(event.at).as_micros()),
            camera: event.camera.clone(),
            class_id: event.class_id,
            label: event.label.clone(),
            first_seen: event.first_seen.unwrap_or(event.at),
            confidence: event.best.as_ref().map(|best| best.confidence),
            best: event.best.as_ref().map(json).transpose()?,
            path: json(&event.path)?,
            labels: json(&event.labels)?,
            model: event.model.clone(),
        }))
    }
}

impl Rows for TrackRows {
    type Row = TrackRow;

    const TABLE: &'static str = "tracks";

    fn sort(rows: &mut Vec<TrackRow>) {
        sort_by_key(rows, |row| &row.key);
    }

    async fn upsert(connection: &mut PgConnection, rows: &[TrackRow]) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/upsert_tracks.sql"))
            .bind(column(rows, |row| row.key.0.as_str()))
            .bind(column(rows, |row| row.camera.as_str()))
            .bind(column(rows, |row| row.class_id.map(i64::from)))
            .bind(column(rows, |row| row.label.as_deref()))
            .bind(column(rows, |row| row.first_seen.as_micros()))
            .bind(column(rows, |row| row.key.1))
            .bind(column(rows, |row| row.confidence))
            .bind(column(rows, |row| row.best.as_deref()))
            .bind(column(rows, |row| row.path.as_str()))
            .bind(column(rows, |row| row.labels.as_str()))
            .bind(column(rows, |row| row.model.as_ref().map(|model| model.name.as_str())))
            .bind(column(rows, |row| row.model.as_ref().map(|model| model.sha256.as_str())))
            .execute(connection)
            .await?;
        Ok(())
    }
}
