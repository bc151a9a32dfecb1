//! Says whether the rows of a cluster that was tested are what truly happened, by the rules of the other tests: live cameras by those
//! of `tests/pipelines_die`, recordings by those of `tests/consumers`.
//!
//! `judge live BOOTSTRAP DATABASE ID=BEGAN…`: cameras that play the sample round after round, the first since BEGAN (µs since 1970).
//! `judge recordings DATABASE START ID…`: jobs of the sample, once, whose first picture was taken at START.
//!
//! `judge places`: the zones and lines that both are judged by, as a camera's settings have them.
//!
//! DATABASE is what psql takes. It prints an account of each, and ends with 1 where an event is missing or one is too many.
// As in the tests whose modules these are: what can't go on says so and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../support/accepted.rs"]
mod accepted;
#[path = "../../../pipelines_die/account.rs"]
mod account;
#[path = "../../../pipelines_die/compare.rs"]
mod compare;
#[path = "../../../pipelines_die/gaps.rs"]
mod gaps;
#[path = "../../../pipelines_die/ground.rs"]
mod ground;
#[path = "../../../support/kcat.rs"]
mod kcat;
#[path = "../../../consumers/truth.rs"]
mod truth;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::account::Account;
use crate::ground::Ground;

const DETECTIONS: &str = "sightline.detections";
/// How far a row of a recording may be from the truth, ms: as in `tests/consumers`.
const RECORDED_TOLERANCE: i64 = 300;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let is_right = match args.as_slice() {
        ["live", bootstrap, database, cameras @ ..] => live(bootstrap, database, cameras)?,
        ["places"] => places()?,
        ["recordings", database, start, jobs @ ..] => recordings(database, start, jobs)?,
        _ => bail!(
            "judge live BOOTSTRAP DATABASE ID=BEGAN… | judge recordings DATABASE START ID… | judge places"
        ),
    };
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn places() -> Result<bool> {
    let truth = the_truth()?;
    println!("{}", json!({"zones": ground::zones(&truth), "lines": truth["lines"]}));
    Ok(true)
}

fn live(bootstrap: &str, database: &str, cameras: &[&str]) -> Result<bool> {
    let ground = Ground::of(&the_truth()?);
    let records = kcat::read(bootstrap, DETECTIONS);
    let rows = account::rows(&query(database, account::QUERY)?);
    let mut is_right = true;
    for camera in cameras {
        let (id, began) = camera.split_once('=').with_context(|| format!("{camera} is not ID=BEGAN"))?;
        let of_it = records.iter().filter(|record| record.key == id).map(|record| record.value.clone());
        let account = Account::of(id, began.parse()?, &of_it.collect::<Vec<_>>(), &rows, &ground);
        account.print();
        let compared = &account.compared;
        // An account that requires nothing proves nothing.
        ensure!(!compared.required.is_empty(), "{id}: nothing happened outside of gaps; watch it longer");
        is_right &= compared.missing.is_empty() && compared.extra.is_empty();
    }
    Ok(is_right)
}

fn recordings(database: &str, start: &str, jobs: &[&str]) -> Result<bool> {
    let wanted = truth::expected(&the_truth()?);
    let begin = truth::millis(&start.into());
    let mut is_right = true;
    for job in jobs {
        let rows = query(
            database,
            &format!(
                "SELECT jsonb_strip_nulls(to_jsonb(e) - 'at') || jsonb_build_object('at', \
                 to_char(at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) FROM events e WHERE camera = '{job}'"
            ),
        )?;
        let rows: Vec<Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let found = truth::rows(rows.iter(), begin);
        let kinds = |rows: &[(truth::Row, i64)]| rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>();
        let (have, want) = (kinds(&found), kinds(&wanted));
        let missing: Vec<_> =
            want.iter().filter(|row| truth::count(&have, row) < truth::count(&want, row)).collect();
        let extra: Vec<_> =
            found.iter().filter(|(row, _)| truth::count(&have, row) > truth::count(&want, row)).collect();
        let pairs = found.iter().zip(&wanted);
        let off: Vec<_> =
            pairs.filter(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() > RECORDED_TOLERANCE).collect();
        println!(
            "{job}: {} rows of {}, {} missing, {} extra, {} at another time",
            found.len(),
            wanted.len(),
            missing.len(),
            extra.len(),
            off.len()
        );
        for what in missing {
            println!("{job}: missing {what:?}");
        }
        for what in extra {
            println!("{job}: extra {what:?}");
        }
        is_right &= have == want && off.is_empty();
    }
    Ok(is_right)
}

/// A row a line, columns by `|`.
fn query(database: &str, statement: &str) -> Result<String> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement])
        .env("PGTZ", "UTC")
        .output()
        .context("psql does not run")?;
    ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn the_truth() -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../samples/junction.truth.json");
    Ok(serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?)
}
