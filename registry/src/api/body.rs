//! Bodies: bounded, of a known type, text; then a value, then a camera. What is wrong is said field by field.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sightline_schema::{Camera, redact_uris};
use tokio_stream::StreamExt as _;

use crate::problem::{FieldError, Problem};

/// The largest body.
pub(crate) const LIMIT: usize = 8 << 20;
/// Of an import: ten thousand cameras with all that they can have.
pub(crate) const IMPORT_LIMIT: usize = 32 << 20;
/// What is read and thrown away so that a client that is still sending hears the answer.
const DISCARD: usize = 64 << 20;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

const JSON_OR_YAML: &str = "application/json, application/yaml";
const PATCHES: &str = "application/merge-patch+json, application/json";

/// Reads what is left of a body and forgets it.
pub(crate) async fn discard(body: Body) {
    let mut data = body.into_data_stream();
    let mut read = 0;
    while let Some(Ok(chunk)) = data.next().await {
        read += chunk.len();
        if read > DISCARD {
            return;
        }
    }
}

/// A JSON or YAML body as a value.
pub(crate) async fn value(headers: &HeaderMap, body: Body, limit: usize) -> Result<Value, Problem> {
    let format = match media_type(headers).as_str() {
        "application/json" => Format::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Format::Yaml,
        _ => {
            discard(body).await;
            return Err(Problem::media_type(JSON_OR_YAML));
        }
    };
    let text = text(headers, body, limit).await?;
    match format {
        Format::Json => from_json(&text),
        Format::Yaml => from_yaml(&text),
    }
}

/// A JSON merge patch (RFC 7396).
pub(crate) async fn patch(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    if !["application/merge-patch+json", "application/json"].contains(&media_type(headers).as_str()) {
        discard(body).await;
        return Err(Problem::media_type(PATCHES));
    }
    match from_json(&text(headers, body, LIMIT).await?)? {
        Value::Object(patch) => Ok(patch),
        _ => Err(invalid("", "a merge patch is an object", "send the settings that shall change")),
    }
}

async fn text(headers: &HeaderMap, body: Body, limit: usize) -> Result<String, Problem> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        discard(body).await;
        return Err(Problem::too_large(limit));
    }
    let mut data = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
    while let Some(chunk) = data.next().await {
        let chunk: Bytes =
            chunk.map_err(|_| Problem::unreadable("the body ends too early; send all of it"))?;
        if bytes.len() + chunk.len() > limit {
            discard(Body::from_stream(data)).await;
            return Err(Problem::too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::unreadable(format!("the body is not UTF-8 from byte {at} on; encode it so"))
    })
}

/// Without its parameters, in small letters. UTF-8 is the only charset.
fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = given.split(';').map(|part| part.trim().to_ascii_lowercase());
    let name = parts.next().unwrap_or_default();
    let foreign = |part: &String| {
        part.strip_prefix("charset=").is_some_and(|charset| charset.trim_matches('"') != "utf-8")
    };
    if parts.any(|part| foreign(&part)) { String::new() } else { name }
}

fn from_json(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = redact_uris(&error.to_string()).into_owned();
        Problem::unreadable(format!("the body is no JSON at line {line}, column {column} ({what})"))
    })
}

fn from_yaml(text: &str) -> Result<Value, Problem> {
    // By way of serde_json's own number and key types, so that both formats say the same afterwards.
    serde_norway::from_str(text).map_err(|error| {
        Problem::unreadable(format!("the body is no YAML ({})", redact_uris(&error.to_string())))
    })
}

fn invalid(field: &str, reason: impl Into<String>, next_step: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(field, reason, next_step)])
}

/// A value as settings of this type; the error names the field.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let reason = redact_uris(&error.inner().to_string()).into_owned();
        let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let field = match (path.as_str(), unknown) {
            ("." | "", None) => String::new(),
            ("." | "", Some(unknown)) => unknown.to_owned(),
            (path, Some(unknown)) if path != unknown && !path.ends_with(&format!(".{unknown}")) => {
                format!("{path}.{unknown}")
            }
            (path, _) => path.to_owned(),
        };
        FieldError::new(field, reason, "/docs and docs/CONFIGURATION.md say what a camera may hold")
    })
}

/// A camera as it was sent, with the generation that it says it was made from.
pub(crate) struct Given {
    pub(crate) camera: Camera,
    pub(crate) generation: Option<u64>,
}

/// Reads and validates a camera. `id` stands in where none is given, and is the only one that may be.
pub(crate) fn camera(mut value: Value, id: Option<&str>) -> Result<Given, FieldError> {
    let Value::Object(fields) = &mut value else {
        return Err(FieldError::new("", "a camera is an object", "send {id: …, source: …}"));
    };
    if let Some(id) = id {
        let given = fields.entry("id").or_insert_with(|| id.into());
        if given.as_str().is_some_and(|given| given != id) {
            let reason = format!("is another than that in the path, {id:?}");
            return Err(FieldError::new(
                "id",
                reason,
                "ids stay; make a camera of the new id and delete this one",
            ));
        }
    }
    let generation = fields.get("generation").and_then(Value::as_u64);
    let camera: Camera = read(value)?;
    camera.validate()?;
    Ok(Given { camera, generation })
}

/// What a merge patch makes of a camera (RFC 7396), but for two things that it could not say: new credentials take the
/// place of the old, and are not mixed with them; and `source` stands for all `streams`.
pub(crate) fn merged(current: &Camera, mut patch: Map<String, Value>) -> Result<Value, Problem> {
    let mut settings = match serde_json::to_value(current) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    if let Some(source) = patch.remove("source") {
        if patch.contains_key("streams") {
            return Err(invalid("source", "is given beside streams", "give one of the two"));
        }
        let stream = match source {
            Value::String(uri) => Value::Object(Map::from_iter([("uri".to_owned(), uri.into())])),
            other => other,
        };
        patch.insert("streams".to_owned(), Value::Array(vec![stream]));
    }
    let holds_password = |stream: &Value| {
        let uri = stream.get("uri").and_then(Value::as_str).unwrap_or_default();
        sightline_schema::split_credentials(uri).1.is_some()
    };
    let new_password = patch
        .get("streams")
        .and_then(Value::as_array)
        .is_some_and(|streams| streams.iter().any(holds_password));
    if patch.contains_key("credentials") || new_password {
        settings.remove("credentials");
    }
    let mut settings = Value::Object(settings);
    merge(&mut settings, Value::Object(patch));
    Ok(settings)
}

fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(into) = into else { return };
    for (name, value) in patch {
        if value.is_null() {
            into.remove(&name);
        } else {
            merge(into.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// The items of an import: `{cameras: […]}`, or a list.
pub(crate) fn items(value: Value) -> Result<Vec<Value>, Problem> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Object(fields) => {
            let mut fields: BTreeMap<String, Value> = fields.into_iter().collect();
            match (fields.remove("cameras"), fields.keys().next()) {
                (_, Some(unknown)) => Err(invalid(unknown, "is not known here", "send {cameras: […]}")),
                (Some(Value::Array(items)), None) => Ok(items),
                (Some(_), None) => Err(invalid("cameras", "is no list", "send {cameras: […]}")),
                (None, None) => Err(invalid("cameras", "is missing", "send {cameras: […]}")),
            }
        }
        _ => Err(invalid("", "an import is a list of cameras", "send {cameras: […]}")),
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
