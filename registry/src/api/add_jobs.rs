//! Recorded files become jobs, each by itself; what is a folder or a pattern is looked at here.

use axum::http::StatusCode;
use sightline_schema::{Job, JobError, JobStatus, Timestamp, redact_uris};

use super::job_types::{AddItem, AddOutcome, AddReport, AddRequest};
use super::{Answer, App, Asked, body, json};
use crate::jobs::{Cursor, Done, File, Looking, NamePattern, Outcome, Refused, Wish};
use crate::problem::{FieldError, Problem};

/// The most addresses of one request.
const ADDRESSES: usize = 10_000;
/// The most jobs of one answer.
const PAGE: usize = 1000;

/// When a recording began.
enum Begin {
    Said(Timestamp),
    ByName(NamePattern),
    LastChanged,
}

pub(super) async fn add(app: &App, asked: Asked) -> Answer {
    app.parts.jobs.desk()?;
    asked.query.only(&[])?;
    let value = body::value(&asked.headers, asked.body, body::LIMIT).await?;
    let wanted: AddRequest = body::read(value).map_err(|error| Problem::invalid(vec![error]))?;
    let begin = begin(&wanted).map_err(|error| Problem::invalid(vec![error]))?;
    check(&wanted).map_err(|error| Problem::invalid(vec![error]))?;
    let from = match &wanted.cursor {
        None => Cursor::default(),
        Some(cursor) => cursor.parse().map_err(|()| {
            let error = FieldError::new("cursor", "is none", "give `next` of the answer before");
            Problem::invalid(vec![error])
        })?,
    };
    learn_queue(app, &wanted.pool).await?;
    let looking = Looking {
        policy: app.parts.policy.clone(),
        places: app.parts.jobs.places.clone(),
        dates: matches!(begin, Begin::LastChanged),
    };
    let page = looking.page(&wanted.uris, from, wanted.limit.unwrap_or(PAGE)).await;
    let mut report = AddReport {
        passed_over: page.passed_over,
        next: page.next.map(|next| next.to_string()),
        ..AddReport::default()
    };
    let mut waiting = Vec::new();
    for expanded in page.items {
        let given = wanted.uris.get(expanded.index).map(String::as_str).unwrap_or_default();
        let made = expanded.outcome.map_err(|refused| (given.to_owned(), error_of(refused)));
        let made = made.and_then(|file| {
            let uri = file.uri.clone();
            job(&wanted, &begin, file).map_err(|error| (uri, error))
        });
        let at = report.items.len();
        match made {
            Err((uri, error)) => report.items.push(refused(expanded.index, &uri, error)),
            Ok(job) => {
                report.items.push(pending(expanded.index, &job));
                let wish = Wish::Add(Box::new(job));
                waiting.push((at, app.parts.jobs.desk()?.hand_in(wish, &asked.caller.name)));
            }
        }
    }
    let mut followed = true;
    for (at, answered) in waiting {
        let stopping = || Problem::unavailable("the registry is stopping; look, and try again");
        let done = answered.await.unwrap_or_else(|_| Err(stopping()));
        match done {
            Ok(done) => {
                followed &= done.followed;
                settle(&mut report.items[at], &done, &begin);
            }
            // Kafka is away: nothing of this page may pass for refused by what was sent.
            Err(problem) if problem.code() == StatusCode::SERVICE_UNAVAILABLE => return Err(problem),
            Err(problem) => {
                let item = &mut report.items[at];
                item.outcome = AddOutcome::Refused;
                item.detail = Some(problem.detail);
                item.errors = problem.errors;
            }
        }
    }
    let count = |outcome| report.items.iter().filter(|item| item.outcome == outcome).count();
    (report.added, report.there, report.refused) =
        (count(AddOutcome::Added), count(AddOutcome::There), count(AddOutcome::Refused));
    json(if followed { StatusCode::OK } else { StatusCode::ACCEPTED }, &report)
}

fn begin(wanted: &AddRequest) -> Result<Begin, FieldError> {
    match (&wanted.start, &wanted.start_from_name) {
        (Some(_), Some(_)) => {
            Err(FieldError::new("start_from_name", "is given beside start", "give one of the two"))
        }
        (_, None) if wanted.utc_offset.is_some() => Err(FieldError::new(
            "utc_offset",
            "is given without start_from_name",
            "give both, or put the offset into start",
        )),
        (Some(start), None) => Ok(Begin::Said(*start)),
        (None, Some(pattern)) => NamePattern::parse(pattern, wanted.utc_offset.as_deref())
            .map(Begin::ByName)
            .map_err(|error| FieldError::new(error.field, error.reason, error.next_step)),
        (None, None) => Ok(Begin::LastChanged),
    }
}

