//! A PostgreSQL database: how it is reached, and what is said when it is not.

mod fault;

use std::fmt;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

pub use self::fault::{DatabaseFault, DatabaseFaultKind};

/// How long a connection may take to come about, and a statement to be answered.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// Where a database is, and as whom it is used. Shows no password.
#[derive(Clone)]
pub struct DatabaseSettings {
    options: PgConnectOptions,
    name: String,
}

/// A `--database` that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseSettingsError {
    #[error(
        "--database is no address of a database: {0}; write postgresql://USER@HOST:5432/NAME?sslmode=verify-full, and the \
         password into a file for --database-password-file"
    )]
    Url(String),
    #[error("the password of the database can't be read from {file}: {source}")]
    Password { file: String, source: std::io::Error },
}

impl DatabaseSettings {
    /// `url` is libpq's: `postgresql://user@host:port/name?sslmode=…&sslrootcert=…&options=…`. What it leaves out comes from
    /// the environment (`PGHOST`, `PGUSER`, `PGPASSWORD`, …) and from `~/.pgpass`. `who` is shown in `pg_stat_activity`.
    pub fn new(url: &str, password_file: Option<&Path>, who: &str) -> Result<Self, DatabaseSettingsError> {
        let is_one = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if !is_one {
            return Err(DatabaseSettingsError::Url(
                "it begins with neither postgresql:// nor postgres://".to_owned(),
            ));
        }
        // The error of the library may hold the whole URL.
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|_| DatabaseSettingsError::Url("its form or one of its settings is wrong".to_owned()))?;
        if let Some(file) = password_file {
            let password = std::fs::read_to_string(file).map_err(|source| {
                DatabaseSettingsError::Password { file: file.display().to_string(), source }
            })?;
            options = options.password(password.trim_end_matches(['\r', '\n']));
        }
        // Times are written and read as numbers; whatever the database thinks of its place on earth stays out of it.
        let options = options
            .application_name(who)
            .options([("TimeZone", "UTC"), ("statement_timeout", "60000")])
            .disable_statement_logging();
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let name = format!("{place}/{}", options.get_database().unwrap_or_else(|| options.get_username()));
        Ok(Self { options, name })
    }

    /// For a pool of connections.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// What an error of this database means to a person.
    pub fn fault(&self, error: &sqlx::Error) -> DatabaseFault {
        DatabaseFault::of(error, self)
    }

    fn user(&self) -> &str {
        self.options.get_username()
    }
}

/// Host, port and name.
impl fmt::Display for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseSettings({})", self.name)
    }
}

/// One connection, used from one thread, made anew after a failure.
pub struct Database {
    settings: DatabaseSettings,
    runtime: tokio::runtime::Runtime,
    connection: Option<PgConnection>,
}

impl Database {
    /// Reaches for nothing yet.
    pub fn new(settings: DatabaseSettings) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { settings, runtime, connection: None })
    }

    /// Does `work` on the connection. After a failure it may be half done, unless it is a transaction.
    pub fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DatabaseFault> {
        let Self { settings, runtime, connection } = self;
        let done = runtime.block_on(async {
            if connection.is_none() {
                let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(&settings.options));
                *connection = Some(connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??);
            }
            let Some(connection) = connection.as_mut() else { return Err(sqlx::Error::PoolTimedOut) };
            tokio::time::timeout(ANSWER, work(connection)).await.map_err(|_| sqlx::Error::PoolTimedOut)?
        });
        done.map_err(|error| {
            // Whatever it left open is closed with it.
            self.connection = None;
            self.settings.fault(&error)
        })
    }

    pub const fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let secret = "postgresql://sightline:hunter2@db.example:6432/video?sslmode=require";
        let settings = DatabaseSettings::new(secret, None, "test").unwrap();
        assert_eq!(settings.to_string(), "db.example:6432/video");
        assert!(!format!("{settings:?}").contains("hunter2"));
        for wrong in [
            "postgresql://sightline:hunter2@db.example:port/video",
            "postgresql://sightline:hunter2@db.example/video?sslmode=perhaps",
            "mysql://sightline:hunter2@db.example/video",
        ] {
            let error = DatabaseSettings::new(wrong, None, "test").unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains("postgresql://USER@HOST"), "{error}");
        }
    }
}
