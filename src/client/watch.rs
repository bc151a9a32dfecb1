//! `sightline camera watch`: server-sent events as lines.

use std::ops::ControlFlow;

use serde_json::Value;

use super::http::Client;
use super::{filter_query, output, sse};
use crate::cli::{Shape, WatchArgs};
use crate::exit::Outcome;

pub(super) fn run(client: &Client, shape: Shape, args: &WatchArgs) -> Outcome {
    let mut query = filter_query(&args.filter);
    query.extend(args.id.iter().map(|id| ("camera", id.clone())));
    let reader = client.follow("/v1/cameras:watch", &query)?;
    sse::follow(reader, |name, event| {
        show(shape, name, event)?;
        Ok(ControlFlow::Continue(()))
    })
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
