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

pub(super) const CAMERA_HEADINGS: [&str; 7] = ["CAMERA", "STATE", "POOL", "POD", "ERROR", "LABELS", "NAME"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
