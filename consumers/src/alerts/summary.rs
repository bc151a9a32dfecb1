//! The sentence of an alert: a text with `{names}` for what the event says. Pure.

use sightline_schema::Event;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
    /// A label of the camera.
    Label(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Camera,
    Type,
    Label,
    Confidence,
    Zone,
    Line,
    Direction,
    Duration,
    At,
    Id,
}

const FIELDS: [(&str, Field); 10] = [
    ("camera", Field::Camera),
    ("type", Field::Type),
    ("label", Field::Label),
    ("confidence", Field::Confidence),
    ("zone", Field::Zone),
    ("line", Field::Line),
    ("direction", Field::Direction),
    ("duration_s", Field::Duration),
    ("at", Field::At),
    ("id", Field::Id),
];

/// Where a rule gives none.
const USUAL: &str = "{type} on {camera}";

impl Summary {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.unwrap_or(USUAL).chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    plain.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(format!("{{{name} has no end; write {{{{ for a brace")),
                        }
                    }
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part(&name)?);
                }
                '}' => return Err("a } without its {; write }} for a brace".to_owned()),
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// What the event does not have is a dash.
    pub(super) fn of(&self, event: &Event) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Label(key) => event.labels.get(key).cloned(),
            Part::Field(Field::Camera) => Some(event.camera.clone()),
            Part::Field(Field::Type) => Some(event.kind.to_string()),
            Part::Field(Field::Label) => event.label.clone(),
            Part::Field(Field::Confidence) => event.confidence.map(|value| format!("{value:.2}")),
            Part::Field(Field::Zone) => event.zone.clone(),
            Part::Field(Field::Line) => event.line.clone(),
            Part::Field(Field::Direction) => event.direction.map(|value| value.as_str().to_owned()),
            Part::Field(Field::Duration) => event.duration_s.map(|value| format!("{value:.1}")),
            Part::Field(Field::At) => Some(event.at.to_string()),
            Part::Field(Field::Id) => Some(event.id.clone()),
        });
        parts.map(|part| part.unwrap_or_else(|| "-".to_owned())).collect()
    }
}

fn part(name: &str) -> Result<Part, String> {
    if let Some(key) = name.strip_prefix("labels.").filter(|key| !key.is_empty()) {
        return Ok(Part::Label(key.to_owned()));
    }
    let field = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| Part::Field(*field));
    field.ok_or_else(|| {
        let known: Vec<_> = FIELDS.iter().map(|(known, _)| format!("{{{known}}}")).collect();
        format!("{{{name}}} is not known; write {} or {{labels.KEY}}", known.join(", "))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::super::rules::tests::event;
    use super::*;

    #[test]
    fn names_become_what_the_event_says() {
        let of = |text| Summary::parse(Some(text)).unwrap().of(&event());
        assert_eq!(of("{label} in {zone} of {camera}"), "person in dock of gate-3");
        assert_eq!(of("{{{line}}} {labels.site} {labels.floor} {confidence}"), "{-} hq - 0.87");
        assert_eq!(of("{at} {duration_s}"), "2026-11-23T22:30:00.000Z 4.5");
        assert_eq!(Summary::parse(None).unwrap().of(&event()), "zone_entered on gate-3");
    }

    #[test]
    fn a_name_that_is_not_known_is_refused() {
        for (text, why) in [
            ("{who}", "{who} is not known; write {camera}, "),
            ("{label", "{label has no end"),
            ("a } b", "without its {"),
            ("{labels.}", "{labels.} is not known"),
        ] {
            let error = Summary::parse(Some(text)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
