//! Where something is in a frame: fractions of its width and height, x right, y down.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimals::{finite, round_to, shortest_f64};

/// A point as fractions of the frame. Travels as `[x, y]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

/// A box as fractions of the frame. Travels as `[x_min, y_min, x_max, y_max]`, five decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Box2d {
    pub x_min: f32,
    pub y_min: f32,
    pub x_max: f32,
    pub y_max: f32,
}

/// Which point of a box stands for the object in masks, zones and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// The middle of the lower edge: where the object stands on the ground.
    #[default]
    BottomCenter,
    /// The middle of the box.
    Center,
}

impl Box2d {
    /// Fraction of the frame; 0 for a box turned inside out.
    pub fn area(&self) -> f32 {
        (self.x_max - self.x_min).max(0.0) * (self.y_max - self.y_min).max(0.0)
    }

    /// Intersection over union, 0..1. Two boxes without area have 0.
    pub fn iou(&self, other: &Self) -> f32 {
        let common = Self {
            x_min: self.x_min.max(other.x_min),
            y_min: self.y_min.max(other.y_min),
            x_max: self.x_max.min(other.x_max),
            y_max: self.y_max.min(other.y_max),
        };
        let intersection = common.area();
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part inside the frame; NaN becomes 0.
    #[must_use]
    pub fn clip(&self) -> Self {
        #[allow(clippy::manual_clamp, reason = "clamp hands NaN on")]
        let clip = |value: f32| value.max(0.0).min(1.0);
        Self {
            x_min: clip(self.x_min),
            y_min: clip(self.y_min),
            x_max: clip(self.x_max),
            y_max: clip(self.y_max),
        }
    }

    pub fn anchor(&self, anchor: Anchor) -> Point {
        let x = f32::midpoint(self.x_min, self.x_max);
        match anchor {
            Anchor::BottomCenter => Point { x, y: self.y_max },
            Anchor::Center => Point { x, y: f32::midpoint(self.y_min, self.y_max) },
        }
    }
}

/// Whether `p` lies in `polygon`, by the even-odd rule: of a polygon that crosses itself, the doubly covered part
/// is outside. Upper and left edges belong to it, lower and right ones do not, so that polygons side by side never
/// share a point.
pub fn contains(polygon: &[Point], p: Point) -> bool {
    let (x, y) = (f64::from(p.x), f64::from(p.y));
    let ends = polygon.iter().cycle().skip(1);
    let crossings = polygon.iter().zip(ends).filter(|(a, b)| {
        let ((ax, ay), (bx, by)) = ((f64::from(a.x), f64::from(a.y)), (f64::from(b.x), f64::from(b.y)));
        // The edge spans the ray's height, and meets it right of the point.
        (ay > y) != (by > y) && x < ax + (y - ay) * (bx - ax) / (by - ay)
    });
    crossings.count() % 2 == 1
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [shortest_f64(self.x)?, shortest_f64(self.y)?].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [x, y] = <[f32; 2]>::deserialize(deserializer)?;
        Ok(Self { x, y })
    }
}

impl Serialize for Box2d {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let five = |value: f32| Ok(round_to(finite(f64::from(value))?, 1e5));
        [five(self.x_min)?, five(self.y_min)?, five(self.x_max)?, five(self.y_max)?].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Box2d {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [x_min, y_min, x_max, y_max] = <[f32; 4]>::deserialize(deserializer)?;
        Ok(Self { x_min, y_min, x_max, y_max })
    }
}

impl JsonSchema for Point {
    fn schema_name() -> Cow<'static, str> {
        "Point".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "[x, y] as fractions of the frame, x right, y down.",
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 2,
            "maxItems": 2
        })
    }
}

impl JsonSchema for Box2d {
    fn schema_name() -> Cow<'static, str> {
        "Box".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "[x_min, y_min, x_max, y_max] as fractions of the frame, x right, y down, five decimals.",
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 4,
            "maxItems": 4
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn box2d(x_min: f32, y_min: f32, x_max: f32, y_max: f32) -> Box2d {
        Box2d { x_min, y_min, x_max, y_max }
    }

    fn point(x: f32, y: f32) -> Point {
        Point { x, y }
    }

