//! Records of `events` as alerts read them. Pure.

use sightline_schema::{Event, Message as _};
use sightline_service::kafka::Record;

use crate::runner::PassedOver;

/// The largest event: one has a few hundred bytes, and some thousand with a path and many labels.
const MOST_BYTES: usize = 256 * 1024;
const MOST_ID: usize = 512;

/// A record that is none of what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) reason: PassedOver,
    pub(super) why: String,
}

/// The event of a record; none of a tombstone.
pub(super) fn event(record: &Record<'_>) -> Result<Option<Event>, Unreadable> {
    let Some(value) = record.value else { return Ok(None) };
    let invalid = |why: String| Unreadable {
        reason: PassedOver::Unreadable,
        why: format!("the record is not a valid {}; look at what wrote it: {why}", Event::SCHEMA),
    };
    if value.len() > MOST_BYTES {
        return Err(invalid(format!("it has {} bytes, and an event {MOST_BYTES} at most", value.len())));
    }
    // It is sent on as it is: fields that this version does not know, too.
    let text = std::str::from_utf8(value).map_err(|error| invalid(error.to_string()))?;
    let schema = match record.schema {
        Some(schema) => schema.to_owned(),
        None => schema_of(text).map_err(|error| invalid(error.to_string()))?,
    };
    if schema != Event::SCHEMA {
        return Err(Unreadable {
            reason: PassedOver::Unknown,
            why: format!(
                "a record of schema {schema:?} is not known to this version, and nobody is told of it; upgrade, and write it \
                 to the topic again if it still matters"
            ),
        });
    }
    let event: Event = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    // The key of idempotency is a header.
    if event.id.is_empty()
        || event.id.len() > MOST_ID
        || !event.id.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(invalid(format!("its id is not 1 to {MOST_ID} visible characters of ASCII")));
    }
    Ok(Some(event))
}

fn schema_of(text: &str) -> serde_json::Result<String> {
    #[derive(serde::Deserialize)]
    struct OnlySchema {
        schema: String,
    }
    serde_json::from_str::<OnlySchema>(text).map(|only| only.schema)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn read(value: Option<&str>, schema: Option<&'static str>) -> Result<Option<Event>, Unreadable> {
        event(&Record {
            offset: 1,
            timestamp_ms: 1,
            key: None,
            value: value.map(str::as_bytes),
            schema,
            traceparent: None,
        })
    }

    #[test]
    fn an_event_is_read_with_or_without_its_header_and_a_tombstone_is_nothing() {
        let event = super::super::rules::tests::event();
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(read(Some(&text), Some("event/1")), Ok(Some(event.clone())));
        assert_eq!(read(Some(&text), None), Ok(Some(event)));
        assert_eq!(read(None, Some("event/1")), Ok(None));
    }

    #[test]
    fn what_is_no_event_has_a_reason() {
        let text = serde_json::to_string(&super::super::rules::tests::event()).unwrap();
        let cases = [
            ("{", None, PassedOver::Unreadable, "not a valid event/1; look at what wrote it: EOF"),
            ("{}", Some("event/1"), PassedOver::Unreadable, "missing field"),
            (
                "{\"schema\":\"event/2\"}",
                None,
                PassedOver::Unknown,
                "\"event/2\" is not known to this version",
            ),
            ("not JSON", Some("event/2"), PassedOver::Unknown, "upgrade"),
            (&text.replace("gate-3/1827", "gate\\n3"), None, PassedOver::Unreadable, "its id is not"),
            (&text.replace("zone_entered\",", "loitered\","), None, PassedOver::Unreadable, "`loitered`"),
            (&" ".repeat(MOST_BYTES + 1), None, PassedOver::Unreadable, "it has 262145 bytes"),
        ];
        for (text, schema, reason, why) in cases {
            let error = read(Some(text), schema).unwrap_err();
            assert_eq!(error.reason, reason, "{error:?}");
            assert!(error.why.contains(why), "{error:?}");
        }
    }
}