/// What is wrong with all of it, whichever the files are.
fn check(wanted: &AddRequest) -> Result<(), FieldError> {
    if wanted.uris.is_empty() || wanted.uris.len() > ADDRESSES {
        let reason = format!("holds {} addresses", wanted.uris.len());
        return Err(FieldError::new(
            "uris",
            reason,
            format!("give 1 to {ADDRESSES}, or a folder or pattern"),
        ));
    }
    if wanted.limit.is_some_and(|limit| !(1..=PAGE).contains(&limit)) {
        return Err(FieldError::new("limit", "is no number from 1 to 1000", "give one, or leave it out"));
    }
    // By a file that is always good: pool, spec and labels are the same for all.
    let file = File { uri: "file:///a".to_owned(), modified: None };
    let start = Begin::Said(Timestamp::from_micros(0));
    job(wanted, &start, file).map(drop)
}

/// The job of one file.
fn job(wanted: &AddRequest, begin: &Begin, file: File) -> Result<Job, FieldError> {
    let said = match begin {
        Begin::Said(start) => Some(*start),
        Begin::ByName(pattern) => {
            let path =
                sightline_service::percent::decoded(file.uri.split(['?', '#']).next().unwrap_or_default());
            let start = pattern.start(&path).map_err(|reason| {
                FieldError::new("start_from_name", reason, "correct the pattern, or give start for this file")
            })?;
            Some(start)
        }
        Begin::LastChanged => None,
    };
    let start = said.or_else(|| file.modified.map(Timestamp::from_system_time)).ok_or_else(|| {
        FieldError::new("uris", "nobody knows when it was last changed", "give start or start_from_name")
    })?;
    let AddRequest { pool, spec, labels, .. } = wanted;
    let id = Job::id_of(&file.uri, pool, said, spec, labels).map_err(|error| {
        FieldError::new("spec", format!("can't be written as JSON ({error})"), "correct its numbers")
    })?;
    let job = Job {
        id,
        uri: file.uri,
        pool: pool.clone(),
        start,
        spec: spec.clone(),
        labels: labels.clone(),
        attempt: 1,
        not_before: None,
    };
    job.validate()
        .map_err(|JobError { field, reason, next_step }| FieldError::new(field, reason, next_step))?;
    Ok(job)
}

/// Kafka being away is no fault of the job.
async fn learn_queue(app: &App, pool: &str) -> Result<(), Problem> {
    let (pools, asked) = (app.work()?.pools.clone(), pool.to_owned());
    match tokio::task::spawn_blocking(move || pools.has_queue(&asked)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => {
            let reason = format!("there is no pool {pool:?} with a queue for jobs");
            let next_step =
                format!("make it with: sightline topics apply --pool {pool}, or name another pool");
            Err(Problem::invalid(vec![FieldError::new("pool", reason, next_step)]))
        }
        Ok(Err(fault)) => Err(Problem::unavailable(format!("nothing was written: {fault}; try again"))),
        Err(_) => Err(Problem::unavailable("the registry is stopping; try again")),
    }
}

fn error_of(Refused { reason, next_step }: Refused) -> FieldError {
    FieldError::new("uris", reason, next_step)
}

fn refused(index: usize, uri: &str, error: FieldError) -> AddItem {
    AddItem {
        index,
        uri: redact_uris(uri).into_owned(),
        outcome: AddOutcome::Refused,
        id: None,
        state: None,
        start: None,
        start_is_guess: false,
        detail: Some(format!("{}; {}", error.reason, error.next_step)),
        errors: vec![FieldError { field: field_at(&error.field, index), ..error }],
    }
}

/// `uris[3]`: which of them.
fn field_at(field: &str, index: usize) -> String {
    if field == "uris" { format!("uris[{index}]") } else { field.to_owned() }
}

fn pending(index: usize, job: &Job) -> AddItem {
    AddItem {
        index,
        uri: job.uri.clone(),
        outcome: AddOutcome::There,
        id: Some(job.id.clone()),
        state: None,
        start: None,
        start_is_guess: false,
        detail: None,
        errors: Vec::new(),
    }
}

fn settle(item: &mut AddItem, done: &Done, begin: &Begin) {
    let status = done.known.status.as_deref();
    if done.outcome == Outcome::Added {
        item.outcome = AddOutcome::Added;
    }
    item.state = status.map(|JobStatus { state, .. }| *state);
    item.start = status.map(|status| status.start);
    item.start_is_guess = matches!(begin, Begin::LastChanged);
}
