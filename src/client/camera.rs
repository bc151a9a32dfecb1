//! The commands about registered cameras.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use ureq::http::{Method, StatusCode};

use super::http::{Answered, Client, path_of};
use super::{filter_query, output};
use crate::cli::{AddArgs, FilterArgs, ProbeAddressArgs, Shape, TransportArg};
use crate::exit::{Code, Failure, Outcome};

/// Cameras of one request while listing.
const PAGE: &str = "1000";

pub(super) fn add(client: &Client, shape: Shape, args: AddArgs) -> Outcome {
    let mut camera = match (&args.file, args.id, args.uri) {
        (Some(file), ..) => read(file)?,
        (None, Some(id), Some(uri)) => json!({"id": id, "streams": [{"uri": uri}]}),
        (None, ..) => return Err(Failure::usage("give ID and URI, or --file FILE")),
    };
    let Some(fields) = camera.as_object_mut() else {
        return Err(Failure::usage("the file holds no camera; give {id: …, source: …}"));
    };
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    set("name", args.name.map(Value::from));
    set("pool", args.pool.map(Value::from));
    set("sampling", args.fps.map(|fps| json!({"mode": "fps", "fps": fps})));
    set("credentials", args.secret.map(|secret| json!({"secret": secret})));
    if !args.label.is_empty() {
        set("labels", Some(labels(&args.label)?.into()));
    }
    let answered = client.send(Method::POST, "/v1/cameras", &camera)?;
    changed(shape, &answered, "registered")
}

/// One camera after a change: a sentence for people.
pub(super) fn changed(shape: Shape, answered: &Answered, verb: &str) -> Outcome {
    output::show(shape, &answered.body, |view| {
        let (id, generation) = (output::text(&view["spec"]["id"]), output::text(&view["spec"]["generation"]));
        let placement = &view["placement"];
        let place = match (placement["pool"].as_str(), placement["pod"].as_str()) {
            (Some(pool), Some(pod)) => format!(", in pool {pool} on {pod}"),
            (Some(pool), None) => format!(", in pool {pool}, where no pod lives yet"),
            _ => String::new(),
        };
        let later = if answered.status == StatusCode::ACCEPTED { "; it will be seen soon" } else { "" };
        format!("camera {id} is {verb} (generation {generation}){place}{later}\n")
    })
}

/// All that the filter lets through, page by page.
pub(super) fn all(client: &Client, filter: &FilterArgs) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = filter_query(filter);
        query.push(("limit", PAGE.to_owned()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.get("/v1/cameras", &query)?.body;
        all.extend(output::items(&page).iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
}

pub(super) fn list(client: &Client, shape: Shape, filter: &FilterArgs) -> Outcome {
    let all = all(client, filter)?;
    output::show(shape, &json!({ "items": all }), |all| {
        let rows: Vec<_> = output::items(all).iter().map(output::camera_row).collect();
        if rows.is_empty() {
            "no camera\n".to_owned()
        } else {
            output::table(&output::CAMERA_HEADINGS, &rows)
        }
    })
}

pub(super) fn get(client: &Client, shape: Shape, id: &str) -> Outcome {
    let view = client.get(&path_of(id), &[])?.body;
    // All of one camera is no table: YAML is for people, too.
    output::show(if shape == Shape::Table { Shape::Yaml } else { shape }, &view, |_| String::new())
}

pub(super) fn remove(client: &Client, ids: &[String]) -> Outcome {
    let mut failed = false;
    for id in ids {
        match client.delete(&path_of(id)) {
            Ok(()) => println!("camera {id} is deleted"),
            Err(failure) => {
                failed = true;
                eprintln!("sightline: {}", failure.message);
            }
        }
    }
    if failed { Err(Failure::silent(Code::Failed)) } else { Ok(()) }
}

pub(super) fn probe(client: &Client, shape: Shape, args: &ProbeAddressArgs) -> Outcome {
    let transport = if args.transport == TransportArg::Udp { "udp" } else { "tcp" };
    let wanted = json!({"uri": args.uri, "transport": transport});
    let probed = client.send(Method::POST, "/v1/cameras:probe", &wanted)?.body;
    output::show(if shape == Shape::Table { Shape::Yaml } else { shape }, &probed, |_| String::new())
}

pub(super) fn import(client: &Client, shape: Shape, file: &Path) -> Outcome {
    let cameras = read(file)?;
    let report = client.send(Method::POST, "/v1/cameras:import", &cameras)?.body;
    let count = |name: &str| report[name].as_u64().unwrap_or(0);
    output::show(shape, &report, |report| {
        let mut text = String::new();
        for item in output::items(report).iter().filter(|item| item["outcome"] == "refused") {
            let id = item["id"].as_str().filter(|id| !id.is_empty());
            let which = id.map_or_else(|| format!("item {}", item["index"]), |id| format!("camera {id}"));
            text.push_str(&format!("{which} is refused: {}\n", output::text(&item["detail"])));
        }
        let [created, changed, unchanged, refused] =
            ["created", "changed", "unchanged", "refused"].map(count);
        text.push_str(&format!(
            "{created} created, {changed} changed, {unchanged} as they were, {refused} refused\n"
        ));
        text
    })?;
    if count("refused") > 0 { Err(Failure::silent(Code::Failed)) } else { Ok(()) }
}

/// A file of cameras is YAML unless JSON is asked for.
pub(super) fn export(client: &Client, shape: Shape, filter: &FilterArgs) -> Outcome {
    let all = client.get("/v1/cameras:export", &filter_query(filter))?.body;
    output::show(if shape == Shape::Table { Shape::Yaml } else { shape }, &all, |_| String::new())
}

/// Of `--label NAME=VALUE`.
pub(super) fn labels(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let of = |label: &String| {
        let (name, value) = label
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--label {label}: write NAME=VALUE")))?;
        Ok((name.to_owned(), value.into()))
    };
    given.iter().map(of).collect()
}

/// A file in YAML, of which JSON is a part; - is standard input.
pub(super) fn read(file: &Path) -> Result<Value, Failure> {
    let refuse = |error: String| Failure::usage(format!("{}: {error}", file.display()));
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        _ => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| refuse(error.to_string()))?;
    serde_norway::from_str(&text)
        .map_err(|error| refuse(sightline_schema::redact_uris(&error.to_string()).into_owned()))
}
