//! A file by HTTP: its server is asked when it was made, and nothing else of it is read.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use sightline_service::objects::{WebFault, WebFile, WebReason};
use sightline_service::uri_policy::{Target, resolve};
use url::Url;

use super::{File, Looking, Refused};

/// For who waits; a worker has more patience.
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
        addresses = found.ok().and_then(Result::ok).unwrap_or_default();
        looking.policy.check_addresses(&name, &addresses)?;
    }
    let modified = if looking.dates { Some(modified(&url, &addresses).await?) } else { None };
    Ok(File { uri: url.to_string(), modified })
}

async fn modified(url: &Url, addresses: &[IpAddr]) -> Result<SystemTime, Refused> {
    if let Some(name) = url.domain().filter(|_| addresses.is_empty()) {
        return Err(Refused::new(format!("nobody knows the name {name}"), "correct it, or give --start"));
    }
    let file = WebFile::open(url.as_str(), addresses)?.with_patience(Duration::ZERO);
    let looked = tokio::time::timeout(ANSWER, file.head()).await;
    let looked = looked.map_err(|_| {
        Refused::new("its server does not answer in time", "try again when it does, or give --start")
    })?;
    let meta = looked.map_err(|fault: WebFault| Refused::new(fault.to_string(), next_step(fault.reason)))?;
    meta.modified.ok_or_else(|| Refused::new("its server does not say when it was made", GIVE))
}

const fn next_step(reason: WebReason) -> &'static str {
    match reason {
        WebReason::Refused | WebReason::Missing => {
            "look whether it is there for everybody, and whether a signed link still counts; correct the address"
        }
        WebReason::Redirected => "give where it leads to",
        WebReason::Away => "try again when it does, or give --start",
        WebReason::Untrusted => {
            "let whoever runs the registry trust the authority that signed its certificate"
        }
        WebReason::NoRanges | WebReason::Changed | WebReason::Other => {
            "look at the server's own log, or put the file into a bucket or a folder"
        }
    }
}
