//! Which detections count for a camera.

use std::collections::BTreeSet;

use sightline_schema::{Anchor, Camera, Point, contains};

use crate::detection::Detection;

/// What the tracker is shown, at the least.
const TRACKER_LOW: f32 = 0.1;

/// A class was named that the model does not know.
#[derive(Debug, thiserror::Error)]
#[error("no class {name} in the model; it knows: {known}")]
pub struct UnknownClass {
    name: String,
    known: String,
}

/// A camera's thresholds, masks and classes, by the model's class ids.
#[derive(Clone, Debug)]
pub struct Thresholds {
    /// Below this nothing leaves the detector.
    floor: f32,
    /// Output threshold by class id.
    confidence: Vec<f32>,
    /// `None` lets all classes through.
    classes: Option<BTreeSet<u32>>,
    iou: f32,
    agnostic: bool,
    min_area: f32,
    max_area: f32,
    anchor: Anchor,
    masks: Vec<Vec<Point>>,
}

impl Thresholds {
    /// Reads a camera's settings against the model's class names. With `track` the detector hands on weaker
    /// detections than the output shows.
    pub fn of(camera: &Camera, names: &[String], track: bool) -> Result<Self, UnknownClass> {
        let id = |name: &str| {
            let found = names.iter().position(|known| known == name);
            found.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| UnknownClass {
                name: name.to_owned(),
                known: names.join(", "),
            })
        };
        let detect = &camera.detect;
        let mut confidence = vec![detect.confidence; names.len()];
        for (name, wanted) in &detect.class_confidence {
            if let Some(slot) = confidence.get_mut(id(name)? as usize) {
                *slot = *wanted;
            }
        }
        let classes = match detect.classes.is_empty() {
            true => None,
            false => Some(detect.classes.iter().map(|name| id(name)).collect::<Result<_, _>>()?),
        };
        let lowest = confidence.iter().copied().fold(detect.confidence, f32::min);
        Ok(Self {
            floor: if track { lowest.min(TRACKER_LOW) } else { lowest },
            confidence,
            classes,
            iou: detect.iou,
            agnostic: false,
            min_area: detect.min_area.unwrap_or(0.0),
            max_area: detect.max_area.unwrap_or(1.0),
            anchor: camera.anchor,
            masks: camera.masks.iter().map(|mask| mask.polygon.clone()).collect(),
        })
    }

    #[must_use]
    pub fn agnostic(mut self, agnostic: bool) -> Self {
        self.agnostic = agnostic;
        self
    }

    /// What leaves the detector at the least.
    pub fn floor(&self) -> f32 {
        self.floor
    }

    pub fn iou(&self) -> f32 {
        self.iou
    }

    pub fn is_agnostic(&self) -> bool {
        self.agnostic
    }

    pub fn wants_class(&self, class_id: u32) -> bool {
        self.classes.as_ref().is_none_or(|wanted| wanted.contains(&class_id))
    }

    /// Whether the tracker is to see it: its size fits and no mask covers its anchor.
    pub fn keeps(&self, detection: &Detection) -> bool {
        let area = detection.box2d.area();
        let anchor = detection.box2d.anchor(self.anchor);
        (self.min_area..=self.max_area).contains(&area)
            && !self.masks.iter().any(|polygon| contains(polygon, anchor))
    }

    /// Whether the output shows it.
    pub fn shows(&self, detection: &Detection) -> bool {
        let wanted = self.confidence.get(detection.class_id as usize).copied();
        detection.confidence >= wanted.unwrap_or(self.floor)
    }
}
