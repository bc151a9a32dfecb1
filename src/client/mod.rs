//! `sightline camera …`, `sightline job …` and `sightline pods`: the registry's API from a terminal.

mod camera;
mod edit;
mod http;
mod job;
mod job_watch;
mod moves;
mod output;
mod sse;
mod watch;

use serde_json::Value;

use crate::cli::{CameraAction, CameraArgs, FilterArgs, JobAction, JobArgs, PodsArgs};
use crate::exit::Outcome;
use http::Client;
pub(crate) use moves::Share;

pub(crate) fn camera(args: CameraArgs) -> Outcome {
    let client = Client::new(&args.registry)?;
    let shape = args.registry.output;
    match args.action {
        CameraAction::Add(add) => camera::add(&client, shape, add),
        CameraAction::List(filter) => camera::list(&client, shape, &filter),
        CameraAction::Get(args) => camera::get(&client, shape, &args.id),
        CameraAction::Edit(args) => edit::run(&client, shape, &args.id),
        CameraAction::Rm(args) => camera::remove(&client, &args.ids),
        CameraAction::Move(args) => moves::run(&client, shape, args),
        CameraAction::Probe(args) => camera::probe(&client, shape, &args),
        CameraAction::Import(args) => camera::import(&client, shape, &args.file),
        CameraAction::Export(args) => camera::export(&client, shape, &args.filter),
        CameraAction::Watch(args) => watch::run(&client, shape, &args),
    }
}

pub(crate) fn job(args: JobArgs) -> Outcome {
    let client = Client::new(&args.registry)?;
    let shape = args.registry.output;
    match args.action {
        JobAction::Add(add) => job::add(&client, shape, add),
        JobAction::List(filter) => job::list(&client, shape, &filter),
        JobAction::Get(args) => job::get(&client, shape, &args.id),
        JobAction::Cancel(args) => job::change(&client, shape, "cancel", &args.ids),
        JobAction::Retry(args) => job::change(&client, shape, "retry", &args.ids),
        JobAction::Watch(args) => job_watch::run(&client, shape, &args),
    }
}

pub(crate) fn pods(args: &PodsArgs) -> Outcome {
    let client = Client::new(&args.registry)?;
    let query: Vec<_> = args.pool.iter().map(|pool| ("pool", pool.clone())).collect();
    let pods = client.get("/v1/pods", &query)?.body;
    output::show(args.registry.output, &pods, |pods| {
        const HEADINGS: [&str; 8] =
            ["POD", "POOL", "ALIVE", "SLOTS", "CAMERAS", "WANTED/S", "CAPACITY/S", "DEVICE"];
        let rows = output::items(pods).iter().map(|item| {
            let pod = &item["pod"];
            let slots = pod["slots"].as_array().map_or(0, Vec::len);
            let alive = match item["alive"].as_bool() {
                Some(true) => "yes".to_owned(),
                _ => format!("no, for {:.0} s", item["age_s"].as_f64().unwrap_or(0.0)),
            };
            let number = |value: &Value| value.as_f64().map_or("–".to_owned(), |fps| format!("{fps:.1}"));
            vec![
                output::text(&pod["pod"]),
                output::text(&pod["pool"]),
                alive,
                slots.to_string(),
                output::text(&pod["cameras"]),
                number(&pod["wanted_fps"]),
                number(&pod["capacity_fps"]),
                output::text(&pod["device"]),
            ]
        });
        output::table(&HEADINGS, &rows.collect::<Vec<_>>())
    })
}

/// The filter as query parameters.
fn filter_query(filter: &FilterArgs) -> Vec<(&'static str, String)> {
    let of = |name: &'static str, values: &[String]| {
        values.iter().map(|value| (name, value.clone())).collect::<Vec<_>>()
    };
    [
        of("state", &filter.state),
        of("label", &filter.label),
        of("pool", filter.pool.as_slice()),
        of("pod", filter.pod.as_slice()),
    ]
    .concat()
}
