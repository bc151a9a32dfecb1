//! The commands about jobs.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::http::{Client, job_path};
use super::{camera, output};
use crate::cli::{AddJobsArgs, JobFilterArgs, Shape};
use crate::exit::{Code, Failure, Outcome};

/// Jobs of one request.
const PAGE: u64 = 1000;
/// Lines about what was added, for people.
const SHOWN: usize = 20;
/// What a camera has and a recording has not: a file of a camera may be given as it is.
const CAMERAS_ALONE: [&str; 11] = [
    "id",
    "schema",
    "generation",
    "name",
    "source",
    "streams",
    "credentials",
    "pool",
    "labels",
    "enabled",
    "play",
];

pub(super) fn add(client: &Client, shape: Shape, args: AddJobsArgs) -> Outcome {
    let mut wanted = Map::new();
    let uris: Result<Vec<_>, Failure> = args.uris.iter().map(|uri| whole(uri)).collect();
    wanted.insert("uris".to_owned(), json!(uris?));
    wanted.insert("pool".to_owned(), args.pool.into());
    let texts =
        [("start", args.start), ("start_from_name", args.start_from_name), ("utc_offset", args.utc_offset)];
    for (name, text) in texts {
        wanted.extend(text.map(|text| (name.to_owned(), Value::from(text))));
    }
    let mut spec =
        args.spec.map(|file| camera::read(&file).and_then(spec_of)).transpose()?.unwrap_or_default();
    if let Some(fps) = args.fps {
        spec.insert("sampling".to_owned(), json!({"mode": "fps", "fps": fps}));
    }
    wanted.insert("spec".to_owned(), spec.into());
    if !args.label.is_empty() {
        wanted.insert("labels".to_owned(), camera::labels(&args.label)?.into());
    }
    let (report, next) = ask(client, wanted, args.max)?;
    let refused = report["refused"].as_u64().unwrap_or(0);
    output::show(shape, &report, said)?;
    if next {
        let max = args.max;
        return Err(Failure::failed(format!(
            "stopped behind {max} files; give --max to add more, and ask again"
        )));
    }
    if refused > 0 { Err(Failure::silent(Code::Failed)) } else { Ok(()) }
}

/// Page after page; whether there is more than was wanted.
fn ask(client: &Client, mut wanted: Map<String, Value>, max: u64) -> Result<(Value, bool), Failure> {
    let mut all = json!({"added": 0, "there": 0, "refused": 0, "passed_over": 0});
    let mut items = Vec::new();
    let mut left = max;
    loop {
        wanted.insert("limit".to_owned(), left.min(PAGE).into());
        let page = client.send(Method::POST, "/v1/jobs", &wanted.clone().into())?.body;
        for name in ["added", "there", "refused", "passed_over"] {
            all[name] = (all[name].as_u64().unwrap_or(0) + page[name].as_u64().unwrap_or(0)).into();
        }
        let found = output::items(&page);
        left = left.saturating_sub(found.len() as u64);
        items.extend(found.iter().cloned());
        let next = page["next"].as_str();
        match next {
            Some(next) if left > 0 => wanted.insert("cursor".to_owned(), next.into()),
            next => {
                let more = next.is_some();
                all["items"] = items.into();
                return Ok((all, more));
            }
        };
    }
}

fn said(report: &Value) -> String {
    let mut text = String::new();
    let items = output::items(report);
    for item in items.iter().filter(|item| item["outcome"] == "refused") {
        text.push_str(&format!(
            "{} is refused: {}\n",
            output::text(&item["uri"]),
            output::text(&item["detail"])
        ));
    }
    let known: Vec<_> = items.iter().filter(|item| item["outcome"] != "refused").collect();
    for item in known.iter().take(SHOWN) {
        let what = if item["outcome"] == "added" {
            "added".to_owned()
        } else {
            format!("there already, {}", output::text(&item["state"]))
        };
        let [id, uri, start] = ["id", "uri", "start"].map(|name| output::text(&item[name]));
        let guess = if item["start_is_guess"] == true { ", a guess" } else { "" };
        text.push_str(&format!("{id} is {what}: {uri} (from {start}{guess})\n"));
    }
    if known.len() > SHOWN {
        text.push_str(&format!("… and {} more\n", known.len() - SHOWN));
    }
    let guesses = known.iter().filter(|item| item["start_is_guess"] == true).count();
    if guesses > 0 {
        text.push_str(&format!(
            "nobody said when {guesses} of them began: it is taken for when the file was last changed; say it with --start or \
             --start-from-name\n"
        ));
    }
    let [added, there, refused, passed_over] =
        ["added", "there", "refused", "passed_over"].map(|name| output::text(&report[name]));
    text.push_str(&format!("{added} added, {there} there already, {refused} refused"));
    if passed_over != "0" {
        text.push_str(&format!(", {passed_over} passed over that are no videos by their names"));
    }
    text.push('\n');
    text
}

