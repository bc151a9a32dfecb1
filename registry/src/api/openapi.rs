//! The OpenAPI 3.1 document, made of the routes and the types: it can't disagree with either.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use sightline_schema::Camera;

use super::job_types::{AddReport, AddRequest, JobPage, JobView};
use super::parameters::parameters;
use super::routes::{Operation, ROUTES, Route};
use super::types::{
    AuditPage, CameraList, CameraPage, CameraView, EventPage, ImportReport, MoveRequest, PodList,
    ProbeRequest, Scaling,
};
use crate::auth::Role;
use crate::problem::{PROBLEM_JSON, Problem};

/// Schemas of what is answered, and of what is sent, which differ: a password can be sent, and is never answered.
struct Schemas {
    answered: SchemaGenerator,
    sent: SchemaGenerator,
}

const SENT: &str = "Input";

impl Schemas {
    fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answered.subschema_for::<T>().to_value()
    }

    fn input<T: JsonSchema>(&mut self) -> Value {
        renamed(self.sent.subschema_for::<T>().to_value())
    }

    fn components(mut self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, schema) in self.answered.take_definitions(true) {
            all.insert(name, schema);
        }
        for (name, schema) in self.sent.take_definitions(true) {
            all.insert(format!("{name}{SENT}"), renamed(schema));
        }
        all
    }
}

/// References between schemas of what is sent lead to those. Some are written out by hand, as from a document of
/// their own.
fn renamed(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| match (name.as_str(), &value) {
                ("$ref", Value::String(to)) => {
                    let target = to.rsplit('/').next().unwrap_or_default();
                    (name, Value::String(format!("#/components/schemas/{target}{SENT}")))
                }
                _ => (name, renamed(value)),
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(renamed).collect()),
        other => other,
    }
}

/// The document.
pub fn document() -> Value {
    let settings = |for_answers: bool| {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        let settings = if for_answers { settings.for_serialize() } else { settings.for_deserialize() };
        settings.into_generator()
    };
    let mut schemas = Schemas { answered: settings(true), sent: settings(false) };
    let mut paths = Map::new();
    for route in &ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method.to_ascii_lowercase()] = operation(route, &mut schemas);
    }
    // Only those that are referred to from elsewhere would be there by themselves.
    schemas.answer::<Problem>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sightline registry",
            "version": "1",
            "summary": "Cameras are registered once, and some pod always runs them.",
            "description": "Every error is a problem (RFC 9457, `application/problem+json`) whose `errors` name the \
                fields. Roles are `viewer`, `operator` and `admin`; each may what those before it may.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "cameras", "description": "What is registered, and how it fares"},
            {"name": "jobs", "description": "Recorded files that are worked off once"},
            {"name": "pods", "description": "What runs cameras"},
            {"name": "events", "description": "What happened"},
            {"name": "audit", "description": "Who changed what"},
            {"name": "documents"}
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}
        }
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let problem = json!({PROBLEM_JSON: {"schema": schemas.answer::<Problem>()}});
    let mut responses = answers(route.operation, schemas);
    let mut refuse = |status: &str, description: &str| {
        responses.insert(status.to_owned(), json!({"description": description, "content": problem}));
    };
    for (status, description) in refusals(route) {
        refuse(status, description);
    }
    let mut parameters = parameters(route.operation);
    if route.path.contains("{id}") {
        let schema = json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"});
        parameters.insert(0, json!({"name": "id", "in": "path", "required": true, "schema": schema}));
    }
    let mut operation = Map::new();
    operation.insert("operationId".into(), format!("{:?}", route.operation).into());
    operation.insert("tags".into(), json!([tag(route)]));
    operation.insert("summary".into(), route.summary.into());
    match route.role {
        Some(role) => {
            let who = format!("Needs the role `{role}`.{}", more(route.operation));
            operation.insert("description".into(), who.into());
            operation.insert("security".into(), json!([{"token": []}]));
        }
        None => drop(operation.insert("security".into(), json!([]))),
    }
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = request_body(route.operation, schemas) {
        operation.insert("requestBody".into(), body);
    }
    operation.insert("responses".into(), responses.into());
    operation.into()
}

fn tag(route: &Route) -> &'static str {
    match route.path {
        path if path.starts_with("/v1/cameras") => "cameras",
        path if path.starts_with("/v1/jobs") => "jobs",
        "/v1/audit" => "audit",
        path if path.starts_with("/v1/events") => "events",
        path if path.starts_with("/v1/") => "pods",
        _ => "documents",
    }
}

