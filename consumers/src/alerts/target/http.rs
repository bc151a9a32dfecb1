//! One POST, and what became of it. Redirects are never followed: one could lead to loopback, or to another's host with
//! the event in its hands.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use rustls::CertificateError as Certificate;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error};

/// Read of an answer, so that its connection can be used again.
const MOST_ANSWER: u64 = 16 * 1024;

/// Why an attempt failed. It holds nothing of what was sent or answered: a receiver may repeat a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::alerts) enum Fault {
    Unreachable(String),
    Timeout,
    /// What is wrong, and what to do next.
    Tls(String),
    /// The connection ended in the middle of the answer, or what came is no HTTP.
    Broken(String),
    /// Asks for another time.
    Busy(u16),
    /// 5xx.
    Server(u16),
    /// 3xx.
    Redirect(u16),
    /// 4xx.
    Refused(u16),
}

impl Fault {
    pub(in crate::alerts) const REASONS: [&'static str; 8] =
        ["unreachable", "timeout", "tls", "broken", "busy", "server_error", "redirect", "refused"];

    /// As a label.
    pub(in crate::alerts) const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Tls(_) => "tls",
            Self::Broken(_) => "broken",
            Self::Busy(_) => "busy",
            Self::Server(_) => "server_error",
            Self::Redirect(_) => "redirect",
            Self::Refused(_) => "refused",
        }
    }
}

/// What happened, and what to do next; it goes behind the address.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => {
                write!(f, "can't be reached ({why}); see that it runs and that its name is right")
            }
            Self::Timeout => {
                f.write_str("did not answer in time; see whether it hangs, or give it longer by timeout_s")
            }
            Self::Tls(why) => f.write_str(why),
            Self::Broken(why) => {
                write!(f, "broke its answer off or did not answer by HTTP ({why}); see its own log")
            }
            Self::Busy(status) => {
                write!(f, "answered {status} and asks for another time; see how much it can take")
            }
            Self::Server(status) => write!(f, "answered {status}; see its own log"),
            Self::Redirect(status) => write!(
                f,
                "answered {status}, a redirect, and those are not followed; give the address where it really is"
            ),
            Self::Refused(status @ (401 | 403)) => {
                write!(
                    f,
                    "answered {status} and refuses it; see that both sides have the same secret or token"
                )
            }
            Self::Refused(status) => write!(f, "answered {status} and refuses it; see its own log for why"),
        }
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
}

pub(super) struct Client(Agent);

impl Client {
    pub(super) fn new(timeout: Duration, parallel: usize) -> Self {
        // The system's authorities, or SSL_CERT_FILE's: read anew for each connection, since an agent keeps only what is set for
        // all of its requests.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .max_idle_connections(parallel)
            .max_idle_connections_per_host(parallel)
            .max_response_header_size(64 * 1024)
            .user_agent(concat!("sightline/", env!("CARGO_PKG_VERSION")));
        Self(Agent::new_with_config(config.build()))
    }

    pub(super) fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let mut request = self.0.post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let sent = request.config().timeout_global(Some(timeout)).build().send(body);
        let mut answer = sent.map_err(|error| fault(&error))?;
        let head = Answer { status: answer.status().as_u16(), retry_after: retry_after(&answer) };
        // It has answered: what it says beside the status is for the connection's sake alone.
        let _ = answer.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
        Ok(head)
    }
}

/// Seconds, or a date.
fn retry_after(answer: &Response<Body>) -> Option<Duration> {
    let text = answer.headers().get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let left = at.as_millisecond().saturating_sub(jiff::Timestamp::now().as_millisecond());
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::Timeout(_) => Fault::Timeout,
        Error::HostNotFound => Fault::Unreachable("its name is not known".to_owned()),
        Error::ConnectionFailed => Fault::Unreachable("no connection".to_owned()),
        Error::Rustls(error) => tls(error),
        Error::Tls(why) => no_tls(why),
        Error::Io(error) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::Timeout,
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => Fault::Broken(error.kind().to_string()),
            // rustls' errors come inside those of reading and writing; they show no data.
            ErrorKind::InvalidData => {
                let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<rustls::Error>());
                inside.map_or_else(|| no_tls(&error.to_string()), tls)
            }
            // What the system says: of the connection, not of what went over it.
            _ => Fault::Unreachable(error.to_string()),
        },
        // Its text may hold what was answered.
        Error::Protocol(_) => Fault::Broken("no valid HTTP".to_owned()),
        _ => Fault::Broken("the request failed".to_owned()),
    }
}

/// A certificate is judged by one of the four ways in which it is usually wrong, each with its own remedy.
fn tls(error: &rustls::Error) -> Fault {
    let why = match error {
        rustls::Error::InvalidCertificate(why) => why,
        // Of the verifier, before anything is sent.
        rustls::Error::General(why) if why.contains("No CA certificates") => {
            return Fault::Tls(
                "can't be trusted, since no authorities are known here; give this machine the package ca-certificates, or name a \
                 file of authorities by SSL_CERT_FILE"
                    .to_owned(),
            );
        }
        _ => return no_tls(&error.to_string()),
    };
    let sentence = match why {
        // An authority of the same name as one that is trusted, with another key, is not that one.
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "has a certificate signed by nobody this machine trusts; give the authority that signed it to the system, or name a file \
             of authorities by SSL_CERT_FILE"
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "has a certificate that has expired; see that it is renewed, and that the clock here is right"
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "has a certificate that is not valid yet; see that the clocks of both are right"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "has a certificate for another name; give the address by a name that is in it, or see that this one is put into it"
        }
        _ => return no_tls(&error.to_string()),
    };
    Fault::Tls(sentence.to_owned())
}

fn no_tls(why: &str) -> Fault {
    Fault::Tls(format!(
        "can't be spoken to by TLS ({why}); see that it speaks TLS, and that its certificate is valid"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_read_in_seconds_and_as_a_date() {
        let of = |text: &str| {
            let answer =
                Response::builder().header("retry-after", text).body(Body::builder().data("")).unwrap();
            retry_after(&answer)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(of("Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > Duration::from_secs(86_400 * 365));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-1"), None);
    }

    #[test]
    fn every_fault_has_a_reason_of_its_own_and_says_what_to_do() {
        let faults = [
            Fault::Unreachable("x".into()),
            Fault::Timeout,
            no_tls("x"),
            Fault::Broken("x".into()),
            Fault::Busy(429),
            Fault::Server(500),
            Fault::Redirect(302),
            Fault::Refused(400),
        ];
        assert_eq!(faults.each_ref().map(Fault::reason), Fault::REASONS);
        for fault in faults {
            let sentence = fault.to_string();
            assert!(sentence.contains("; see ") || sentence.contains("; give "), "{sentence}");
        }
    }
}
