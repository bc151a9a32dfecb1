//! The AsyncAPI 3.0 document: which messages are on which topic, their keys and headers.

use serde_json::{Map, Value, json};
use sightline_schema::{
    Audit, Base, CONTENT_TYPE_JSON, Camera, Checkpoint, DEFAULT_PREFIX, Event, FrameResult, Gap,
    HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_TRACEPARENT, Job, JobCancel, JobStatus, Message, Placement,
    Pod, SpecRecord, Status, StreamRecord, Tick, Topics,
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
        message::<Camera>("A registered camera and its settings."),
        message::<Placement>("Which pool and slot a camera belongs to."),
        message::<Pod>("A process that runs cameras, every 5 s."),
        message::<Base>(
            "What is added to a partition's offsets to give epochs, in a topic that was made anew.",
        ),
        message::<Audit>("Who changed what."),
        message::<Event>("Something that happened in front of a camera, or to it."),
        message::<Checkpoint>("How far a consumer has come with a camera, and what it knows there."),
        message::<Job>("A recorded file that is to be worked off: one attempt at it."),
        message::<JobStatus>("How a job fares: at each change, and every 5 s while it is worked at."),
        message::<JobCancel>("Somebody wants a job no more."),
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
                &[Status::SCHEMA, Base::SCHEMA],
            ),
            "cameras": channel(
                &topics.cameras(),
                "The registered cameras. Compacted; a tombstone is a camera that was deleted.",
                &[Camera::SCHEMA],
            ),
            "placements": channel(
                &topics.placements(),
                "Where each camera belongs. Compacted.",
                &[Placement::SCHEMA],
            ),
            "pods": channel(&topics.pods(), "Who runs cameras. Compacted.", &[Pod::SCHEMA]),
            "audit": channel(&topics.audit(), "Each accepted change. Kept 90 days.", &[Audit::SCHEMA]),
            "events": channel(
                &topics.events(),
                "What happened, in order per camera; what is written twice has one id. Kept 7 days.",
                &[Event::SCHEMA],
            ),
            "checkpoints": channel(
                &topics.checkpoints(),
                "What consumers know, on the partition whose number theirs has. Compacted.",
                &[Checkpoint::SCHEMA],
            ),
            "jobs": channel(
                &topics.jobs("default"),
                "The queue of a pool: on any partition, worked off in order there. Kept 7 days.",
                &[Job::SCHEMA],
            ),
            "job-status": channel(
                &topics.job_status(),
                "How each job fares, and which are wanted no more. Compacted: the latest per job stays.",
                &[JobStatus::SCHEMA, JobCancel::SCHEMA, Base::SCHEMA],
            )
        },
        "operations": {
            "publishDetections": {"action": "send", "channel": {"$ref": "#/channels/detections"}},
            "publishCameraStatus": {"action": "send", "channel": {"$ref": "#/channels/camera-status"}},
            "publishPods": {"action": "send", "channel": {"$ref": "#/channels/pods"}},
            "publishCameras": {"action": "send", "channel": {"$ref": "#/channels/cameras"}},
            "publishPlacements": {"action": "send", "channel": {"$ref": "#/channels/placements"}},
            "publishAudit": {"action": "send", "channel": {"$ref": "#/channels/audit"}},
            "publishEvents": {"action": "send", "channel": {"$ref": "#/channels/events"}},
            "publishCheckpoints": {"action": "send", "channel": {"$ref": "#/channels/checkpoints"}},
            "publishJobs": {"action": "send", "channel": {"$ref": "#/channels/jobs"}},
            "publishJobStatus": {"action": "send", "channel": {"$ref": "#/channels/job-status"}}
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
    let mut value = json!({
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
    if [FrameResult::SCHEMA, Event::SCHEMA].contains(&T::SCHEMA) {
        let traceparent =
            json!({"type": "string", "description": "W3C Trace Context, where the frame is sampled."});
        value["headers"]["properties"][HEADER_TRACEPARENT] = traceparent;
    }
    (component(T::SCHEMA), value)
}
