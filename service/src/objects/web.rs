//! A file on a web server, read by ranges: only where it was looked at before, along no redirect, and as one content.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use sightline_schema::{InlineCredentials, split_credentials, without_queries};
use url::Url;

use super::open::{ATTEMPTS, CONNECT, FIRST_WAIT, LONGEST_WAIT, REQUEST, install_tls};
use super::place::PlaceError;

/// A file by HTTP. Cheap to clone.
#[derive(Clone)]
pub struct WebFile {
    client: Client,
    url: Url,
    credentials: Option<InlineCredentials>,
    /// Without what a link may be signed with.
    shown: String,
    /// For one request, the client's own attempts together.
    patience: Duration,
}

/// What is known of a file on a web server, and that it can be read by ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebMeta {
    pub bytes: u64,
    /// Where its server says it.
    pub modified: Option<SystemTime>,
    /// What its server calls this content: tag and date.
    content: Content,
}

type Content = (Option<String>, Option<String>);

/// Why a web server did not give what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebReason {
    /// Not for whoever asks, or not any more.
    Refused,
    Missing,
    /// The file is not the one that was looked at before.
    Changed,
    /// No answer, or one that says to come again.
    Away,
    /// It gives files as a whole alone.
    NoRanges,
    /// It names another address.
    Redirected,
    /// Its certificate.
    Untrusted,
    Other,
}

/// A sentence without a secret in it. What to do about it is for whoever asked to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct WebFault {
    pub reason: WebReason,
    sentence: String,
}

/// One answer that is none of use.
enum Failed {
    /// It may be there when asked again: why.
    Passing(WebReason, String),
    Lasting(WebReason, String),
}

impl WebFile {
    /// `addresses` are those that its name stands for, where they were looked at: it is connected to no others. Nothing is
    /// asked yet.
    pub fn open(uri: &str, addresses: &[IpAddr]) -> Result<Self, PlaceError> {
        let shown = without_queries(uri).into_owned();
        let (clean, credentials) = split_credentials(uri);
        let url = Url::parse(&clean)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                PlaceError(format!("{shown} is no address of a file; write it like https://HOST/PATH"))
            })?;
        install_tls();
        let mut client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .user_agent(concat!("sightline/", env!("CARGO_PKG_VERSION")));
        if let (Some(host), false) = (url.domain(), addresses.is_empty()) {
            let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
            client = client.resolve_to_addrs(host, &addresses);
        }
        let client = client
            .build()
            .map_err(|error| PlaceError(format!("{shown} can't be asked for: {}", deepest(&error))))?;
        Ok(Self { client, url, credentials, shown, patience: ATTEMPTS })
    }

    /// Those of the address count where none are given.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<InlineCredentials>) -> Self {
        Self { credentials: credentials.or(self.credentials), ..self }
    }

    /// Each request is tried for no longer than this.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long it is, and which content it has: by a request for its first byte, since a link may be signed for reading alone.
    pub async fn head(&self) -> Result<WebMeta, WebFault> {
        self.insist("look at", || async {
            let answer = self.ask(&(0..1)).await?;
            let headers = answer.headers();
            let bytes = match (answer.status(), total(headers)) {
                (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(bytes)) => bytes,
                // Of nothing there is no part.
                (StatusCode::OK, _) if answer.content_length() == Some(0) => 0,
                (StatusCode::OK | StatusCode::PARTIAL_CONTENT, _) => return Err(no_ranges()),
                _ => return Err(refused(&answer)),
            };
            let modified = header(headers, &LAST_MODIFIED).and_then(|text| date(&text));
            Ok(WebMeta { bytes, modified, content: content(headers) })
        })
        .await
    }

    /// Some bytes of the content that was looked at, or none.
    pub async fn read(&self, range: Range<u64>, meta: &WebMeta) -> Result<Bytes, WebFault> {
        self.insist("read", || async {
            let answer = self.ask(&range).await?;
            match answer.status() {
                StatusCode::PARTIAL_CONTENT => {}
                StatusCode::OK => return Err(no_ranges()),
                StatusCode::RANGE_NOT_SATISFIABLE => return Err(changed()),
                _ => return Err(refused(&answer)),
            }
            let headers = answer.headers();
            if total(headers) != Some(meta.bytes) || content(headers) != meta.content {
                return Err(changed());
            }
            let end = range.end.min(meta.bytes);
            let wanted = end.saturating_sub(range.start);
            if first(headers) != Some(range.start) || answer.content_length().is_some_and(|all| all > wanted)
            {
                return Err(no_ranges());
            }
            let bytes = answer.bytes().await.map_err(|error| broken(&error))?;
            match bytes.len() as u64 == wanted {
                true => Ok(bytes),
                false => {
                    let why = format!("its server gave {} bytes of {wanted}", bytes.len());
                    Err(Failed::Passing(WebReason::Away, why))
                }
            }
        })
        .await
    }

    async fn ask(&self, range: &Range<u64>) -> Result<Response, Failed> {
        let mut request = self.client.get(self.url.clone());
        if let Some(InlineCredentials { user, password }) = &self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        request.header(RANGE, bytes).send().await.map_err(|error| broken(&error))
    }

    /// Again and again while it may pass, as the clients of object stores do.
    async fn insist<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T, WebFault>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let (reason, why) = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Passing(..)) if begun.elapsed() + wait < self.patience => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    continue;
                }
                Err(Failed::Passing(reason, why) | Failed::Lasting(reason, why)) => (reason, why),
            };
            return Err(WebFault { reason, sentence: format!("cannot {what} {}: {why}", self.shown) });
        }
    }
}

