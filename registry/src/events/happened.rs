//! A record of `events` on its way to watchers.

use sightline_schema::{Event, HEADER_SCHEMA, Message as _};
use sightline_service::kafka::Tailed;

/// An event, and how its record is written.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(super) partition: usize,
    pub(super) offset: i64,
    pub(super) event: Event,
    /// One line.
    pub(crate) data: String,
}

impl Happened {
    /// `None` for what is no event of this version.
    pub(super) fn read(record: &Tailed<'_>) -> Option<Self> {
        let value = record.value?;
        if record.header(HEADER_SCHEMA).is_some_and(|schema| schema != Event::SCHEMA) {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?;
        let event: Event = serde_json::from_str(text)
            .inspect_err(|error| {
                let (partition, offset) = (record.partition, record.offset);
                tracing::debug!(partition, offset, %error, "a record of events can't be read");
            })
            .ok()?;
        // Line breaks between the fields would be line breaks of the stream.
        let data = match text.contains(['\n', '\r']) {
            false => text.to_owned(),
            true => serde_json::from_str::<serde_json::Value>(text).ok()?.to_string(),
        };
        Some(Self { partition: usize::try_from(record.partition).ok()?, offset: record.offset, event, data })
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.event.kind.as_str()
    }

    pub(super) fn size(&self) -> usize {
        self.data.len() + 512
    }

    /// Of this camera, at this place.
    #[cfg(test)]
    pub(super) fn at(camera: &str, (partition, offset): (usize, i64)) -> Self {
        let event = serde_json::json!({"schema": "event/1", "id": format!("{camera}/{offset}"), "type": "camera_up",
            "camera": camera, "epoch": 1, "seq": 2, "generation": 3, "at": "2026-11-23T18:40:12.033Z"});
        #[allow(clippy::unwrap_used)]
        let read = serde_json::from_value(event.clone()).unwrap();
        Self { partition, offset, event: read, data: event.to_string() }
    }

    #[cfg(test)]
    pub(super) fn of_text(data: &str) -> Self {
        Self { data: data.to_owned(), ..Self::at("gate", (0, 0)) }
    }
}
