//! What went wrong with Kafka, as a sentence for a person and a kind for the program.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A failure of or towards Kafka. Its sentence never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct KafkaFault {
    pub kind: FaultKind,
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The settings make no client.
    Settings,
    /// No broker answers: absent, away, not resolved, too slow. Passes by itself.
    Unreachable,
    /// The broker refuses user or password.
    Authentication,
    /// No TLS connection comes about.
    Tls,
    UnknownTopic,
    /// The user is known and may not do this.
    NotAuthorized,
    TooLarge,
    /// The broker takes no such record.
    InvalidRecord,
    /// The client's own queue is full: backpressure.
    QueueFull,
    /// The client was dropped with the record still in its queue.
    Purged,
    /// This client can't go on: see `Producer`.
    Fatal,
    Other,
}

impl FaultKind {
    /// A bounded label for metrics.
    pub fn code(self) -> &'static str {
        match self {
            FaultKind::Settings => "settings",
            FaultKind::Unreachable => "unreachable",
            FaultKind::Authentication => "authentication",
            FaultKind::Tls => "tls",
            FaultKind::UnknownTopic => "unknown_topic",
            FaultKind::NotAuthorized => "not_authorized",
            FaultKind::TooLarge => "too_large",
            FaultKind::InvalidRecord => "invalid_record",
            FaultKind::QueueFull => "queue_full",
            FaultKind::Purged => "purged",
            FaultKind::Fatal => "fatal",
            FaultKind::Other => "other",
        }
    }
}

impl KafkaFault {
    pub fn new(kind: FaultKind, sentence: String) -> Self {
        Self { kind, sentence }
    }

    /// No thread can be started to work with Kafka.
    pub fn no_thread(error: &std::io::Error) -> Self {
        Self::new(FaultKind::Other, format!("no thread can be started to send to Kafka: {error}"))
    }

    /// Of a client's error callback. `reason` is librdkafka's text, `bootstrap` stands in when it names no broker.
    pub(crate) fn of_link(code: RDKafkaErrorCode, reason: &str, bootstrap: &str) -> Self {
        use RDKafkaErrorCode as Code;
        let address = broker_address(reason).unwrap_or(bootstrap);
        let (kind, sentence) = match code {
            Code::Authentication | Code::SaslAuthenticationFailed => (
                FaultKind::Authentication,
                format!(
                    "the broker at {address} refuses the login ({}); check sasl.username, sasl.password and \
                     sasl.mechanism",
                    detail(reason)
                ),
            ),
            Code::SSL => (
                FaultKind::Tls,
                format!(
                    "TLS with the broker at {address} fails ({}); check ssl.ca.location",
                    tls_detail(reason)
                ),
            ),
            Code::BrokerTransportFailure if closed_at_once(reason) => (
                FaultKind::Unreachable,
                format!(
                    "the broker at {address} ends new connections; does it want TLS or a login, or neither? check \
                     security.protocol in --kafka-config"
                ),
            ),
            Code::Resolve => {
                (FaultKind::Unreachable, format!("no broker answers at {address} (the name is not known)"))
            }
            Code::BrokerTransportFailure => (
                FaultKind::Unreachable,
                format!("no broker answers at {address} ({})", transport_detail(reason)),
            ),
            Code::AllBrokersDown | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
                (FaultKind::Unreachable, format!("no broker answers at {address}"))
            }
            Code::Fatal => (FaultKind::Fatal, format!("the Kafka client can't go on: {reason}")),
            _ => (FaultKind::Other, format!("Kafka at {address}: {}", or_text(reason, code))),
        };
        Self { kind, sentence }
    }

    /// Of one record for `topic`, refused by the client or by the broker.
    /// A topic that is not there.
    pub fn unknown_topic(topic: &str) -> Self {
        Self::of_record(RDKafkaErrorCode::UnknownTopic, topic)
    }

    pub(crate) fn of_record(code: RDKafkaErrorCode, topic: &str) -> Self {
        use RDKafkaErrorCode as Code;
        let (kind, what) = match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                let hint = "the topic does not exist; make it with: sightline topics apply";
                (FaultKind::UnknownTopic, hint.to_owned())
            }
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                (FaultKind::NotAuthorized, "this user may not write here".to_owned())
            }
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => (
                FaultKind::TooLarge,
                "the record is larger than max.message.bytes of the topic, or message.max.bytes of the client, allows"
                    .to_owned(),
            ),
            Code::InvalidRecord | Code::InvalidTimestamp | Code::PolicyViolation => {
                (FaultKind::InvalidRecord, format!("the broker takes no such record ({code})"))
            }
            Code::QueueFull => (FaultKind::QueueFull, "the client's queue is full".to_owned()),
            Code::PurgeQueue | Code::PurgeInflight => {
                (FaultKind::Purged, "the process ended before the record was acknowledged".to_owned())
            }
            Code::Fatal => (FaultKind::Fatal, "the Kafka client can't go on".to_owned()),
            Code::MessageTimedOut => (FaultKind::Unreachable, "no broker took the record in time".to_owned()),
            _ => (FaultKind::Other, code.to_string()),
        };
        Self { kind, sentence: format!("cannot write to topic {topic}: {what}") }
    }

    /// Of making a client: the settings were read, but librdkafka makes no client of them.
    pub(crate) fn of_client(error: &KafkaError) -> Self {
        let why = match error {
            // Its own text repeats the value, which may be a secret.
            KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
            KafkaError::ClientCreation(why) => why.clone(),
            other => other.to_string(),
        };
        Self { kind: FaultKind::Settings, sentence: format!("no Kafka client with these settings: {why}") }
    }
}

