//! `sightline tail`: what is going by.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use console::style;
use serde_json::Value;
use sightline_schema::Event;
use sightline_service::kafka::{Tail, Tailed};
use sightline_service::shutdown::Shutdown;

use crate::cli::{Lines, Stream, TailArgs};
use crate::exit::{Failure, Outcome};
use crate::{happened, kafka};

const LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &TailArgs) -> Outcome {
    let settings = kafka::settings(&args.kafka.kafka, &args.kafka.settings)?;
    let topics = kafka::topics(&args.kafka.settings);
    let topic = match args.what {
        Stream::Detections => topics.detections(),
        Stream::Events => topics.events(),
        Stream::Status => topics.camera_status(),
    };
    let shutdown = Shutdown::new();
    shutdown.install_signals().map_err(Failure::failed)?;
    let mut tail =
        Tail::open_at(&settings, &[topic.as_str()], args.since, PATIENCE).map_err(Failure::failed)?;
    let people = std::io::stdout().is_terminal();
    let shape = args.output.unwrap_or(if people { Lines::Text } else { Lines::Json });
    let mut out = std::io::stdout().lock();
    while !shutdown.is_set() {
        let mut written = Ok(());
        tail.poll(LOOK, |record| {
            let is_meant = |id: &str| args.camera.is_empty() || args.camera.iter().any(|camera| camera == id);
            if written.is_ok()
                && record.id().is_some_and(is_meant)
                && let Some(line) = line(&record, args.what, shape)
            {
                written = writeln!(out, "{line}");
            }
        });
        // Whoever reads may have had enough.
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// A tombstone is nothing to look at; what can't be read is shown as it is.
fn line(record: &Tailed<'_>, what: Stream, shape: Lines) -> Option<String> {
    let text = String::from_utf8_lossy(record.value?);
    let value: Option<Value> = serde_json::from_str(&text).ok();
    let (Lines::Text, Some(value)) = (shape, value) else { return Some(text.into_owned()) };
    Some(match what {
        Stream::Events => match serde_json::from_value::<Event>(value) {
            Ok(event) => happened::line(&event),
            Err(_) => text.into_owned(),
        },
        Stream::Detections => of_detections(&value),
        Stream::Status => of_status(&value),
    })
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Time, camera, and how many of what.
fn of_detections(value: &Value) -> String {
    let camera = word(&value["camera"]);
    if value["schema"] != "frame/1" {
        let at = value["at"].as_str().or_else(|| value["before"]["captured_at"].as_str()).unwrap_or_default();
        let more = [&value["state"], &value["reason"], &value["error"]].map(word).join(" ");
        let schema = word(&value["schema"]);
        let schema = style(schema).dim();
        return format!("{:12} {camera} {schema} {}", happened::clock(at), more.trim()).trim_end().to_owned();
    }
    let mut counts = std::collections::BTreeMap::new();
    for detection in value["detections"].as_array().into_iter().flatten() {
        *counts.entry(word(&detection["label"])).or_insert(0) += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(label, count)| format!("{count} {label}")).collect();
    let seen = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    format!(
        "{:12} {camera} #{} {}",
        happened::clock(value["captured_at"].as_str().unwrap_or_default()),
        value["seq"],
        style(seen).cyan()
    )
}

fn of_status(value: &Value) -> String {
    let state = word(&value["state"]);
    let state = match state.as_str() {
        "running" => style(state).green(),
        "retrying" => style(state).red(),
        _ => style(state).yellow(),
    };
    let error = value["error"]["message"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
    let since = happened::clock(value["since"].as_str().unwrap_or_default()).to_owned();
    format!("{since:12} {} {state} on {}{error}", word(&value["camera"]), word(&value["pod"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_short_and_say_what_matters() {
        console::set_colors_enabled(false);
        let frame = json!({"schema": "frame/1", "camera": "gate", "seq": 7, "captured_at": "2026-11-23T18:40:12.033Z",
                           "detections": [{"label": "car"}, {"label": "person"}, {"label": "car"}]});
        assert_eq!(of_detections(&frame), "18:40:12.033 gate #7 2 car, 1 person");
        let gap = json!({"schema": "gap/1", "camera": "gate", "reason": "pod_lost", "before": {"captured_at": "2026-11-23T18:40:12.033Z"}});
        assert_eq!(of_detections(&gap), "18:40:12.033 gate gap/1 pod_lost");
        let status = json!({"camera": "gate", "state": "retrying", "pod": "p-1", "since": "2026-11-23T18:40:12.033Z",
                            "error": {"code": "timeout", "message": "no answer"}});
        assert_eq!(of_status(&status), "18:40:12.033 gate retrying on p-1: no answer");
    }
}
