//! Where the collector is, and what it is told with each request.

use std::fmt;

use thiserror::Error;
use ureq::http::{HeaderName, HeaderValue, Uri};

use crate::percent;

/// Where traces are taken below a collector's address (OTLP 1.0).
const PATH: &str = "/v1/traces";
/// As OpenTelemetry names them; the first that is set is taken.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];

#[derive(Debug, Error)]
pub enum CollectorError {
    #[error("--otlp {0:?}: {1}; give the collector's address as in http://otel-collector:4318")]
    Address(String, &'static str),
    #[error("{0}: {1}; write name=value,name=value, percent-encoded")]
    Headers(&'static str, String),
    #[error("traces can't be sent: {0}")]
    Start(String),
}

/// An OpenTelemetry collector that takes OTLP over HTTP.
#[derive(Clone)]
pub struct Collector {
    /// With the path.
    pub(super) url: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Headers may hold a token.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({})", self.url)
    }
}

impl Collector {
    /// `address` is the collector's, with or without `/v1/traces`. Headers come from `OTEL_EXPORTER_OTLP_HEADERS`.
    pub fn new(address: &str) -> Result<Self, CollectorError> {
        let set = HEADERS.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
        Self::with(address, set.as_ref().map(|(name, value)| (*name, value.as_str())))
    }

    fn with(address: &str, headers: Option<(&'static str, &str)>) -> Result<Self, CollectorError> {
        // A password in it must not be repeated.
        if address.contains('@') {
            let shown = address.rsplit('@').next().unwrap_or_default();
            let why = "a user or password does not go into it, but into OTEL_EXPORTER_OTLP_HEADERS";
            return Err(CollectorError::Address(format!("…@{shown}"), why));
        }
        let wrong = |why| CollectorError::Address(address.to_owned(), why);
        let uri: Uri = address.parse().map_err(|_| wrong("that is no address"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("it does not begin with http:// or https://"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let base = address.trim_end_matches('/');
        let url = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
        let mut read = Vec::new();
        if let Some((variable, text)) = headers {
            for (name, value) in pairs(text) {
                // The value may be a secret, and so may be a name without one.
                let wrong = || CollectorError::Headers(variable, "that is no list of headers".to_owned());
                let name = HeaderName::try_from(name).map_err(|_| wrong())?;
                let mut value = HeaderValue::try_from(value.ok_or_else(wrong)?).map_err(|_| wrong())?;
                value.set_sensitive(true);
                read.push((name, value));
            }
        }
        Ok(Self { url, headers: read })
    }
}

/// `name=value,name=value`, values percent-encoded: as OpenTelemetry has its variables.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, Option<String>)> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((name, value)) => (name.trim(), Some(percent::decoded(value.trim()))),
        None => (part, None),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_path_whether_said_or_not() {
        for (address, url) in [
            ("http://otel:4318", "http://otel:4318/v1/traces"),
            ("http://otel:4318/", "http://otel:4318/v1/traces"),
            ("https://otel.example/otlp", "https://otel.example/otlp/v1/traces"),
            ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(Collector::with(address, None).unwrap().url, url);
        }
    }

    #[test]
    fn what_is_no_address_is_a_sentence() {
        for address in ["", "otel:4318", "grpc://otel:4317", "http://", "http://otel:4318/?a=b", "http://a b"]
        {
            let error = Collector::with(address, None).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("--otlp {address:?}: ")) && error.contains("; give "),
                "{error}"
            );
        }
        let error = Collector::with("http://ann:tr0ub4dor@otel:4318", None).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("tr0ub4dor"), "{error}");
    }

    #[test]
    fn headers_are_read_and_never_repeated() {
        let of = |text| Collector::with("http://otel:4318", Some(("OTEL_EXPORTER_OTLP_HEADERS", text)));
        let read = of("authorization=Basic%20dXNlcjpwYXNz, x-scope = lab").unwrap();
        let shown: Vec<_> =
            read.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(shown, [("authorization", "Basic dXNlcjpwYXNz"), ("x-scope", "lab")]);
        assert!(!format!("{read:?}").contains("dXNl"));
        for wrong in ["tr0ub4dor", "a b=tr0ub4dor", "a=tr0ub4dor%0A"] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(error.starts_with("OTEL_EXPORTER_OTLP_HEADERS: ") && !error.contains("tr0ub"), "{error}");
        }
    }
}
