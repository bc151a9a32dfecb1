//! Many cameras at once, in and out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use serde_json::Value;
use sightline_schema::Camera;

use super::checks::{self, Names};
use super::query::Filter;
use super::types::{CameraList, ImportItem, ImportOutcome, ImportReport};
use super::{Answer, App, Asked, body, cameras, json};
use crate::loads::Loads;
use crate::problem::{FieldError, Problem};
use crate::wish::{Conditions, Outcome, Refusal, Wish};

/// Each item is created, or takes the place of what is registered, or is refused by itself.
pub(super) async fn import(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let value = body::value(&asked.headers, asked.body, body::IMPORT_LIMIT).await?;
    let items = body::items(value)?;
    let mut report: Vec<_> = items.iter().enumerate().map(|(index, item)| unread(index, item)).collect();
    let mut cameras = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        match body::camera(item, None) {
            Err(error) => refused(&mut report[index], Problem::invalid(vec![error])),
            Ok(given) if !seen.insert(given.camera.id.clone()) => {
                let next_step = "give each camera an id of its own";
                let error = FieldError::new("id", "is used by two cameras of this import", next_step);
                refused(&mut report[index], Problem::invalid(vec![error]));
            }
            Ok(given) => drop(cameras.insert(index, given.camera)),
        }
    }
    let resolved = Names::of_cameras(app, cameras.values()).resolve().await;
    checks::learn_pools(app, cameras.values().map(|camera| camera.pool.clone()).collect()).await?;
    let mut waiting = Vec::new();
    for (index, camera) in cameras {
        let errors = checks::check(app, &camera, &resolved);
        if !errors.is_empty() {
            refused(&mut report[index], Problem::invalid(errors));
            continue;
        }
        let wish = Wish::Put { camera: Box::new(camera), conditions: Conditions::default() };
        waiting.push((index, app.work()?.desk.hand_in(wish, &asked.caller.name)));
    }
    for (index, answered) in waiting {
        let item = &mut report[index];
        match answered.await {
            Ok(Ok(done)) => {
                item.outcome = match done.outcome {
                    Outcome::Created => ImportOutcome::Created,
                    Outcome::Unchanged => ImportOutcome::Unchanged,
                    Outcome::Changed | Outcome::Deleted | Outcome::Moved => ImportOutcome::Changed,
                };
                item.generation = done.camera.map(|camera| camera.generation);
                item.detail = None;
            }
            Ok(Err(Refusal::Told(problem))) => refused(item, problem),
            Ok(Err(Refusal::Stale)) | Err(_) => {
                refused(item, Problem::unavailable("the registry is stopping; look, and try again"));
            }
        }
    }
    let count = |outcome| report.iter().filter(|item| item.outcome == outcome).count();
    let report = ImportReport {
        created: count(ImportOutcome::Created),
        changed: count(ImportOutcome::Changed),
        unchanged: count(ImportOutcome::Unchanged),
        refused: count(ImportOutcome::Refused),
        items: report,
    };
    json(StatusCode::OK, &report)
}

fn unread(index: usize, item: &Value) -> ImportItem {
    let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
    // What was put in the wrong place stays there.
    let id = if id.len() <= 63 && !id.contains("://") { id } else { "" };
    ImportItem {
        index,
        id: id.to_owned(),
        outcome: ImportOutcome::Refused,
        generation: None,
        detail: None,
        errors: Vec::new(),
    }
}

fn refused(item: &mut ImportItem, problem: Problem) {
    item.outcome = ImportOutcome::Refused;
    item.detail = Some(problem.detail);
    item.errors = problem.errors;
}

pub(super) fn export(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&[&Filter::NAMES[..], &["format"]].concat())?;
    let filter = Filter::read(&asked.query)?;
    let list: Vec<Camera> = app.view().read(|state| {
        let holders = Loads::of_pods(state, Instant::now());
        let fits = |known: &&crate::state::Known| filter.fits(known, || cameras::holder(&holders, known));
        let specs = state.registered().map(|(_, known)| known).filter(fits);
        specs.filter_map(|known| Some(Camera::clone(&known.camera.as_ref()?.value))).collect()
    });
    let list = CameraList { cameras: list };
    match asked.query.one("format")? {
        None | Some("json") => json(StatusCode::OK, &list),
        Some("yaml") => {
            let text = serde_norway::to_string(&list).map_err(|error| {
                tracing::error!(%error, "an export can't be written");
                Problem::unavailable("the export can't be written as YAML; take JSON")
            })?;
            Ok((StatusCode::OK, [(CONTENT_TYPE, "application/yaml")], text).into_response())
        }
        Some(other) => {
            Err(Problem::parameter("format", format!("{other:?} is no format"), "give json or yaml"))
        }
    }
}