fn no_ranges() -> Failed {
    let why = "its server gives no parts of a file (it does not answer a request for a range with 206)";
    Failed::Lasting(WebReason::NoRanges, why.to_owned())
}

fn changed() -> Failed {
    Failed::Lasting(WebReason::Changed, "it was replaced while it was read".to_owned())
}

fn refused(answer: &Response) -> Failed {
    let status = answer.status();
    let why = format!("its server answers with {}", status.as_u16());
    match status.as_u16() {
        300..=399 => {
            Failed::Lasting(WebReason::Redirected, "it redirects, and that is not followed here".to_owned())
        }
        400 | 401 | 403 => Failed::Lasting(WebReason::Refused, why),
        404 | 410 => Failed::Lasting(WebReason::Missing, why),
        408 | 425 | 429 | 500..=599 => Failed::Passing(WebReason::Away, why),
        _ => Failed::Lasting(WebReason::Other, why),
    }
}

fn broken(error: &reqwest::Error) -> Failed {
    let why = deepest(error);
    let lower = why.to_ascii_lowercase();
    if lower.contains("certificate") {
        return Failed::Lasting(WebReason::Untrusted, format!("its server is not trusted ({why})"));
    }
    let what = if error.is_connect() || error.is_request() { "does not answer" } else { "broke off" };
    Failed::Passing(WebReason::Away, format!("its server {what} ({why})"))
}

/// The deepest reason, without an address, which may hold a secret.
fn deepest(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    if text.contains("://") { "no answer".to_owned() } else { super::fault::first_line(&text) }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn content(headers: &HeaderMap) -> Content {
    (header(headers, &ETAG), header(headers, &LAST_MODIFIED))
}

/// `bytes 0-0/12345`, or `bytes */0`: the whole length.
fn total(headers: &HeaderMap) -> Option<u64> {
    header(headers, &CONTENT_RANGE)?.strip_prefix("bytes ")?.rsplit_once('/')?.1.trim().parse().ok()
}

/// `bytes 100-199/12345`: where the part begins.
fn first(headers: &HeaderMap) -> Option<u64> {
    header(headers, &CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// As HTTP writes it: `Mon, 23 Nov 2026 18:40:12 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let seconds = u64::try_from(date.timestamp().as_second()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
