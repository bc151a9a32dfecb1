//! Records as the rules read them: a frame borrows from the record's bytes.

use std::borrow::Cow;

use serde::Deserialize;
use sightline_schema::{
    DetectionsRecord, FrameResult, Gap, Message as _, ModelFacts, RecordError, SpecRecord, StreamRecord,
    Tick, TrackState,
};
use thiserror::Error;

/// The longest name of a camera, label, zone, line or model, bytes: what is made of it fits a record and a key of a table.
const LONGEST: usize = 512;
/// The largest `spec/1`, bytes: it goes into checkpoints, and its labels into every event.
const LARGEST_SPEC: usize = 512 * 1024;
/// So much of a text is shown that is not what it should be, characters.
const SHOWN: usize = 64;

/// Whole numbers of 1/100,000 of the frame, as boxes travel.
pub(crate) const UNIT: f64 = 1e5;

/// `x_min, y_min, x_max, y_max` in [`UNIT`]s.
pub(crate) type BoxUnits = [i32; 4];

/// A record of `detections`.
#[derive(Debug)]
pub enum Seen<'a> {
    Frame(FrameView<'a>),
    Spec(SpecRecord),
    Stream(StreamRecord),
    Gap(Gap),
    Tick(Tick),
}

/// What the rules need of a `frame/1`.
#[derive(Debug)]
pub struct FrameView<'a> {
    pub(crate) camera: Cow<'a, str>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    /// Width ÷ height of the picture.
    pub(crate) aspect: f64,
    /// Those with a confirmed track.
    pub(crate) sights: Vec<SightView<'a>>,
    /// All others: label, and confidence in 1/10,000.
    pub(crate) others: Vec<(Cow<'a, str>, u16)>,
}

#[derive(Debug)]
pub(crate) struct SightView<'a> {
    pub(crate) track: u64,
    /// Milliseconds.
    pub(crate) age: i64,
    pub(crate) class_id: u32,
    pub(crate) label: Cow<'a, str>,
    /// 1/10,000.
    pub(crate) confidence: u16,
    pub(crate) units: BoxUnits,
}

/// A record that is none of what it should be.
#[derive(Debug, Error)]
pub enum UnreadableRecord {
    /// Of a schema that a later version may know.
    #[error(transparent)]
    Unknown(RecordError),
    #[error(transparent)]
    Invalid(RecordError),
    #[error("the record is not a valid {schema}; look at what wrote it: {why}")]
    Wrong { schema: &'static str, why: String },
}

impl From<RecordError> for UnreadableRecord {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::UnknownSchema(_) => Self::Unknown(error),
            RecordError::Invalid { .. } => Self::Invalid(error),
        }
    }
}

impl<'a> Seen<'a> {
    /// `schema` is what the record's header says; without one the value says it.
    pub fn parse(value: &'a [u8], schema: Option<&str>) -> Result<Self, UnreadableRecord> {
        if schema == Some(FrameResult::SCHEMA) {
            return FrameView::parse(value).map(Self::Frame);
        }
        let record = match schema {
            Some(schema) => DetectionsRecord::parse_as(schema, value)?,
            None => DetectionsRecord::parse(value)?,
        };
        Ok(match record {
            DetectionsRecord::Frame(_) => Self::Frame(FrameView::parse(value)?),
            DetectionsRecord::Spec(spec) => Self::Spec(limited(spec, value.len())?),
            DetectionsRecord::Stream(stream) => Self::Stream(stream),
            DetectionsRecord::Gap(gap) => Self::Gap(gap),
            DetectionsRecord::Tick(tick) => Self::Tick(tick),
        })
    }

    pub fn camera(&self) -> &str {
        match self {
            Self::Frame(frame) => &frame.camera,
            Self::Spec(spec) => &spec.camera,
            Self::Stream(stream) => &stream.camera,
            Self::Gap(gap) => &gap.camera,
            Self::Tick(tick) => &tick.camera,
        }
    }

    pub const fn epoch(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.epoch,
            Self::Spec(spec) => spec.epoch,
            Self::Stream(stream) => stream.epoch,
            Self::Gap(gap) => gap.epoch,
            Self::Tick(tick) => tick.epoch,
        }
    }
}

