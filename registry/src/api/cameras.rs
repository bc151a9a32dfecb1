//! One camera, and pages of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sightline_schema::Camera;

use super::body;
use super::checks::{self, Names, Resolved};
use super::query::Filter;
use super::types::{CameraPage, CameraView, MoveRequest, PlacementView};
use super::{Answer, App, Asked, json};
use crate::desk::Done;
use crate::loads::Loads;
use crate::problem::{FieldError, Problem};
use crate::state::{Known, State};
use crate::wish::{Conditions, Destination, Match, Outcome, Refusal, Wish};

/// A patch that others keep overtaking is given up.
const MERGES: usize = 10;

pub(super) fn list(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&[&Filter::NAMES[..], &["limit", "cursor"]].concat())?;
    let filter = Filter::read(&asked.query)?;
    let limit = asked.query.limit()?;
    let after = asked.query.one("cursor")?.unwrap_or_default();
    let page = app.view().read(|state| {
        let holders = Loads::of_pods(state, Instant::now());
        let mut page = CameraPage { items: Vec::new(), total: 0, next: None };
        for (id, known) in state.registered() {
            if !filter.fits(known, || holder(&holders, known)) {
                continue;
            }
            page.total += 1;
            if id.as_str() <= after {
                continue;
            }
            if page.items.len() == limit {
                page.next =
                    page.next.or_else(|| page.items.last().map(|last: &CameraView| last.spec.id.clone()));
            } else {
                page.items.extend(shown(known, &holders));
            }
        }
        page
    });
    json(StatusCode::OK, &page)
}

pub(super) fn get(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let found = app.view().read(|state| view_of(state, &asked.id));
    let view = found.ok_or_else(|| Problem::no_camera(&asked.id))?;
    let generation = view.spec.generation;
    Ok(with_etag(json(StatusCode::OK, &view)?, generation))
}

pub(super) async fn create(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let value = body::value(&asked.headers, asked.body, body::LIMIT).await?;
    let given = body::camera(value, None).map_err(|error| Problem::invalid(vec![error]))?;
    let conditions = Conditions { must_be_new: true, ..Conditions::default() };
    put(app, given.camera, conditions, &asked.caller.name).await
}

pub(super) async fn replace(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let mut conditions = conditions(&asked.headers)?;
    let value = body::value(&asked.headers, asked.body, body::LIMIT).await?;
    let given = body::camera(value, Some(&asked.id)).map_err(|error| Problem::invalid(vec![error]))?;
    conditions.made_from = given.generation;
    put(app, given.camera, conditions, &asked.caller.name).await
}

async fn put(app: &App, camera: Camera, conditions: Conditions, who: &str) -> Answer {
    let resolved = Names::of_cameras(app, [&camera]).resolve().await;
    match put_checked(app, camera, conditions, who, &resolved).await {
        Ok(done) => told(app, &done),
        Err(Refusal::Told(problem)) => Err(problem),
        Err(Refusal::Stale) => Err(overtaken()),
    }
}

/// Looks at what a camera has to pass, and hands it in.
pub(super) async fn put_checked(
    app: &App,
    camera: Camera,
    conditions: Conditions,
    who: &str,
    resolved: &Resolved,
) -> Result<Done, Refusal> {
    let errors = checks::check(app, &camera, resolved);
    if !errors.is_empty() {
        return Err(Problem::invalid(errors).into());
    }
    checks::learn_pools(app, BTreeSet::from([camera.pool.clone()])).await?;
    hand_in(app, Wish::Put { camera: Box::new(camera), conditions }, who).await
}

async fn hand_in(app: &App, wish: Wish, who: &str) -> Result<Done, Refusal> {
    let answered = app.work()?.desk.hand_in(wish, who);
    let stopping = || Refusal::from(Problem::unavailable("the registry is stopping; look, and try again"));
    answered.await.map_err(|_| stopping())?
}

fn overtaken() -> Problem {
    Problem::unavailable("others change this camera all the time; nothing was written, try again")
}

