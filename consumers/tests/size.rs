//! How large the state of a camera becomes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;
use sightline_consumers::events::rules::PartitionState;
use sightline_consumers::seen::Seen;
use sightline_schema::Timestamp;

const BEGIN_MS: i64 = 1_780_000_000_000;
/// A record of `checkpoints` at most.
const RECORD: usize = 64 * 1024;

/// What is kept of a camera on which so many tracks go about, each of them over two zones and two lines.
fn state(tracks: usize) -> Vec<u8> {
    let time = |ms: i64| Timestamp::from_micros((BEGIN_MS + ms) * 1000).to_string();
    let mut state = PartitionState::default();
    let mut events = Vec::new();
    let mut take = |offset: i64, record: &serde_json::Value| {
        let text = record.to_string();
        state.take(&Seen::parse(text.as_bytes(), None).unwrap(), offset, BEGIN_MS + offset, &mut events);
    };
    let zone = |id: &str, x: f64| json!({"id": id, "polygon": [[x, 0.1], [x + 0.4, 0.1], [x + 0.4, 0.9], [x, 0.9]], "dwell_s": 30});
    let line = |id: &str, x: f64| json!({"id": id, "from": [x, 0.0], "to": [x, 1.0]});
    take(
        0,
        &json!({"schema": "spec/1", "camera": "gate", "epoch": 1_780_000_000_000_u64, "generation": 1, "zones": [zone("a", 0.05), zone("b", 0.5)],
        "lines": [line("c", 0.3), line("d", 0.7)], "model": {"name": "", "sha256": "", "head": "", "input": [1, 1], "classes": []}}),
    );
    take(
        1,
        &json!({"schema": "stream/1", "camera": "gate", "epoch": 1_780_000_000_000_u64, "state": "started", "clock": "ntp", "at": time(0)}),
    );
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as f64 / u64::MAX as f64
    };
    for n in 0..60_i64 {
        let detections: Vec<_> = (0..tracks)
            .map(|track| {
                let (x, y) = (random() * 0.8, random() * 0.7);
                let fine = |value: f64| (value * 1e5).round() / 1e5;
                json!({"class_id": track % 4, "label": format!("label {}", track % 4), "confidence": (random() * 1e4).round() / 1e4,
                       "box": [fine(x), fine(y), fine(x + random() * 0.2), fine(y + random() * 0.3)],
                       "track": {"id": 1_000_000 + track, "state": "confirmed", "age_s": 3.0}})
            })
            .collect();
        take(
            n + 2,
            &json!({"schema": "frame/1", "camera": "gate", "epoch": 1_780_000_000_000_u64, "seq": 3_000_000 + n * 5, "captured_at": time(n * 500),
            "pts_us": 0, "width": 1920, "height": 1080, "detections": detections}),
        );
    }
    let changes = state.changes();
    changes.into_iter().find(|(id, _)| id == "gate").unwrap().1.unwrap().state
}

#[test]
fn a_checkpoint_stays_small() {
    let in_base64 = |bytes: usize| bytes.div_ceil(3) * 4 + 200;
    for (tracks, most) in [(10, 20 * 1024), (500, RECORD)] {
        let state = state(tracks);
        println!("{tracks} tracks: {} bytes, {} as a record", state.len(), in_base64(state.len()));
        assert!(in_base64(state.len()) <= most, "{tracks} tracks: {} bytes", in_base64(state.len()));
    }
}