/// A spec that checkpoints and events can hold.
fn limited(spec: SpecRecord, bytes: usize) -> Result<SpecRecord, UnreadableRecord> {
    let wrong = |why| UnreadableRecord::Wrong { schema: SpecRecord::SCHEMA, why };
    if bytes > LARGEST_SPEC {
        return Err(wrong(format!("it has {bytes} bytes, and may have {LARGEST_SPEC}")));
    }
    let ModelFacts { name, sha256, .. } = &spec.model;
    let places = spec.zones.iter().map(|zone| &zone.id).chain(spec.lines.iter().map(|line| &line.id));
    let long = places.chain([&spec.camera, name, sha256]).find(|name| name.len() > LONGEST);
    long.map_or(Ok(()), |name| Err(wrong(too_long(name))))?;
    Ok(spec)
}

fn too_long(name: &str) -> String {
    format!("{} has {} bytes, and a name may have {LONGEST}", shown(name), name.len())
}

/// The beginning of a text, in quotes.
fn shown(text: &str) -> String {
    let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
    let more = if end < text.len() { "…" } else { "" };
    format!("{:?}{more}", &text[..end])
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    camera: Cow<'a, str>,
    epoch: u64,
    seq: u64,
    #[serde(borrow)]
    captured_at: Cow<'a, str>,
    width: u32,
    height: u32,
    #[serde(borrow)]
    detections: Vec<Detection<'a>>,
}

#[derive(Deserialize)]
struct Detection<'a> {
    class_id: u32,
    #[serde(borrow)]
    label: Cow<'a, str>,
    confidence: f64,
    #[serde(rename = "box")]
    bounds: [f64; 4],
    track: Option<Track>,
}

#[derive(Deserialize)]
struct Track {
    id: u64,
    state: TrackState,
    age_s: f64,
}

impl<'a> FrameView<'a> {
    /// Label and confidence, in 1/10,000, of every detection.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, u16)> {
        let sights = self.sights.iter().map(|sight| (&*sight.label, sight.confidence));
        sights.chain(self.others.iter().map(|(label, confidence)| (&**label, *confidence)))
    }

    fn parse(value: &'a [u8]) -> Result<Self, UnreadableRecord> {
        let wrong = |why: String| UnreadableRecord::Wrong { schema: FrameResult::SCHEMA, why };
        let frame: Frame<'a> = serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))?;
        if frame.camera.is_empty() {
            return Err(wrong("camera is empty".to_owned()));
        }
        if frame.camera.len() > LONGEST {
            return Err(wrong(too_long(&frame.camera)));
        }
        if frame.width == 0 || frame.height == 0 {
            return Err(wrong(format!("width {} and height {} are no size", frame.width, frame.height)));
        }
        let at = millis(&frame.captured_at).ok_or_else(|| {
            wrong(format!(
                "captured_at {} is not a time of the years 1970 to 9999",
                shown(&frame.captured_at)
            ))
        })?;
        let (mut sights, mut others) = (Vec::with_capacity(frame.detections.len()), Vec::new());
        for (i, detection) in frame.detections.into_iter().enumerate() {
            let field = |what: &str| wrong(format!("detections[{i}].{what}"));
            if detection.label.len() > LONGEST {
                return Err(field(&format!("label: {}", too_long(&detection.label))));
            }
            let [x_min, y_min, x_max, y_max] = detection.bounds;
            let in_frame = detection.bounds.iter().all(|value| (-1e-5..=1.0 + 1e-5).contains(value));
            if !in_frame || x_min > x_max || y_min > y_max {
                return Err(field(&format!("box {:?} is not within 0..1", detection.bounds)));
            }
            if !(0.0..=1.0).contains(&detection.confidence) {
                return Err(field(&format!("confidence {} is not within 0..1", detection.confidence)));
            }
            let confidence = (detection.confidence * 1e4).round() as u16;
            let Some(track) = detection.track else {
                others.push((detection.label, confidence));
                continue;
            };
            if !(0.0..1e9).contains(&track.age_s) {
                return Err(field(&format!("track.age_s {} is no age", track.age_s)));
            }
            if track.state != TrackState::Confirmed {
                others.push((detection.label, confidence));
                continue;
            }
            sights.push(SightView {
                track: track.id,
                age: (track.age_s * 1e3).round() as i64,
                class_id: detection.class_id,
                label: detection.label,
                confidence,
                units: detection.bounds.map(|value| (value * UNIT).round() as i32),
            });
        }
        let aspect = f64::from(frame.width) / f64::from(frame.height);
        Ok(Self { camera: frame.camera, epoch: frame.epoch, seq: frame.seq, at, aspect, sights, others })
    }
}

/// Milliseconds since 1970 of an RFC 3339 time; the form that Sightline writes is read without asking a library.
fn millis(text: &str) -> Option<i64> {
    quick_millis(text.as_bytes()).or_else(|| {
        let time: sightline_schema::Timestamp = text.parse().ok()?;
        let millis = time.as_micros().div_euclid(1000);
        (0..253_402_300_800_000).contains(&millis).then_some(millis)
    })
}

