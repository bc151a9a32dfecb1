//! `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`: one object, or those whose names begin so. What a key may
//! not hold in a uri is percent-encoded.

use std::fmt;

use crate::percent;

/// An object's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketUri {
    /// `s3`, `gs` or `az`.
    scheme: &'static str,
    bucket: String,
    /// Decoded.
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UriError(String);

const SCHEMES: [&str; 3] = ["s3", "gs", "az"];

impl BucketUri {
    /// `None`: of another scheme.
    pub fn parse(uri: &str) -> Option<Result<Self, UriError>> {
        let (scheme, rest) = uri.split_once("://")?;
        let scheme = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
        Some(Self::of(scheme, rest))
    }

    fn of(scheme: &'static str, rest: &str) -> Result<Self, UriError> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(legal) {
            // What stands there may be a password.
            return Err(UriError(format!(
                "behind {scheme}:// stands no name of a bucket; write {scheme}://BUCKET/KEY, with credentials in the environment"
            )));
        }
        if key.contains(['?', '#']) {
            return Err(UriError(
                "a uri of an object has no query; write ? as %3F and # as %23 where they belong to the key"
                    .to_owned(),
            ));
        }
        let key = percent::decoded(key);
        if key.split('/').any(|part| part == "." || part == "..") {
            return Err(UriError("a key has no . or .. between its slashes; write it without".to_owned()));
        }
        Ok(Self { scheme, bucket: bucket.to_owned(), key })
    }

    /// Another object of the same bucket.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// `s3://BUCKET`
    pub fn bucket(&self) -> String {
        format!("{}://{}", self.scheme, self.bucket)
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether a bucket, or a part of it, has this in it.
    pub fn is_below(&self, whole: &Self) -> bool {
        let below = || {
            let rest = self.key.strip_prefix(whole.key.trim_end_matches('/'))?;
            Some(rest.is_empty() || rest.starts_with('/'))
        };
        let is_same = self.scheme == whole.scheme && self.bucket == whole.bucket;
        is_same && (whole.key.is_empty() || below() == Some(true))
    }
}

impl fmt::Display for BucketUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.bucket, percent::encoded(&self.key))
    }
}

impl std::str::FromStr for BucketUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
            .unwrap_or_else(|| Err(UriError("write it like s3://BUCKET/PREFIX, gs:// or az://".to_owned())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn uri(text: &str) -> BucketUri {
        text.parse().unwrap()
    }

    #[test]
    fn a_uri_is_taken_apart_and_put_together_again() {
        let gate = uri("S3://clips/2026/gate 3%231.mp4");
        assert_eq!((gate.bucket().as_str(), gate.key()), ("s3://clips", "2026/gate 3#1.mp4"));
        assert_eq!(gate.to_string(), "s3://clips/2026/gate%203%231.mp4");
        assert_eq!(uri(&gate.to_string()), gate);
        assert_eq!(uri("gs://clips").to_string(), "gs://clips/");
        assert_eq!(BucketUri::parse("https://clips/a"), None);
    }

    #[test]
    fn credentials_and_queries_have_no_place_in_it() {
        for bad in
            ["s3://key:secret@clips/a", "s3:///a", "s3://clips/a?sig=secret", "az://c/../a", "s3://clips/./a"]
        {
            let error = bad.parse::<BucketUri>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_part_of_a_bucket_is_told_by_whole_names() {
        for (inside, whole) in [
            ("s3://clips/a/b.mp4", "s3://clips"),
            ("s3://clips/a/b.mp4", "s3://clips/a"),
            ("s3://clips/a/b.mp4", "s3://clips/a/"),
            ("s3://clips/a", "s3://clips/a"),
        ] {
            assert!(uri(inside).is_below(&uri(whole)), "{inside} {whole}");
        }
        for (outside, whole) in [
            ("s3://clips/ab.mp4", "s3://clips/a"),
            ("gs://clips/a", "s3://clips"),
            ("s3://clip/a", "s3://clips"),
        ] {
            assert!(!uri(outside).is_below(&uri(whole)), "{outside} {whole}");
        }
    }
}
