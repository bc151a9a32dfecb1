//! How a camera is read: shorthands, and refusals that never show a password.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Camera, CameraSchema, Sampling, StreamSpec};
use crate::{Message, redact_uris};

impl<'de> Deserialize<'de> for Camera {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut camera = Self::deserialize(deserializer).map_err(redacted)?;
        camera.check_credentials().map_err(Error::custom)?;
        camera.take_credentials();
        Ok(camera)
    }
}

impl<'de> Deserialize<'de> for CameraSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let schema = String::deserialize(deserializer)?;
        if schema == Camera::SCHEMA {
            return Ok(Self);
        }
        let wanted = Camera::SCHEMA;
        Err(Error::custom(format!(
            "schema {schema:?} is not known to this version; write {wanted}, or upgrade"
        )))
    }
}

/// Reads the list of a [`super::CameraFile`].
pub(super) fn cameras<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Camera>, D::Error> {
    Vec::deserialize(deserializer).map_err(redacted)
}

/// serde shows the value that it did not expect: maybe a uri in the wrong place, with its password.
fn redacted<E: Error>(error: E) -> E {
    let message = error.to_string();
    match redact_uris(&message) {
        Cow::Borrowed(_) => error,
        Cow::Owned(redacted) => E::custom(redacted),
    }
}

/// Reads a list of streams, or a single one by its uri or as an object.
pub(super) fn streams_or_source<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<StreamSpec>, D::Error> {
    struct StreamsOrSource;

    impl<'de> Visitor<'de> for StreamsOrSource {
        type Value = Vec<StreamSpec>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of streams, or one stream")
        }

        fn visit_str<E: serde::de::Error>(self, uri: &str) -> Result<Self::Value, E> {
            Ok(vec![StreamSpec::detect(uri)])
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![StreamSpec::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut streams = Vec::new();
            while let Some(stream) = list.next_element()? {
                streams.push(stream);
            }
            Ok(streams)
        }
    }

    deserializer.deserialize_any(StreamsOrSource)
}

/// What is read may say `source` for `streams`: schemars does not know of serde's aliases.
pub(super) fn source_shorthand(schema: &mut schemars::Schema) {
    // Only what is written always has this field, and what is written never says `source`.
    let required = schema.get("required").and_then(serde_json::Value::as_array);
    if required.is_some_and(|fields| fields.iter().any(|field| field == "enabled")) {
        return;
    }
    let Some(serde_json::Value::Object(properties)) = schema.get_mut("properties") else { return };
    properties.insert(
        "source".to_owned(),
        serde_json::json!({
            "description": "Instead of `streams`: a single one, its uri or an object.",
            "anyOf": [{"type": "string"}, {"$ref": "#/$defs/StreamSpec"}]
        }),
    );
    if let Some(serde_json::Value::Array(required)) = schema.get_mut("required") {
        required.retain(|field| field != "streams");
    }
    schema
        .insert("oneOf".to_owned(), serde_json::json!([{"required": ["streams"]}, {"required": ["source"]}]));
}

/// serde does not refuse unknown fields beside a tag whose variant has none (`{mode: keyframes, fps: 5}`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SamplingInput {
    mode: SamplingMode,
    fps: Option<f64>,
    min_fps: Option<f64>,
    max_fps: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SamplingMode {
    Fps,
    EveryFrame,
    Keyframes,
    Adaptive,
}

impl TryFrom<SamplingInput> for Sampling {
    type Error = &'static str;

    fn try_from(input: SamplingInput) -> Result<Self, Self::Error> {
        match (input.mode, input.fps, input.min_fps, input.max_fps) {
            (SamplingMode::Fps, Some(fps), None, None) => Ok(Self::Fps { fps }),
            (SamplingMode::Fps, ..) => Err("sampling mode fps takes `fps` and nothing else"),
            (SamplingMode::EveryFrame, None, None, None) => Ok(Self::EveryFrame),
            (SamplingMode::EveryFrame, ..) => {
                Err("sampling mode every_frame takes nothing else; for a rate use fps")
            }
            (SamplingMode::Keyframes, None, None, None) => Ok(Self::Keyframes),
            (SamplingMode::Keyframes, ..) => {
                Err("sampling mode keyframes takes nothing else; for a rate use fps")
            }
            (SamplingMode::Adaptive, None, Some(min_fps), Some(max_fps)) => {
                Ok(Self::Adaptive { min_fps, max_fps })
            }
            (SamplingMode::Adaptive, ..) => Err("sampling mode adaptive takes `min_fps` and `max_fps`"),
        }
    }
}
