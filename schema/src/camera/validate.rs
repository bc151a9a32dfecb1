//! What makes a camera's settings usable.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::polygon::crossing;
use super::{Camera, CameraFile, DetectSettings, Line, Mask, Play, Role, Sampling, StreamSpec, Zone};
use crate::{Credentials, Point, split_credentials};

/// A setting that can't be used: of which camera, which field, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("camera {camera:?}, {field}: {reason}; {next_step}")]
pub struct CameraError {
    pub camera: String,
    /// As written: `zones[1].polygon`.
    pub field: String,
    pub reason: String,
    pub next_step: String,
}

/// Names and the like, bytes.
const MAX_NAME: usize = 256;
pub(crate) const MAX_URI: usize = 2048;
const MAX_POINTS: usize = 256;
const MAX_LABELS: usize = 64;
const MAX_LATENCY_MS: u32 = 60_000;

/// A finding that does not know its camera yet.
pub(crate) struct Finding {
    pub(crate) field: String,
    pub(crate) reason: String,
    pub(crate) next_step: String,
}

pub(crate) type Check = Result<(), Finding>;

pub(crate) fn refuse(
    field: impl Into<String>,
    reason: impl Into<String>,
    next_step: impl Into<String>,
) -> Check {
    Err(Finding { field: field.into(), reason: reason.into(), next_step: next_step.into() })
}

impl CameraFile {
    /// Each camera by itself, and that no id is used twice. The first finding is returned.
    pub fn validate(&self) -> Result<(), CameraError> {
        let mut seen = BTreeSet::new();
        for camera in &self.cameras {
            camera.validate()?;
            if !seen.insert(&camera.id) {
                let twice = refuse("id", "is used by two cameras", "give each camera an id of its own");
                return twice.map_err(|finding| finding.of(&camera.id));
            }
        }
        Ok(())
    }
}

impl Camera {
    /// Whether the settings can be used. The first finding is returned.
    pub fn validate(&self) -> Result<(), CameraError> {
        self.check().map_err(|finding| finding.of(&self.id))
    }

    /// That user and password are given once, or the same each time.
    pub(super) fn check_credentials(&self) -> Result<(), CameraError> {
        self.credentials_agree().map_err(|finding| finding.of(&self.id))
    }

    fn check(&self) -> Check {
        dns_label("id", &self.id)?;
        dns_label("pool", &self.pool)?;
        short("name", &self.name, MAX_NAME)?;
        self.check_streams()?;
        self.credentials_agree()?;
        check_credentials(self.credentials.as_ref())?;
        check_labels(&self.labels)?;
        let Self { sampling, detect, masks, privacy, zones, lines, .. } = self;
        Sight { sampling: *sampling, detect, masks, privacy, zones, lines }.check()
    }

    fn check_streams(&self) -> Check {
        for (i, stream) in self.streams.iter().enumerate() {
            check_stream(i, stream)?;
        }
        for role in [Role::Detect, Role::Main] {
            let count = self.streams.iter().filter(|stream| stream.role == role).count();
            if count > 1 {
                let reason = format!("{count} have the role {}", role.as_str());
                return refuse("streams", reason, "keep one; the role of the camera's other stream is main");
            }
        }
        if self.stream(Role::Detect).is_none() {
            return refuse(
                "streams",
                "none has the role detect",
                "give the stream to detect on: {role: detect, uri: …}",
            );
        }
        Ok(())
    }

    fn credentials_agree(&self) -> Check {
        let mut known = self.credentials.clone();
        for (i, stream) in self.streams.iter().enumerate() {
            let Some(found) = split_credentials(&stream.uri).1.map(Credentials::Inline) else { continue };
            match &known {
                Some(known) if *known != found => {
                    return refuse(
                        format!("streams[{i}].uri"),
                        "holds other credentials than those already given for this camera",
                        "keep one user and password: in `credentials` or in the uri",
                    );
                }
                _ => known = Some(found),
            }
        }
        Ok(())
    }
}

/// What is looked for in a picture, and where: of a camera, or of a job.
pub(crate) struct Sight<'a> {
    pub(crate) sampling: Sampling,
    pub(crate) detect: &'a DetectSettings,
    pub(crate) masks: &'a [Mask],
    pub(crate) privacy: &'a [Mask],
    pub(crate) zones: &'a [Zone],
    pub(crate) lines: &'a [Line],
}

