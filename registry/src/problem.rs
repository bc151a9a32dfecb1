//! Problem details (RFC 9457): what a client is told instead of an answer.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use sightline_schema::{CameraError, redact_uris};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// `urn:sightline:problem:` and a name that stays.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind for people.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do next: a sentence.
    pub detail: String,
    /// What is wrong with what was sent, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Methods, media types or seconds for a header.
    #[serde(skip)]
    header: Option<String>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// As it is written: `zones[1].polygon`. Empty: all of it.
    pub field: String,
    pub reason: String,
    /// What to write instead.
    pub next_step: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        // A reason shows what was given: maybe a uri in the wrong place, with its password.
        let shown = |text: String| redact_uris(&text).into_owned();
        Self { field: shown(field.into()), reason: shown(reason.into()), next_step: next_step.into() }
    }
}

impl From<CameraError> for FieldError {
    fn from(error: CameraError) -> Self {
        Self::new(error.field, error.reason, error.next_step)
    }
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into(), errors: Vec::new(), header: None }
    }

    /// What was sent can't be read at all.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "urn:sightline:problem:unreadable",
            "The request can't be read",
            detail,
        )
    }

    /// What was sent can be read, and can't be used.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [FieldError { field, reason, next_step }] if field.is_empty() => format!("{reason}; {next_step}"),
            [FieldError { field, reason, next_step }] => format!("{field}: {reason}; {next_step}"),
            several => format!("{} fields can't be used", several.len()),
        };
        let invalid = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:sightline:problem:invalid",
            "The request can't be used",
            detail,
        );
        Self { errors, ..invalid }
    }

    /// A query parameter.
    pub fn parameter(name: &str, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        let error = FieldError::new(name, reason, next_step);
        let detail = format!("{name}: {}; {}", error.reason, error.next_step);
        let unreadable = Self::unreadable(detail);
        Self { errors: vec![error], ..unreadable }
    }

    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "urn:sightline:problem:unauthorized",
            "No valid token",
            "send the header Authorization: Bearer TOKEN with a token that this registry knows",
        )
    }

    pub fn forbidden(name: &str, has: &str, needs: &str) -> Self {
        let detail =
            format!("the token {name:?} has the role {has}, and this needs {needs}; use another token");
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:sightline:problem:forbidden",
            "The token's role does not allow this",
            detail,
        )
    }

    pub fn no_route(path: &str) -> Self {
        let detail = format!("there is nothing at {path}; /openapi.json lists what there is, /docs shows it");
        Self::new(StatusCode::NOT_FOUND, "urn:sightline:problem:not-found", "Not found", detail)
    }

    pub fn no_camera(id: &str) -> Self {
        let detail = format!("there is no camera {id:?}; GET /v1/cameras lists them");
        Self::new(StatusCode::NOT_FOUND, "urn:sightline:problem:not-found", "Not found", detail)
    }

    pub fn no_job(id: &str) -> Self {
        let detail = format!("there is no job {id:?}; GET /v1/jobs lists them");
        Self::new(StatusCode::NOT_FOUND, "urn:sightline:problem:not-found", "Not found", detail)
    }

    /// A job is in a state in which this makes no sense.
    pub fn job_state(detail: impl Into<String>) -> Self {
        let title = "The job's state does not allow this";
        Self::new(StatusCode::CONFLICT, "urn:sightline:problem:job-state", title, detail)
    }

    pub fn method(allowed: &str) -> Self {
        let detail = format!("use one of {allowed} here");
        let title = "The method is not allowed";
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "urn:sightline:problem:method-not-allowed",
            title,
            detail,
        );
        Self { header: Some(allowed.to_owned()), ..problem }
    }

    pub fn exists(id: &str) -> Self {
        let detail =
            format!("there is a camera {id:?} already; change it by PUT or PATCH, or give another id");
        Self::new(StatusCode::CONFLICT, "urn:sightline:problem:exists", "The camera exists", detail)
    }

    /// `If-Match`, `If-None-Match` or the body's generation.
    pub fn precondition(detail: impl Into<String>) -> Self {
        let title = "The camera has changed";
        Self::new(StatusCode::PRECONDITION_FAILED, "urn:sightline:problem:precondition-failed", title, detail)
    }

    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body is larger than {} MiB; send it in parts", limit >> 20);
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "urn:sightline:problem:too-large",
            "The body is too large",
            detail,
        )
    }

    pub fn media_type(accepted: &str) -> Self {
        let detail = format!("send the header Content-Type with one of {accepted}");
        let title = "The media type is not known here";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "urn:sightline:problem:media-type", title, detail)
    }

    pub fn too_many(detail: impl Into<String>) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:sightline:problem:too-many",
            "Too many at once",
            detail,
        );
        Self { header: Some("5".to_owned()), ..problem }
    }

    pub fn not_here(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "urn:sightline:problem:not-here", "Not in this build", detail)
    }

    /// What happened is not kept where this registry could look.
    pub fn no_history() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "urn:sightline:problem:no-history",
            "No history here",
            "this registry has no database to look in; start it with --database, or ask with Accept: text/event-stream for \
             what happens from now on, or since a time that the topic still holds",
        )
    }

    /// Kafka does not answer, or the registry is not ready: passes by itself.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Not available now";
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:sightline:problem:unavailable", title, detail);
        Self { header: Some("2".to_owned()), ..problem }
    }

    pub fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.code();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.code() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sightline\""));
        }
        let name = match self.code() {
            StatusCode::METHOD_NOT_ALLOWED => Some(ALLOW),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(RETRY_AFTER),
            _ => None,
        };
        if let (Some(name), Some(value)) = (name, self.header.as_deref().and_then(|text| text.parse().ok())) {
            headers.insert(name, value);
        }
        response
    }
}
