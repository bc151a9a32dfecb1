//! Where a camera may lead: a pod can reach what whoever registers cameras can't.

use std::net::IpAddr;
use std::sync::Arc;

use sightline_schema::ErrorCode;
use sightline_service::uri_policy::{Forbidden, Target, UriPolicy, resolve};
use url::Url;

use crate::error::StreamError;
use crate::source::address::{Address, Kind};

/// Anywhere, for cameras that were given by whoever runs the process; else by a policy. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reach(Option<Arc<UriPolicy>>);

impl Reach {
    pub fn by(policy: UriPolicy) -> Self {
        Self(Some(Arc::new(policy)))
    }

    /// Whether what an address leads to is looked at, so that it must lead nowhere else afterwards.
    pub fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// The address to open now: names are resolved, and what they stand for is looked at each time. An `rtsp` address is
    /// opened by what its name stood for then, so that the next answer can't be another one.
    pub fn check(&self, camera: &str, address: Address) -> Result<Address, StreamError> {
        let Some(policy) = &self.0 else { return Ok(address) };
        let refuse = |Forbidden { reason, next_step }: Forbidden| {
            StreamError::new(ErrorCode::ForbiddenUri, camera, format!("{address}: {reason}; {next_step}"))
        };
        match policy.check(address.uri()).map_err(refuse)? {
            Target::Name(name) => {
                let Ok(found) = resolve(&name) else {
                    // Else it would be asked for again, and what it stands for then was looked at by nobody.
                    if address.kind() == Kind::WebFile {
                        let message = format!("{address}: nobody knows the name {name}");
                        return Err(StreamError::new(ErrorCode::Unreachable, camera, message));
                    }
                    // The source's to report.
                    return Ok(address);
                };
                for ip in &found {
                    policy.check_address(*ip).map_err(|Forbidden { reason, next_step }| {
                        refuse(Forbidden {
                            reason: format!("{name} stands for a forbidden address: {reason}"),
                            next_step,
                        })
                    })?;
                }
                Ok(found.first().and_then(|ip| pinned(&address, *ip)).unwrap_or(address).standing_for(found))
            }
            Target::File(path) => policy.check_found(&path).map_err(refuse).map(|()| address.clone()),
            Target::Address(_) | Target::Object(_) | Target::Test => Ok(address),
        }
    }
}

/// Without TLS nobody asks for the name again.
fn pinned(address: &Address, ip: IpAddr) -> Option<Address> {
    let mut uri = Url::parse(address.uri()).ok().filter(|uri| uri.scheme() == "rtsp")?;
    uri.set_ip_host(ip).ok()?;
    Some(address.at(uri.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(reach: &Reach, uri: &str) -> Result<String, StreamError> {
        reach.check("gate", Address::parse(uri).unwrap()).map(|address| address.uri().to_owned())
    }

    #[test]
    fn a_good_name_for_a_forbidden_address_is_refused_when_it_is_opened() {
        let reach = Reach::by(UriPolicy::default());
        let error = check(&reach, "rtsp://localhost:8554/cam").unwrap_err();
        assert_eq!(error.code(), ErrorCode::ForbiddenUri);
        assert!(error.message().contains("localhost stands for"), "{}", error.message());
        for uri in ["rtsp://127.0.0.1/cam", "http://169.254.169.254/latest", "/etc/passwd"] {
            assert_eq!(check(&reach, uri).unwrap_err().code(), ErrorCode::ForbiddenUri, "{uri}");
        }
        assert_eq!(check(&reach, "rtsp://10.0.0.5/cam").unwrap(), "rtsp://10.0.0.5/cam");
        assert_eq!(check(&Reach::default(), "rtsp://localhost/cam").unwrap(), "rtsp://localhost/cam");
    }

    #[test]
    fn an_allowed_name_is_opened_by_the_address_that_was_looked_at() {
        let networks = ["127.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        let reach = Reach::by(UriPolicy::new(networks.to_vec(), Vec::new()));
        let opened = check(&reach, "rtsp://localhost:8554/cam?a=b").unwrap();
        let pinned = ["rtsp://127.0.0.1:8554/cam?a=b", "rtsp://[::1]:8554/cam?a=b"];
        assert!(pinned.contains(&opened.as_str()), "{opened}");
        // A certificate is for a name.
        assert_eq!(check(&reach, "rtsps://localhost/cam").unwrap(), "rtsps://localhost/cam");
    }
}