impl Sight<'_> {
    pub(crate) fn check(&self) -> Check {
        check_sampling(self.sampling)?;
        check_detect(self.detect)?;
        for (list, masks) in [("masks", self.masks), ("privacy", self.privacy)] {
            unique_ids(list, masks.iter().map(|mask| mask.id.as_str()))?;
            for (i, mask) in masks.iter().enumerate() {
                polygon(&format!("{list}[{i}].polygon"), &mask.polygon)?;
            }
        }
        unique_ids("zones", self.zones.iter().map(|zone| zone.id.as_str()))?;
        for (i, zone) in self.zones.iter().enumerate() {
            short(&format!("zones[{i}].name"), &zone.name, MAX_NAME)?;
            class_names(&format!("zones[{i}].classes"), &zone.classes)?;
            polygon(&format!("zones[{i}].polygon"), &zone.polygon)?;
            if zone.dwell_s.is_some_and(|seconds| !(seconds.is_finite() && seconds > 0.0)) {
                return refuse(
                    format!("zones[{i}].dwell_s"),
                    "is not above 0",
                    "give seconds, or leave it out",
                );
            }
        }
        unique_ids("lines", self.lines.iter().map(|line| line.id.as_str()))?;
        for (i, line) in self.lines.iter().enumerate() {
            short(&format!("lines[{i}].name"), &line.name, MAX_NAME)?;
            class_names(&format!("lines[{i}].classes"), &line.classes)?;
            inside_frame(&format!("lines[{i}].from"), line.from)?;
            inside_frame(&format!("lines[{i}].to"), line.to)?;
            if line.from == line.to {
                return refuse(format!("lines[{i}]"), "begins where it ends", "give two different points");
            }
        }
        Ok(())
    }
}

impl Finding {
    fn of(self, camera: &str) -> CameraError {
        let Self { field, reason, next_step } = self;
        CameraError { camera: camera.to_owned(), field, reason, next_step }
    }
}

fn check_stream(i: usize, stream: &StreamSpec) -> Check {
    if stream.uri.trim().is_empty() {
        return refuse(format!("streams[{i}].uri"), "is empty", "give rtsp://…, http(s)://…, or a file");
    }
    short(&format!("streams[{i}].uri"), &stream.uri, MAX_URI)?;
    if stream.uri.chars().any(char::is_control) {
        return refuse(format!("streams[{i}].uri"), "holds control characters", "write it on one line");
    }
    if stream.latency_ms > MAX_LATENCY_MS {
        return refuse(
            format!("streams[{i}].latency_ms"),
            format!("{} is more than {MAX_LATENCY_MS}", stream.latency_ms),
            "give milliseconds, such as 200",
        );
    }
    let scheme = stream.uri.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    if stream.play == Some(Play::Loop) && scheme.starts_with("rtsp") {
        return refuse(
            format!("streams[{i}].play"),
            "is for files, and this is a live stream",
            "leave it out",
        );
    }
    Ok(())
}

fn check_sampling(sampling: Sampling) -> Check {
    match sampling {
        Sampling::EveryFrame | Sampling::Keyframes => Ok(()),
        Sampling::Fps { fps } if fps > 0.0 && fps <= 240.0 => Ok(()),
        Sampling::Fps { fps } => {
            refuse("sampling.fps", format!("{fps} is not above 0 and at most 240"), "give a rate such as 5")
        }
        Sampling::Adaptive { .. } => refuse(
            "sampling.mode",
            "sampling mode adaptive is not available yet",
            "use fps, every_frame or keyframes",
        ),
    }
}

fn check_detect(detect: &DetectSettings) -> Check {
    class_names("detect.classes", &detect.classes)?;
    fraction("detect.confidence", detect.confidence)?;
    fraction("detect.iou", detect.iou)?;
    for (class, confidence) in &detect.class_confidence {
        fraction(&format!("detect.class_confidence.{class}"), *confidence)?;
    }
    let (min, max) = (detect.min_area.unwrap_or(0.0), detect.max_area.unwrap_or(1.0));
    fraction("detect.min_area", min)?;
    fraction("detect.max_area", max)?;
    if min > max {
        let reason = format!("{min} is more than max_area {max}");
        return refuse("detect.min_area", reason, "no box can be both; swap or correct them");
    }
    Ok(())
}

/// RFC 1123: 1 to 63 of a-z, 0-9 and -, not first or last a -.
pub(crate) fn dns_label(field: &str, label: &str) -> Check {
    let allowed =
        label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if allowed && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') {
        return Ok(());
    }
    let next_step = "write 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit";
    refuse(field, format!("{label:?} is not a DNS label"), next_step)
}

