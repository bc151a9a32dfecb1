//! What all tables have in common.

use serde::Serialize;
use sqlx::PgConnection;

/// A kind of rows, and how they are written.
pub(super) trait Rows {
    type Row;

    const TABLE: &'static str;

    /// Puts rows whose keys are there already behind each other, and leaves the last of each: a statement writes a key once,
    /// and all statements write keys in the same order, so that no two of them wait for each other.
    fn sort(rows: &mut Vec<Self::Row>);

    /// Writes all or none, each in the place of what is there under its key.
    fn upsert(
        connection: &mut PgConnection,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<(), sqlx::Error>>;
}

/// A column of the rows.
pub(super) fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// As a `jsonb` takes it.
pub(super) fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// Sorts by the key; of equals the last stays.
pub(super) fn sort_by_key<R, K: Ord>(rows: &mut Vec<R>, key: impl Fn(&R) -> &K) {
    rows.reverse();
    // Stable: of equals the one that came last is the first now.
    rows.sort_by(|a, b| key(a).cmp(key(b)));
    rows.dedup_by(|later, first| key(later) == key(first));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_keys_the_last_stays() {
        let mut rows = vec![("b", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)];
        sort_by_key(&mut rows, |row| &row.0);
        assert_eq!(rows, [("a", 5), ("b", 3), ("c", 4)]);
    }
}
