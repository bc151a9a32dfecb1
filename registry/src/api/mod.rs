//! The REST API: finds what is asked for, who asks, and answers; every error is a problem (RFC 9457).

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sightline_schema::HEADER_TRACEPARENT;
use sightline_service::trace::{Context, OpenSpan, Role as TraceRole, Tracer};
use sightline_service::uri_policy::UriPolicy;

use crate::auth::{Auth, Caller};
use crate::desk::Desk;
use crate::events::Events;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::problem::Problem;
use crate::view::View;

mod add_jobs;
mod audit;
mod body;
mod bulk;
mod cameras;
mod checks;
mod docs;
mod events;
pub mod job_types;
mod jobs;
mod jobs_watch;
pub mod openapi;
mod parameters;
pub(crate) mod pods;
mod probe;
pub(crate) mod query;
pub mod routes;
pub mod types;
mod watch;

pub(crate) use probe::Probes;
use routes::{Found, NotFound, Operation};

/// What answers need. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) parts: Arc<Parts>,
}

pub(crate) struct Parts {
    pub(crate) view: View,
    pub(crate) auth: Auth,
    pub(crate) policy: UriPolicy,
    pub(crate) metrics: Metrics,
    pub(crate) probes: Probes,
    pub(crate) events: Events,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) tracer: Tracer,
    /// Set once everything that lies in the topics was read.
    pub(crate) work: OnceLock<Working>,
}

/// What there is once the registry is ready.
pub(crate) struct Working {
    pub(crate) desk: Desk,
    pub(crate) pools: Arc<Pools>,
}

impl App {
    fn work(&self) -> Result<&Working, Problem> {
        let starting = || Problem::unavailable("the registry is starting; /readyz says what it waits for");
        self.parts.work.get().ok_or_else(starting)
    }

    fn view(&self) -> &View {
        &self.parts.view
    }
}

/// A request whose route and caller are known.
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) query: query::Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) caller: Caller,
}

pub(crate) type Answer = Result<Response, Problem>;

/// Answers whatever comes.
pub(crate) async fn answer(State(app): State<App>, request: Request<Body>) -> Response {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let found = routes::find(&parts.method, parts.uri.path());
    let (route, method) = match &found {
        Ok(found) => (found.route.path, found.route.method),
        Err(_) => ("other", "other"),
    };
    let metrics = app.parts.metrics.clone();
    let span = request_span(&app.parts.tracer, &parts.headers);
    let answered = match found {
        Ok(found) => serve(app, found, &parts, body).await,
        Err(not_found) => {
            body::discard(body).await;
            Err(match not_found {
                NotFound::Path => Problem::no_route(parts.uri.path()),
                NotFound::Method(allowed) => Problem::method(&allowed),
            })
        }
    };
    let response = answered.unwrap_or_else(Problem::into_response);
    let status = response.status();
    metrics.requested(route, method, status.as_u16(), begun);
    if let Some(span) = span {
        span.set("http.request.method", method);
        span.set("http.route", route);
        span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.fail(status.canonical_reason().unwrap_or("server error"));
        }
    }
    with_common_headers(response)
}

/// From a request's head to its answer's: its sender says whether it is traced, or else the share.
fn request_span(tracer: &Tracer, headers: &HeaderMap) -> Option<OpenSpan> {
    let traceparent = headers.get(HEADER_TRACEPARENT).and_then(|value| value.to_str().ok());
    match traceparent {
        Some(traceparent) => tracer.adopt(Context::parse(traceparent)?, "request", TraceRole::Server),
        None => tracer.start("request", TraceRole::Server),
    }
}

async fn serve(app: App, found: Found<'_>, parts: &axum::http::request::Parts, body: Body) -> Answer {
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = match found.route.role {
        None => Caller { name: "anonymous".to_owned(), role: crate::auth::Role::Viewer },
        Some(needed) => {
            let caller = app.parts.auth.caller(authorization);
            let allowed = match caller {
                None => Err(Problem::unauthorized()),
                Some(caller) if caller.role < needed => {
                    Err(Problem::forbidden(&caller.name, caller.role.as_str(), needed.as_str()))
                }
                Some(caller) => Ok(caller),
            };
            match allowed {
                Ok(caller) => caller,
                Err(problem) => {
                    body::discard(body).await;
                    return Err(problem);
                }
            }
        }
    };
    let id = found.id().ok_or_else(|| Problem::no_camera("…"))?;
    let query = query::Query::read(parts.uri.query().unwrap_or_default())?;
    let asked = Asked { id, query, headers: parts.headers.clone(), body, caller };
    match found.route.operation {
        Operation::ListCameras => cameras::list(&app, &asked),
        Operation::CreateCamera => cameras::create(&app, asked).await,
        Operation::GetCamera => cameras::get(&app, &asked),
        Operation::ReplaceCamera => cameras::replace(&app, asked).await,
        Operation::PatchCamera => cameras::patch(&app, asked).await,
        Operation::DeleteCamera => cameras::delete(&app, asked).await,
        Operation::MoveCamera => cameras::r#move(&app, asked).await,
        Operation::ProbeCamera => probe::probe(&app, asked).await,
        Operation::ImportCameras => bulk::import(&app, asked).await,
        Operation::ExportCameras => bulk::export(&app, &asked),
        Operation::WatchCameras => watch::watch(&app, &asked),
        Operation::ListEvents => events::list(&app, asked).await,
        Operation::WatchEvents => events::watch(&app, asked).await,
        Operation::ListJobs => jobs::list(&app, &asked),
        Operation::AddJobs => add_jobs::add(&app, asked).await,
        Operation::GetJob => jobs::get(&app, &asked),
        Operation::CancelJob => jobs::cancel(&app, asked).await,
        Operation::RetryJob => jobs::retry(&app, asked).await,
        Operation::WatchJobs => jobs_watch::watch(&app, &asked),
        Operation::ListPods => pods::list(&app, &asked),
        Operation::GetScaling => pods::scaling(&app, &asked),
        Operation::ListAudit => audit::list(&app, &asked),
        Operation::GetOpenApi => docs::openapi(),
        Operation::GetDocs => Ok(docs::page()),
    }
}

/// An answer is for who asked, and is what its type says.
fn with_common_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer can't be written");
        Problem::unavailable("the answer can't be written; the registry's log says why")
    })?;
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}
