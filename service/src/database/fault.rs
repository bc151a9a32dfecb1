//! What is wrong with a database, in words.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

use super::DatabaseSettings;

/// Bounded, as a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseFaultKind {
    Unreachable,
    Refused,
    Missing,
    ReadOnly,
    Full,
    Schema,
    Data,
    Other,
}

impl DatabaseFaultKind {
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::Refused,
        Self::Missing,
        Self::ReadOnly,
        Self::Full,
        Self::Schema,
        Self::Data,
        Self::Other,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Schema => "schema",
            Self::Data => "data",
            Self::Other => "other",
        }
    }
}

/// Which database, what is wrong, and what to do. Never a password, never a row.
#[derive(Clone, Debug, thiserror::Error)]
pub struct DatabaseFault {
    pub kind: DatabaseFaultKind,
    sentence: String,
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl DatabaseFault {
    pub fn new(kind: DatabaseFaultKind, sentence: String) -> Self {
        Self { kind, sentence }
    }

    pub(super) fn of(error: &sqlx::Error, database: &DatabaseSettings) -> Self {
        use DatabaseFaultKind as Kind;
        let (kind, sentence) = match error {
            sqlx::Error::Database(error) => {
                let error = error.downcast_ref::<PgDatabaseError>();
                let kind = kind(error.code());
                (kind, said(kind, error, database))
            }
            sqlx::Error::Io(error) => (
                Kind::Unreachable,
                format!("the database {database} does not answer ({error}); is it running?"),
            ),
            sqlx::Error::PoolTimedOut => (
                Kind::Unreachable,
                format!("the database {database} does not answer in time; is it overloaded, or away?"),
            ),
            sqlx::Error::Tls(error) => (
                Kind::Refused,
                format!(
                    "no TLS with the database {database}: {error}; look at sslmode and sslrootcert in --database"
                ),
            ),
            error => (Kind::Other, format!("the database {database}: {error}")),
        };
        Self { kind, sentence }
    }
}

/// By SQLSTATE: PostgreSQL's Appendix A.
fn kind(code: &str) -> DatabaseFaultKind {
    use DatabaseFaultKind as Kind;
    match code {
        "3D000" | "3F000" => Kind::Missing,
        "25006" => Kind::ReadOnly,
        "42501" => Kind::Refused,
        _ if code.starts_with("28") => Kind::Refused,
        // Of resources: disk, memory, connections.
        _ if code.starts_with("53") => Kind::Full,
        // It goes down, or comes up.
        _ if code.starts_with("57P") || code.starts_with("08") => Kind::Unreachable,
        _ if code.starts_with("42") => Kind::Schema,
        // Limits of the program: a value too long for an index.
        _ if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => Kind::Data,
        // Its files: an input/output error is most often a full disk.
        _ if code.starts_with("58") => Kind::Full,
        _ => Kind::Other,
    }
}

fn said(kind: DatabaseFaultKind, error: &PgDatabaseError, database: &DatabaseSettings) -> String {
    use DatabaseFaultKind as Kind;
    let (why, user) = (error.message(), database.user());
    match kind {
        Kind::Unreachable => format!("the database {database} is going down or coming up ({why})"),
        Kind::Refused if error.code() == "42501" => {
            format!(
                "the database {database} does not let {user} do it ({why}); GRANT it, or use another user"
            )
        }
        Kind::Refused => {
            format!("the database {database} does not let {user} in ({why}); look at user and password")
        }
        Kind::Missing => {
            format!("the database {database} is not there ({why}); CREATE DATABASE, or name another")
        }
        Kind::ReadOnly => {
            format!(
                "the database {database} is read-only ({why}); --database must name the one that can be written to"
            )
        }
        Kind::Full => {
            format!("the database {database} has no room ({why}); give it more, or keep less with --keep")
        }
        Kind::Schema => format!(
            "a table in the database {database} is not as this version made it ({why}); undo what was changed there, or \
             let Sightline make its tables in another schema (options=-csearch_path=… in --database)"
        ),
        Kind::Data => format!("the database {database} can't hold a value ({why})"),
        Kind::Other => format!("the database {database} says: {why} ({})", error.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_their_kinds() {
        use DatabaseFaultKind as Kind;
        for (code, want) in [
            ("28P01", Kind::Refused),
            ("42501", Kind::Refused),
            ("3D000", Kind::Missing),
            ("25006", Kind::ReadOnly),
            ("53100", Kind::Full),
            ("57P01", Kind::Unreachable),
            ("42703", Kind::Schema),
            ("42P01", Kind::Schema),
            ("22021", Kind::Data),
            ("23514", Kind::Data),
            ("54000", Kind::Data),
            ("40001", Kind::Other),
        ] {
            assert_eq!(kind(code), want, "{code}");
        }
    }
}
