//! GStreamer's own debug log, with every secret of a camera struck out.
//!
//! At high levels GStreamer writes down requests with their `Authorization` header: `rtspsrc` those that were
//! refused, `souphttpsrc` each. `GST_DEBUG` is what a person turns on and sends to somebody for help.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Instant;

use gst::glib;
use gstreamer as gst;
use sightline_schema::InlineCredentials;

const STRUCK_OUT: &str = "***";

/// What must not be shown. Process-wide, as GStreamer's log is: a line does not say whose secret stands in it.
static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static INSTALLED: Once = Once::new();

/// Takes the place of GStreamer's log function; to be called before GStreamer starts.
pub(super) fn install() {
    INSTALLED.call_once(|| {
        gst::log::remove_default_log_function();
        let out = Mutex::new(Out::by_environment());
        let started = Instant::now();
        gst::log::add_log_function(move |category, level, file, function, line, object, message| {
            // A panic in the log is not worth the process; the panic's own message has been written.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                // A dump of bytes would show a secret in pieces that nothing recognises.
                if level > category.threshold() || level == gst::DebugLevel::Memdump {
                    return;
                }
                let file = file.rsplit('/').next().unwrap_or(file.as_str());
                let object = object.map(|object| format!("<{object}>")).unwrap_or_default();
                let text = message.get();
                let text = text.as_deref().map(glib::GStr::as_str).unwrap_or_default();
                let line = format!(
                    "{:>13.6} {:?} {:<7} {:>20} {file}:{line}:{function}:{object} {text}",
                    started.elapsed().as_secs_f64(),
                    std::thread::current().id(),
                    level.name(),
                    category.name(),
                );
                out.lock().unwrap_or_else(PoisonError::into_inner).write(&redact(&line));
            }));
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
fn forms(credentials: &InlineCredentials) -> Vec<String> {
    let InlineCredentials { user, password } = credentials;
    let encoded = |stays: &[u8]| -> String {
        let stays =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || stays.contains(&byte);
        password
            .bytes()
            .map(|b| if stays(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    let pair = format!("{user}:{password}");
    // libsoup sends Latin-1 where it can.
    let latin: Option<Vec<u8>> = pair.chars().map(|c| u8::try_from(c).ok()).collect();
    let mut forms = vec![
        password.clone(),
        encoded(b""),
        encoded(b"!$&'()*+,;="),
        glib::base64_encode(pair.as_bytes()).into(),
    ];
    forms.extend(latin.map(|latin| glib::base64_encode(&latin).into()));
    forms
}

fn redact(line: &str) -> Cow<'_, str> {
    let mut line = Cow::Borrowed(line);
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
        keep_secret(&InlineCredentials { user: "ann".into(), password: "p@ss/w:rd!7é".into() });
        for line in [
            "user-pw = p@ss/w:rd!7é",
            "rtsp://ann:p%40ss%2Fw%3Ard%217%C3%A9@10.0.0.5/s",
            "rtsp://ann:p%40ss%2Fw%3Ard!7%C3%A9@10.0.0.5/s",
        ] {
            let shown = redact(line);
            assert!(shown.contains(STRUCK_OUT) && !shown.contains("ss"), "{shown}");
        }
        for sent in ["ann:p@ss/w:rd!7é".as_bytes(), b"ann:p@ss/w:rd!7\xe9"] {
            let line = format!("Authorization: Basic {}", glib::base64_encode(sent));
            assert_eq!(redact(&line), "Authorization: Basic ***");
        }
        assert_eq!(redact("nothing to hide"), "nothing to hide");
    }
}