    #[test]
    fn a_box_is_written_with_at_most_five_decimals() {
        let json = serde_json::to_string(&box2d(0.4112, 0.302_104_9, 0.457_006, 1.0)).unwrap();
        assert_eq!(json, "[0.4112,0.3021,0.45701,1.0]");
        // The nearest f32 of 0.4112 is 0.41119998693…; a `Value` must not show that either.
        assert_eq!(
            serde_json::to_value(box2d(0.4112, 0.0, 0.7, 0.1)).unwrap().to_string(),
            "[0.4112,0.0,0.7,0.1]"
        );
        assert_eq!(serde_json::to_string(&box2d(-0.0, -0.000_001, 0.0, 0.0)).unwrap(), "[0.0,0.0,0.0,0.0]");
    }

    #[test]
    fn every_fifth_decimal_reads_back_as_written() {
        for i in 0..=100_000_u32 {
            let text = serde_json::to_string(&(f64::from(i) / 1e5)).unwrap();
            let json = format!("[{text},{text},{text},{text}]");
            let parsed: Box2d = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), json);
        }
    }

    #[test]
    fn what_is_no_number_is_not_written_as_null() {
        assert!(serde_json::to_string(&box2d(f32::NAN, 0.0, 1.0, 1.0)).is_err());
        assert!(serde_json::to_string(&point(0.0, f32::INFINITY)).is_err());
    }

    #[test]
    fn a_point_keeps_every_digit() {
        assert_eq!(serde_json::to_value(point(0.123_456_79, 0.7)).unwrap().to_string(), "[0.12345679,0.7]");
        assert_eq!(serde_json::from_str::<Point>("[0, 1]").unwrap(), point(0.0, 1.0));
        assert!(serde_json::from_str::<Point>("[0, 1, 2]").is_err());
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let a = box2d(0.0, 0.0, 0.5, 0.5);
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&box2d(0.25, 0.0, 0.75, 0.5)), 1.0 / 3.0);
        assert_eq!(a.iou(&box2d(0.5, 0.5, 1.0, 1.0)), 0.0);
        assert_eq!(a.iou(&box2d(0.75, 0.75, 1.0, 1.0)), 0.0, "apart in both directions is no overlap");
        let nothing = box2d(0.2, 0.2, 0.2, 0.2);
        assert_eq!(nothing.iou(&nothing), 0.0);
        assert_eq!(box2d(0.5, 0.5, 0.25, 0.75).area(), 0.0);
    }

    #[test]
    fn a_box_is_cut_at_the_frame() {
        assert_eq!(box2d(-0.1, 0.2, 1.7, f32::NAN).clip(), box2d(0.0, 0.2, 1.0, 0.0));
    }

    #[test]
    fn the_anchor_is_on_the_ground_unless_told_otherwise() {
        let a = box2d(0.25, 0.25, 0.75, 1.0);
        assert_eq!(a.anchor(Anchor::default()), point(0.5, 1.0));
        assert_eq!(a.anchor(Anchor::Center), point(0.5, 0.625));
        assert_eq!(serde_json::to_string(&Anchor::BottomCenter).unwrap(), "\"bottom_center\"");
    }

    #[test]
    fn a_point_is_inside_or_outside_a_polygon() {
        // An L: the upper right quarter of the unit square is missing.
        let l = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)]
            .map(|(x, y)| point(x, y));
        assert!(contains(&l, point(0.25, 0.25)));
        assert!(contains(&l, point(0.75, 0.75)));
        assert!(!contains(&l, point(0.75, 0.25)));
        assert!(!contains(&l, point(-0.1, 0.5)));
        assert!(!contains(&l, point(0.25, 1.5)));
        let mut backwards = l;
        backwards.reverse();
        assert!(contains(&backwards, point(0.25, 0.25)), "the direction does not matter");
        assert!(!contains(&[], point(0.5, 0.5)));
    }

    #[test]
    fn a_point_on_a_shared_edge_belongs_to_one_polygon() {
        let left = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)].map(|(x, y)| point(x, y));
        let right = [(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)].map(|(x, y)| point(x, y));
        assert!(!contains(&left, point(0.5, 0.5)));
        assert!(contains(&right, point(0.5, 0.5)));
    }
}
