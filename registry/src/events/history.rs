//! What happened, newest first, from the rows that `consume store` wrote.

use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Event, EventType, Timestamp};
use sightline_service::database::{DatabaseFault, DatabaseFaultKind, DatabaseSettings};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::{Postgres, QueryBuilder};
use tokio::sync::OnceCell;

use super::cursor::Behind;
use super::filter::Filter;
use super::row;
use crate::api::types::EventPage;
use crate::metrics::Metrics;

/// Connections; who finds none waits.
const CONNECTIONS: u32 = 4;
/// How long one is waited for.
const CONNECT: Duration = Duration::from_secs(3);
/// What the database is given for a statement, and how long its answer is waited for.
const STATEMENT_MS: &str = "10000";
const ANSWER: Duration = Duration::from_secs(12);

const HOUR: i64 = 3_600_000_000;
/// How far back it is looked, step by step, before everything is: the index of times finds little steps quickly, and
/// most of what is asked for happened just now.
const STEPS: [i64; 4] = [HOUR, 16 * HOUR, 256 * HOUR, 4096 * HOUR];
/// 0001-01-01 and 9999-12-31 in microseconds since 1970: what is asked for beyond is not there.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

pub(crate) struct History {
    database: DatabaseSettings,
    pool: OnceCell<PgPool>,
    metrics: Metrics,
}

impl History {
    /// Reaches for nothing yet.
    pub(crate) fn new(database: DatabaseSettings, metrics: Metrics) -> Self {
        Self { database, pool: OnceCell::new(), metrics }
    }

    pub(crate) async fn page(
        &self,
        filter: &Filter,
        behind: Option<Behind>,
        limit: usize,
    ) -> Result<EventPage, DatabaseFault> {
        let begun = Instant::now();
        let found = tokio::time::timeout(ANSWER, self.find(filter, behind, limit)).await;
        let found = found.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        self.metrics.history_seconds.observe(begun.elapsed().as_secs_f64());
        let page = found.map_err(|error| self.fault(&error));
        page.inspect_err(|fault| {
            self.metrics.history_failed(fault.kind);
            tracing::warn!(reason = fault.kind.as_str(), "no history: {fault}");
        })
    }

    fn fault(&self, error: &sqlx::Error) -> DatabaseFault {
        match error {
            sqlx::Error::Database(said) if said.code().as_deref() == Some("57014") => DatabaseFault::new(
                DatabaseFaultKind::Other,
                format!(
                    "the database {} did not find it within {} s; narrow it down by since, camera or type",
                    self.database,
                    STATEMENT_MS.trim_end_matches("000")
                ),
            ),
            // Undefined table: nobody ever wrote into it.
            sqlx::Error::Database(said) if said.code().as_deref() == Some("42P01") => DatabaseFault::new(
                DatabaseFaultKind::Schema,
                format!(
                    "the database {} has no table of events; `sightline consume store --database …` makes and fills it",
                    self.database
                ),
            ),
            error => self.database.fault(error),
        }
    }

    async fn find(
        &self,
        filter: &Filter,
        behind: Option<Behind>,
        limit: usize,
    ) -> Result<EventPage, sqlx::Error> {
        let pool = self.pool.get_or_init(async || self.connect()).await;
        let mut connection = pool.acquire().await?;
        let mut events: Vec<Event> = Vec::new();
        for window in windows(filter, behind.as_ref(), Timestamp::from_system_time(SystemTime::now())) {
            // One more says whether there is a next page.
            let wanted = limit + 1 - events.len();
            let mut query = query(filter, behind.as_ref(), window, wanted);
            let rows: Vec<PgRow> = query.build().persistent(false).fetch_all(&mut *connection).await?;
            for row in &rows {
                events.push(row::event(row)?);
            }
            if events.len() > limit {
                break;
            }
        }
        let is_more = events.len() > limit;
        events.truncate(limit);
        let last = events.last().filter(|_| is_more);
        let next = last.map(|last| Behind { at: last.at, id: last.id.clone() }.text());
        Ok(EventPage { events, next })
    }

    fn connect(&self) -> PgPool {
        let options = self.database.options().options([("statement_timeout", STATEMENT_MS)]);
        PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .idle_timeout(Duration::from_secs(300))
            .connect_lazy_with(options)
    }
}

