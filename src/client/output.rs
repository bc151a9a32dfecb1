//! Answers as tables for people, or whole for scripts.

use console::{Alignment, measure_text_width, pad_str, style};
use serde_json::Value;

use crate::cli::Shape;
use crate::exit::{Failure, Outcome};

/// Longer cells are cut.
const WIDEST: usize = 48;

/// Prints an answer as it is wanted.
pub(super) fn show(shape: Shape, value: &Value, as_table: impl FnOnce(&Value) -> String) -> Outcome {
    match shape {
        Shape::Table => print!("{}", as_table(value)),
        Shape::Json => println!("{value:#}"),
        Shape::Yaml => print!("{}", yaml(value)?),
    }
    Ok(())
}

pub(super) fn yaml(value: &Value) -> Result<String, Failure> {
    serde_norway::to_string(value).map_err(Failure::failed)
}

pub(super) fn items(page: &Value) -> &[Value] {
    page["items"].as_array().map_or(&[], Vec::as_slice)
}

/// Text as it is, numbers written out, nothing as a dash.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

/// Headings and rows, each column as wide as its widest cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| measure_text_width(&row[column]));
        cells.chain([headings[column].len()]).max().unwrap_or(0).min(WIDEST)
    };
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded =
            cells.iter().zip(&widths).map(|(cell, width)| pad_str(cell, *width, Alignment::Left, Some("…")));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = format!("{}\n", style(line(headings.to_vec())).bold());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
        text.push('\n');
    }
    text
}

/// One camera of the API, as a row.
pub(super) fn camera_row(view: &Value) -> Vec<String> {
    let (spec, placement, status) = (&view["spec"], &view["placement"], &view["status"]);
    let state = status["state"].as_str().unwrap_or("waiting");
    let state = match spec["enabled"].as_bool() {
        Some(false) if state == "waiting" => "disabled",
        _ => state,
    };
    let pod = if status["pod"].is_string() { text(&status["pod"]) } else { text(&placement["pod"]) };
    let pool = if placement["pool"].is_string() { text(&placement["pool"]) } else { text(&spec["pool"]) };
    let labels = spec["labels"].as_object().map(|labels| {
        let pairs = labels.iter().map(|(name, value)| format!("{name}={}", text(value)));
        pairs.collect::<Vec<_>>().join(",")
    });
    let error = status["error"]["code"].as_str().map(str::to_owned).unwrap_or_default();
    vec![
        text(&spec["id"]),
        state.to_owned(),
        pool,
        pod,
        error,
        labels.unwrap_or_default(),
        text(&spec["name"]).trim_start_matches('–').to_owned(),
    ]
}

pub(super) const JOB_HEADINGS: [&str; 7] = ["JOB", "STATE", "PROGRESS", "POOL", "POD", "ERROR", "FILE"];

/// One job of the API, as a row.
pub(super) fn job_row(view: &Value) -> Vec<String> {
    let status = &view["status"];
    let state = match (status["state"].as_str().unwrap_or_default(), &view["cancel"]) {
        (state @ ("claimed" | "running"), Value::Object(_)) => format!("{state}, stopping"),
        (state, _) => state.to_owned(),
    };
    vec![
        text(&status["job"]),
        state,
        progress(view),
        text(&status["pool"]),
        text(&status["pod"]),
        status["error"]["code"].as_str().map(str::to_owned).unwrap_or_default(),
        file(&text(&status["uri"])),
    ]
}

/// How far a job is, and how long it will take.
pub(super) fn progress(view: &Value) -> String {
    let progress = &view["status"]["progress"];
    let Some(at) = progress["at_s"].as_f64() else { return String::new() };
    let far = match progress["of_s"].as_f64() {
        Some(of) if of > 0.0 => format!("{:.0} %", (at / of * 100.0).clamp(0.0, 100.0)),
        _ => duration(at),
    };
    match view["left_s"].as_f64() {
        Some(left) => format!("{far}, {} left", duration(left)),
        None => far,
    }
}

/// `3 min 20 s`, `2 h 5 min`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The end of an address, which says more than its beginning.
pub(super) fn file(uri: &str) -> String {
    let count = uri.chars().count();
    if count <= WIDEST {
        return uri.to_owned();
    }
    let end: String = uri.chars().skip(count + 1 - WIDEST).collect();
    format!("…{end}")
}

pub(super) const CAMERA_HEADINGS: [&str; 7] = ["CAMERA", "STATE", "POOL", "POD", "ERROR", "LABELS", "NAME"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_rows_with_progress_and_time_left() {
        console::set_colors_enabled(false);
        let running = json!({"status": {"job": "job-1", "state": "running", "pool": "default", "pod": "w-1",
            "uri": "s3://clips/a.mp4", "progress": {"at_s": 30.0, "of_s": 120.0, "frames": 900}}, "left_s": 200.4,
            "cancel": {"who": "ops"}});
        let failed = json!({"status": {"job": "job-2", "state": "failed", "pool": "default",
            "uri": format!("file:///{}.mp4", "a".repeat(60)), "error": {"code": "no_video"}}});
        let rows = [job_row(&running), job_row(&failed)];
        assert_eq!(rows[0][1..3], ["running, stopping", "25 %, 3 min 20 s left"]);
        assert_eq!((rows[1][5].as_str(), rows[1][6].chars().count()), ("no_video", WIDEST));
        assert!(rows[1][6].ends_with("a.mp4"));
        assert_eq!(duration(7500.0), "2 h 5 min");
    }

    #[test]
    fn cameras_are_rows_that_line_up() {
        console::set_colors_enabled(false);
        let gate = json!({"spec": {"id": "gate", "name": "Gate", "pool": "default", "labels": {"site": "hq"}},
            "placement": {"pool": "gpu", "slot": 3, "pod": "p-1"},
            "status": {"state": "retrying", "pod": "p-0", "error": {"code": "unreachable"}}});
        let yard = json!({"spec": {"id": "yard", "pool": "default"}});
        let rows = [camera_row(&gate), camera_row(&yard)];
        assert_eq!(
            table(&CAMERA_HEADINGS, &rows),
            "CAMERA  STATE     POOL     POD  ERROR        LABELS   NAME\n\
             gate    retrying  gpu      p-0  unreachable  site=hq  Gate\n\
             yard    waiting   default  –\n"
        );
    }
}
