//! What every reader may rely on, whatever happened to the camera.
// Each user takes what it needs.
#![allow(dead_code)]

use serde_json::Value;

/// What a camera's records come to.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) frames: usize,
    pub(crate) started: usize,
    pub(crate) gaps: Vec<Value>,
    pub(crate) arrived: u64,
    pub(crate) overload: u64,
    pub(crate) corrupt: u64,
}

/// Checks the records of one camera and epoch: the sum of `seq` closes, time never goes back, a gap stands exactly where
/// a stretch was not seen. `interval_us` is the distance of two results.
pub(crate) fn check(camera: &str, records: &[Value], interval_us: i64) -> Account {
    let mut account = Account::default();
    let mut previous: Option<&Value> = None;
    // Since the previous frame.
    let (mut begun, mut gap) = (false, None);
    let kinds: Vec<_> = records.iter().take(2).map(|record| record["schema"].as_str().unwrap()).collect();
    assert!(
        kinds.is_empty() || kinds[0] == "tick/1" || kinds == ["spec/1", "stream/1"],
        "{camera}: {kinds:?}"
    );
    for record in records {
        match record["schema"].as_str().unwrap() {
            "stream/1" if record["state"] == "started" => {
                account.started += 1;
                begun = true;
            }
            "gap/1" => {
                assert!(gap.is_none(), "{camera}: two gaps in a row: {record}");
                gap = Some(record);
                account.gaps.push(record.clone());
            }
            "frame/1" => {
                frame(camera, &mut account, previous, record);
                if let Some(previous) = previous {
                    let missing = at(&record["captured_at"]) - at(&previous["captured_at"]);
                    match gap {
                        Some(gap) => {
                            let said = (&gap["after"]["seq"], &gap["before"]["seq"]);
                            assert_eq!(said, (&previous["seq"], &record["seq"]), "{camera}: {gap}");
                            assert!(missing > 2 * interval_us, "{camera}: {missing} µs are no gap: {gap}");
                            assert!(begun, "{camera}: {gap}");
                        }
                        None => assert!(
                            !begun || missing <= 4 * interval_us,
                            "{camera}: nobody says what is missing in the {missing} µs before {record}"
                        ),
                    }
                }
                (previous, begun, gap) = (Some(record), false, None);
            }
            _ => assert!(
                gap.is_none(),
                "{camera}: a gap stands immediately before its frame, not before {record}"
            ),
        }
    }
    account
}

fn frame(camera: &str, account: &mut Account, previous: Option<&Value>, record: &Value) {
    let skipped = record["skipped"].as_object();
    let skipped: u64 = skipped.into_iter().flat_map(|of| of.values()).map(|n| n.as_u64().unwrap()).sum();
    account.frames += 1;
    account.arrived += 1 + skipped;
    account.overload += record["skipped"]["overload"].as_u64().unwrap_or(0);
    account.corrupt += record["skipped"]["corrupt"].as_u64().unwrap_or(0);
    assert_eq!(
        record["seq"].as_u64(),
        Some(account.arrived - 1),
        "{camera}: the sum does not close: {record}"
    );
    if let Some(previous) = previous {
        for field in ["captured_at", "pts_us"] {
            let value = |of: &Value| match of[field].as_i64() {
                Some(number) => number,
                None => at(&of[field]),
            };
            assert!(value(previous) < value(record), "{camera}: {field} went back: {previous} {record}");
        }
    }
}

/// From capture to the result being ready, ms, in ascending order.
pub(crate) fn latencies_ms(records: &[Value]) -> Vec<i64> {
    let of_frame = |record: &Value| Some(record["ready_ms"].as_i64()? - at(&record["captured_at"]) / 1_000);
    let frames = records.iter().filter(|record| record["schema"] == "frame/1");
    let mut latencies: Vec<_> = frames.filter_map(of_frame).collect();
    latencies.sort_unstable();
    latencies
}

/// µs since 1970.
pub(crate) fn at(time: &Value) -> i64 {
    let time: sightline_schema::Timestamp = serde_json::from_value(time.clone()).unwrap();
    time.as_micros()
}
