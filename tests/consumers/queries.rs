//! The statements of docs/QUERIES.md on the rows of the sample.

use std::path::Path;

use crate::postgres::Postgres;

/// Those that have no answer where nothing was down.
const MAY_BE_EMPTY: [&str; 1] = ["## 6."];

/// Runs each; all but those above have to give rows.
pub(crate) fn all_have_answers(database: &Postgres) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/QUERIES.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut asked = 0;
    for question in page.split("\n## ").skip(1) {
        let title = question.lines().next().unwrap();
        for statement in question.split("```sql\n").skip(1) {
            let statement = statement.split("```").next().unwrap();
            let rows = database.query(statement);
            let may_be_empty = MAY_BE_EMPTY.iter().any(|begin| format!("## {title}").starts_with(begin));
            assert!(!rows.is_empty() || may_be_empty, "no answer to {title}\n{statement}");
            asked += 1;
        }
    }
    assert_eq!(asked, 10, "docs/QUERIES.md says ten");
}
