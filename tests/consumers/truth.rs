//! What truly happened in the sample scene, as rows to compare.

use serde_json::Value;

pub(crate) type Row = (String, String, String, String);

/// Type, label, place and how, with the time in milliseconds since `begin`.
pub(crate) fn rows<'a>(events: impl Iterator<Item = &'a Value>, begin: i64) -> Vec<(Row, i64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows: Vec<_> = events
        .filter(|event| event["line"].is_string() || event["zone"].is_string())
        .map(|event| {
            let place = if event["line"].is_string() { text(&event["line"]) } else { text(&event["zone"]) };
            let how = match event {
                event if event["direction"].is_string() => text(&event["direction"]),
                event if event["appeared"] == true => "appeared".to_owned(),
                event if event["vanished"] == true => "vanished".to_owned(),
                _ => String::new(),
            };
            ((text(&event["type"]), text(&event["label"]), place, how), millis(&event["at"]) - begin)
        })
        .collect();
    rows.sort();
    rows
}

pub(crate) fn millis(time: &Value) -> i64 {
    let time: sightline_schema::Timestamp = serde_json::from_value(time.clone()).unwrap();
    time.as_micros() / 1000
}

pub(crate) fn expected(truth: &Value) -> Vec<(Row, i64)> {
    let ms = |frame: &Value| frame.as_i64().unwrap() * 1000 / truth["fps"].as_i64().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut rows = Vec::new();
    for crossing in truth["crossings"].as_array().unwrap() {
        let row = ["label", "line", "direction"].map(|field| text(&crossing[field]));
        let [label, line, direction] = row;
        rows.push((("line_crossed".to_owned(), label, line, direction), ms(&crossing["frame"])));
    }
    for visit in truth["visits"].as_array().unwrap() {
        let (label, zone) = (text(&visit["label"]), text(&visit["zone"]));
        let mark = |name: &str| if visit[name] == true { name.to_owned() } else { String::new() };
        rows.push((
            ("zone_entered".to_owned(), label.clone(), zone.clone(), mark("appeared")),
            ms(&visit["enter"]),
        ));
        rows.push((("zone_left".to_owned(), label, zone, mark("vanished")), ms(&visit["leave"])));
    }
    rows.sort();
    rows
}

pub(crate) fn count(rows: &[Row], row: &Row) -> usize {
    rows.iter().filter(|other| *other == row).count()
}
