//! From a tracked frame to the `frame/1` that travels.

use std::sync::Arc;

use sightline_schema::{DetectionRecord, FrameResult};

use crate::lane::Tracked;

/// What is the same in all results of a run.
#[derive(Clone, Debug)]
pub struct ResultFacts {
    pub camera: String,
    pub epoch: u64,
    /// Class names by id.
    pub classes: Arc<[String]>,
}

impl ResultFacts {
    pub fn result(&self, tracked: &Tracked<'_>) -> FrameResult {
        let (width, height) = tracked.frame.size();
        FrameResult {
            camera: self.camera.clone(),
            epoch: self.epoch,
            seq: tracked.frame.seq,
            captured_at: tracked.frame.captured_at,
            pts_us: tracked.frame.pts_us,
            width,
            height,
            skipped: tracked.skipped,
            detections: tracked
                .detections
                .iter()
                .map(|(detection, track)| DetectionRecord {
                    class_id: detection.class_id,
                    label: self.label(detection.class_id).to_owned(),
                    confidence: detection.confidence,
                    box2d: detection.box2d,
                    track: *track,
                })
                .collect(),
        }
    }

    pub fn label(&self, class_id: u32) -> &str {
        self.classes.get(class_id as usize).map_or("unknown", String::as_str)
    }
}
