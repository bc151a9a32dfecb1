//! Why a store did not do what was asked, in words of ours: its own have addresses with signatures in them.

use std::fmt;

/// Why the store did not do what was asked. Also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credentials are wrong, or may not.
    Refused,
    /// No such bucket, container, directory or object.
    Missing,
    /// No room.
    Full,
    /// The object is not the one that was looked at before.
    Changed,
    /// No answer, or one that says to come again.
    Away,
    Other,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Full => "full",
            Self::Changed => "changed",
            Self::Away => "away",
            Self::Other => "other",
        }
    }

    /// What somebody who only reads can do about it.
    pub const fn reader_advice(self) -> &'static str {
        match self {
            Self::Refused => {
                "check the credentials in its environment (AWS_…, GOOGLE_…, AZURE_…), and that they may read and list there"
            }
            Self::Missing => "look whether it is still there, and correct the address",
            Self::Changed => "wait until nobody writes it any more, and try again",
            Self::Away => "try again when it answers",
            Self::Full | Self::Other => "try again; look at the store's own log",
        }
    }
}

/// A sentence without a secret in it: of what the store answered only its status and its code are in it. What to do about it
/// is for whoever asked to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    sentence: String,
}

impl Fault {
    /// `what` is what was tried, `at` where.
    pub fn new(what: &str, at: &str, error: &object_store::Error) -> Self {
        let (reason, why) = why(error);
        Self { reason, sentence: format!("cannot {what} {at}: {why}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Fault {}

pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// What is behind an error, in words of ours: the client's have addresses with signatures, and what the server wrote, in them.
pub(super) fn why(error: &object_store::Error) -> (Reason, String) {
    let text = error.to_string();
    let code = code(&text).map(|code| format!(" ({code})")).unwrap_or_default();
    let io = sources(error).find_map(|error| error.downcast_ref::<std::io::Error>());
    if let Some(io) = io.filter(|_| !text.contains("http")) {
        use std::io::ErrorKind as Kind;
        let reason = match io.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Reason::Full,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Reason::Refused,
            Kind::NotFound => Reason::Missing,
            _ => Reason::Other,
        };
        return (reason, first_line(&io.to_string()));
    }
    match error {
        object_store::Error::PermissionDenied { .. } => {
            (Reason::Refused, format!("the store refuses it with 403{code}"))
        }
        object_store::Error::Unauthenticated { .. } => {
            (Reason::Refused, format!("the store refuses it with 401{code}"))
        }
        object_store::Error::NotFound { .. } => (Reason::Missing, format!("there is no such place{code}")),
        object_store::Error::Precondition { .. } => {
            (Reason::Changed, "it was replaced while it was read".to_owned())
        }
        _ => {
            if let Some(status) = status(&text) {
                let reason = match status {
                    400 | 401 | 403 => Reason::Refused,
                    404 => Reason::Missing,
                    507 => Reason::Full,
                    408 | 429 | 500..=599 => Reason::Away,
                    _ => Reason::Other,
                };
                return (reason, format!("the store answers with {status}{code}"));
            }
            if text.contains("169.254.") || text.contains("metadata.google") {
                return (Reason::Refused, "no credentials are in the environment".to_owned());
            }
            let deepest = sources(error).last().map(ToString::to_string).unwrap_or_default();
            let said = if deepest.contains("://") { "no answer".to_owned() } else { first_line(&deepest) };
            (Reason::Away, format!("the store does not answer ({said})"))
        }
    }
}

fn sources<'e>(
    error: &'e object_store::Error,
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

/// Of S3's and Azure's answers: `<Code>AccessDenied</Code>`.
fn code(text: &str) -> Option<&str> {
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    let is_plain = code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then_some(code)
}

fn status(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}
