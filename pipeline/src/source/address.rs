//! Where a stream is read from, with the password kept apart.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sightline_schema::{InlineCredentials, split_credentials, without_queries};
use url::Url;

/// How an address is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `rtsp://`, `rtsps://`: live.
    Rtsp,
    /// `http://`, `https://`: a file or a playlist on a server.
    Http,
    /// `http://`, `https://`: a file and nothing else, read by ranges.
    WebFile,
    /// `s3://`, `gs://`, `az://`: an object, read by ranges.
    Object,
    /// A local file.
    File,
    /// `test://PATTERN[?frames=N&fps=F&size=WxH]`: a pattern made here.
    Test,
}

/// Why an address can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error(
        "{0}: not an address; give a file, rtsp://, rtsps://, http(s)://, s3://, gs://, az://, file:// or test://"
    )]
    NotAnAddress(String),
    #[error(
        "{address}: the scheme {scheme}:// is not known; use rtsp, rtsps, http, https, s3, gs, az, file or test"
    )]
    UnknownScheme { address: String, scheme: String },
}

/// An address without credentials, and the credentials beside it.
#[derive(Clone)]
pub struct Address {
    kind: Kind,
    uri: String,
    shown: String,
    credentials: Option<InlineCredentials>,
    /// What its name stood for when that was looked at.
    stands_for: Vec<IpAddr>,
}

impl Address {
    /// Reads what a person typed: a path or a URI. Credentials in it are taken out.
    pub fn parse(given: &str) -> Result<Self, AddressError> {
        let (clean, credentials) = split_credentials(given);
        let Some((scheme, rest)) = clean.split_once("://") else {
            let uri = Url::from_file_path(absolute(Path::new(&clean)))
                .map_err(|()| AddressError::NotAnAddress(clean.clone()))?;
            return Ok(Self {
                kind: Kind::File,
                uri: uri.into(),
                shown: clean,
                credentials: None,
                stands_for: Vec::new(),
            });
        };
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtsps" => Kind::Rtsp,
            "http" | "https" => Kind::Http,
            "s3" | "gs" | "az" => Kind::Object,
            "file" => Kind::File,
            "test" => Kind::Test,
            _ => {
                return Err(AddressError::UnknownScheme {
                    scheme: scheme.to_owned(),
                    address: clean.clone(),
                });
            }
        };
        if rest.is_empty() {
            return Err(AddressError::NotAnAddress(clean));
        }
        // A link may be signed in its query.
        let shown = without_queries(&clean).into_owned();
        Ok(Self { kind, uri: clean, shown, credentials, stands_for: Vec::new() })
    }

    #[must_use]
    pub fn with_credentials(mut self, credentials: Option<InlineCredentials>) -> Self {
        if credentials.is_some() {
            self.credentials = credentials;
        }
        self
    }

    /// The same, opened by another uri; shown as it was.
    #[must_use]
    pub fn at(&self, uri: String) -> Self {
        Self { uri, ..self.clone() }
    }

    /// A recording: what a web server gives is a file, and no stream or playlist.
    #[must_use]
    pub fn of_recording(self) -> Self {
        let kind = if self.kind == Kind::Http { Kind::WebFile } else { self.kind };
        Self { kind, ..self }
    }

    /// The same, to be connected to at these addresses alone, where its kind can be.
    #[must_use]
    pub fn standing_for(self, stands_for: Vec<IpAddr>) -> Self {
        Self { stands_for, ..self }
    }

    /// What its name stood for when that was looked at; empty where it was not.
    pub fn stands_for(&self) -> &[IpAddr] {
        &self.stands_for
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The URI to open, without credentials.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub fn credentials(&self) -> Option<&InlineCredentials> {
        self.credentials.as_ref()
    }

    /// The path of a local file.
    pub fn path(&self) -> Option<PathBuf> {
        (self.kind == Kind::File).then(|| Url::parse(&self.uri).ok()?.to_file_path().ok())?
    }

    /// Frames keep coming whether they are taken or not.
    pub fn is_live(&self) -> bool {
        self.kind == Kind::Rtsp
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_part_of_what_is_shown_or_opened() {
        let address = Address::parse("rtsp://ann:s3cret@10.0.0.5/stream").unwrap();
        assert_eq!(address.kind(), Kind::Rtsp);
        assert_eq!(address.uri(), "rtsp://10.0.0.5/stream");
        assert!(!format!("{address} {address:?}").contains("s3cret"));
        assert_eq!(address.credentials().unwrap().password, "s3cret");
    }

    #[test]
    fn what_a_link_is_signed_with_is_opened_and_not_shown() {
        let address = Address::parse("https://host/a.mp4?X-Amz-Signature=s3cret").unwrap();
        assert_eq!(address.uri(), "https://host/a.mp4?X-Amz-Signature=s3cret");
        assert_eq!(format!("{address} {address:?}"), "https://host/a.mp4?*** https://host/a.mp4?***");
        assert_eq!(address.of_recording().kind(), Kind::WebFile);
    }

    #[test]
    fn paths_with_odd_names_come_back_whole() {
        let address = Address::parse("/data/a b#c%20d.mp4").unwrap();
        assert_eq!(address.path().unwrap(), Path::new("/data/a b#c%20d.mp4"));
        assert_eq!(address.to_string(), "/data/a b#c%20d.mp4");
    }

    #[test]
    fn an_unknown_scheme_is_named() {
        let error = Address::parse("ftp://host/x").unwrap_err().to_string();
        assert!(error.contains("ftp"), "{error}");
    }
}
