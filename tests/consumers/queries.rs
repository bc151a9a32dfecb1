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
    assert_eq!(asked, 11, "docs/QUERIES.md says eleven");
}

/// The statement of docs/ARCHIVE.md, on rows beside those of the sample: one job is whole, with an older attempt left, and one failed.
pub(crate) fn what_is_whole_of_jobs_is_told_from_the_rest(database: &Postgres) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHIVE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let statement = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let statement = statement.trim().trim_end_matches(';');
    let row = |id: &str, kind: &str, job: &str, epoch: u32| {
        format!("('{id}', now(), '{kind}', '{job}', {epoch}, 1, 1, false, false, '{{}}')")
    };
    let rows = [
        row("older-crossing", "line_crossed", "job-whole", 3),
        row("crossing", "line_crossed", "job-whole", 5),
        row("done", "job_done", "job-whole", 5),
        row("unfinished", "line_crossed", "job-failed", 7),
    ];
    database.query(&format!(
        "INSERT INTO events (id, at, type, camera, epoch, seq, generation, appeared, vanished, labels) VALUES {}",
        rows.join(", ")
    ));
    let whole = database.query(&format!(
        "SELECT string_agg(id, ' ' ORDER BY id) FROM ({statement}) AS whole WHERE camera LIKE 'job-%'"
    ));
    assert_eq!(whole.trim(), "crossing done");
    let of_cameras = "SELECT count(*) FROM events WHERE camera NOT LIKE 'job-%'";
    let counted = format!("SELECT count(*) FROM ({statement}) AS whole WHERE camera NOT LIKE 'job-%'");
    assert_eq!(database.query(&counted), database.query(of_cameras));
    database.query("DELETE FROM events WHERE camera LIKE 'job-%'");
}
