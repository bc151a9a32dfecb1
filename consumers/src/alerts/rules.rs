//! Which events a rule is about. Pure.

use std::collections::BTreeMap;

use sightline_schema::{Direction, Event, EventType};

use super::hours::Hours;
use super::pattern::fits;
use super::summary::Summary;

/// What is empty or absent asks nothing. What is asked of something that an event does not have is not fulfilled.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    /// Names of targets.
    pub to: Vec<String>,
    pub types: Vec<EventType>,
    /// Patterns.
    pub cameras: Vec<String>,
    /// One of the zones or one of the lines, where both are given.
    pub zones: Vec<String>,
    pub lines: Vec<String>,
    /// All of them, as the camera has them.
    pub labels: BTreeMap<String, String>,
    pub classes: Vec<String>,
    pub direction: Option<Direction>,
    pub min_confidence: Option<f32>,
    pub hours: Option<Hours>,
    pub severity: String,
    pub summary: Summary,
}

impl Rule {
    pub fn matches(&self, event: &Event) -> bool {
        let among = |wanted: &[String], found: Option<&str>| {
            found.is_some_and(|found| wanted.iter().any(|wanted| wanted == found))
        };
        let place = (self.zones.is_empty() && self.lines.is_empty())
            || among(&self.zones, event.zone.as_deref())
            || among(&self.lines, event.line.as_deref());
        let has = |(key, value): (&String, &String)| event.labels.get(key) == Some(value);
        self.types.contains(&event.kind)
            && place
            && (self.cameras.is_empty() || self.cameras.iter().any(|pattern| fits(pattern, &event.camera)))
            && self.labels.iter().all(has)
            && (self.classes.is_empty() || among(&self.classes, event.label.as_deref()))
            && (self.direction.is_none() || self.direction == event.direction)
            && self.min_confidence.is_none_or(|least| event.confidence.is_some_and(|found| found >= least))
            && self.hours.as_ref().is_none_or(|hours| hours.hold(event.at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(super) mod tests {
    use super::*;

    /// Somebody in the dock of the north gate, on a Monday at 23:30 in Berlin.
    pub(in crate::alerts) fn event() -> Event {
        serde_json::from_value(serde_json::json!({
            "schema": "event/1", "id": "gate-3/1827/90211/57/zone_entered/dock", "type": "zone_entered",
            "camera": "gate-3", "epoch": 1827, "seq": 90211, "generation": 4, "at": "2026-11-23T22:30:00Z",
            "label": "person", "confidence": 0.8741, "zone": "dock", "duration_s": 4.5,
            "labels": {"site": "hq", "type": "door", "a.b/c": "x", "a_b_c": "y"}
        }))
        .unwrap()
    }

    pub(in crate::alerts) fn rule() -> Rule {
        Rule {
            name: "night-entry".into(),
            to: vec!["desk".into()],
            types: vec![EventType::ZoneEntered],
            cameras: vec![],
            zones: vec![],
            lines: vec![],
            labels: BTreeMap::new(),
            classes: vec![],
            direction: None,
            min_confidence: None,
            hours: None,
            severity: "warning".into(),
            summary: Summary::parse(Some("{label} in {zone} of {camera}")).unwrap(),
        }
    }

    #[test]
    fn a_rule_asks_of_everything_that_it_names_and_of_nothing_else() {
        let list = |text: &str| vec!["other".to_owned(), text.to_owned()];
        let label = |value: &str| BTreeMap::from([("site".to_owned(), value.to_owned())]);
        let hours = |from, to| Hours::new(Some(from), Some(to), &[], "Europe/Berlin").ok();
        let usual = rule();
        let cases: Vec<(Rule, bool)> = vec![
            (usual.clone(), true),
            (Rule { types: vec![EventType::ZoneLeft], ..usual.clone() }, false),
            (Rule { cameras: list("gate-*"), ..usual.clone() }, true),
            (Rule { cameras: list("yard-*"), ..usual.clone() }, false),
            (Rule { zones: list("dock"), ..usual.clone() }, true),
            (Rule { zones: list("yard"), ..usual.clone() }, false),
            (Rule { lines: list("dock"), ..usual.clone() }, false),
            (Rule { zones: list("dock"), lines: list("entrance"), ..usual.clone() }, true),
            (Rule { labels: label("hq"), ..usual.clone() }, true),
            (Rule { labels: label("plant"), ..usual.clone() }, false),
            (Rule { classes: list("person"), ..usual.clone() }, true),
            (Rule { classes: list("car"), ..usual.clone() }, false),
            (Rule { direction: Some(Direction::Forward), ..usual.clone() }, false),
            (Rule { min_confidence: Some(0.8741), ..usual.clone() }, true),
            (Rule { min_confidence: Some(0.88), ..usual.clone() }, false),
            (Rule { hours: hours("22:00", "06:00"), ..usual.clone() }, true),
            (Rule { hours: hours("06:00", "22:00"), ..usual }, false),
        ];
        for (rule, matches) in cases {
            assert_eq!(rule.matches(&event()), matches, "{rule:?}");
        }
    }

    #[test]
    fn what_an_event_does_not_have_fulfils_nothing() {
        let bare = Event { label: None, confidence: None, zone: None, ..event() };
        assert!(rule().matches(&bare));
        assert!(!Rule { min_confidence: Some(0.0), ..rule() }.matches(&bare));
        assert!(!Rule { classes: vec!["person".into()], ..rule() }.matches(&bare));
        assert!(!Rule { zones: vec!["dock".into()], ..rule() }.matches(&bare));
    }
}
