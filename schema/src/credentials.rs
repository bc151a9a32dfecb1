//! User and password of a camera: never part of a `uri`, never shown, never written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, IgnoredAny};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whence a camera's user and password come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// By the name of a secret.
    Secret { secret: String },
    /// Encrypted by the registry; pipelines that have the key open it.
    Sealed(SealedCredentials),
    /// As given, held in memory only.
    Inline(InlineCredentials),
}

/// User and password, encrypted with XChaCha20-Poly1305 and bound to the camera's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedCredentials {
    /// Which key, of those that a key file holds.
    pub key: String,
    /// 24 bytes, base64.
    pub nonce: String,
    /// `{"user": …, "password": …}` encrypted, and its tag; base64.
    pub ciphertext: String,
}

/// A user and a password. Whoever prints it sees the user alone.
#[derive(Clone, PartialEq, Eq)]
pub struct InlineCredentials {
    pub user: String,
    /// Empty where none was given.
    pub password: String,
}

impl fmt::Debug for InlineCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    pub const fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }
}

impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Secret { secret } => serializer.collect_map([("secret", secret)]),
            Self::Sealed(sealed) => serializer.collect_map([("sealed", sealed)]),
            // A camera leaves them out; nothing else may hold them.
            Self::Inline(_) => {
                Err(S::Error::custom("a user and password are never written; name a secret instead"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Credentials {
    /// Takes `{secret}`, `{sealed}` or `{user, password}`. Reads leniently first, because serde's own message about a wrong type
    /// shows the value, which may be the password.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Input {
            Fields(BTreeMap<String, Value>),
            Other(IgnoredAny),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(String),
            Sealed(SealedCredentials),
            Other(IgnoredAny),
        }
        const SHAPE: &str = "credentials must be {secret: NAME} or {user: …, password: …}";
        let Input::Fields(fields) = Input::deserialize(deserializer)? else {
            return Err(D::Error::custom(SHAPE));
        };
        let [mut secret, mut user, mut password] = [None, None, None];
        if fields.len() == 1
            && let Some(Value::Sealed(sealed)) = fields.get("sealed")
        {
            return Ok(Self::Sealed(sealed.clone()));
        }
        for (field, value) in fields {
            let slot = match field.as_str() {
                "secret" => &mut secret,
                "user" => &mut user,
                "password" => &mut password,
                _ => return Err(D::Error::custom(format!("unknown field `{field}`; {SHAPE}"))),
            };
            let Value::Text(text) = value else {
                return Err(D::Error::custom(format!("credentials.{field} must be text; put it in quotes")));
            };
            *slot = Some(text);
        }
        match (secret, user, password) {
            (Some(secret), None, None) => Ok(Self::Secret { secret }),
            (None, Some(user), password) => {
                Ok(Self::Inline(InlineCredentials { user, password: password.unwrap_or_default() }))
            }
            _ => Err(D::Error::custom(SHAPE)),
        }
    }
}

impl JsonSchema for Credentials {
    fn schema_name() -> Cow<'static, str> {
        "Credentials".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = json_schema!({
            "description": "The name of the secret that holds user and password.",
            "type": "object",
            "properties": {"secret": {"type": "string"}},
            "required": ["secret"],
            "additionalProperties": false
        });
        let sealed = json_schema!({
            "description": "User and password, sealed by the registry.",
            "type": "object",
            "properties": {"sealed": generator.subschema_for::<SealedCredentials>()},
            "required": ["sealed"],
            "additionalProperties": false
        });
        if generator.contract().is_serialize() {
            return json_schema!({"anyOf": [secret, sealed]});
        }
        let inline = json_schema!({
            "description": "User and password; held in memory only.",
            "type": "object",
            "properties": {"user": {"type": "string"}, "password": {"type": "string"}},
            "required": ["user"],
            "additionalProperties": false
        });
        json_schema!({"anyOf": [secret, sealed, inline]})
    }
}

