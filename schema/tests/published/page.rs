//! `docs/MESSAGES.md`: the page `schema/messages.md`, with the topics and the fields of each message put in where it says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde_json::{Map, Value};
use sightline_schema::{
    Audit, Base, Camera, Checkpoint, Event, FrameResult, Gap, Job, JobCancel, JobStatus, Message, Placement,
    Pod, SpecRecord, Status, StreamRecord, Tick,
};

use crate::schemas::message_schema;
use crate::{check, docs_folder};

const MADE: &str = "<!-- Made of schema/messages.md and of the types: UPDATE_GOLDEN=1 cargo test -p sightline-schema -->\n\n";

/// More values than these are listed without what each of them means.
const EXPLAINED: usize = 8;

#[test]
fn the_page_is_made_of_the_types() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("messages.md");
    let mut page = MADE.to_owned() + &fs::read_to_string(page).unwrap();
    for (schema, fields) in all_fields() {
        let place = format!("{{{{fields {schema}}}}}\n");
        assert_eq!(page.matches(&place).count(), 1, "schema/messages.md has to say {place:?} once");
        page = page.replace(&place, &fields);
    }
    assert!(!page.contains("{{"), "schema/messages.md names a message that is none");
    check(&docs_folder().join("MESSAGES.md"), &page);
}

fn all_fields() -> BTreeMap<&'static str, String> {
    fn of<T: Message + JsonSchema>() -> (&'static str, String) {
        (T::SCHEMA, table(message_schema::<T>().as_value()))
    }
    BTreeMap::from([
        of::<Audit>(),
        of::<Base>(),
        of::<Camera>(),
        of::<Checkpoint>(),
        of::<Event>(),
        of::<FrameResult>(),
        of::<Gap>(),
        of::<Job>(),
        of::<JobCancel>(),
        of::<JobStatus>(),
        of::<Placement>(),
        of::<Pod>(),
        of::<SpecRecord>(),
        of::<Status>(),
        of::<StreamRecord>(),
        of::<Tick>(),
    ])
}

fn table(schema: &Value) -> String {
    let mut rows = vec!["| field | type | there | meaning |".to_owned(), "|---|---|---|---|".to_owned()];
    write_rows(schema, schema, "", &mut rows);
    rows.join("\n") + "\n"
}

/// A row for each field of an object, and behind it those of the objects that it holds.
fn write_rows(root: &Value, object: &Value, before: &str, rows: &mut Vec<String>) {
    let none = Vec::new();
    let required = object["required"].as_array().unwrap_or(&none);
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        if before.is_empty() && name == "schema" {
            continue;
        }
        let Field { kind, meaning, inner } = field_of(root, field);
        let there = if required.contains(&Value::from(name.as_str())) { "always" } else { "" };
        let meaning = meaning.replace('\n', " ").replace('|', "\\|");
        rows.push(format!("| `{before}{name}` | {kind} | {there} | {meaning} |").replace("  ", " "));
        for (path, object) in inner {
            write_rows(root, &object, &format!("{before}{name}{path}."), rows);
        }
    }
}

/// What a row says of a field, and the objects in it with the path to each.
struct Field {
    kind: String,
    meaning: String,
    inner: Vec<(&'static str, Value)>,
}

fn field_of(root: &Value, field: &Value) -> Field {
    let said = |value: &Value| value["description"].as_str().unwrap_or_default().to_owned();
    let own = said(field);
    let or = |meaning: String| if own.is_empty() { meaning } else { own.clone() };
    if let Some(reference) = field["$ref"].as_str() {
        let inner = field_of(root, root.pointer(reference.trim_start_matches('#')).unwrap());
        // What values there are is told, whatever the field says of itself.
        let values =
            inner.meaning.find("`: ").and(inner.meaning.find('`')).map(|at| inner.meaning[at..].to_owned());
        let meaning = match values {
            Some(values) if !own.is_empty() => format!("{own} {values}"),
            _ => or(inner.meaning),
        };
        return Field { meaning, ..inner };
    }
    if let Some(options) = field["anyOf"].as_array() {
        let options = options.iter().filter(|option| option["type"] != "null");
        let mut forms: Vec<_> = options.map(|option| field_of(root, option)).collect();
        let several = forms.len() > 1;
        let mut all = forms.remove(0);
        all.inner.extend(forms.into_iter().flat_map(|form| form.inner));
        // Which fields are there depends on the form.
        for (_, object) in all.inner.iter_mut().filter(|_| several) {
            object["required"] = Value::Null;
        }
        return Field { meaning: or(all.meaning.clone()), ..all };
    }
    if let Some(options) = field["oneOf"].as_array() {
        return one_of(options, &own);
    }
    let kinds = match &field["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    match kinds.unwrap_or("anything") {
        "array" => {
            let items = field_of(root, &field["items"]);
            let kind = match field["maxItems"].as_u64() {
                Some(count) if field["minItems"] == field["maxItems"] => format!("{count} × {}", items.kind),
                _ => format!("list of {}", items.kind),
            };
            let inner = items.inner.into_iter().map(|(_, object)| ("[]", object)).collect();
            Field { kind, meaning: or(items.meaning), inner }
        }
        "object" if field["properties"].is_object() => {
            Field { kind: "object".to_owned(), meaning: own, inner: vec![("", field.clone())] }
        }
        "object" => {
            let values = field_of(root, &field["additionalProperties"]);
            Field { kind: format!("object of {}", values.kind), meaning: own, inner: Vec::new() }
        }
        "string" if field["enum"].is_array() => {
            let values: Vec<_> = field["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            Field { kind: listed(&values), meaning: own, inner: Vec::new() }
        }
        "string" if field["format"] == "date-time" => {
            Field { kind: "time".to_owned(), meaning: own, inner: Vec::new() }
        }
        kind => {
            let range = match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
                (Some(least), Some(most)) => format!(", {least} to {most}"),
                (Some(least), None) => format!(", {least} or more"),
                _ => String::new(),
            };
            Field { kind: format!("{kind}{range}"), meaning: own, inner: Vec::new() }
        }
    }
}

/// Values with a meaning each, or objects of several forms.
fn one_of(options: &[Value], own: &str) -> Field {
    let mut values = Vec::new();
    let mut meanings = Vec::new();
    let mut properties = Map::new();
    for option in options {
        let plain = option["const"].as_str().into_iter();
        let several = option["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for value in plain.chain(several) {
            values.push(value);
            if let Some(meaning) = option["description"].as_str() {
                meanings.push(format!("`{value}`: {meaning}"));
            }
        }
        properties.extend(option["properties"].as_object().cloned().into_iter().flatten());
    }
    if values.is_empty() {
        // Which fields are there depends on the form.
        let object = Value::Object(Map::from_iter([("properties".to_owned(), properties.into())]));
        return Field { kind: "object".to_owned(), meaning: own.to_owned(), inner: vec![("", object)] };
    }
    let explained = if values.len() <= EXPLAINED { meanings.join(" ") } else { String::new() };
    let meaning = [own, &explained].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    Field { kind: listed(&values), meaning, inner: Vec::new() }
}

fn listed(values: &[&str]) -> String {
    values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}
