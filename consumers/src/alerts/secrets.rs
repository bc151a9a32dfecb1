//! Secrets in files, read again when they change. An error names the file and never what is in it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sightline_service::files::Watched;

/// A shorter one could be guessed.
const SHORTEST: usize = 16;
/// Before the base64 of a secret, as the Standard Webhooks write it.
const PREFIX: &str = "whsec_";

/// The secrets that sign, one a line: two while one takes the other's place.
pub(super) struct Signing(Mutex<Watched<Vec<Vec<u8>>>>);

/// A token that is sent along.
pub(super) struct Bearer(Mutex<Watched<String>>);

impl Signing {
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let read = |path: &Path| in_file(path, secrets);
        Watched::open(path, read).map(|watched| Self(Mutex::new(watched)))
    }

    pub(super) fn secrets(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get().clone()
    }
}

impl Bearer {
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let read = |path: &Path| in_file(path, token);
        Watched::open(path, read).map(|watched| Self(Mutex::new(watched)))
    }

    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0.lock().unwrap_or_else(PoisonError::into_inner).get())
    }
}

fn in_file<T>(path: &Path, read: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = String::from_utf8(text).map_err(|_| "it is no text".to_owned());
    text.and_then(|text| read(&text)).map_err(|why| format!("{}: {why}", path.display()))
}

fn secrets(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut secrets = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        let secret = match line.strip_prefix(PREFIX) {
            _ if line.is_empty() => continue,
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| format!("line {}: what follows {PREFIX} is no base64", n + 1))?,
            None => line.as_bytes().to_vec(),
        };
        if secret.len() < SHORTEST {
            let line = n + 1;
            return Err(format!(
                "line {line}: the secret is shorter than {SHORTEST} bytes; take 32 random ones"
            ));
        }
        secrets.push(secret);
    }
    if secrets.is_empty() {
        return Err("it holds no secret; write one a line".to_owned());
    }
    Ok(secrets)
}

fn token(text: &str) -> Result<String, String> {
    let token = text.trim();
    if token.is_empty() {
        return Err("it holds no token".to_owned());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token holds characters that no header may".to_owned());
    }
    Ok(token.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stand_one_a_line_in_base64_or_as_they_are() {
        let read = secrets("whsec_MDEyMzQ1Njc4OWFiY2RlZg==\n\n  plain-secret-of-some-length \n").unwrap();
        assert_eq!(read, [b"0123456789abcdef".to_vec(), b"plain-secret-of-some-length".to_vec()]);
        assert_eq!(token(" slt_abc\n"), Ok("slt_abc".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said_by_line_and_never_shown() {
        for (text, why) in [
            ("", "holds no secret"),
            ("whsec_S3CR3T!!!", "line 1: what follows whsec_ is no base64"),
            ("0123456789abcdef\nS3CR3T", "line 2: the secret is shorter than 16 bytes"),
        ] {
            let error = secrets(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("S3CR3T"), "{error}");
        }
        for text in ["", "S3CR3T\nS3CR3T", "S3CR3Tü"] {
            assert!(!token(text).unwrap_err().contains("S3CR3T"), "{text}");
        }
        let error = Signing::open("/no/such/file".into()).err().unwrap();
        assert!(error.contains("/no/such/file: No such file"), "{error}");
    }
}