fn unique_ids<'a>(list: &str, ids: impl Iterator<Item = &'a str>) -> Check {
    let mut seen = BTreeSet::new();
    for (i, id) in ids.enumerate() {
        dns_label(&format!("{list}[{i}].id"), id)?;
        if !seen.insert(id) {
            return refuse(
                format!("{list}[{i}].id"),
                format!("{id:?} is used twice"),
                "give each an id of its own",
            );
        }
    }
    Ok(())
}

fn polygon(field: &str, points: &[Point]) -> Check {
    if points.len() < 3 {
        let reason = format!("has {} points", points.len());
        return refuse(field, reason, "give at least three");
    }
    if points.len() > MAX_POINTS {
        let reason = format!("has {} points", points.len());
        return refuse(field, reason, format!("give at most {MAX_POINTS}"));
    }
    points.iter().enumerate().try_for_each(|(i, point)| inside_frame(&format!("{field}[{i}]"), *point))?;
    let count = points.len();
    if let Some(i) = (0..count).find(|i| points[*i] == points[(i + 1) % count]) {
        let (x, y) = (points[i].x, points[i].y);
        return refuse(
            format!("{field}[{}]", (i + 1) % count),
            format!("[{x}, {y}] repeats the point before it"),
            "give each corner once; the last is joined to the first by itself",
        );
    }
    match crossing(points) {
        None => Ok(()),
        Some((a, b)) => refuse(
            field,
            format!("crosses itself: the edges from point {a} and from point {b} meet"),
            "give the corners in order around the area; where it is two areas, make two",
        ),
    }
}

fn inside_frame(field: &str, point: Point) -> Check {
    if (0.0..=1.0).contains(&point.x) && (0.0..=1.0).contains(&point.y) {
        return Ok(());
    }
    let reason = format!("[{}, {}] lies outside the frame", point.x, point.y);
    refuse(field, reason, "give fractions of the frame, 0 to 1, not pixels")
}

/// No two names twice, none without a letter.
fn class_names(field: &str, names: &[String]) -> Check {
    let mut seen = BTreeSet::new();
    for (i, name) in names.iter().enumerate() {
        if name.trim().is_empty() {
            return refuse(format!("{field}[{i}]"), "is empty", "give the name of a class, or leave it out");
        }
        short(&format!("{field}[{i}]"), name, MAX_NAME)?;
        if !seen.insert(name) {
            return refuse(
                format!("{field}[{i}]"),
                format!("{name:?} is there twice"),
                "name each class once",
            );
        }
    }
    Ok(())
}

pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Check {
    if labels.len() > MAX_LABELS {
        let reason = format!("{} are too many", labels.len());
        return refuse("labels", reason, format!("give at most {MAX_LABELS}"));
    }
    for (name, value) in labels {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if name.is_empty() || name.len() > 63 || !name.chars().all(legal) {
            return refuse(
                "labels",
                format!("{name:?} is no name of a label"),
                "write 1 to 63 of a-z, A-Z, 0-9 and - _ . /",
            );
        }
        short(&format!("labels.{name}"), value, MAX_NAME)?;
    }
    Ok(())
}

fn check_credentials(credentials: Option<&Credentials>) -> Check {
    match credentials {
        Some(Credentials::Secret { secret }) => {
            // It becomes a file's name.
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            if secret.len() <= 253
                && secret.chars().all(legal)
                && secret.starts_with(ends)
                && secret.ends_with(ends)
            {
                return Ok(());
            }
            let next_step =
                "write 1 to 253 of a-z, 0-9, - and ., beginning and ending with a letter or digit";
            refuse("credentials.secret", format!("{secret:?} is no name of a secret"), next_step)
        }
        Some(Credentials::Inline(inline))
            if inline.user.len() > MAX_NAME || inline.password.len() > MAX_NAME =>
        {
            refuse("credentials", format!("user or password is longer than {MAX_NAME} bytes"), "shorten it")
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn short(field: &str, text: &str, most: usize) -> Check {
    if text.len() <= most {
        return Ok(());
    }
    refuse(field, format!("is {} bytes long", text.len()), format!("write at most {most}"))
}

fn fraction(field: &str, value: f32) -> Check {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    refuse(field, format!("{value} is not within 0 to 1"), "give a fraction such as 0.25")
}
