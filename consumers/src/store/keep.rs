//! Rows are removed when they are old.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sightline_service::database::{Database, DatabaseFault, DatabaseSettings};
use sightline_service::shutdown::Shutdown;
use sqlx::{AssertSqlSafe, PgConnection};

use super::metrics::StoreMetrics;

/// How often it is looked for old rows.
const EVERY: Duration = Duration::from_secs(600);
/// Rows removed in one statement, so that none takes long.
const MOST: i64 = 10_000;
/// One process at a time does it: "sightlin" as a number.
const LOCK: i64 = 0x7369_6768_746c_696e;

/// The tables, and by which time their rows age.
const TABLES: [(&str, &str); 3] =
    [("events", "at"), ("tracks", "last_seen"), ("detections_per_minute", "minute")];

/// How long the rows of a table are kept: `events=90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    table: &'static str,
    time: &'static str,
    age: Duration,
}

/// What is wrong with a `--keep`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not TABLE=AGE; write events=90d, tracks=720h or detections_per_minute=2y")]
pub struct KeepError(String);

impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Self, KeepError> {
        let error = || KeepError(text.to_owned());
        let (table, age) = text.split_once('=').ok_or_else(error)?;
        let (table, time) = TABLES.into_iter().find(|(name, _)| *name == table).ok_or_else(error)?;
        let unit = age.chars().next_back().ok_or_else(error)?;
        let hours = match unit {
            'h' => 1,
            'd' => 24,
            'y' => 24 * 365,
            _ => return Err(error()),
        };
        let number: u64 = age.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(error)?;
        // 1,000 years are more than any time that is stored.
        let is_one = (1..=24 * 365 * 1000).contains(&number.saturating_mul(hours));
        is_one
            .then(|| Self { table, time, age: Duration::from_secs(number * hours * 3600) })
            .ok_or_else(error)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}h", self.table, self.age.as_secs() / 3600)
    }
}

/// Removes old rows until the process stops: at once, and then every 10 minutes. A database that is away is tried again with
/// the next round.
pub fn keep(
    settings: &DatabaseSettings,
    keeps: &[Keep],
    shutdown: &Shutdown,
    metrics: &Arc<StoreMetrics>,
) -> std::io::Result<()> {
    let mut database = Database::new(settings.clone())?;
    while !shutdown.is_set() {
        // Who writes says what is wrong; old rows wait.
        let fault = keeps.iter().try_for_each(|keep| remove(&mut database, keep, shutdown, metrics)).err();
        if let Some(fault) = fault {
            metrics.failed(fault.kind);
            tracing::warn!(reason = fault.kind.as_str(), "old rows are not removed for now: {fault}");
        }
        shutdown.wait_timeout(EVERY);
    }
    Ok(())
}

fn remove(
    database: &mut Database,
    keep: &Keep,
    shutdown: &Shutdown,
    metrics: &StoreMetrics,
) -> Result<(), DatabaseFault> {
    let Keep { table, time, age } = *keep;
    // A ctid is a row's place within its partition (or TimescaleDB's chunk): others have rows of that place, too.
    let old = format!("{time} < now() - $1 * interval '1 second'");
    let statement = format!(
        "DELETE FROM {table} WHERE {old} AND ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {old} LIMIT $2))"
    );
    let mut total = 0;
    while !shutdown.is_set() {
        let removed = database.run(async |connection: &mut PgConnection| {
            let mut transaction = sqlx::Connection::begin(connection).await?;
            let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut *transaction)
                .await?;
            if !is_ours {
                return Ok(0);
            }
            let done = sqlx::query(AssertSqlSafe(statement.clone()))
                .bind(age.as_secs() as f64)
                .bind(MOST)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(done.rows_affected())
        })?;
        metrics.removed(table, removed);
        total += removed;
        if removed < MOST as u64 {
            break;
        }
    }
    if total > 0 {
        tracing::info!(table, rows = total, "old rows removed");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read() {
        let keep: Keep = "events=90d".parse().unwrap();
        assert_eq!((keep.table, keep.time, keep.age.as_secs()), ("events", "at", 90 * 86_400));
        assert_eq!("detections_per_minute=2y".parse::<Keep>().unwrap().age.as_secs(), 730 * 86_400);
        for wrong in [
            "events",
            "events=",
            "events=90",
            "events=0d",
            "events=-1d",
            "cameras=1d",
            "events=1é",
            "events=99999999999999y",
        ] {
            assert_eq!(wrong.parse::<Keep>(), Err(KeepError(wrong.to_owned())));
        }
    }
}