/// `2026-11-23T18:40:12.033Z` and nothing else.
fn quick_millis(text: &[u8]) -> Option<i64> {
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b'.',
        f1,
        f2,
        f3,
        b'Z',
    ] = text
    else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    // Days that a month may lack, and leap seconds, are for the library to judge.
    let is_plain = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !is_plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970: http://howardhinnant.github.io/date_algorithms.html#days_from_civil
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + number(&[f1, f2, f3])?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_alike_quickly_and_by_the_library() {
        for text in [
            "2026-11-23T18:40:12.033Z",
            "1970-01-01T00:00:00.000Z",
            "2000-02-28T23:59:59.999Z",
            "2024-03-01T12:00:00.500Z",
            "9999-12-28T00:00:00.001Z",
        ] {
            let time: sightline_schema::Timestamp = text.parse().unwrap();
            assert_eq!(quick_millis(text.as_bytes()), Some(time.as_micros() / 1000), "{text}");
        }
        assert_eq!(millis("2026-11-30T18:40:12Z"), Some(1_796_064_012_000));
        assert_eq!(millis("2026-11-23T19:40:12.033+01:00"), millis("2026-11-23T18:40:12.033Z"));
        assert_eq!(
            (millis("1969-12-31T23:59:59.999Z"), millis("soon"), millis("2026-02-31T00:00:00.000Z")),
            (None, None, None)
        );
    }

    #[test]
    fn a_frame_that_can_not_be_is_refused_by_its_field() {
        let frame = |change: &str, to: &str| {
            let good = r#"{"schema":"frame/1","camera":"gate","epoch":1,"seq":2,"captured_at":"2026-11-23T18:40:12.033Z","pts_us":0,"width":1920,"height":1080,"detections":[{"class_id":0,"label":"person","confidence":0.8741,"box":[0.4,0.3,0.5,0.6],"track":{"id":57,"state":"confirmed","age_s":12.4}}]}"#;
            assert!(good.contains(change));
            let text = good.replacen(change, to, 1);
            Seen::parse(text.as_bytes(), Some(FrameResult::SCHEMA))
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(frame("gate", "dock"), Ok(()));
        for (change, to, why) in [
            ("\"gate\"", "\"\"", "camera is empty"),
            ("0.8741", "1.2", "detections[0].confidence 1.2 is not within 0..1"),
            ("0.8741", "NaN", "expected value"),
            ("0.4,", "-0.4,", "detections[0].box [-0.4, 0.3, 0.5, 0.6] is not within 0..1"),
            ("0.4,", "0.9,", "is not within 0..1"),
            ("2026-11-23", "1869-11-23", "is not a time of the years 1970 to 9999"),
            ("1080", "0", "are no size"),
            ("12.4", "-1", "track.age_s -1 is no age"),
            ("\"seq\":2", "\"seq\":-2", "invalid value"),
        ] {
            let error = frame(change, to).unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
        let long = "x".repeat(900_000);
        for (change, why) in [
            ("person", "detections[0].label: \"xxx"),
            ("gate", "… has 900000 bytes, and a name may have 512"),
            ("2026-11-23T18:40:12.033Z", "… is not a time of the years 1970 to 9999"),
        ] {
            let error = frame(change, &long).unwrap_err();
            assert!(error.contains(why) && error.len() < 300, "{change}: {}", error.len());
        }
        let unknown = Seen::parse(br#"{"schema":"frame/2"}"#, None).unwrap_err();
        assert!(matches!(unknown, UnreadableRecord::Unknown(_)), "{unknown}");
    }

    #[test]
    fn a_spec_that_no_checkpoint_could_hold_is_refused() {
        let spec = |zone: &str, label: &str| {
            let text = serde_json::json!({"schema": "spec/1", "camera": "gate", "epoch": 1, "generation": 1,
                "zones": [{"id": zone, "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]}],
                "model": {"name": "yolo", "sha256": "9f0c", "head": "end2end", "input": [640, 640], "classes": ["person"]},
                "labels": {"site": label}});
            Seen::parse(text.to_string().as_bytes(), None).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(spec("dock", "hq"), Ok(()));
        let error = spec("dock", &"x".repeat(600_000)).unwrap_err();
        assert!(error.contains("not a valid spec/1") && error.contains("and may have 524288"), "{error}");
        let error = spec(&"x".repeat(513), "hq").unwrap_err();
        assert!(error.contains("has 513 bytes, and a name may have 512"), "{error}");
    }
}
