//! A row of `events` as the event that it was made of.

use serde::Deserialize;
use sightline_schema::{
    BestSight, Box2d, Direction, ErrorCode, Event, EventType, ModelRef, Point, Timestamp,
};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Columns by their place, for [`event`]. The model's by way of the row's JSON: a database that no newer `consume store` has
/// brought up to date yet lacks them.
pub(super) const SELECT: &str = "SELECT id, (extract(epoch FROM at) * 1000000)::bigint, type, camera, epoch, seq, generation, \
    track_key, class_id, label, confidence, line, direction, zone, duration_s, appeared, vanished, x_min, y_min, x_max, \
    y_max, labels::text, more::text, to_jsonb(events) ->> 'model', to_jsonb(events) ->> 'model_sha256' FROM events";

/// What of an event has no column.
#[derive(Default, Deserialize)]
#[serde(default)]
struct More {
    first_seen: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    path: Vec<Point>,
    best: Option<BestSight>,
    error: Option<ErrorCode>,
    snapshot: Option<String>,
}

pub(super) fn event(row: &PgRow) -> Result<Event, sqlx::Error> {
    let edges: [Option<f32>; 4] = [row.try_get(17)?, row.try_get(18)?, row.try_get(19)?, row.try_get(20)?];
    let box2d = match edges {
        [Some(x_min), Some(y_min), Some(x_max), Some(y_max)] => Some(Box2d { x_min, y_min, x_max, y_max }),
        _ => None,
    };
    let more: More = match row.try_get::<Option<&str>, _>(22)? {
        Some(text) => json("more", text)?,
        None => More::default(),
    };
    let model = match (row.try_get(23)?, row.try_get(24)?) {
        (Some(name), Some(sha256)) => Some(ModelRef { name, sha256 }),
        _ => None,
    };
    Ok(Event {
        id: row.try_get(0)?,
        at: Timestamp::from_micros(row.try_get(1)?),
        kind: word("type", row.try_get(2)?, &EventType::ALL, EventType::as_str)?,
        camera: row.try_get(3)?,
        epoch: number("epoch", row.try_get(4)?)?,
        seq: number("seq", row.try_get(5)?)?,
        generation: number("generation", row.try_get(6)?)?,
        track_key: row.try_get(7)?,
        class_id: row.try_get::<Option<i64>, _>(8)?.map(|id| number("class_id", id)).transpose()?,
        label: row.try_get(9)?,
        confidence: row.try_get(10)?,
        line: row.try_get(11)?,
        direction: match row.try_get::<Option<&str>, _>(12)? {
            Some(text) => {
                let both = [Direction::Forward, Direction::Backward];
                Some(word("direction", text, &both, Direction::as_str)?)
            }
            None => None,
        },
        zone: row.try_get(13)?,
        duration_s: row.try_get(14)?,
        appeared: row.try_get(15)?,
        vanished: row.try_get(16)?,
        box2d,
        model,
        labels: json("labels", row.try_get(21)?)?,
        first_seen: more.first_seen,
        last_seen: more.last_seen,
        path: more.path,
        best: more.best,
        error: more.error,
        snapshot: more.snapshot,
    })
}

fn wrong(column: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: why.into() }
}

fn json<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| wrong(column, error))
}

fn number<T: TryFrom<i64>>(column: &str, value: i64) -> Result<T, sqlx::Error> {
    T::try_from(value).map_err(|_| wrong(column, format!("{value} is no such number")))
}

fn word<T: Copy>(
    column: &str,
    text: &str,
    all: &[T],
    written: impl Fn(T) -> &'static str,
) -> Result<T, sqlx::Error> {
    let found = all.iter().copied().find(|one| written(*one) == text);
    found.ok_or_else(|| wrong(column, format!("{text:?} is not known to this version")))
}
