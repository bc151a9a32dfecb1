//! What became of one camera: its results, its gaps, and its rows against the ground truth.

use serde_json::Value;

use crate::accepted::Accepted;
use crate::compare::{self, Compared, Row};
use crate::gaps::{self, Gap, Why};
use crate::ground::{Ground, What};

/// One camera's account.
pub(crate) struct Account {
    pub(crate) id: String,
    /// When its first round began, µs.
    began: i64,
    /// How long one is, µs.
    round: i64,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) compared: Compared,
    pub(crate) accepted: Accepted,
    /// What was detected around rows that are too many, a line each.
    around: Vec<String>,
}

impl Account {
    /// Of its records in the order of their partition, and the rows of all cameras.
    pub(crate) fn of(
        id: &str,
        began: i64,
        records: &[Value],
        rows: &[(String, Row)],
        ground: &Ground,
    ) -> Self {
        let accepted = Accepted::of(records);
        let gaps = gaps::of(&accepted);
        let end = accepted.results.last().map_or(began, |result| result.captured_at);
        let truth = ground.until(began, end);
        let rows: Vec<_> =
            rows.iter().filter(|(camera, _)| camera == id).map(|(_, row)| row.clone()).collect();
        let compared = compare::compare(&truth, &rows, &gaps);
        let around = compared.extra.iter().flat_map(|row| around(row, records, &accepted)).collect();
        Self { id: id.to_owned(), began, round: ground.round, gaps, compared, accepted, around }
    }

    /// Times are those of the clip: round, and seconds in it.
    pub(crate) fn print(&self) {
        let Self { id, began, round, accepted, compared, .. } = self;
        let time = |at: i64| {
            let since = at.saturating_sub(*began);
            format!("{}:{:05.2}", since.div_euclid(*round), since.rem_euclid(*round) as f64 / 1e6)
        };
        println!(
            "{id}: {} results of {} runs, {} late, {} repeats, {} overlapping",
            accepted.results.len(),
            accepted.epochs().len(),
            accepted.late,
            accepted.repeats,
            accepted.overlapping
        );
        for gap in self.gaps.iter().filter(|gap| gap.why != Why::Edge) {
            let long = (gap.to - gap.from) as f64 / 1e6;
            println!("{id}: gap of {long:.1} s, {} to {}: {:?}", time(gap.from), time(gap.to), gap.why);
        }
        println!(
            "{id}: required {:?}; {} rows true, by gaps {:?}, {} missing, {} extra",
            compared.required,
            compared.true_rows,
            compared.excused,
            compared.missing.len(),
            compared.extra.len()
        );
        for event in &compared.missing {
            println!("{id}: missing {} {:?}", time(event.at), event.what);
        }
        for row in &compared.extra {
            println!("{id}: extra {} {:?} {}", time(row.at), row.what, row.id);
        }
        self.around.iter().for_each(|line| println!("{id}: {line}"));
    }
}

/// What was seen of a row's label in the second before it and behind it.
fn around(row: &Row, records: &[Value], accepted: &Accepted) -> Vec<String> {
    let near = accepted.results.iter().filter(|result| (result.captured_at - row.at).abs() <= 1_000_000);
    let line = |result: &crate::accepted::Result| {
        let detections = records[result.record]["detections"].as_array().cloned().unwrap_or_default();
        let alike = detections.iter().filter(|detection| detection["label"] == row.what.label.as_str());
        let seen: Vec<_> = alike.map(|seen| format!("{} at {}", seen["track"], seen["box"])).collect();
        let after = (result.captured_at - row.at) as f64 / 1e6;
        format!("{after:+.2} s, {}/{}: {}", result.epoch, result.seq, seen.join("; "))
    };
    near.map(line).collect()
}

/// What happened at lines and zones, a row a line.
pub(crate) const QUERY: &str = "SELECT jsonb_build_object('id', id, 'camera', camera, 'track', track_key, 'type', type, 'label', label, \
     'place', coalesce(line, zone), 'direction', direction, 'appeared', appeared, 'vanished', vanished, \
     'at', (extract(epoch FROM at) * 1000000)::bigint) FROM events WHERE coalesce(line, zone) IS NOT NULL";

/// The answer to `QUERY`, by camera.
pub(crate) fn rows(answer: &str) -> Vec<(String, Row)> {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let how = match &row {
            row if row["appeared"] == true => "appeared".to_owned(),
            row if row["vanished"] == true => "vanished".to_owned(),
            _ => text("direction"),
        };
        let what = What { kind: text("type"), label: text("label"), place: text("place"), how };
        (text("camera"), Row { what, at: row["at"].as_i64().unwrap(), track: text("track"), id: text("id") })
    };
    answer.lines().map(row).collect()
}