/// Times from, and before which; microseconds since 1970. Newest first, none twice, all together what is asked for.
fn windows(filter: &Filter, behind: Option<&Behind>, now: Timestamp) -> Vec<(Option<i64>, Option<i64>)> {
    let clamped = |micros: i64| micros.clamp(*TIMES.start(), *TIMES.end());
    let since = filter.since.map(|since| clamped(since.as_micros()));
    let until = filter.until.map(|until| clamped(until.as_micros()));
    let behind = behind.map(|behind| clamped(behind.at.as_micros()).saturating_add(1));
    let mut before = until.into_iter().chain(behind).min();
    let newest = before.map_or(now.as_micros(), |before| before.min(now.as_micros()));
    let mut windows = Vec::new();
    for step in STEPS {
        let from = clamped(newest.saturating_sub(step));
        if since.is_some_and(|since| since >= from) {
            break;
        }
        windows.push((Some(from), before));
        before = Some(from);
    }
    windows.push((since, before));
    windows
}

/// Only what is asked for: a plan that fits any question fits none.
fn query(
    filter: &Filter,
    behind: Option<&Behind>,
    (from, before): (Option<i64>, Option<i64>),
    limit: usize,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(row::SELECT);
    query.push(" WHERE true");
    let time = |query: &mut QueryBuilder<Postgres>, compared: &str, micros: i64| {
        query.push(format_args!(" AND at {compared} 'epoch'::timestamptz + "));
        query.push_bind(micros).push(" * interval '1 microsecond'");
    };
    if let Some(from) = from {
        time(&mut query, ">=", from);
    }
    if let Some(before) = before {
        time(&mut query, "<", before);
    }
    if let Some(behind) = behind {
        let at = behind.at.as_micros().clamp(*TIMES.start(), *TIMES.end());
        query.push(" AND (at, id COLLATE \"C\") < ('epoch'::timestamptz + ");
        query.push_bind(at).push(" * interval '1 microsecond', ");
        query.push_bind(behind.id.clone()).push(")");
    }
    let kinds: Vec<_> = filter.kinds.iter().map(|kind: &EventType| kind.as_str().to_owned()).collect();
    for (column, names) in [
        ("camera", &filter.cameras),
        ("type", &kinds),
        ("zone", &filter.zones),
        ("line", &filter.lines),
        ("label", &filter.labels),
    ] {
        match names.as_slice() {
            [] => {}
            // An index gives one of them in the order of time.
            [name] => drop(query.push(format_args!(" AND {column} = ")).push_bind(name.clone())),
            names => {
                query.push(format_args!(" AND {column} = ANY("));
                query.push_bind(names.to_vec()).push(")");
            }
        }
    }
    query.push(" ORDER BY at DESC, id COLLATE \"C\" DESC LIMIT ");
    query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_all_of_the_time_that_is_asked_for() {
        let time = |hours: i64| Timestamp::from_micros(hours * HOUR);
        let now = time(500_000);
        let of = |since: Option<i64>, until: Option<i64>, behind: Option<i64>| {
            let filter = Filter { since: since.map(time), until: until.map(time), ..Filter::default() };
            let behind = behind.map(|at| Behind { at: time(at), id: "x".to_owned() });
            windows(&filter, behind.as_ref(), now)
        };
        for (since, until, behind) in [
            (None, None, None),
            (Some(499_990), None, None),
            (Some(499_999), Some(500_010), None),
            (Some(10), Some(400_000), Some(399_000)),
            (Some(600_000), None, Some(2)),
            (None, Some(-100_000_000), None),
        ] {
            let windows = of(since, until, behind);
            assert_eq!(windows.last().map(|last| last.0), Some(since.map(|since| since * HOUR)));
            assert!(windows.windows(2).all(|pair| pair[0].0 == pair[1].1), "{windows:?}");
        }
        assert_eq!(of(None, None, None).first(), Some(&(Some(499_999 * HOUR), None)));
        assert_eq!(of(None, None, None).len(), 5);
        assert_eq!(of(Some(499_999), None, None), [(Some(499_999 * HOUR), None)]);
        assert_eq!(of(None, None, Some(7))[0].1, Some(7 * HOUR + 1));
    }

    #[test]
    fn what_is_asked_for_is_never_part_of_the_statement() {
        let evil = "'; DROP TABLE events; --".to_owned();
        let names = || vec![evil.clone()];
        let filter =
            Filter { cameras: names(), zones: names(), lines: names(), labels: names(), ..Filter::default() };
        let behind = Behind { at: Timestamp::from_micros(0), id: evil.clone() };
        let query = query(&filter, Some(&behind), (Some(1), Some(2)), 10);
        assert!(!query.sql().as_str().contains("DROP"));
    }
}