pub(super) fn list(client: &Client, shape: Shape, filter: &JobFilterArgs) -> Outcome {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = query(filter);
        query.push(("limit", PAGE.to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.get("/v1/jobs", &query)?.body;
        all.extend(output::items(&page).iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    // As they were added, which ids say nothing about.
    all.sort_by_key(|job| ["added_at", "uri"].map(|name| output::text(&job["status"][name])));
    output::show(shape, &json!({ "items": all }), |all| {
        let rows: Vec<_> = output::items(all).iter().map(output::job_row).collect();
        if rows.is_empty() { "no job\n".to_owned() } else { output::table(&output::JOB_HEADINGS, &rows) }
    })
}

pub(super) fn get(client: &Client, shape: Shape, id: &str) -> Outcome {
    let view = client.get(&job_path(id), &[])?.body;
    // All of one job is no table: YAML is for people, too.
    output::show(if shape == Shape::Table { Shape::Yaml } else { shape }, &view, |_| String::new())
}

/// `cancel` or `retry`, each by itself.
pub(super) fn change(client: &Client, shape: Shape, verb: &str, ids: &[String]) -> Outcome {
    let mut failed = false;
    for id in ids {
        match client.send(Method::POST, &format!("{}:{verb}", job_path(id)), &Value::Null) {
            Ok(answered) => output::show(shape, &answered.body, |view| {
                let state = output::text(&view["status"]["state"]);
                let open = state == "claimed" || state == "running";
                match verb {
                    "cancel" if open => format!("job {id} is told to stop; its worker does within seconds\n"),
                    _ => format!("job {id} is {state}\n"),
                }
            })?,
            Err(failure) => {
                failed = true;
                eprintln!("sightline: {}", failure.message);
            }
        }
    }
    if failed { Err(Failure::silent(Code::Failed)) } else { Ok(()) }
}

/// The filter as query parameters.
pub(super) fn query(filter: &JobFilterArgs) -> Vec<(&'static str, String)> {
    let of = |name: &'static str, values: &[String]| {
        values.iter().map(|value| (name, value.clone())).collect::<Vec<_>>()
    };
    [of("state", &filter.state), of("label", &filter.label), of("pool", filter.pool.as_slice())].concat()
}

/// A path from the root, since the registry runs somewhere else.
fn whole(uri: &str) -> Result<String, Failure> {
    let path = uri.strip_prefix("file:").filter(|rest| !rest.starts_with("//"));
    if path.is_none() && uri.contains("://") {
        return Ok(uri.to_owned());
    }
    let path = path.unwrap_or(uri);
    let whole = std::path::absolute(path).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
    // What ends in a slash is a folder, and stays one.
    let slash = if path.ends_with('/') { "/" } else { "" };
    Ok(format!("{}{slash}", whole.display()).replace("//", "/"))
}

/// Of a file about a camera, or about one of a list: the part that a recording has, too.
fn spec_of(given: Value) -> Result<Map<String, Value>, Failure> {
    let camera = match given {
        Value::Object(mut fields) if fields.contains_key("cameras") => match fields.remove("cameras") {
            Some(Value::Array(mut cameras)) if cameras.len() == 1 => cameras.remove(0),
            _ => {
                return Err(Failure::usage(
                    "--spec: the file has several cameras, or none; give a file with one",
                ));
            }
        },
        other => other,
    };
    let Value::Object(mut spec) = camera else {
        return Err(Failure::usage(
            "--spec: the file holds no settings; give {zones: …, lines: …} or a camera",
        ));
    };
    spec.retain(|name, _| !CAMERAS_ALONE.contains(&name.as_str()));
    Ok(spec)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_whole_and_addresses_stay() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(whole("clips/*.mp4").unwrap(), format!("{}/clips/*.mp4", here.display()));
        assert_eq!(whole("/clips/").unwrap(), "/clips/");
        assert_eq!(whole("file:/clips/a.mp4").unwrap(), "/clips/a.mp4");
        for uri in ["file:///clips/a.mp4", "s3://clips/a b", "https://host/a.mp4"] {
            assert_eq!(whole(uri).unwrap(), uri);
        }
    }

    #[test]
    fn a_file_of_a_camera_is_a_spec() {
        let camera =
            json!({"id": "gate", "source": "rtsp://x/1", "zones": [], "sampling": {"mode": "fps", "fps": 5}});
        let spec = spec_of(camera.clone()).unwrap();
        assert_eq!(spec.keys().collect::<Vec<_>>(), ["sampling", "zones"]);
        assert_eq!(spec_of(json!({"cameras": [camera]})).unwrap(), spec);
        assert!(spec_of(json!({"cameras": []})).is_err());
        assert!(spec_of(json!([])).is_err());
        assert_eq!(spec_of(json!({"colour": 1})).unwrap().len(), 1, "the registry says that it is unknown");
    }
}