/// Takes user and password out of a uri: the uri without them, and what was in them, percent-decoded.
///
/// Passwords are often put in as they are, so the last `@` of the authority counts, and a `/`, `?` or `#` belongs to
/// the password where what stands before it can't be a host and port.
pub fn split_credentials(uri: &str) -> (String, Option<InlineCredentials>) {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return (uri.to_owned(), None);
    };
    // A file's path may hold anything.
    if scheme.eq_ignore_ascii_case("file") {
        return (uri.to_owned(), None);
    }
    let Some(at) = userinfo_end(rest) else {
        return (uri.to_owned(), None);
    };
    let (userinfo, host) = (&rest[..at], &rest[at + 1..]);
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let credentials = InlineCredentials { user: percent_decoded(user), password: percent_decoded(password) };
    let given = !(credentials.user.is_empty() && credentials.password.is_empty());
    (format!("{scheme}://{host}"), given.then_some(credentials))
}

/// Where the `@` behind user and password is, in a uri behind its `://`.
fn userinfo_end(rest: &str) -> Option<usize> {
    let authority_end = |from: usize| rest[from..].find(['/', '?', '#']).map_or(rest.len(), |end| from + end);
    let end = authority_end(0);
    if let Some(at) = rest[..end].rfind('@') {
        return Some(at);
    }
    // `admin:pa/ss@10.0.0.5/stream`: the port is no number, so this was no host. A fragment means nothing to a
    // source of video, so `admin:12#34@10.0.0.5` is a password too.
    let (_, port) = rest[..end].rsplit_once(':').filter(|_| !rest[..end].ends_with(']'))?;
    let cut_off = port.parse::<u16>().is_err() && !port.is_empty() || rest[end..].starts_with('#');
    if !cut_off {
        return None;
    }
    let first = end + rest[end..].find('@')?;
    rest[..authority_end(first)].rfind('@')
}

/// `%40` → `@`. What is no valid escape, or no UTF-8 in the end, stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                i += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// `text` with user and password taken out of every uri in it: for error messages of others.
pub fn redact_uris(text: &str) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let scheme = rest[..found]
            .rfind(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
            .map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
        let end = rest[found..].find(ends_uri).map_or(rest.len(), |end| found + end);
        redacted.push_str(&rest[..scheme]);
        redacted.push_str(&split_credentials(&rest[scheme..end]).0);
        rest = &rest[end..];
    }
    redacted.push_str(rest);
    if redacted == text { Cow::Borrowed(text) } else { Cow::Owned(redacted) }
}

/// What ends a uri in a text. An apostrophe may stand in one: what is behind it would be shown.
fn ends_uri(c: char) -> bool {
    c.is_whitespace() || "\"`<>".contains(c)
}

/// What stands for what is not shown.
pub const STRUCK_OUT: &str = "***";

/// `text` with the query of every `http(s)` uri in it struck out: a link may be signed in it, and who has it whole can read the
/// file.
pub fn without_queries(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let behind = found + "://".len();
        let is_web = |scheme: &str| {
            let from = rest[..found].len().checked_sub(scheme.len());
            from.and_then(|from| rest.get(from..found)).is_some_and(|is| is.eq_ignore_ascii_case(scheme))
        };
        let end = rest[behind..].find(ends_uri).map_or(rest.len(), |end| behind + end);
        let uri = &rest[..end];
        match uri[behind..]
            .find(['?', '#'])
            .map(|at| behind + at)
            .filter(|_| is_web("http") || is_web("https"))
        {
            Some(at) => {
                // What ends a sentence or its part is not of the uri.
                let last = uri.trim_end_matches([':', ';', ',', '.', ')', '\'']).len().max(at + 1);
                shown.push_str(&uri[..=at]);
                shown.push_str(STRUCK_OUT);
                shown.push_str(&uri[last..]);
            }
            None => shown.push_str(uri),
        }
        rest = &rest[end..];
    }
    shown.push_str(rest);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

#[cfg(test)]
mod tests;
