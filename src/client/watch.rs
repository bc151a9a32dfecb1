//! `sightline camera watch`: server-sent events as lines.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use super::http::Client;
use super::{filter_query, output};
use crate::cli::{Shape, WatchArgs};
use crate::exit::{Failure, Outcome};

pub(super) fn run(client: &Client, shape: Shape, args: &WatchArgs) -> Outcome {
    let mut query = filter_query(&args.filter);
    query.extend(args.id.iter().map(|id| ("camera", id.clone())));
    let reader = BufReader::new(client.follow("/v1/cameras:watch", &query)?);
    let (mut name, mut data) = (String::new(), String::new());
    for line in reader.lines() {
        let line =
            line.map_err(|error| Failure::failed(format!("the registry went away ({error}); try again")))?;
        if let Some(event) = line.strip_prefix("event:") {
            event.trim().clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data:") {
            data.push_str(text.trim());
        } else if line.is_empty() && !name.is_empty() {
            let event: Value = serde_json::from_str(&data).unwrap_or_default();
            show(shape, &name, &event)?;
            name.clear();
            data.clear();
        }
    }
    Err(Failure::failed("the registry ended; try again"))
}

fn show(shape: Shape, name: &str, event: &Value) -> Outcome {
    match shape {
        Shape::Json => println!("{}", serde_json::json!({"event": name, "data": event})),
        Shape::Yaml => print!("---\n{}", output::yaml(&serde_json::json!({"event": name, "data": event}))?),
        Shape::Table => match name {
            "status" => {
                let error = event["error"]["message"].as_str();
                println!(
                    "{}  {}  {} on {}{}",
                    output::text(&event["since"]),
                    output::text(&event["camera"]),
                    output::text(&event["state"]),
                    output::text(&event["pod"]),
                    error.map(|error| format!(": {error}")).unwrap_or_default()
                );
            }
            "camera" => {
                println!(
                    "{} has generation {}",
                    output::text(&event["id"]),
                    output::text(&event["generation"])
                );
            }
            "deleted" => println!("{} is deleted", output::text(&event["camera"])),
            "lost" => eprintln!("{} changes were missed; list the cameras", output::text(&event["events"])),
            _ => {}
        },
    }
    Ok(())
}
