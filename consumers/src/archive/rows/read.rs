//! What is in a record's value. What can't be told is kept as it came: an archive loses nothing.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sightline_schema::{Event, FrameResult, Message as _, Timestamp};

use super::messages::{EventRow, Frame};

/// One record's value, read.
pub(in crate::archive) struct Row<'a> {
    pub(super) schema: Option<Cow<'a, str>>,
    pub(in crate::archive) camera: Option<Cow<'a, str>>,
    pub(super) epoch: Option<i64>,
    /// When it happened, in microseconds.
    pub(in crate::archive) at: Option<i64>,
    pub(in crate::archive) content: Content<'a>,
    /// The fields that have no column, as a JSON object.
    pub(super) rest: Option<String>,
}

pub(in crate::archive) enum Content<'a> {
    Frame(Frame<'a>),
    Event(Box<EventRow>),
    /// Of another schema: all that is in it is in `rest`.
    Other,
    /// Not what its schema says, or no JSON at all: the bytes as they came, and why.
    Raw(&'a [u8], String),
    /// A record without a value.
    Tombstone,
}

impl<'a> Row<'a> {
    /// Never fails. `header` is what the record's header says of its schema.
    pub(in crate::archive) fn read(value: Option<&'a [u8]>, header: Option<&'a str>) -> Self {
        let Some(value) = value else { return Self::bare(header, Content::Tombstone) };
        if header == Some(FrameResult::SCHEMA)
            && let Ok(frame) = serde_json::from_slice::<Frame<'a>>(value)
            && frame.schema == FrameResult::SCHEMA
        {
            return Self::of_frame(frame, None);
        }
        if header == Some(Event::SCHEMA)
            && let Ok(event) = serde_json::from_slice::<EventRow>(value)
            && event.schema == Event::SCHEMA
        {
            return Self::of_event(event, None);
        }
        Self::slowly(value, header).unwrap_or_else(|why| Self::bare(header, Content::Raw(value, why)))
    }

    fn bare(header: Option<&'a str>, content: Content<'a>) -> Self {
        Self { schema: header.map(Cow::Borrowed), camera: None, epoch: None, at: None, content, rest: None }
    }

    fn of_frame(mut frame: Frame<'a>, rest: Option<String>) -> Self {
        Self {
            schema: Some(Cow::Borrowed(FrameResult::SCHEMA)),
            camera: Some(std::mem::take(&mut frame.camera)),
            epoch: Some(frame.epoch),
            at: Some(frame.captured_at.as_micros()),
            content: Content::Frame(frame),
            rest,
        }
    }

    fn of_event(mut event: EventRow, rest: Option<String>) -> Self {
        Self {
            schema: Some(Cow::Borrowed(Event::SCHEMA)),
            camera: Some(Cow::Owned(std::mem::take(&mut event.camera))),
            epoch: Some(event.epoch),
            at: Some(event.at.as_micros()),
            content: Content::Event(Box::new(event)),
            rest,
        }
    }

    /// What is not simply a frame or an event of this version.
    fn slowly(value: &'a [u8], header: Option<&'a str>) -> Result<Self, String> {
        let Fields(fields) = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let schema = fields
            .iter()
            .find(|(name, _)| name == "schema")
            .and_then(|(_, value)| serde_json::from_str::<Cow<'a, str>>(value.get()).ok())
            .or(header.map(Cow::Borrowed));
        match schema.as_deref() {
            Some(FrameResult::SCHEMA) => {
                let (known, rest) = known(&fields, Frame::FIELDS)?;
                let frame = Frame::<'a>::deserialize(known).map_err(|error| error.to_string())?;
                Ok(Self::of_frame(frame, rest))
            }
            Some(Event::SCHEMA) => {
                let (known, rest) = known(&fields, EventRow::FIELDS)?;
                let event = EventRow::deserialize(known).map_err(|error| error.to_string())?;
                Ok(Self::of_event(event, rest))
            }
            _ => Ok(Self::of_another(&fields, schema)),
        }
    }

    fn of_another(fields: &[(Cow<'a, str>, &'a RawValue)], schema: Option<Cow<'a, str>>) -> Self {
        let mut row = Self { schema, ..Self::bare(None, Content::Other) };
        let mut rest = Rest::default();
        for (name, value) in fields {
            let taken = match &**name {
                "schema" => serde_json::from_str::<&str>(value.get()).is_ok(),
                "camera" => {
                    row.camera = serde_json::from_str(value.get()).ok().map(Cow::Owned);
                    row.camera.is_some()
                }
                "epoch" => {
                    row.epoch = serde_json::from_str(value.get()).ok();
                    row.epoch.is_some()
                }
                // Stays in `rest`, too: what kind of time it is depends on the schema.
                "at" | "captured_at" => {
                    row.at = time(value).or(row.at);
                    false
                }
                "before" => {
                    let before = serde_json::from_str::<Before>(value.get()).ok();
                    row.at = row.at.or(before.map(|before| before.captured_at.as_micros()));
                    false
                }
                _ => false,
            };
            if !taken {
                rest.push(name, value);
            }
        }
        row.rest = rest.text();
        row
    }
}

/// Of a `gap/1`: the first result behind it.
#[derive(Deserialize)]
struct Before {
    captured_at: Timestamp,
}

fn time(value: &RawValue) -> Option<i64> {
    serde_json::from_str::<Timestamp>(value.get()).ok().map(Timestamp::as_micros)
}

/// The fields of an object that have a column, and below it. An empty list is a value.
pub(super) type Known = &'static [(&'static str, &'static [(&'static str, &'static [&'static str])])];

