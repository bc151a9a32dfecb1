//! A file by HTTP: its server is asked when it was made, and nothing else of it is read.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use reqwest::header::LAST_MODIFIED;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use sightline_service::uri_policy::{Target, resolve};

use super::{File, Looking, Refused};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
const RESOLUTION: Duration = Duration::from_secs(3);
const GIVE: &str = "say when it began with --start or --start-from-name";

pub(super) async fn look(looking: &Looking, uri: &str) -> Result<File, Refused> {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(Refused::new(
            format!("{scheme}:// is a stream that has no end"),
            "register it by sightline camera add; jobs are files",
        ));
    }
    let Ok(url) = Url::parse(uri) else {
        return Err(Refused::new("is no address", "write it like https://HOST/PATH"));
    };
    // Asked by the addresses that were looked at: the name may stand for another a moment later.
    let mut addresses = Vec::new();
    if let Target::Name(name) = looking.policy.check(uri)? {
        let asked = name.clone();
        let resolving = tokio::task::spawn_blocking(move || resolve(&asked).unwrap_or_default());
        let found = tokio::time::timeout(RESOLUTION, resolving).await;
        let found = found.ok().and_then(Result::ok).unwrap_or_default();
        looking.policy.check_addresses(&name, &found)?;
        addresses.extend(found.into_iter().map(|address| SocketAddr::new(address, 0)));
    }
    let modified = if looking.dates { Some(modified(&url, &addresses).await?) } else { None };
    Ok(File { uri: url.to_string(), modified })
}

async fn modified(url: &Url, addresses: &[SocketAddr]) -> Result<SystemTime, Refused> {
    let host = url.host_str().unwrap_or_default();
    if url.domain().is_some() && addresses.is_empty() {
        return Err(Refused::new(format!("nobody knows the name {host}"), "correct it, or give --start"));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .user_agent(concat!("sightline/", env!("CARGO_PKG_VERSION")));
    if url.domain().is_some() {
        client = client.resolve_to_addrs(host, addresses);
    }
    let client = client
        .build()
        .map_err(|error| Refused::new(format!("can't be asked for: {}", told(&error)), GIVE))?;
    let answer = client.head(url.clone()).send().await.map_err(|error| {
        Refused::new(
            format!("its server does not answer ({})", told(&error)),
            "try again when it does, or give --start",
        )
    })?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(Refused::new("it redirects, and that is not followed here", "give where it leads to"));
    }
    if !status.is_success() {
        let next_step = "look whether it is there for everybody, and correct the address";
        return Err(Refused::new(format!("its server answers with {}", status.as_u16()), next_step));
    }
    let date = answer.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let date = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    match date {
        Some(date) => {
            let seconds = u64::try_from(date.timestamp().as_second()).unwrap_or(0);
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        }
        None => Err(Refused::new("its server does not say when it was made", GIVE)),
    }
}

/// The deepest reason, without the address, which may hold a secret.
fn told(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    if text.contains("://") { "no answer".to_owned() } else { text }
}
