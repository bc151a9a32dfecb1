//! What a stream is, found out by this very command as a process of its own: a stream that crashes a decoder takes no
//! registry with it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use sightline_schema::{Transport, redact_uris};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::checks::Names;
use super::types::ProbeRequest;
use super::{Answer, App, Asked, body};
use crate::problem::{FieldError, Problem};

const AT_ONCE: usize = 4;
const TIME: Duration = Duration::from_secs(10);

/// Where probes run.
pub(crate) struct Probes {
    /// `None` in the build without a pipeline.
    command: Option<PathBuf>,
    places: Semaphore,
}

impl Probes {
    pub(crate) fn new(command: Option<PathBuf>) -> Self {
        Self { command, places: Semaphore::new(AT_ONCE) }
    }
}

pub(super) async fn probe(app: &App, asked: Asked) -> Answer {
    asked.query.only(&[])?;
    let value = body::value(&asked.headers, asked.body, body::LIMIT).await?;
    let wanted: ProbeRequest = body::read(value).map_err(|error| Problem::invalid(vec![error]))?;
    let of_uri =
        |reason: String, next_step: String| Problem::invalid(vec![FieldError::new("uri", reason, next_step)]);
    if wanted.uri.chars().any(char::is_control) || wanted.uri.len() > 2048 || wanted.uri.trim().is_empty() {
        let next_step = "give rtsp://…, http(s)://…, or a file, on one line".to_owned();
        return Err(of_uri("is no address".to_owned(), next_step));
    }
    let resolved = Names::of(app, [wanted.uri.as_str()]).resolve().await;
    resolved.check(app, &wanted.uri).map_err(|forbidden| of_uri(forbidden.reason, forbidden.next_step))?;
    let probes = &app.parts.probes;
    let Some(command) = &probes.command else {
        return Err(Problem::not_here(
            "this registry is a build without a pipeline; use sightline probe where a pipeline runs",
        ));
    };
    let Ok(_place) = probes.places.try_acquire() else {
        return Err(Problem::too_many(format!("{AT_ONCE} streams are probed at the moment; try again")));
    };
    let transport = match wanted.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    let mut command = Command::new(command);
    // By standard input: who lists processes sees no password.
    command.args(["probe", "-", "--output", "json", "--seconds", "3", "--transport", transport]);
    command.args(["--log-filter", "error"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let internal = |error: std::io::Error| {
        tracing::error!(%error, "a probe does not start");
        Problem::unavailable("the probe does not start; the registry's log says why")
    };
    let run = async {
        let mut child = command.spawn().map_err(internal)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A probe that ended already says why.
            let _ = stdin.write_all(wanted.uri.as_bytes()).await;
        }
        child.wait_with_output().await.map_err(internal)
    };
    let Ok(output) = tokio::time::timeout(TIME, run).await else {
        let reason = format!("told nothing within {} s", TIME.as_secs());
        return Err(of_uri(reason, "check that the camera is up and can be reached from here".to_owned()));
    };
    let output = output?;
    if output.status.success() {
        return Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], output.stdout).into_response());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said =
        said.lines().rev().find_map(|line| line.strip_prefix("sightline: ")).unwrap_or("the probe failed");
    let (reason, next_step) = said.rsplit_once("; ").unwrap_or((said, "check the address"));
    Err(of_uri(redact_uris(reason).into_owned(), redact_uris(next_step).into_owned()))
}
