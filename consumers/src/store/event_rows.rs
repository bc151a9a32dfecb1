//! Rows of `events`.

use serde::Serialize;
use sightline_schema::{BestSight, ErrorCode, Event, Point, Timestamp};
use sqlx::PgConnection;

use super::rows::{Rows, column, json, sort_by_key};

/// The table `events`.
pub(super) struct EventRows;

pub(super) struct EventRow {
    pub(super) event: Event,
    /// Partition and offset of its record.
    pub(super) place: (i32, i64),
    pub(super) epoch: i64,
    seq: i64,
    generation: i64,
    labels: String,
    more: Option<String>,
}

/// What of an event has no column.
#[derive(Serialize)]
struct More<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "<[Point]>::is_empty")]
    path: &'e [Point],
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<&'e BestSight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<&'e str>,
}

impl EventRow {
    /// The reason where a table can't hold it.
    pub(super) fn of(event: Event, place: (i32, i64)) -> Result<Self, String> {
        let number = |field: &str, value: u64| {
            i64::try_from(value).map_err(|_| format!("{field} {value} is larger than a table holds"))
        };
        let more = json(&More {
            first_seen: event.first_seen,
            last_seen: event.last_seen,
            path: &event.path,
            best: event.best.as_ref(),
            error: event.error,
            snapshot: event.snapshot.as_deref(),
        })?;
        Ok(Self {
            epoch: number("epoch", event.epoch)?,
            seq: number("seq", event.seq)?,
            generation: number("generation", event.generation)?,
            labels: json(&event.labels)?,
            more: (more != "{}").then_some(more),
            event,
            place,
        })
    }
}

impl Rows for EventRows {
    type Row = EventRow;

    const TABLE: &'static str = "events";

    fn sort(rows: &mut Vec<EventRow>) {
        sort_by_key(rows, |row| &row.event.id);
    }

    async fn upsert(connection: &mut PgConnection, rows: &[EventRow]) -> Result<(), sqlx::Error> {
        let edge = |edge: fn(&sightline_schema::Box2d) -> f32| {
            column(rows, move |row| row.event.box2d.as_ref().map(edge))
        };
        sqlx::query(include_str!("sql/upsert_events.sql"))
            .bind(column(rows, |row| row.event.id.as_str()))
            .bind(column(rows, |row| row.event.at.as_micros()))
            .bind(column(rows, |row| row.event.kind.as_str()))
            .bind(column(rows, |row| row.event.camera.as_str()))
            .bind(column(rows, |row| row.epoch))
            .bind(column(rows, |row| row.seq))
            .bind(column(rows, |row| row.generation))
            .bind(column(rows, |row| row.event.track_key.as_deref()))
            .bind(column(rows, |row| row.event.class_id.map(i64::from)))
            .bind(column(rows, |row| row.event.label.as_deref()))
            .bind(column(rows, |row| row.event.confidence))
            .bind(column(rows, |row| row.event.line.as_deref()))
            .bind(column(rows, |row| row.event.direction.map(|direction| direction.as_str())))
            .bind(column(rows, |row| row.event.zone.as_deref()))
            .bind(column(rows, |row| row.event.duration_s))
            .bind(column(rows, |row| row.event.appeared))
            .bind(column(rows, |row| row.event.vanished))
            .bind(edge(|bounds| bounds.x_min))
            .bind(edge(|bounds| bounds.y_min))
            .bind(edge(|bounds| bounds.x_max))
            .bind(edge(|bounds| bounds.y_max))
            .bind(column(rows, |row| row.labels.as_str()))
            .bind(column(rows, |row| row.more.as_deref()))
            .bind(column(rows, |row| row.event.model.as_ref().map(|model| model.name.as_str())))
            .bind(column(rows, |row| row.event.model.as_ref().map(|model| model.sha256.as_str())))
            .execute(connection)
            .await?;
        Ok(())
    }
}
