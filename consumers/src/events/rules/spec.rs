//! Zones and lines as they are set now.

use std::collections::BTreeMap;

use sightline_schema::{Anchor, Point, SpecRecord};

use super::geometry::P;
use super::names::{Name, Names};
use crate::codec::{Reader, StateError, Writer};
use crate::seen::UNIT;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spec {
    pub(super) generation: u64,
    pub(super) anchor: Anchor,
    pub(super) zones: Vec<Zone>,
    pub(super) lines: Vec<Line>,
    /// The camera's.
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Zone {
    pub(super) id: Name,
    pub(super) polygon: Vec<P>,
    /// Empty: all.
    pub(super) classes: Vec<Name>,
    /// Milliseconds.
    pub(super) dwell: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) id: Name,
    pub(super) ends: (P, P),
    /// Empty: all.
    pub(super) classes: Vec<Name>,
}

impl Spec {
    pub(super) fn of(record: &SpecRecord, names: &mut Names) -> Self {
        let mut classes =
            |classes: &[String]| classes.iter().map(|class| names.of(class)).collect::<Vec<_>>();
        let zones: Vec<_> = record.zones.iter().map(|zone| (classes(&zone.classes), zone)).collect();
        let lines: Vec<_> = record.lines.iter().map(|line| (classes(&line.classes), line)).collect();
        Self {
            generation: record.generation,
            anchor: record.anchor,
            zones: zones
                .into_iter()
                .map(|(classes, zone)| Zone {
                    id: names.of(&zone.id),
                    polygon: zone.polygon.iter().copied().map(point).collect(),
                    classes,
                    dwell: zone.dwell_s.map(|seconds| (seconds * 1e3).round() as i64),
                })
                .collect(),
            lines: lines
                .into_iter()
                .map(|(classes, line)| Line {
                    id: names.of(&line.id),
                    ends: (point(line.from), point(line.to)),
                    classes,
                })
                .collect(),
            labels: record.labels.clone(),
        }
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.number(self.generation);
        to.flag(self.anchor == Anchor::Center);
        to.count(self.zones.len());
        for zone in &self.zones {
            to.number(zone.id.into());
            to.count(zone.polygon.len());
            zone.polygon.iter().for_each(|p| write_point(to, *p));
            write_classes(to, &zone.classes);
            to.option(zone.dwell, |to, dwell| to.signed(dwell));
        }
        to.count(self.lines.len());
        for line in &self.lines {
            to.number(line.id.into());
            write_point(to, line.ends.0);
            write_point(to, line.ends.1);
            write_classes(to, &line.classes);
        }
        to.count(self.labels.len());
        for (key, value) in &self.labels {
            to.text(key);
            to.text(value);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let generation = from.number()?;
        let anchor = if from.flag()? { Anchor::Center } else { Anchor::BottomCenter };
        let zone = |from: &mut Reader<'_>| {
            let id = from.small()?;
            let corners = from.count()?;
            let polygon = (0..corners).map(|_| read_point(from)).collect::<Result<_, _>>()?;
            Ok(Zone { id, polygon, classes: read_classes(from)?, dwell: from.option(Reader::signed)? })
        };
        let count = from.count()?;
        let zones = (0..count).map(|_| zone(from)).collect::<Result<_, StateError>>()?;
        let line = |from: &mut Reader<'_>| {
            let id = from.small()?;
            Ok(Line { id, ends: (read_point(from)?, read_point(from)?), classes: read_classes(from)? })
        };
        let count = from.count()?;
        let lines = (0..count).map(|_| line(from)).collect::<Result<_, StateError>>()?;
        let count = from.count()?;
        let labels =
            (0..count).map(|_| Ok((from.text()?, from.text()?))).collect::<Result<_, StateError>>()?;
        Ok(Self { generation, anchor, zones, lines, labels })
    }
}

/// In five decimals, as boxes are; of the decimal that was written, not the nearest that 32 bits hold.
fn point(p: Point) -> P {
    let written = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
    let [x, y] = [p.x, p.y].map(|value| (written(value) * UNIT).round());
    P { x, y }
}

fn write_point(to: &mut Writer, p: P) {
    to.signed(p.x as i64);
    to.signed(p.y as i64);
}

fn read_point(from: &mut Reader<'_>) -> Result<P, StateError> {
    Ok(P { x: from.small_signed()?.into(), y: from.small_signed()?.into() })
}

fn write_classes(to: &mut Writer, classes: &[Name]) {
    to.count(classes.len());
    classes.iter().for_each(|class| to.number((*class).into()));
}

fn read_classes(from: &mut Reader<'_>) -> Result<Vec<Name>, StateError> {
    let count = from.count()?;
    (0..count).map(|_| from.small()).collect()
}

/// Whether a zone or line with these classes is for this label.
pub(super) fn counts(classes: &[Name], label: Name) -> bool {
    classes.is_empty() || classes.contains(&label)
}
