//! What earlier runs of the cameras left behind, as their last statuses tell it.

use std::collections::HashMap;
use std::time::Duration;

use sightline_schema::{CameraState, GapAfter, Status, Topics};
use sightline_service::kafka::{Entry, KafkaFault, KafkaSettings, read_to_end};

/// For reading all statuses: 10,000 cameras are some 10 MB. Shorter than a stop may take, which waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// The last run of one camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Predecessor {
    /// Its last result that a status told of.
    pub last: Option<GapAfter>,
    /// How far the camera's clock was from ours.
    pub clock_offset_ms: Option<i64>,
    /// Somebody claimed the camera before.
    pub claimed: bool,
    pub(crate) epoch: u64,
}

/// By camera.
#[derive(Clone, Debug, Default)]
pub struct Predecessors(HashMap<String, Predecessor>);

impl Predecessors {
    /// Reads them from `camera-status`.
    pub fn read(settings: &KafkaSettings, topics: &Topics) -> Result<Self, KafkaFault> {
        let mut found = Self::default();
        read_to_end(settings, &topics.camera_status(), PATIENCE, |Entry { key, value, .. }| {
            match value.map(serde_json::from_slice::<Status>) {
                Some(Ok(status)) => found.add(&status),
                // Other records lie there, too.
                Some(Err(_)) => {}
                None => drop(found.0.remove(key)),
            }
        })?;
        Ok(found)
    }

    pub fn of(&self, camera: &str) -> Predecessor {
        self.0.get(camera).copied().unwrap_or_default()
    }

    fn add(&mut self, status: &Status) {
        let known = self.0.entry(status.camera.clone()).or_default();
        known.claimed |= status.state == CameraState::Claimed || status.epoch.is_some();
        // A claim tells nothing of its epoch yet.
        let Some(epoch) = status.epoch else { return };
        if epoch < known.epoch {
            return;
        }
        known.epoch = epoch;
        if let Some(last) = status.last {
            known.last = Some(GapAfter { epoch, seq: last.seq, captured_at: last.captured_at });
        }
        known.clock_offset_ms = status.clock_offset_ms.or(known.clock_offset_ms);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(epoch: Option<u64>, more: serde_json::Value) -> Status {
        let mut status = json!({
            "schema": "status/1", "camera": "gate", "generation": 1, "pod": "here", "state": "running",
            "since": "2026-11-23T18:40:11.120Z",
        });
        let object = status.as_object_mut().unwrap();
        object.extend(epoch.map(|epoch| ("epoch".to_owned(), json!(epoch))));
        object.extend(more.as_object().unwrap().clone());
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn the_newest_epoch_that_had_results_counts() {
        let last = |seq: u64| json!({"last": {"seq": seq, "captured_at": "2026-11-23T18:40:12.033Z"}});
        let mut found = Predecessors::default();
        let told = [
            status(Some(3), last(10)),
            status(Some(9), json!({"clock_offset_ms": 12})),
            status(Some(3), last(11)),
            status(None, json!({})),
        ];
        told.iter().for_each(|status| found.add(status));
        let gate = found.of("gate");
        assert_eq!(
            gate.last.map(|last| (last.epoch, last.seq)),
            Some((3, 10)),
            "a late word of an older epoch"
        );
        assert_eq!((gate.clock_offset_ms, gate.claimed), (Some(12), true));
        found.add(&status(Some(9), last(5)));
        assert_eq!(found.of("gate").last.map(|last| (last.epoch, last.seq)), Some((9, 5)));
        assert_eq!(found.of("door"), Predecessor::default());
    }
}
