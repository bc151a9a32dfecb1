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
            found
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(|| UnknownClass { name: name.to_owned(), known: names.join(", ") })
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
        // Zones and lines are for readers, but a name that never comes would wait there unseen.
        let placed = camera
            .zones
            .iter()
            .map(|zone| &zone.classes)
            .chain(camera.lines.iter().map(|line| &line.classes));
        for name in placed.flatten() {
            id(name)?;
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sightline_schema::{Box2d, Line, Mask, Point};

    use super::*;

    const NAMES: [&str; 3] = ["person", "car", "bus"];

    fn thresholds(camera: &Camera) -> Result<Thresholds, UnknownClass> {
        Thresholds::of(camera, &NAMES.map(str::to_owned), true)
    }

    fn detection(class_id: u32, confidence: f32, [x_min, y_min, x_max, y_max]: [f32; 4]) -> Detection {
        Detection { class_id, confidence, box2d: Box2d { x_min, y_min, x_max, y_max } }
    }

    #[test]
    fn the_tracker_sees_more_than_the_output_shows() {
        let mut camera = Camera::new("a", "test://ball");
        camera.detect.class_confidence.insert("car".into(), 0.6);
        let thresholds = thresholds(&camera).unwrap();
        assert!(thresholds.floor() <= 0.1);
        let whole = [0.1, 0.1, 0.5, 0.5];
        assert!(
            thresholds.keeps(&detection(0, 0.12, whole)) && !thresholds.shows(&detection(0, 0.12, whole))
        );
        assert!(thresholds.shows(&detection(0, 0.25, whole)));
        assert!(!thresholds.shows(&detection(1, 0.5, whole)) && thresholds.shows(&detection(1, 0.6, whole)));
    }

    #[test]
    fn masks_and_areas_count_before_the_tracker() {
        let mut camera = Camera::new("a", "test://ball");
        camera.detect.min_area = Some(0.01);
        camera.detect.max_area = Some(0.5);
        let corner = [[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]].map(|[x, y]| Point { x, y });
        camera.masks.push(Mask { id: "corner".into(), polygon: corner.to_vec() });
        let thresholds = thresholds(&camera).unwrap();
        // The anchor is the middle of the lower edge: at 0.25, 0.4 it is outside the mask, at 0.25, 0.8 inside.
        assert!(thresholds.keeps(&detection(0, 0.9, [0.1, 0.1, 0.4, 0.4])));
        assert!(!thresholds.keeps(&detection(0, 0.9, [0.1, 0.1, 0.4, 0.8])));
        assert!(!thresholds.keeps(&detection(0, 0.9, [0.6, 0.1, 0.65, 0.15])));
        assert!(!thresholds.keeps(&detection(0, 0.9, [0.0, 0.0, 1.0, 0.9])));
    }

    #[test]
    fn an_unknown_class_lists_the_known_ones_wherever_it_stands() {
        let mut camera = Camera::new("a", "test://ball");
        camera.detect.classes.push("cat".into());
        let error = thresholds(&camera).unwrap_err().to_string();
        assert!(error.contains("cat") && error.contains("person, car, bus"), "{error}");
        camera.detect.classes = vec!["bus".into()];
        assert!(thresholds(&camera).unwrap().wants_class(2) && !thresholds(&camera).unwrap().wants_class(0));
        let (from, to) = (Point { x: 0.0, y: 0.5 }, Point { x: 1.0, y: 0.5 });
        camera.lines.push(Line {
            id: "l".into(),
            name: String::new(),
            from,
            to,
            classes: vec!["dog".into()],
        });
        assert!(thresholds(&camera).unwrap_err().to_string().contains("dog"));
    }
}