pub(super) async fn patch(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let conditions = conditions(&asked.headers)?;
    let mut patch = body::patch(&asked.headers, asked.body).await?;
    let made_from = match patch.remove("generation") {
        None => None,
        Some(given) => Some(given.as_u64().ok_or_else(|| {
            let next_step = "give that which the patch was made for, or leave it out";
            Problem::invalid(vec![FieldError::new("generation", "is no generation", next_step)])
        })?),
    };
    for _ in 0..MERGES {
        let current = app.view().read(|state| spec_of(state, &asked.id));
        let current = current.ok_or_else(|| Problem::no_camera(&asked.id))?;
        let settings = body::merged(&current, patch.clone())?;
        let given = body::camera(settings, Some(&asked.id)).map_err(|error| Problem::invalid(vec![error]))?;
        let mut camera = given.camera;
        // Credentials that are held in memory only are never written out, and so not merged.
        if camera.credentials.is_none() && !patch.contains_key("credentials") {
            camera.credentials.clone_from(&current.credentials);
        }
        let mut conditions = conditions.clone();
        conditions.made_from = made_from;
        conditions.merged_with = Some(current.generation);
        let resolved = Names::of_cameras(app, [&camera]).resolve().await;
        match put_checked(app, camera, conditions, &asked.caller.name, &resolved).await {
            Ok(done) => return told(app, &done),
            Err(Refusal::Told(problem)) => return Err(problem),
            Err(Refusal::Stale) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Err(overtaken())
}

pub(super) async fn delete(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let conditions = conditions(&asked.headers)?;
    body::discard(asked.body).await;
    let wish = Wish::Delete { id: asked.id.clone(), conditions };
    match hand_in(app, wish, &asked.caller.name).await {
        Ok(done) if done.followed => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(_) => Ok((StatusCode::ACCEPTED, [(LOCATION, location(&asked.id))]).into_response()),
        Err(Refusal::Told(problem)) => Err(problem),
        Err(Refusal::Stale) => Err(overtaken()),
    }
}

pub(super) async fn r#move(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&[])?;
    let value = body::value(&asked.headers, asked.body, body::LIMIT).await?;
    let wanted: MoveRequest = body::read(value).map_err(|error| Problem::invalid(vec![error]))?;
    let to = match (wanted.pool, wanted.pod) {
        (Some(pool), None) => {
            checks::learn_pools(app, BTreeSet::from([pool.clone()])).await?;
            Destination::Pool(pool)
        }
        (None, Some(pod)) => Destination::Pod(pod),
        _ => {
            let error = FieldError::new("", "a move leads to one place", "give pool or pod");
            return Err(Problem::invalid(vec![error]));
        }
    };
    let wish = Wish::Move { id: asked.id, to, from: wanted.from };
    match hand_in(app, wish, &asked.caller.name).await {
        Ok(done) => told(app, &done),
        Err(Refusal::Told(problem)) => Err(problem),
        Err(Refusal::Stale) => Err(overtaken()),
    }
}

/// What a write is answered with: the camera as it is now.
fn told(app: &App, done: &Done) -> Answer {
    let Some(camera) = &done.camera else {
        return Err(Problem::unavailable("the camera was deleted by somebody else meanwhile"));
    };
    let (id, generation) = (&camera.id, camera.generation);
    let beside = app.view().read(|state| view_of(state, id));
    let view = CameraView {
        spec: Camera::clone(camera),
        placement: beside.as_ref().and_then(|view| view.placement.clone()),
        status: beside.and_then(|view| view.status),
    };
    let status = match (done.followed, done.outcome) {
        (false, _) => StatusCode::ACCEPTED,
        (true, Outcome::Created) => StatusCode::CREATED,
        (true, _) => StatusCode::OK,
    };
    let mut response = with_etag(json(status, &view)?, generation);
    if status != StatusCode::OK
        && let Ok(location) = HeaderValue::from_str(&location(id))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn location(id: &str) -> String {
    format!("/v1/cameras/{id}")
}

fn with_etag(mut response: Response, generation: u64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{generation}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// `If-Match: "4"` or `*`, `If-None-Match: *`.
fn conditions(headers: &HeaderMap) -> Result<Conditions, Problem> {
    let text = |name: axum::http::HeaderName| -> Result<Option<String>, Problem> {
        let mut values = Vec::new();
        for value in headers.get_all(&name) {
            let value =
                value.to_str().map_err(|_| Problem::unreadable(format!("the header {name} is no text")))?;
            values.push(value.trim().to_owned());
        }
        Ok((!values.is_empty()).then(|| values.join(",")))
    };
    let if_match = match text(IF_MATCH)?.as_deref() {
        None => None,
        Some("*") => Some(Match::Any),
        Some(list) => {
            let generation = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
            let generations: Option<Vec<u64>> = list.split(',').map(generation).collect();
            let unreadable = || {
                Problem::unreadable(format!(
                    "If-Match: {list} is no generation; write it like \"4\", as ETag has it"
                ))
            };
            Some(Match::Generations(generations.ok_or_else(unreadable)?))
        }
    };
    let must_be_new = match text(IF_NONE_MATCH)?.as_deref() {
        None => false,
        Some("*") => true,
        Some(other) => {
            return Err(Problem::unreadable(format!("If-None-Match: {other} means nothing here; write *")));
        }
    };
    Ok(Conditions { if_match, must_be_new, ..Conditions::default() })
}

fn spec_of(state: &State, id: &str) -> Option<Arc<Camera>> {
    Some(state.camera(id)?.camera.as_ref()?.value.clone())
}

fn view_of(state: &State, id: &str) -> Option<CameraView> {
    shown(state.camera(id)?, &Loads::of_pods(state, Instant::now()))
}

/// What is known of a camera, as the API shows it.
fn shown(known: &Known, holders: &Loads) -> Option<CameraView> {
    let placement = known.placement.as_ref().map(|lies| PlacementView {
        pool: lies.value.pool.clone(),
        slot: lies.value.slot,
        offset: lies.offset,
        pod: holder(holders, known),
    });
    Some(CameraView {
        spec: Camera::clone(&known.camera.as_ref()?.value),
        placement,
        status: known.status.as_ref().map(|live| (*live.status).clone()),
    })
}

/// The live pod that holds a camera's slot, by its placement.
pub(super) fn holder(loads: &Loads, known: &Known) -> Option<String> {
    let placement = &known.placement.as_ref()?.value;
    Some(loads.pool(&placement.pool)?.holder(placement.slot)?.pod.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(name: axum::http::HeaderName, value: &str) -> Result<Conditions, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        conditions(&headers)
    }

    #[test]
    fn conditions_are_generations() {
        assert_eq!(conditions(&HeaderMap::new()).unwrap(), Conditions::default());
        assert_eq!(of(IF_MATCH, "*").unwrap().if_match, Some(Match::Any));
        assert_eq!(of(IF_MATCH, "\"4\", \"5\"").unwrap().if_match, Some(Match::Generations(vec![4, 5])));
        assert!(of(IF_NONE_MATCH, "*").unwrap().must_be_new);
        for bad in ["4", "W/\"4\"", "\"x\"", "\"4", ""] {
            assert_eq!(of(IF_MATCH, bad).unwrap_err().status, 400, "{bad}");
        }
        assert_eq!(of(IF_NONE_MATCH, "\"4\"").unwrap_err().status, 400);
    }
}
