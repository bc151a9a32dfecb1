//! What a webhook is sent, signed by the Standard Webhooks' form.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::Alert;

/// `{"event": …, "rules": […], "severity": …, "summary": …}`: the event as it came; severity and summary by the first rule.
pub(super) fn body(alert: &Alert<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Rest<'a> {
        rules: Vec<&'a str>,
        severity: &'a str,
        summary: String,
    }
    let first = alert.rules.first();
    let rest = Rest {
        rules: alert.rules.iter().map(|rule| rule.name.as_str()).collect(),
        severity: first.map_or("", |rule| &rule.severity),
        summary: first.map(|rule| rule.summary.of(alert.event)).unwrap_or_default(),
    };
    // Texts and lists of texts can always be written.
    let rest = serde_json::to_vec(&rest).unwrap_or_default();
    let mut body = Vec::with_capacity(alert.json.len() + rest.len() + 16);
    body.extend_from_slice(b"{\"event\":");
    body.extend_from_slice(alert.json.trim_ascii());
    body.push(b',');
    body.extend_from_slice(rest.get(1..).unwrap_or_default());
    body
}

/// `webhook-signature` has a signature by each secret.
pub(super) fn headers(
    id: &str,
    now: SystemTime,
    body: &[u8],
    secrets: &[Vec<u8>],
) -> Vec<(&'static str, String)> {
    let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
    let signatures: Vec<_> = secrets.iter().map(|secret| sign(secret, id, &timestamp, body)).collect();
    vec![
        ("idempotency-key", id.to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures.join(" ")),
    ]
}

fn sign(secret: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use super::super::super::rules::tests::{event, rule};
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the Standard Webhooks' libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        let headers =
            headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#, &[secret, vec![1; 32]]);
        let signature = &headers[3].1;
        assert!(signature.starts_with("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,"), "{signature}");
        assert_eq!(headers[2], ("webhook-timestamp", "1614265330".to_owned()));
    }

    #[test]
    fn the_body_holds_the_event_as_it_came_and_the_names_of_the_rules() {
        let (event, rule) = (event(), rule());
        let json = b" {\"schema\":\"event/1\",\"new\":[1]}\n";
        let alert = Alert { event: &event, json, rules: vec![&rule, &rule] };
        let body: serde_json::Value = serde_json::from_slice(&body(&alert)).unwrap();
        let wanted = serde_json::json!({
            "event": {"schema": "event/1", "new": [1]}, "rules": ["night-entry", "night-entry"],
            "severity": "warning", "summary": "person in dock of gate-3",
        });
        assert_eq!(body, wanted);
    }
}
