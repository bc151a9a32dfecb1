//! Users and passwords, sealed before they leave the registry and opened where a stream is opened: XChaCha20-Poly1305
//! with a random nonce of 24 bytes, bound to the camera's id. A sealed one copied to another camera does not open.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use sightline_schema::{InlineCredentials, SealedCredentials};

/// Bytes of a key.
const KEY: usize = 32;
const NONCE: usize = 24;

/// The keys of a file: lines `KEY_ID BASE64`. The first seals, all open, so that a new key goes in front of the old.
#[derive(Clone)]
pub struct Keys {
    first: String,
    ciphers: BTreeMap<String, XChaCha20Poly1305>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    #[error("cannot read the keys in {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{}, line {line}: {why}; write KEY_ID and 32 bytes in base64, as `sightline registry key KEY_ID` prints them",
        path.display()
    )]
    Line { path: PathBuf, line: usize, why: &'static str },
    #[error("{} holds no key; `sightline registry key KEY_ID` prints a line for it", .0.display())]
    Empty(PathBuf),
}

/// Why sealed credentials don't open. Says nothing of what is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    #[error("sealed with the key {0:?}, which is not among the keys here; add its line to the keys file")]
    UnknownKey(String),
    #[error("sealed for another camera, or damaged; give user and password anew")]
    Refused,
    #[error("could not be sealed; look at the registry's log")]
    NotSealed,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Content {
    user: String,
    password: String,
}

impl Keys {
    /// Reads a keys file. Lines that are empty or begin with `#` say nothing.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KeysError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, KeysError> {
        let mut first = None;
        let mut ciphers = BTreeMap::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why| KeysError::Line { path: path.to_owned(), line: i + 1, why };
            let (id, encoded) = line.split_once(char::is_whitespace).ok_or(wrong("holds one word"))?;
            if !is_key_id(id) {
                return Err(wrong("the key's id is not 1 to 63 of a-z, 0-9, - and ."));
            }
            let key = STANDARD.decode(encoded.trim()).map_err(|_| wrong("the key is no base64"))?;
            if key.len() != KEY {
                return Err(wrong("the key is not 32 bytes long"));
            }
            let cipher =
                XChaCha20Poly1305::new_from_slice(&key).map_err(|_| wrong("the key is not 32 bytes long"))?;
            if ciphers.insert(id.to_owned(), cipher).is_some() {
                return Err(wrong("the key's id is there twice"));
            }
            first.get_or_insert_with(|| id.to_owned());
        }
        let first = first.ok_or_else(|| KeysError::Empty(path.to_owned()))?;
        Ok(Self { first, ciphers })
    }

    /// Which key seals.
    pub fn sealing(&self) -> &str {
        &self.first
    }

    /// Seals for the camera of this id.
    pub fn seal(&self, camera: &str, plain: &InlineCredentials) -> Result<SealedCredentials, SealError> {
        let cipher = self.ciphers.get(&self.first).ok_or(SealError::NotSealed)?;
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let content = Content { user: plain.user.clone(), password: plain.password.clone() };
        let content = serde_json::to_vec(&content).map_err(|_| SealError::NotSealed)?;
        let ciphertext = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &content, aad: camera.as_bytes() })
            .map_err(|_| SealError::NotSealed)?;
        Ok(SealedCredentials {
            key: self.first.clone(),
            nonce: STANDARD.encode(nonce),
            ciphertext: STANDARD.encode(ciphertext),
        })
    }

    /// Opens what was sealed for the camera of this id.
    pub fn open(&self, camera: &str, sealed: &SealedCredentials) -> Result<InlineCredentials, SealError> {
        let cipher =
            self.ciphers.get(&sealed.key).ok_or_else(|| SealError::UnknownKey(sealed.key.clone()))?;
        let nonce = STANDARD.decode(&sealed.nonce).map_err(|_| SealError::Refused)?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| SealError::Refused)?;
        let ciphertext = STANDARD.decode(&sealed.ciphertext).map_err(|_| SealError::Refused)?;
        let content = cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: &ciphertext, aad: camera.as_bytes() })
            .map_err(|_| SealError::Refused)?;
        // serde's own words would show what is in it.
        let Content { user, password } = serde_json::from_slice(&content).map_err(|_| SealError::Refused)?;
        Ok(InlineCredentials { user, password })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ciphers.keys()).finish()
    }
}

