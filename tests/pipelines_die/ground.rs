//! What truly happens before a camera that plays the sample round after round.

use serde_json::Value;

/// Who is in the zone for this long has dwelled. Of the sample's stays at `west-crossing` none is
/// near to it; the other zone's are all shorter, or too near to tell.
pub(crate) const DWELL_S: f64 = 2.0;
const DWELLED_AT: &str = "west-crossing";

/// What happened, but for when: what has to be alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct What {
    pub(crate) kind: String,
    pub(crate) label: String,
    pub(crate) place: String,
    /// A direction, `appeared`, `vanished` or nothing.
    pub(crate) how: String,
}

/// Times are in µs.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) what: What,
    pub(crate) at: i64,
    /// Of what ends a stay, or is a part of it, since when; else as `at`.
    pub(crate) since: i64,
    /// Until when it has to be seen: of `dwelled` to the end of the stay.
    pub(crate) until: i64,
}

/// One round: events in the order of their time, from the clip's start.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) round: i64,
    events: Vec<Happened>,
}

impl Ground {
    pub(crate) fn of(truth: &Value) -> Self {
        let fps = truth["fps"].as_i64().unwrap();
        let us = |frame: &Value| frame.as_i64().unwrap() * 1_000_000 / fps;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut events = Vec::new();
        for crossing in truth["crossings"].as_array().unwrap() {
            let [label, place, how] = ["label", "line", "direction"].map(|field| text(&crossing[field]));
            let (at, kind) = (us(&crossing["frame"]), "line_crossed".to_owned());
            events.push(Happened { what: What { kind, label, place, how }, at, since: at, until: at });
        }
        for visit in truth["visits"].as_array().unwrap() {
            let (enter, leave) = (us(&visit["enter"]), us(&visit["leave"]));
            let (label, place) = (text(&visit["label"]), text(&visit["zone"]));
            let mut add = |kind: &str, how: &str, at: i64, since: i64, until: i64| {
                let (kind, how) = (kind.to_owned(), how.to_owned());
                let what = What { kind, label: label.clone(), place: place.clone(), how };
                events.push(Happened { what, at, since, until });
            };
            let mark = |name: &'static str| if visit[name] == true { name } else { "" };
            add("zone_entered", mark("appeared"), enter, enter, enter);
            add("zone_left", mark("vanished"), leave, enter, leave);
            let dwelled = enter + (DWELL_S * 1e6) as i64;
            if place == DWELLED_AT && dwelled < leave {
                add("dwelled", "", dwelled, enter, leave);
            }
        }
        events.sort_by_key(|event| event.at);
        Self { round: truth["frame_count"].as_i64().unwrap() * 1_000_000 / fps, events }
    }

    /// All of the rounds from the one that `began` then, until `end`.
    pub(crate) fn until(&self, began: i64, end: i64) -> Vec<Happened> {
        let rounds = (end - began) / self.round + 1;
        let of = |round: i64| {
            let moved = began + round * self.round;
            self.events.iter().map(move |event| Happened {
                what: event.what.clone(),
                at: event.at + moved,
                since: event.since + moved,
                until: event.until + moved,
            })
        };
        (0..rounds).flat_map(of).collect()
    }
}

/// The sample's zones, of which one is dwelled in.
pub(crate) fn zones(truth: &Value) -> Value {
    let mut zones = truth["zones"].clone();
    for zone in zones.as_array_mut().unwrap() {
        if zone["id"] == DWELLED_AT {
            zone["dwell_s"] = DWELL_S.into();
        }
    }
    zones
}