fn or_text(reason: &str, code: RDKafkaErrorCode) -> String {
    if reason.is_empty() { code.to_string() } else { reason.to_owned() }
}

/// What a broker does that speaks another protocol than the client; one that is just ending does it, too.
fn closed_at_once(reason: &str) -> bool {
    let state = reason.split_once("ms in state ").map(|(before, state)| {
        let milliseconds = before.rsplit(' ').next().and_then(|number| number.parse::<u32>().ok());
        (milliseconds.unwrap_or(u32::MAX), state.split([',', ')']).next().unwrap_or_default())
    });
    // Its goodbye, or the write that finds it gone: which is noticed first is a matter of time.
    let ended = ["Disconnected", "Broken pipe", "Connection reset"].iter().any(|sign| reason.contains(sign));
    ended
        && match state {
            Some((
                _,
                "APIVERSION_QUERY" | "SSL_HANDSHAKE" | "AUTH_LEGACY" | "AUTH_REQ" | "AUTH_HANDSHAKE",
            )) => true,
            // A broker that wants a login takes the first request of a client without one, and then closes.
            Some((milliseconds, "UP")) => milliseconds < 1000,
            _ => false,
        }
}

/// `sasl_ssl://k:9093/bootstrap: Connect to …` → `k:9093`.
fn broker_address(reason: &str) -> Option<&str> {
    let name = reason.split(": ").next()?;
    let address = name.split_once("://").map_or(name, |(_, rest)| rest).split('/').next()?;
    let port = address.rsplit_once(':')?.1;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(address)
}

/// Without the broker's name in front and "(after 12ms in state CONNECT)" behind.
fn detail(reason: &str) -> &str {
    let text = match broker_address(reason) {
        Some(_) => reason.split_once(": ").map_or(reason, |(_, text)| text),
        None => reason,
    };
    text.split(" (after ").next().unwrap_or(text).trim_end_matches([' ', '.'])
}

fn transport_detail(reason: &str) -> String {
    let text = detail(reason);
    let lower = text.to_ascii_lowercase();
    for (sign, plain) in [
        ("connection refused", "connection refused"),
        ("timed out", "timed out"),
        ("no route to host", "no route to host"),
        ("network is unreachable", "network is unreachable"),
        ("connection reset", "connection reset"),
        ("disconnected", "disconnected"),
        ("closed", "disconnected"),
    ] {
        if lower.contains(sign) {
            return plain.to_owned();
        }
    }
    text.to_owned()
}