/// What has a column, and the text of the rest. A field that has something unknown within it is in both.
fn known(fields: &[(Cow<'_, str>, &RawValue)], columns: Known) -> Result<(Value, Option<String>), String> {
    let (mut known, mut rest) = (Map::new(), Rest::default());
    for (name, value) in fields {
        let Some((_, below)) = columns.iter().find(|(column, _)| column == name) else {
            rest.push(name, value);
            continue;
        };
        let mut parsed: Value = serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
        let mut pruned = false;
        each_object(&mut parsed, &mut |object| {
            prune(
                object,
                |name| below.iter().any(|(column, _)| *column == name),
                below.is_empty(),
                &mut pruned,
            );
            for (name, below) in below.iter().filter(|(_, below)| !below.is_empty()) {
                if let Some(value) = object.get_mut(*name) {
                    each_object(value, &mut |object| {
                        prune(object, |name| below.contains(&name), false, &mut pruned);
                    });
                }
            }
        });
        if pruned {
            rest.push(name, value);
        }
        known.insert(name.to_string(), parsed);
    }
    Ok((Value::Object(known), rest.text()))
}

fn prune(object: &mut Map<String, Value>, is_known: impl Fn(&str) -> bool, all: bool, pruned: &mut bool) {
    if !all {
        let before = object.len();
        object.retain(|name, _| is_known(name));
        *pruned |= object.len() < before;
    }
}

/// The object itself, or those in a list.
fn each_object(value: &mut Value, what: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => what(object),
        Value::Array(list) => list.iter_mut().filter_map(Value::as_object_mut).for_each(what),
        _ => {}
    }
}

/// A JSON object in the making, of values as they came.
#[derive(Default)]
struct Rest(String);

impl Rest {
    fn push(&mut self, name: &str, value: &RawValue) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(value.get());
    }

    fn text(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push('}');
        Some(self.0)
    }
}

