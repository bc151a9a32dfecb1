//! Rows on their way into the database: for as long as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_service::backoff::Backoff;
use sightline_service::database::{Database, DatabaseFault, DatabaseFaultKind, DatabaseSettings};
use sightline_service::health::{Condition, Health};
use sightline_service::kafka::Reader;
use sightline_service::shutdown::Shutdown;

use super::metrics::StoreMetrics;
use super::migrate::migrate;
use super::rows::Rows;
use crate::runner::WorkError;

/// Rows in one statement at most.
const MOST: usize = 5_000;
/// A fault that stays is said this often.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// One wait at most before it is looked whether others wait.
const LOOK: Duration = Duration::from_millis(100);

/// The way of one consumer into the database.
pub struct RowWriter {
    database: Database,
    may_migrate: bool,
    is_migrated: bool,
    health: Health,
    shutdown: Shutdown,
    metrics: Arc<StoreMetrics>,
    said: Option<(DatabaseFaultKind, Instant)>,
}

impl RowWriter {
    /// Shows in the part `database` of `health` how it fares.
    pub fn new(
        settings: &DatabaseSettings,
        may_migrate: bool,
        (health, shutdown): (&Health, &Shutdown),
        metrics: Arc<StoreMetrics>,
    ) -> Result<Self, WorkError> {
        let database = Database::new(settings.clone())
            .map_err(|error| WorkError::Final(format!("cannot start what talks to the database: {error}")))?;
        let (health, shutdown) = (health.clone(), shutdown.clone());
        Ok(Self { database, may_migrate, is_migrated: false, health, shutdown, metrics, said: None })
    }

    /// Asks for the database until it is there with its tables, so that who has nothing to write yet is ready, too.
    pub fn reach(mut self) {
        let mut backoff = backoff();
        while !self.shutdown.is_set() {
            match migrate(&mut self.database, self.may_migrate) {
                Ok(()) => return self.is_there(),
                Err(fault) => self.failed(&fault),
            }
            self.shutdown.wait_timeout(backoff.next(&mut rand::rng()));
        }
    }

    /// Writes rows, however long the database is away; gives up where others wait for the partitions, or the process stops.
    /// A row that no table can hold is shown to `refused`, with why.
    pub(super) fn write<T: Rows>(
        &mut self,
        rows: &mut Vec<T::Row>,
        reader: &Reader,
        mut refused: impl FnMut(&T::Row, &DatabaseFault),
    ) -> Result<(), WorkError> {
        T::sort(rows);
        for part in rows.chunks(MOST) {
            self.write_part::<T>(part, reader, &mut refused)?;
        }
        Ok(())
    }

    fn write_part<T: Rows>(
        &mut self,
        rows: &[T::Row],
        reader: &Reader,
        refused: &mut impl FnMut(&T::Row, &DatabaseFault),
    ) -> Result<(), WorkError> {
        match (self.insist::<T>(rows, reader)?, rows) {
            (Ok(()), _) => {}
            (Err(fault), [row]) => {
                tracing::error!("a row of {} is passed over: {fault}", T::TABLE);
                self.metrics.refused(T::TABLE);
                refused(row, &fault);
            }
            // One of them is to blame: found by halves.
            (Err(_), rows) => {
                let (left, right) = rows.split_at(rows.len() / 2);
                self.write_part::<T>(left, reader, refused)?;
                self.write_part::<T>(right, reader, refused)?;
            }
        }
        Ok(())
    }

    /// Until it is done, or one of the rows can't be held.
    fn insist<T: Rows>(
        &mut self,
        rows: &[T::Row],
        reader: &Reader,
    ) -> Result<Result<(), DatabaseFault>, WorkError> {
        let mut backoff = backoff();
        loop {
            let began = Instant::now();
            let fault = match self.attempt::<T>(rows) {
                Ok(()) => {
                    self.metrics.seconds.observe(began.elapsed().as_secs_f64());
                    self.metrics.written(T::TABLE, rows.len());
                    self.is_there();
                    return Ok(Ok(()));
                }
                Err(fault) if fault.kind == DatabaseFaultKind::Data => return Ok(Err(fault)),
                Err(fault) => fault,
            };
            self.failed(&fault);
            let until = Instant::now() + backoff.next(&mut rand::rng());
            while Instant::now() < until {
                if self.shutdown.is_set() || reader.is_waited_for() {
                    return Err(WorkError::Again(fault.to_string()));
                }
                self.shutdown.wait_timeout(LOOK);
            }
        }
    }

    fn attempt<T: Rows>(&mut self, rows: &[T::Row]) -> Result<(), DatabaseFault> {
        if !self.is_migrated {
            migrate(&mut self.database, self.may_migrate)?;
            self.is_migrated = true;
        }
        let outcome = self.database.run(async |connection| T::upsert(connection, rows).await);
        // Whoever changed the tables may undo it by dropping them.
        self.is_migrated &= !outcome.as_ref().is_err_and(|fault| fault.kind == DatabaseFaultKind::Schema);
        outcome
    }

    fn is_there(&mut self) {
        self.health.set("database", Condition::Ready);
        if self.said.take().is_some() {
            tracing::info!(database = %self.database.settings(), "the database takes rows again");
        }
    }

    fn failed(&mut self, fault: &DatabaseFault) {
        self.metrics.failed(fault.kind);
        self.health.set("database", Condition::NotReady(fault.to_string()));
        self.say(fault);
    }

    fn say(&mut self, fault: &DatabaseFault) {
        let is_news = self.said.is_none_or(|(kind, at)| kind != fault.kind || at.elapsed() >= SAY_AGAIN);
        if is_news {
            self.said = Some((fault.kind, Instant::now()));
            tracing::warn!(reason = fault.kind.as_str(), "{fault}; trying again, nothing is lost meanwhile");
        }
    }
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(200), Duration::from_secs(10))
}
