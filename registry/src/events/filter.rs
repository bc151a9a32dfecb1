//! Which events are meant.

use sightline_schema::{Event, EventType, Timestamp};

use crate::api::query::Query;
use crate::problem::Problem;

/// Names that a request may give for one field.
const MOST: usize = 1000;

/// All that is said has to hold; of a field's names, any. Empty: any at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) cameras: Vec<String>,
    pub(crate) kinds: Vec<EventType>,
    pub(crate) zones: Vec<String>,
    pub(crate) lines: Vec<String>,
    pub(crate) labels: Vec<String>,
    /// Events dated at it or later…
    pub(crate) since: Option<Timestamp>,
    /// … and before this.
    pub(crate) until: Option<Timestamp>,
}

impl Filter {
    pub(crate) const NAMES: [&'static str; 6] = ["camera", "type", "zone", "line", "label", "since"];

    /// Each may be given several times, and hold several names with commas between.
    pub(crate) fn read(query: &Query) -> Result<Self, Problem> {
        let kind = |text: &String| {
            EventType::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
                let known: Vec<_> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
                let next_step = format!("give some of {}", known.join(", "));
                Problem::parameter("type", format!("{text:?} is no type of event"), next_step)
            })
        };
        Ok(Self {
            cameras: names(query, "camera")?,
            kinds: names(query, "type")?.iter().map(kind).collect::<Result<_, _>>()?,
            zones: names(query, "zone")?,
            lines: names(query, "line")?,
            labels: names(query, "label")?,
            since: time(query, "since")?,
            until: time(query, "until")?,
        })
    }

    pub(crate) fn fits(&self, event: &Event) -> bool {
        let any = |names: &[String], name: Option<&String>| {
            names.is_empty() || name.is_some_and(|name| names.contains(name))
        };
        any(&self.cameras, Some(&event.camera))
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && any(&self.zones, event.zone.as_ref())
            && any(&self.lines, event.line.as_ref())
            && any(&self.labels, event.label.as_ref())
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
    }
}

fn names(query: &Query, parameter: &str) -> Result<Vec<String>, Problem> {
    let names: Vec<_> =
        query.all(parameter).flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    let wrong = |reason: &str, next_step: &str| Err(Problem::parameter(parameter, reason, next_step));
    if names.iter().any(String::is_empty) {
        return wrong("names nothing", "give names with commas between, or leave it out");
    }
    // No event has such a name, and no database takes it.
    if names.iter().any(|name| name.contains('\0')) {
        return wrong("holds a NUL", "give a name");
    }
    if names.len() > MOST {
        return wrong("holds more than 1000 names", "leave it out, and choose among what comes");
    }
    Ok(names)
}

fn time(query: &Query, parameter: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.one(parameter)? else { return Ok(None) };
    // A plus in a query stands for a space, and a time zone has one.
    let time = text.trim().replace(' ', "+").parse().or_else(|_| text.parse());
    time.map(Some).map_err(|_| {
        Problem::parameter(
            parameter,
            format!("{text:?} is no time"),
            "write it like 2026-11-23T18:40:12.033Z (RFC 3339)",
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event(more: serde_json::Value) -> Event {
        let mut event = serde_json::json!({"schema": "event/1", "id": "x", "type": "line_crossed", "camera": "gate",
            "epoch": 1, "seq": 2, "generation": 3, "at": "2026-11-23T18:40:12.033Z", "line": "in", "label": "person"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn filter(text: &str) -> Result<Filter, Problem> {
        Filter::read(&Query::read(text).unwrap())
    }

    #[test]
    fn all_that_is_said_has_to_hold() {
        let event = event(serde_json::json!({}));
        for good in [
            "",
            "camera=gate",
            "camera=yard,gate&camera=door",
            "type=dwelled,line_crossed&line=in",
            "label=person&since=2026-11-23T18:40:12.033Z",
            "since=2026-11-23T19:40:12.033+01:00&until=2026-11-23T18:40:12.034Z",
        ] {
            assert!(filter(good).unwrap().fits(&event), "{good}");
        }
        for bad in [
            "camera=yard",
            "type=dwelled",
            "zone=in",
            "line=out",
            "label=car",
            "camera=gate&label=car",
            "since=2026-11-23T18:40:12.034Z",
            "until=2026-11-23T18:40:12.033Z",
        ] {
            assert!(!filter(bad).unwrap().fits(&event), "{bad}");
        }
    }

    #[test]
    fn what_is_no_name_no_type_and_no_time_is_refused_by_its_parameter() {
        for (bad, field) in [
            ("camera=", "camera"),
            ("zone=a,,b", "zone"),
            ("label=a%00b", "label"),
            ("type=walked", "type"),
            ("since=yesterday", "since"),
            ("until=", "until"),
            ("since=2026-11-23T18:40:12Z&since=2026-11-23T18:40:12Z", "since"),
        ] {
            let problem = filter(bad).unwrap_err();
            assert_eq!((problem.status, &*problem.errors[0].field), (400, field), "{bad}");
        }
        assert!(filter("type=walked").unwrap_err().detail.contains("dwelled"));
    }
}