/// A line for a keys file, with a new random key; none where the id can't be one.
pub fn new_key_line(id: &str) -> Option<String> {
    let mut key = [0; KEY];
    rand::rng().fill_bytes(&mut key);
    is_key_id(id).then(|| format!("{id} {}", STANDARD.encode(key)))
}

fn is_key_id(id: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    (1..=63).contains(&id.len()) && id.chars().all(legal)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn keys(lines: &[&str]) -> Keys {
        Keys::parse(&lines.join("\n"), Path::new("keys")).unwrap()
    }

    fn ann() -> InlineCredentials {
        InlineCredentials { user: "ann".into(), password: "s3c/r:t".into() }
    }

    #[test]
    fn what_is_sealed_opens_for_its_camera_alone_and_shows_nothing() {
        let line = new_key_line("2026-11").unwrap();
        let keys = keys(&["# the first", &line]);
        let sealed = keys.seal("gate-3", &ann()).unwrap();
        assert_eq!(keys.open("gate-3", &sealed).unwrap(), ann());
        assert_eq!(keys.open("gate-4", &sealed), Err(SealError::Refused));
        assert_ne!(keys.seal("gate-3", &ann()).unwrap(), sealed, "a nonce is used once");
        let shown = format!("{sealed:?}{keys:?}{}", serde_json::to_string(&sealed).unwrap());
        let key = line.split_once(' ').unwrap().1;
        assert!(!shown.contains("s3c") && !shown.contains("ann") && !shown.contains(key), "{shown}");
    }

    #[test]
    fn a_new_key_in_front_seals_and_the_old_one_still_opens() {
        let (old, new) = (new_key_line("old").unwrap(), new_key_line("new").unwrap());
        let sealed = keys(&[&old]).seal("gate-3", &ann()).unwrap();
        let rotated = keys(&[&new, &old]);
        assert_eq!(rotated.open("gate-3", &sealed).unwrap(), ann());
        assert_eq!(rotated.seal("gate-3", &ann()).unwrap().key, "new");
        assert_eq!(
            keys(&[&new]).open("gate-3", &sealed).unwrap_err().to_string(),
            "sealed with the key \"old\", which is not among the keys here; add its line to the keys file"
        );
    }

    #[test]
    fn what_was_touched_does_not_open() {
        let keys = keys(&[&new_key_line("k").unwrap()]);
        let sealed = keys.seal("gate-3", &ann()).unwrap();
        let other = keys.seal("gate-3", &ann()).unwrap();
        for touched in [
            SealedCredentials { nonce: other.nonce.clone(), ..sealed.clone() },
            SealedCredentials { ciphertext: other.ciphertext, ..sealed.clone() },
            SealedCredentials { nonce: "AA==".into(), ..sealed.clone() },
            SealedCredentials { ciphertext: String::new(), ..sealed.clone() },
            SealedCredentials { ciphertext: "no base64!".into(), ..sealed },
        ] {
            assert_eq!(keys.open("gate-3", &touched), Err(SealError::Refused), "{touched:?}");
        }
    }

    #[test]
    fn lines_that_are_no_keys_are_refused_by_number_and_never_shown() {
        let good = new_key_line("a").unwrap();
        for (text, why) in [
            ("a", "line 1: holds one word"),
            ("a not-base-64!", "line 1: the key is no base64"),
            ("a c2hvcnQ=", "line 1: the key is not 32 bytes long"),
            (&format!("A{good}"), "line 1: the key's id"),
            (&format!("{good}\n\n{good}"), "line 3: the key's id is there twice"),
            ("# nothing\n", "holds no key"),
        ] {
            let error = Keys::parse(text, Path::new("keys")).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("c2hvcnQ"), "{error}");
        }
        assert!(Keys::load(Path::new("no-such-file")).unwrap_err().to_string().contains("no-such-file"));
        assert_eq!(new_key_line("two words"), None);
    }
}
