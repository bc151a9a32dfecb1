//! GStreamer's own debug log, with every secret of a camera struck out.
//!
//! At high levels GStreamer writes down requests with their `Authorization` header and the values of properties.
//! `GST_DEBUG` is what a person turns on and sends to somebody for help, so its lines pass through here.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use gst::glib;
use gstreamer as gst;
use sightline_schema::InlineCredentials;

const STRUCK_OUT: &str = "***";

/// What must not be shown. Process-wide, as GStreamer's log is: it does not say whose line it writes.
static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Takes the place of GStreamer's log function; to be called before GStreamer starts.
pub(super) fn install() {
    INSTALLED.get_or_init(|| {
        gst::log::remove_default_log_function();
        let out = Mutex::new(Out::by_environment());
        let started = std::time::Instant::now();
        gst::log::add_log_function(move |category, level, file, function, line, object, message| {
            // A dump of bytes shows a secret in pieces that nothing would recognise.
            if level > category.threshold() || level == gst::DebugLevel::Memdump {
                return;
            }
            let file = file.rsplit('/').next().unwrap_or(file.as_str());
            let object = object.map(|object| format!("<{object}>")).unwrap_or_default();
            let text = message.get();
            let text = text.as_deref().map(glib::GStr::as_str).unwrap_or_default();
            let line = format!(
                "{:?} {:>7} {:<7} {:>20} {file}:{line}:{function}:{object} {text}",
                started.elapsed(),
                std::process::id(),
                level.name(),
                category.name(),
            );
            out.lock().unwrap_or_else(PoisonError::into_inner).write(&redact(&line));
        });
    });
}

/// From now on these credentials are struck out of the log.
pub(super) fn keep_secret(credentials: &InlineCredentials) {
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    for form in forms(credentials) {
        if !form.is_empty() && !secrets.contains(&form) {
            secrets.push(form);
        }
    }
    // The longest first, so that no part of a secret stays behind when another is struck out of it.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
}

/// The password as it is, as it stands in a URI, and as Basic authentication sends it.
fn forms(credentials: &InlineCredentials) -> [String; 4] {
    let InlineCredentials { user, password } = credentials;
    let encoded = |reserved: fn(char) -> bool| {
        let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || reserved(char::from(*byte));
        password.bytes().map(|b| if keep(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    // RFC 3986 lets the sub-delimiters stand in a user's part.
    let strict = encoded(|_| false);
    let lenient = encoded(|c| "!$&'()*+,;=".contains(c));
    [password.clone(), strict, lenient, glib::base64_encode(format!("{user}:{password}").as_bytes()).into()]
}

fn redact(line: &str) -> std::borrow::Cow<'_, str> {
    let mut line = std::borrow::Cow::Borrowed(line);
    for secret in SECRETS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if line.contains(secret.as_str()) {
            line = line.replace(secret.as_str(), STRUCK_OUT).into();
        }
    }
    line
}

/// Where `GST_DEBUG_FILE` says, else standard error.
enum Out {
    File(File),
    Stdout,
    Stderr,
}

impl Out {
    fn by_environment() -> Self {
        match std::env::var_os("GST_DEBUG_FILE") {
            Some(path) if path == "-" => Self::Stdout,
            Some(path) => File::create(path).map_or(Self::Stderr, Self::File),
            None => Self::Stderr,
        }
    }

    fn write(&mut self, line: &str) {
        // There is nowhere to say that the log can't be written.
        let _ = match self {
            Self::File(file) => writeln!(file, "{line}"),
            Self::Stdout => writeln!(std::io::stdout(), "{line}"),
            Self::Stderr => writeln!(std::io::stderr(), "{line}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_password_is_struck_out() {
        let credentials = InlineCredentials { user: "ann".into(), password: "p@ss/w:rd!7".into() };
        keep_secret(&credentials);
        for line in [
            "user-pw = p@ss/w:rd!7",
            "rtsp://ann:p%40ss%2Fw%3Ard%217@10.0.0.5/s",
            "rtsp://ann:p%40ss%2Fw%3Ard!7@10.0.0.5/s",
        ] {
            let shown = redact(line);
            assert!(shown.contains(STRUCK_OUT) && !shown.contains("ss"), "{shown}");
        }
        let basic = glib::base64_encode(b"ann:p@ss/w:rd!7");
        assert_eq!(redact(&format!("Authorization: Basic {basic}")), "Authorization: Basic ***");
        assert_eq!(redact("nothing to hide"), "nothing to hide");
    }
}