/// An object's fields in their order. One that is given twice is refused: either could be meant.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format!("the field {name:?} is there twice")));
                    }
                    fields.push((Cow::Owned(name), value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const FRAME: &str = r#"{"schema":"frame/1","camera":"gate-3","epoch":1827,"seq":7,"captured_at":"2026-11-23T18:40:12.033Z",
        "pts_us":1,"width":2,"height":2,"detections":[{"class_id":0,"label":"a","confidence":0.5,"box":[0,0,1,1]}]}"#;

    fn frame<'r, 'a>(row: &'r Row<'a>) -> &'r Frame<'a> {
        match &row.content {
            Content::Frame(frame) => frame,
            Content::Raw(_, why) => panic!("{why}"),
            _ => panic!("no frame"),
        }
    }

    fn raw(value: &str, header: Option<&str>) -> String {
        match Row::read(Some(value.as_bytes()), header).content {
            Content::Raw(bytes, why) => {
                assert_eq!(bytes, value.as_bytes());
                why
            }
            _ => panic!("{value} can be read"),
        }
    }

    #[test]
    fn a_frame_is_borrowed_from_its_record() {
        let row = Row::read(Some(FRAME.as_bytes()), Some("frame/1"));
        assert_eq!((row.epoch, row.at, &row.rest), (Some(1827), Some(1_795_459_212_033_000), &None));
        assert!(matches!(row.camera, Some(Cow::Borrowed("gate-3"))));
        assert!(matches!(frame(&row).detections[0].label, Cow::Borrowed("a")));
    }

    #[test]
    fn what_is_not_known_is_in_rest_with_the_text_that_it_had() {
        let more = FRAME.replace("\"pts_us\"", "\"more\":{\"a\":1.50},\"pts_us\"");
        let row = Row::read(Some(more.as_bytes()), Some("frame/1"));
        assert_eq!((frame(&row).seq, row.rest.as_deref()), (7, Some(r#"{"more":{"a":1.50}}"#)));

        let within = FRAME.replace("\"label\"", "\"mask\":[1],\"label\"");
        let row = Row::read(Some(within.as_bytes()), None);
        assert_eq!(frame(&row).detections.len(), 1);
        let rest: Value = serde_json::from_str(row.rest.as_deref().unwrap()).unwrap();
        assert_eq!(rest["detections"][0]["mask"], serde_json::json!([1]));
        assert_eq!(rest.as_object().unwrap().len(), 1);
    }

    #[test]
    fn another_schema_is_kept_whole_and_dated_where_it_says_a_time() {
        let gap = r#"{"schema":"gap/1","camera":"a","epoch":3,"before":{"seq":0,"captured_at":"1970-01-01T00:00:01Z"},"frames":null}"#;
        let row = Row::read(Some(gap.as_bytes()), Some("gap/1"));
        assert_eq!(
            (row.schema.as_deref(), row.camera.as_deref(), row.epoch),
            (Some("gap/1"), Some("a"), Some(3))
        );
        assert_eq!(row.at, Some(1_000_000));
        let rest = r#"{"before":{"seq":0,"captured_at":"1970-01-01T00:00:01Z"},"frames":null}"#;
        assert_eq!(row.rest.as_deref(), Some(rest));
        // What should be a number and is none stays where it is seen.
        let odd = Row::read(Some(br#"{"schema":"x/1","epoch":"three"}"#), None);
        assert_eq!((odd.epoch, odd.rest.as_deref()), (None, Some(r#"{"epoch":"three"}"#)));
    }

    #[test]
    fn what_can_not_be_read_is_kept_as_it_came() {
        assert!(raw("no JSON", Some("frame/1")).contains("line 1"));
        assert!(raw("", None).contains("EOF"));
        assert!(raw(&FRAME.replace("\"seq\":7", "\"seq\":NaN"), Some("frame/1")).contains("line 1"));
        assert!(raw(&FRAME.replace("\"seq\":7,", ""), Some("frame/1")).contains("seq"));
        assert!(!raw(&FRAME.replace("\"seq\":7", "\"seq\":99999999999999999999"), None).is_empty());
        assert!(raw(r#"{"a":1,"a":2}"#, None).contains("twice"));
        assert!(raw("[1]", None).contains("a JSON object"));
        assert!(matches!(Row::read(None, None).content, Content::Tombstone));
    }
}
