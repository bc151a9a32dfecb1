//! Where a target is. What is shown of it is scheme, host and port: the rest may be a secret.

use std::fmt;

use ureq::http::Uri;

#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    origin: String,
}

impl Address {
    pub(super) fn webhook(text: &str) -> Result<Self, String> {
        let uri = checked(text)?;
        Ok(Self { origin: origin(&uri), url: text.to_owned() })
    }

    /// The address of an Alertmanager, a path before its API included.
    pub(super) fn alertmanager(text: &str) -> Result<Self, String> {
        let uri = checked(text)?;
        if uri.query().is_some() {
            return Err("take away what follows the ?".to_owned());
        }
        let base = text.trim_end_matches('/');
        let base = base.strip_suffix("/api/v2/alerts").unwrap_or(base);
        Ok(Self { origin: origin(&uri), url: format!("{base}/api/v2/alerts") })
    }

    /// Not to be shown.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

fn checked(text: &str) -> Result<Uri, String> {
    let wrong = "is no address; write one like https://desk.example/hook";
    let uri: Uri = text.parse().map_err(|_| wrong.to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wrong.to_owned());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("holds a user or password; take it out, and give a token by bearer_file".to_owned());
    }
    Ok(uri)
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_scheme_host_and_port_are_shown() {
        let address = Address::webhook("https://desk.example:8443/hook/T0K3N?key=S3CR3T").unwrap();
        assert_eq!(format!("{address} {address:?}"), "https://desk.example:8443 https://desk.example:8443");
        assert!(address.url().ends_with("/hook/T0K3N?key=S3CR3T"));
        for text in ["http://am:9093", "http://am:9093/", "http://am:9093/api/v2/alerts"] {
            assert_eq!(Address::alertmanager(text).unwrap().url(), "http://am:9093/api/v2/alerts");
        }
    }

    #[test]
    fn a_wrong_one_is_refused_and_not_shown() {
        for text in [
            "",
            "desk.example/S3CR3T",
            "ftp://desk/S3CR3T",
            "https://S3CR3T:x@desk/",
            "http:///S3CR3T",
            "http://a b/S3CR3T",
        ] {
            let error = Address::webhook(text).unwrap_err();
            assert!(!error.contains("S3CR3T") && !error.is_empty(), "{text}: {error}");
        }
        assert!(Address::alertmanager("http://am:9093/?key=S3CR3T").is_err());
    }
}