fn more(operation: Operation) -> &'static str {
    match operation {
        Operation::ReplaceCamera => {
            " The same again changes nothing; a `generation` in the body says what the settings were made from, and an \
             older one is refused (412). User and password are sealed before they are kept."
        }
        Operation::PatchCamera => {
            " A JSON merge patch (RFC 7396). New `credentials` take the place of the old; `source` stands for all \
             `streams`."
        }
        Operation::MoveCamera => {
            " Writes a placement and leaves the settings as they are; with `from` only if it is in that pool."
        }
        Operation::WatchCameras => {
            " Events: `status`, `camera`, `deleted`, `ready` behind what is at first, `lost` for a reader too slow."
        }
        Operation::ListEvents => {
            " Asked with `Accept: text/event-stream` it is the same as `/v1/events:watch`, and needs no database."
        }
        Operation::WatchEvents => {
            " Events: by their types, each with an `id` to go on from by `Last-Event-ID`; `ready` where what comes is what \
             happens; `lost` where the topic does not hold all that was asked for; `ended` as the last, with a `reason`."
        }
        Operation::AddJobs => {
            " Each file is added, known already, or refused, by itself. Folders and patterns are looked at by the registry; \
             `next` goes on where an answer holds not all. The same file with the same settings is one job."
        }
        Operation::CancelJob => " One that a worker has stops within seconds; twice is once.",
        Operation::RetryJob => " Only of one that failed or was cancelled; it begins with its first attempt.",
        Operation::WatchJobs => {
            " Events: `summary` (how many are in which state), `job`, `ready` behind what is at first, `lost` for a reader too \
             slow."
        }
        Operation::ImportCameras => " Each item is created, changed, left as it is, or refused, by itself.",
        Operation::ProbeCamera => " At most 4 at once, 10 s each.",
        _ => "",
    }
}

/// What it is answered with when all goes well.
fn answers(operation: Operation, schemas: &mut Schemas) -> Map<String, Value> {
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let etag = json!({"description": "The generation, in quotes.", "schema": {"type": "string"}});
    let location = json!({"description": "Where the camera is.", "schema": {"type": "string"}});
    let mut camera = |status: &str, description: &str| {
        let mut headers = json!({"ETag": etag});
        if status != "200" {
            headers["Location"] = location.clone();
        }
        let content = json_of(schemas.answer::<CameraView>());
        (status.to_owned(), json!({"description": description, "headers": headers, "content": content}))
    };
    let later = "Written; the view will show it soon.";
    let list: Vec<(String, Value)> = match operation {
        Operation::CreateCamera => vec![camera("201", "Registered."), camera("202", later)],
        Operation::ReplaceCamera => {
            vec![
                camera("200", "The camera as it is now."),
                camera("201", "Registered."),
                camera("202", later),
            ]
        }
        Operation::PatchCamera | Operation::MoveCamera => {
            vec![camera("200", "The camera as it is now."), camera("202", later)]
        }
        Operation::GetCamera => vec![camera("200", "The camera.")],
        Operation::DeleteCamera => vec![
            ("204".to_owned(), json!({"description": "Deleted."})),
            ("202".to_owned(), json!({"description": later, "headers": {"Location": location}})),
        ],
        Operation::ListEvents => vec![ok(json_of(schemas.answer::<EventPage>()))],
        Operation::ListJobs => vec![ok(json_of(schemas.answer::<JobPage>()))],
        Operation::GetJob => vec![ok(json_of(schemas.answer::<JobView>()))],
        Operation::AddJobs => {
            let report = json_of(schemas.answer::<AddReport>());
            vec![ok(report.clone()), accepted(report, later, None)]
        }
        Operation::CancelJob | Operation::RetryJob => {
            let view = json_of(schemas.answer::<JobView>());
            let location = json!({"description": "Where the job is.", "schema": {"type": "string"}});
            vec![ok(view.clone()), accepted(view, later, Some(location))]
        }
        Operation::WatchJobs | Operation::WatchCameras | Operation::WatchEvents => {
            vec![ok(json!({"text/event-stream": {"schema": {"type": "string"}}}))]
        }
        Operation::GetDocs => vec![ok(json!({"text/html": {"schema": {"type": "string"}}}))],
        Operation::GetOpenApi => vec![ok(json_of(json!({"type": "object"})))],
        Operation::ProbeCamera => vec![ok(json_of(json!({"type": "object"})))],
        Operation::ExportCameras => {
            let list = schemas.answer::<CameraList>();
            vec![ok(json!({"application/json": {"schema": list}, "application/yaml": {"schema": list}}))]
        }
        Operation::ListCameras => vec![ok(json_of(schemas.answer::<CameraPage>()))],
        Operation::ImportCameras => vec![ok(json_of(schemas.answer::<ImportReport>()))],
        Operation::ListPods => vec![ok(json_of(schemas.answer::<PodList>()))],
        Operation::GetScaling => vec![ok(json_of(schemas.answer::<Scaling>()))],
        Operation::ListAudit => vec![ok(json_of(schemas.answer::<AuditPage>()))],
    };
    list.into_iter().collect()
}

