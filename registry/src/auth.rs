//! Who asks, and what they may: bearer tokens with roles.
//!
//! A tokens file holds hashes, never tokens. SHA-256 is right for them, and a slow hash would only slow every request:
//! tokens are 256 random bits, which nobody finds by trying, unlike passwords.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use sightline_service::files::Watched;
use subtle::ConstantTimeEq as _;

/// Known by its beginning to whoever finds one lying about.
const PREFIX: &str = "slt_";

/// What a token allows; each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees cameras, pods and statuses.
    Viewer,
    /// Registers, changes, moves and probes cameras.
    Operator,
    /// Deletes cameras, and sees who changed what.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| "give viewer, operator or admin".to_owned())
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; `anonymous` where none is asked for.
    pub name: String,
    pub role: Role,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    #[error("cannot read the tokens in {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{}, line {line}: {why}; write NAME ROLE sha256:HEX, as `sightline registry token NAME --role ROLE` prints it",
        path.display()
    )]
    Line { path: PathBuf, line: usize, why: &'static str },
    #[error("{} holds no token; `sightline registry token NAME --role ROLE` prints one and its line", .0.display())]
    Empty(PathBuf),
}

/// The tokens of a file: lines `NAME ROLE sha256:HEX`. A name may have several, while one takes the other's place.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    caller: Caller,
    hash: [u8; 32],
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.caller.fmt(f)
    }
}

impl Tokens {
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TokensError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, TokensError> {
        let mut entries = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why| TokensError::Line { path: path.to_owned(), line: i + 1, why };
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, role, hash] = words[..] else { return Err(wrong("does not hold three words")) };
            if !is_name(name) {
                return Err(wrong("the name is not 1 to 63 of a-z, 0-9 and - . _"));
            }
            let role = role.parse().map_err(|_| wrong("the role is not viewer, operator or admin"))?;
            let hash = hash.strip_prefix("sha256:").and_then(from_hex);
            let hash = hash.ok_or_else(|| wrong("the hash is not sha256: and 64 hexadecimal digits"))?;
            entries.push(Entry { caller: Caller { name: name.to_owned(), role }, hash });
        }
        if entries.is_empty() { Err(TokensError::Empty(path.to_owned())) } else { Ok(Self(entries)) }
    }

    /// Whose token it is. Looks at all, each in the same time, whichever it is.
    fn find(&self, token: &str) -> Option<&Caller> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for entry in &self.0 {
            if bool::from(entry.hash.ct_eq(&hash)) {
                found = Some(&entry.caller);
            }
        }
        found
    }
}

/// How callers are known.
pub enum Auth {
    Tokens(Mutex<Watched<Tokens>>),
    /// Everybody may everything: only by an explicit flag.
    Nobody,
}

impl Auth {
    pub fn by_tokens(path: PathBuf) -> Result<Self, TokensError> {
        Ok(Self::Tokens(Mutex::new(Watched::open(path, Tokens::load)?)))
    }

    /// Who sends this `Authorization`; `None` for nobody known.
    pub fn caller(&self, authorization: Option<&str>) -> Option<Caller> {
        match self {
            Self::Nobody => Some(Caller { name: "anonymous".to_owned(), role: Role::Admin }),
            Self::Tokens(tokens) => {
                let (scheme, token) = authorization?.split_once(' ')?;
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return None;
                }
                let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
                tokens.get().find(token.trim()).cloned()
            }
        }
    }
}

/// A new token and its line for the file; none where the name can't be one.
pub fn new_token(name: &str, role: Role) -> Option<(String, String)> {
    let mut random = [0; 32];
    rand::rng().fill_bytes(&mut random);
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    is_name(name).then(|| (token, format!("{name} {role} sha256:{hash}")))
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    (1..=63).contains(&name.len()) && name.chars().all(legal)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]).collect();
    (digits.len() == 64).then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_no_other_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let (token, line) = new_token("ops", Role::Operator).unwrap();
        let (other, _) = new_token("ops", Role::Operator).unwrap();
        std::fs::write(&path, format!("# ours\n\n{line}\n")).unwrap();
        assert!(!line.contains(&token[PREFIX.len()..]));
        let auth = Auth::by_tokens(path).unwrap();
        let ops = Caller { name: "ops".into(), role: Role::Operator };
        assert_eq!(auth.caller(Some(&format!("Bearer {token}"))), Some(ops.clone()));
        assert_eq!(auth.caller(Some(&format!("bearer  {token} "))), Some(ops));
        for wrong in [None, Some(""), Some(&*token), Some("Basic x"), Some(&format!("Bearer {other}"))] {
            assert_eq!(auth.caller(wrong), None, "{wrong:?}");
        }
        let anybody = Caller { name: "anonymous".into(), role: Role::Admin };
        assert_eq!(Auth::Nobody.caller(None), Some(anybody));
    }

    #[test]
    fn lines_that_are_no_tokens_are_refused_by_number() {
        let (_, good) = new_token("a", Role::Viewer).unwrap();
        for (text, why) in [
            ("a viewer", "line 1: does not hold three words"),
            (&good.replacen("a ", "A ", 1), "line 1: the name"),
            (&good.replacen("viewer", "boss", 1), "line 1: the role"),
            (&good.replacen("sha256:", "", 1), "line 1: the hash"),
            (&good[..good.len() - 1], "line 1: the hash"),
            ("#\n", "holds no token"),
        ] {
            let error = Tokens::parse(text, Path::new("tokens")).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(new_token("no name", Role::Viewer), None);
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        assert_eq!("operator".parse(), Ok(Role::Operator));
        assert!("boss".parse::<Role>().is_err());
    }
}
