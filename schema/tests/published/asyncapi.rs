//! The AsyncAPI 3.0 document: which messages are on which topic, their keys and headers.

use serde_json::{Map, Value, json};
use sightline_schema::{
    CONTENT_TYPE_JSON, DEFAULT_PREFIX, FrameResult, Gap, HEADER_CONTENT_TYPE, HEADER_SCHEMA, Message,
    SpecRecord, Status, StreamRecord, Tick, Topics,
};

use crate::{check, docs_folder, file_name};

#[test]
fn the_asyncapi_document_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    check(&docs_folder().join("schema/asyncapi.json"), &text);
}

fn document() -> Value {
    let messages = [
        message::<FrameResult>("What was detected in one frame."),
        message::<SpecRecord>("What the results of an epoch mean. First in an epoch, and again every 60 s."),
        message::<StreamRecord>("A stream began, goes on (again every 60 s), or ended."),
        message::<Gap>("Something was not seen or not kept."),
        message::<Tick>("A sign of life, every 5 s without a frame record."),
        message::<Status>("How a camera fares: at each change, and again every 30 s."),
    ];
    let in_detections =
        [FrameResult::SCHEMA, SpecRecord::SCHEMA, StreamRecord::SCHEMA, Gap::SCHEMA, Tick::SCHEMA];
    let topics = Topics::default();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sightline",
            "version": "1",
            "description": format!(
                "Streaming video analytics on Kafka. The prefix `{DEFAULT_PREFIX}` of the topics can be set. \
                 A reader ignores fields and schemas it does not know."
            )
        },
        "defaultContentType": CONTENT_TYPE_JSON,
        "channels": {
            "detections": channel(
                &topics.detections(),
                "What each camera's frames held, in order per camera. Kept 24 h.",
                &in_detections,
            ),
            "camera-status": channel(
                &topics.camera_status(),
                "How each camera fares. Compacted: the latest per camera stays.",
                &[Status::SCHEMA],
            )
        },
        "operations": {
            "publishDetections": {"action": "send", "channel": {"$ref": "#/channels/detections"}},
            "publishCameraStatus": {"action": "send", "channel": {"$ref": "#/channels/camera-status"}}
        },
        "components": {"messages": Map::from_iter(messages)}
    })
}

fn component(schema: &str) -> String {
    schema.replace('/', "-")
}

fn channel(address: &str, description: &str, schemas: &[&str]) -> Value {
    let messages = schemas.iter().map(|schema| {
        let name = component(schema);
        let reference = json!({"$ref": format!("#/components/messages/{name}")});
        (name, reference)
    });
    json!({
        "address": address,
        "description": description,
        "messages": messages.collect::<Map<_, _>>(),
        "bindings": {"kafka": {"topic": address}}
    })
}

fn message<T: Message>(summary: &str) -> (String, Value) {
    let value = json!({
        "name": T::SCHEMA,
        "summary": summary,
        "contentType": CONTENT_TYPE_JSON,
        "headers": {
            "type": "object",
            "properties": {
                HEADER_CONTENT_TYPE: {"const": CONTENT_TYPE_JSON},
                HEADER_SCHEMA: {"const": T::SCHEMA}
            },
            "required": [HEADER_CONTENT_TYPE, HEADER_SCHEMA]
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": format!("./{}", file_name(T::SCHEMA))}
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": "The camera's id."}}}
    });
    (component(T::SCHEMA), value)
}
