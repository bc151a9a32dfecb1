//! What can be said in a request beside its body, for the OpenAPI document.

use serde_json::{Value, json};
use sightline_schema::{EventType, JobState};

use super::routes::Operation;

pub(super) fn parameters(operation: Operation) -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let text = || json!({"type": "string"});
    let limit = || {
        query(
            "limit",
            "The largest page.",
            json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        )
    };
    let cursor = || query("cursor", "`next` of the page before.", text());
    let filter = || {
        let states: Vec<_> = crate::state::states().collect();
        let states = json!({"type": "array", "items": {"type": "string", "enum": states}});
        let labels = json!({"type": "array", "items": text()});
        vec![
            query("state", "Any of these states; `waiting` is a camera that nobody ever ran.", states),
            query("label", "`name=value`, or a name alone; all of them.", labels),
            query("pool", "The pool that runs it.", text()),
            query("pod", "The pod that runs it, or holds its slot.", text()),
        ]
    };
    let events = || {
        let names = json!({"type": "array", "items": {"type": "string", "minLength": 1}});
        let kinds: Vec<_> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
        let kinds = json!({"type": "array", "items": {"type": "string", "enum": kinds}});
        let since = json!({"type": "string", "format": "date-time"});
        vec![
            query("camera", "Any of these cameras.", names.clone()),
            query("type", "Any of these types.", kinds),
            query("zone", "Any of these zones.", names.clone()),
            query("line", "Any of these lines.", names.clone()),
            query("label", "What it was: any of these labels of objects.", names),
            query("since", "Events dated at it or later.", since),
        ]
    };
    let jobs = || {
        let states: Vec<_> = JobState::ALL.iter().map(|state| state.as_str()).collect();
        let states = json!({"type": "array", "items": {"type": "string", "enum": states}});
        let labels = json!({"type": "array", "items": text()});
        vec![
            query("state", "Any of these states.", states),
            query("label", "`name=value`, or a name alone; all of them.", labels),
            query("pool", "Whose workers take it.", text()),
        ]
    };
    let pool = || query("pool", "A pool by its name.", text());
    match operation {
        Operation::ListCameras => [filter(), vec![limit(), cursor()]].concat(),
        Operation::ExportCameras => {
            let formats = json!({"type": "string", "enum": ["json", "yaml"], "default": "json"});
            [filter(), vec![query("format", "How it is written.", formats)]].concat()
        }
        Operation::WatchCameras => {
            let initial = json!({"type": "boolean", "default": true});
            let initial = query("initial", "Whether all is told as it is, first.", initial);
            [filter(), vec![query("camera", "This camera alone.", text()), initial]].concat()
        }
        Operation::ListEvents => {
            let until = json!({"type": "string", "format": "date-time"});
            let until = query("until", "Events dated before it.", until);
            [events(), vec![until, limit(), cursor()]].concat()
        }
        Operation::WatchEvents => {
            let last = json!({"name": "Last-Event-ID", "in": "header", "schema": text(),
                "description": "The id of the event that was got last: it goes on right behind it."});
            [events(), vec![last]].concat()
        }
        Operation::ListJobs => [jobs(), vec![limit(), cursor()]].concat(),
        Operation::WatchJobs => {
            let ids = json!({"type": "array", "items": text()});
            [jobs(), vec![query("job", "Any of these jobs.", ids)]].concat()
        }
        Operation::ListPods | Operation::GetScaling => vec![pool()],
        Operation::ListAudit => {
            let camera = query("camera", "Changes of this camera, or job.", text());
            vec![camera, query("who", "Changes by this token.", text()), limit(), cursor()]
        }
        Operation::ReplaceCamera | Operation::PatchCamera | Operation::DeleteCamera => {
            let header = |name: &str, description: &str| json!({"name": name, "in": "header", "description": description, "schema": text()});
            vec![
                header("If-Match", "Only if the camera has this generation: `\"4\"`, or `*` for any."),
                header("If-None-Match", "`*`: only if there is no such camera."),
            ]
        }
        _ => Vec::new(),
    }
}
