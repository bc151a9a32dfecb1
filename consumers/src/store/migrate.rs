//! The tables, made and brought up to date.

use sightline_service::database::{Database, DatabaseFault, DatabaseFaultKind};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr as _};

/// Where it is written down which migrations were done: a database may hold those of others, too.
const DONE: &str = "sightline_migrations";

fn migrator() -> Migrator {
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "tables", include_str!("sql/0001_tables.sql")),
        migration(2, "models", include_str!("sql/0002_models.sql")),
    ]);
    migrator.dangerous_set_table_name(DONE);
    migrator
}

/// Makes what is missing, once however many do it at once; where all is done it asks for no right to. With `may_change`
/// unset it only looks. A database that a newer version brought up to date is a fault.
pub fn migrate(database: &mut Database, may_change: bool) -> Result<(), DatabaseFault> {
    let migrator = migrator();
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let done = database.run(done)?;
    let fault = |sentence: String| Err(DatabaseFault::new(DatabaseFaultKind::Schema, sentence));
    if done > newest {
        return fault(format!(
            "the tables in the database {} are of version {done}, made by a newer Sightline; this one knows versions up to \
             {newest}: use the newer one",
            database.settings()
        ));
    }
    if done == newest {
        return Ok(());
    }
    if !may_change {
        return fault(format!(
            "the tables in the database {} are of version {done}, and version {newest} is wanted; run once without \
             --no-migrate as a user who may make tables",
            database.settings()
        ));
    }
    tracing::info!(database = %database.settings(), from = done, to = newest, "bringing the tables up to date");
    let outcome =
        database.run(async |connection: &mut PgConnection| match migrator.run(connection).await {
            Ok(()) => Ok(Ok(())),
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        })?;
    outcome.or_else(|why| {
        fault(format!(
            "the tables in the database {} can't be brought up to date: {why}",
            database.settings()
        ))
    })
}

/// The version of the tables; 0 where there are none.
async fn done(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(DONE)
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM sightline_migrations WHERE success")
        .fetch_one(connection)
        .await
}