/// OpenSSL's words where they are for programmers, else librdkafka's.
fn tls_detail(reason: &str) -> String {
    let text = detail(reason);
    if text.contains("certificate verify failed") {
        return "its certificate is not signed by a known CA, or is for another name".to_owned();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(code: RDKafkaErrorCode, reason: &str) -> String {
        KafkaFault::of_link(code, reason, "k1:9092,k2:9092").to_string()
    }

    // The reasons are librdkafka 2.12.1's own.
    #[test]
    fn a_refused_connection_names_the_address() {
        assert_eq!(
            sentence(
                RDKafkaErrorCode::BrokerTransportFailure,
                "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused \
                 (after 0ms in state CONNECT)"
            ),
            "no broker answers at 127.0.0.1:9092 (connection refused)"
        );
        assert_eq!(
            sentence(
                RDKafkaErrorCode::Resolve,
                "kafka.example:9092/bootstrap: Failed to resolve 'kafka.example:9092': Name or service not known"
            ),
            "no broker answers at kafka.example:9092 (the name is not known)"
        );
        assert_eq!(
            sentence(RDKafkaErrorCode::AllBrokersDown, "2/2 brokers are down"),
            "no broker answers at k1:9092,k2:9092"
        );
    }

    #[test]
    fn a_broker_that_speaks_another_protocol_is_told_from_one_that_went_away() {
        let closed = |reason: &str| sentence(RDKafkaErrorCode::BrokerTransportFailure, reason);
        for reason in [
            // Without TLS to a TLS port, TLS to a port without, TLS without a login to a port that wants both.
            "k:9093/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 23ms in state \
             APIVERSION_QUERY)",
            "ssl://k:9093/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to \
             a PLAINTEXT broker listener? (after 3ms in state SSL_HANDSHAKE)",
            "ssl://k:9093/bootstrap: Disconnected: SSL connection closed by peer (after 1ms in state UP, 1 identical \
             error(s) suppressed)",
            "k:9093/bootstrap: Send failed: Broken pipe (after 2ms in state APIVERSION_QUERY)",
            "ssl://k:9093/bootstrap: Receive failed: Connection reset by peer (after 4ms in state UP)",
        ] {
            assert_eq!(
                closed(reason),
                "the broker at k:9093 ends new connections; does it want TLS or a login, or neither? check \
                 security.protocol in --kafka-config"
            );
        }
        assert_eq!(
            closed(
                "k:9093/1: Disconnected: connection closed by peer: receive 0 after POLLIN (after 5000ms in state UP)"
            ),
            "no broker answers at k:9093 (disconnected)"
        );
    }

    #[test]
    fn a_refused_login_and_a_foreign_certificate_say_what_to_check() {
        let login = sentence(
            RDKafkaErrorCode::Authentication,
            "sasl_ssl://127.0.0.1:9093/bootstrap: SASL authentication error: Authentication failed during \
             authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 40ms in state \
             AUTH_REQ)",
        );
        assert!(
            login.starts_with("the broker at 127.0.0.1:9093 refuses the login (SASL authentication error")
        );
        assert!(
            login.ends_with("SCRAM-SHA-512); check sasl.username, sasl.password and sasl.mechanism"),
            "{login}"
        );
        assert_eq!(
            sentence(
                RDKafkaErrorCode::SSL,
                "ssl://[::1]:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify \
                 failed: broker certificate could not be verified (after 3ms in state SSL_HANDSHAKE)"
            ),
            "TLS with the broker at [::1]:9093 fails (its certificate is not signed by a known CA, or is for \
             another name); check ssl.ca.location"
        );
    }

    #[test]
    fn a_setting_that_librdkafka_refuses_is_named_without_its_value() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("sasl.oauthbearer.method", "hunter2");
        let Err(error) = config.create_native_config() else { unreachable!("an invalid value") };
        // librdkafka's own description repeats the value; only `KafkaSettings::load` may pass it on, for plain keys.
        let sentence = KafkaFault::of_client(&error).to_string();
        assert!(sentence.contains("sasl.oauthbearer.method"), "{sentence}");
    }
}
