//! What the Alertmanager is sent, by its API v2: an alert for each rule, told apart by labels.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sightline_schema::{Event, Timestamp};

use super::Alert;
use crate::alerts::rules::Rule;

/// Ours, on an event or not: a camera's label of this name goes by another.
const OURS: [&str; 8] = ["alertname", "severity", "camera", "type", "class", "zone", "line", "direction"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

pub(super) fn body(alerts: &[Alert<'_>], now: Timestamp, resolve_after: Duration) -> Vec<u8> {
    let of = |alert: &Alert<'_>| -> Vec<Sent> {
        alert.rules.iter().map(|rule| sent(alert.event, rule, now, resolve_after)).collect()
    };
    let sent: Vec<Sent> = alerts.iter().flat_map(of).collect();
    // Maps of texts and times can always be written.
    serde_json::to_vec(&sent).unwrap_or_default()
}

fn sent(event: &Event, rule: &Rule, now: Timestamp, resolve_after: Duration) -> Sent {
    let mut annotations = BTreeMap::from([
        ("summary", rule.summary.of(event)),
        ("event", event.id.clone()),
        ("at", event.at.to_string()),
    ]);
    annotations.extend(event.confidence.map(|confidence| ("confidence", format!("{confidence:.4}"))));
    let resolve_after = i64::try_from(resolve_after.as_micros()).unwrap_or(i64::MAX);
    Sent {
        labels: labels(event, rule),
        annotations,
        starts_at: event.at,
        // One that comes late is told of, too: what has ended already would not be.
        ends_at: event.at.max(now).saturating_add_micros(resolve_after),
    }
}

fn labels(event: &Event, rule: &Rule) -> BTreeMap<String, String> {
    let direction = event.direction.map(|direction| direction.as_str().to_owned());
    let ours = [
        ("alertname", Some(rule.name.clone())),
        ("severity", Some(rule.severity.clone())),
        ("camera", Some(event.camera.clone())),
        ("type", Some(event.kind.to_string())),
        ("class", event.label.clone()),
        ("zone", event.zone.clone()),
        ("line", event.line.clone()),
        ("direction", direction),
    ];
    let mut labels: BTreeMap<String, String> =
        ours.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    // The legal ones first: another that is made legal does not take a name from one.
    let (legal, other): (Vec<_>, Vec<_>) =
        event.labels.iter().partition(|(key, _)| is_legal(key) && !OURS.contains(&key.as_str()));
    labels.extend(legal.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    for (key, value) in other {
        let legal: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let name = format!("camera_{legal}");
        let free = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}_{n}") });
        let name = free.into_iter().find(|name| !labels.contains_key(name)).unwrap_or(name);
        labels.insert(name, value.clone());
    }
    labels
}

/// As Prometheus has them; two underscores begin its own.
fn is_legal(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && !name.starts_with("__") && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::super::super::rules::tests::{event, rule};
    use super::*;

    #[test]
    fn an_alert_has_the_rules_name_and_the_cameras_labels_under_names_that_are_legal_and_free() {
        let (mut event, rule) = (event(), rule());
        event.labels.insert("camera_type".into(), "taken".into());
        let alert = Alert { event: &event, json: b"", rules: vec![&rule] };
        let now = "2026-11-23T23:00:00Z".parse().unwrap();
        let body: serde_json::Value =
            serde_json::from_slice(&body(&[alert], now, Duration::from_secs(300))).unwrap();
        let wanted = serde_json::json!([{
            "labels": {
                "alertname": "night-entry", "severity": "warning", "camera": "gate-3", "type": "zone_entered",
                "class": "person", "zone": "dock", "site": "hq", "a_b_c": "y", "camera_a_b_c": "x",
                "camera_type": "taken", "camera_type_2": "door",
            },
            "annotations": {
                "summary": "person in dock of gate-3", "event": "gate-3/1827/90211/57/zone_entered/dock",
                "at": "2026-11-23T22:30:00.000Z", "confidence": "0.8741",
            },
            "startsAt": "2026-11-23T22:30:00.000Z", "endsAt": "2026-11-23T23:05:00.000Z",
        }]);
        assert_eq!(body, wanted);
    }
}
