//! Requests to the registry; what it refuses becomes a sentence.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::cli::RegistryAddressArgs;
use crate::exit::{Failure, Outcome};

const CONNECT: Duration = Duration::from_secs(10);
/// An import of ten thousand cameras takes some seconds.
const ANSWER: Duration = Duration::from_secs(120);

pub(super) struct Client {
    agent: ureq::Agent,
    registry: String,
    token: Option<String>,
}

/// What the registry answered.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) etag: Option<String>,
}

impl Client {
    pub(super) fn new(args: &RegistryAddressArgs) -> Result<Self, Failure> {
        let token = match (&args.token, &args.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => {
                let refuse = |error| Failure::usage(format!("{}: {error}", file.display()));
                Some(std::fs::read_to_string(file).map_err(refuse)?.trim().to_owned())
            }
            (None, None) => None,
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER));
        let mut roots = RootCerts::PlatformVerifier;
        if let Some(file) = &args.ca {
            let refuse = |error: String| Failure::usage(format!("{}: {error}", file.display()));
            let pem = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(refuse("holds no certificate in PEM".to_owned()));
            }
            roots = RootCerts::new_with_certs(&certificates);
        }
        let config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        let registry = args.registry.trim_end_matches('/').to_owned();
        Ok(Self { agent: ureq::Agent::new_with_config(config.build()), registry, token })
    }

    pub(super) fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answered, Failure> {
        self.ask(Method::GET, &with_query(path, query), &[], None)
    }

    pub(super) fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answered, Failure> {
        self.send_if(method, path, body, &[])
    }

    pub(super) fn send_if(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answered, Failure> {
        self.ask(method, path, headers, Some(body.to_string()))
    }

    pub(super) fn delete(&self, path: &str) -> Outcome {
        self.ask(Method::DELETE, path, &[], None).map(|_| ())
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answered, Failure> {
        let mut answer = self.open(method, path, headers, body)?;
        let etag = answer.headers().get("etag").and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string();
        let text = text.map_err(|error| self.unanswered(&error))?;
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or_default() };
        if status.is_success() {
            Ok(Answered { status, body, etag })
        } else {
            Err(self.refused(status, &body))
        }
    }

    /// An answer that goes on for as long as the registry runs.
    pub(super) fn follow(&self, path: &str, query: &[(&str, String)]) -> Result<impl Read + use<>, Failure> {
        let mut answer = self.open(Method::GET, &with_query(path, query), &[], None)?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            return Err(self.refused(status, &serde_json::from_str(&text).unwrap_or_default()));
        }
        Ok(answer.into_body().into_reader())
    }

    fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Response<ureq::Body>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.registry));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let wrong =
            |error: ureq::http::Error| Failure::usage(format!("--registry {}: {error}", self.registry));
        let answered = match body {
            Some(body) => self.agent.run(request.body(body).map_err(wrong)?),
            None => self.agent.run(request.body(()).map_err(wrong)?),
        };
        answered.map_err(|error| self.unanswered(&error))
    }

    fn unanswered(&self, error: &ureq::Error) -> Failure {
        let registry = &self.registry;
        Failure::failed(format!(
            "no answer from the registry at {registry} ({error}); check --registry, and that it runs"
        ))
    }

    /// The problem's own sentence, and a line for each field where there are several.
    fn refused(&self, status: StatusCode, problem: &Value) -> Failure {
        let Some(detail) = problem["detail"].as_str() else {
            return Failure::failed(format!("{} answers {status}; is it a registry?", self.registry));
        };
        let mut message = detail.to_owned();
        let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
        if errors.len() > 1 {
            for error in errors {
                let text = |name: &str| error[name].as_str().unwrap_or_default();
                message.push_str(&format!(
                    "\n  {}: {}; {}",
                    text("field"),
                    text("reason"),
                    text("next_step")
                ));
            }
        }
        Failure::failed(message)
    }
}

/// The path of one camera.
pub(super) fn path_of(id: &str) -> String {
    format!("/v1/cameras/{}", encoded(id))
}

/// The path of one job.
pub(super) fn job_path(id: &str) -> String {
    format!("/v1/jobs/{}", encoded(id))
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// Percent-encoded, but for what needs none anywhere.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_encoded() {
        assert_eq!(path_of("a/b?c"), "/v1/cameras/a%2Fb%3Fc");
        let query = [("label", "site=hq ö".to_owned()), ("pool", "gpu".to_owned())];
        assert_eq!(with_query("/v1/cameras", &query), "/v1/cameras?label=site%3Dhq%20%C3%B6&pool=gpu");
        assert_eq!(with_query("/v1/pods", &[]), "/v1/pods");
    }
}