fn accepted(content: Value, description: &str, location: Option<Value>) -> (String, Value) {
    let mut answer = json!({"description": description, "content": content});
    if let Some(location) = location {
        answer["headers"] = json!({"Location": location});
    }
    ("202".to_owned(), answer)
}

fn ok(content: Value) -> (String, Value) {
    ("200".to_owned(), json!({"description": "As asked.", "content": content}))
}

fn refusals(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut list = vec![("400", "The request can't be read.")];
    if route.role.is_some() {
        list.push(("401", "No valid token."));
        list.push(("503", "Kafka does not answer, or the registry is starting; try again."));
    }
    if route.role > Some(Role::Viewer) {
        list.push(("403", "The token's role does not allow this."));
    }
    if route.path.contains("{id}") {
        let job = route.path.starts_with("/v1/jobs");
        list.push(("404", if job { "There is no such job." } else { "There is no such camera." }));
    }
    let has_body = matches!(
        route.operation,
        Operation::CreateCamera
            | Operation::ReplaceCamera
            | Operation::PatchCamera
            | Operation::MoveCamera
            | Operation::ProbeCamera
            | Operation::ImportCameras
            | Operation::AddJobs
    );
    if has_body {
        list.push(("413", "The body is too large."));
        list.push(("415", "The media type is not known here."));
        list.push(("422", "The request can't be used; `errors` name the fields."));
    }
    match route.operation {
        Operation::CancelJob | Operation::RetryJob => {
            list.push(("409", "The job's state does not allow this."));
        }
        Operation::CreateCamera => list.push(("409", "There is such a camera already.")),
        Operation::ReplaceCamera => {
            list.push(("409", "There is such a camera already (`If-None-Match: *`)."));
            list.push(("412", "The camera has another generation."));
        }
        Operation::PatchCamera | Operation::DeleteCamera => {
            list.push(("409", "There is such a camera already (`If-None-Match: *`)."));
            list.push(("412", "The camera has another generation."));
        }
        Operation::MoveCamera => list.push(("412", "The camera is not in the pool `from`.")),
        Operation::ListEvents => list.push(("404", "This registry has no database.")),
        Operation::WatchEvents => list.push(("429", "Too many watch at the moment.")),
        Operation::ProbeCamera => {
            list.push(("429", "Four streams are probed at the moment."));
            list.push(("501", "This registry is a build without a pipeline."));
        }
        _ => {}
    }
    list
}

fn request_body(operation: Operation, schemas: &mut Schemas) -> Option<Value> {
    let both = |schema: Value| {
        let content = json!({"application/json": {"schema": schema}, "application/yaml": {"schema": schema}});
        Some(json!({"required": true, "content": content}))
    };
    match operation {
        Operation::CreateCamera | Operation::ReplaceCamera => both(schemas.input::<Camera>()),
        Operation::PatchCamera => {
            let schema =
                json!({"type": "object", "description": "The settings that change; null takes one away."});
            let content = json!({"application/merge-patch+json": {"schema": schema}, "application/json": {"schema": schema}});
            Some(json!({"required": true, "content": content}))
        }
        Operation::AddJobs => both(schemas.input::<AddRequest>()),
        Operation::MoveCamera => both(schemas.input::<MoveRequest>()),
        Operation::ProbeCamera => both(schemas.input::<ProbeRequest>()),
        Operation::ImportCameras => {
            let items = json!({"type": "array", "items": schemas.input::<Camera>()});
            let list = json!({"type": "object", "properties": {"cameras": items}, "required": ["cameras"], "additionalProperties": false});
            both(json!({"anyOf": [list, items]}))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document = document();
        let documented: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (method.to_ascii_uppercase(), path.clone()))
            })
            .collect();
        assert_eq!(documented.len(), ROUTES.len());
        for route in &ROUTES {
            assert!(documented.contains(&(route.method.to_owned(), route.path.to_owned())), "{route:?}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_answer_has_a_password() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        match value {
                            Value::String(to) if name == "$ref" => found.push(to.clone()),
                            value => references(value, found),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let has_password = schema.to_string().contains("\"password\"");
            assert!(!has_password || name.ends_with(SENT), "{name}: {schema}");
        }
    }
}
