//! The document, and its page for people: one file that asks nobody else.

use std::sync::OnceLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use super::{Answer, openapi};

const PAGE: &str = include_str!("docs.html");
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

pub(super) fn openapi() -> Answer {
    // It never changes while the process lives.
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| openapi::document().to_string());
    Ok(([(CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}

pub(super) fn page() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)], PAGE).into_response()
}
