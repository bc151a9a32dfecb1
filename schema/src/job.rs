//! `job/1`: a recorded file that is to be worked off once, and what is looked for in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::camera::validate::{Check, Finding, MAX_URI, Sight, check_labels, dns_label, refuse, short};
use crate::camera::{default_pool, dns_label as dns_label_schema};
use crate::message::message;
use crate::{
    Anchor, Camera, DetectSettings, Line, Mask, Play, Sampling, StreamSpec, Timestamp, Zone,
    split_credentials,
};

/// What is looked for in a file: of a camera's settings those that a recording has, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobSpec {
    /// Which frames are worth detecting.
    pub sampling: Sampling,
    pub detect: DetectSettings,
    /// A detection whose anchor lies in one is dropped before the tracker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Mask>,
    /// Blacked out in every picture that leaves the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub privacy: Vec<Mask>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<Zone>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// The point of a box that counts in masks, zones and lines.
    pub anchor: Anchor,
}

/// A record of `jobs.<pool>`: one attempt at a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "job/1")]
#[schemars(rename = "Job")]
pub struct Job {
    /// `job-` and 20 hexadecimal digits, of the uri and the settings: the same file with the same settings is one job.
    #[schemars(schema_with = "dns_label_schema")]
    pub id: String,
    /// `file:`, `https://…`, `s3://…`, `gs://…` or `az://…`; without user and password.
    pub uri: String,
    #[serde(default = "default_pool")]
    #[schemars(schema_with = "dns_label_schema")]
    pub pool: String,
    /// When its first picture was taken: each attempt gives `captured_at` = `start` + pts.
    pub start: Timestamp,
    #[serde(default, skip_serializing_if = "JobSpec::is_default")]
    pub spec: JobSpec,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Counted from 1.
    #[serde(default = "first_attempt")]
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// Nobody takes it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}
message!(Job, "job/1", id);

/// A job that can't be taken as it is written: which field, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {reason}; {next_step}")]
pub struct JobError {
    /// As written: `spec.zones[1].polygon`.
    pub field: String,
    pub reason: String,
    pub next_step: String,
}

impl JobSpec {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The part of a camera's settings that a recording has, too.
    pub fn of_camera(camera: &Camera) -> Self {
        let Camera { sampling, detect, masks, privacy, zones, lines, anchor, .. } = camera.clone();
        Self { sampling, detect, masks, privacy, zones, lines, anchor }
    }

    /// Whether it can be used. The first finding is returned; its field begins at the spec: `zones[1].polygon`.
    pub fn validate(&self) -> Result<(), JobError> {
        self.check().map_err(JobError::of)
    }

    fn check(&self) -> Check {
        let Self { sampling, detect, masks, privacy, zones, lines, .. } = self;
        Sight { sampling: *sampling, detect, masks, privacy, zones, lines }.check()
    }
}

impl Job {
    /// What the id of every job begins with. No camera's does.
    pub const PREFIX: &'static str = "job-";

    /// The id of the job for a file with these settings. `start` where a person gave it: one that was guessed is no setting.
    pub fn id_of(
        uri: &str,
        pool: &str,
        start: Option<Timestamp>,
        spec: &JobSpec,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Settings<'a> {
            uri: &'a str,
            pool: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            start: Option<Timestamp>,
            #[serde(skip_serializing_if = "JobSpec::is_default")]
            spec: &'a JobSpec,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            labels: &'a BTreeMap<String, String>,
        }
        let settings = serde_json::to_vec(&Settings { uri, pool, start, spec, labels })?;
        let mut id = Self::PREFIX.to_owned();
        for byte in &Sha256::digest(settings)[..10] {
            // Writing to a text can't fail.
            let _ = write!(id, "{byte:02x}");
        }
        Ok(id)
    }

    /// Whether an id, where a camera's stands, is a job's.
    pub fn is_id(id: &str) -> bool {
        id.starts_with(Self::PREFIX)
    }

    /// Whether it can be taken. The first finding is returned.
    pub fn validate(&self) -> Result<(), JobError> {
        self.check().map_err(JobError::of)
    }

    fn check(&self) -> Check {
        dns_label("id", &self.id)?;
        if !Self::is_id(&self.id) {
            let reason = format!("{:?} does not begin with {}", self.id, Self::PREFIX);
            return refuse("id", reason, "so that no camera has it; add the job by sightline job add");
        }
        dns_label("pool", &self.pool)?;
        if self.uri.trim().is_empty() {
            return refuse("uri", "is empty", "give file:, https://, s3://, gs:// or az://");
        }
        short("uri", &self.uri, MAX_URI)?;
        if self.uri.chars().any(char::is_control) {
            return refuse("uri", "holds control characters", "write it on one line");
        }
        if split_credentials(&self.uri).1.is_some() {
            return refuse(
                "uri",
                "holds a user or password",
                "give workers access by their own identity, or a link that needs none",
            );
        }
        check_labels(&self.labels)?;
        if self.attempt == 0 {
            return refuse("attempt", "is 0", "count from 1");
        }
        self.spec.check().map_err(|finding| Finding { field: format!("spec.{}", finding.field), ..finding })
    }

    /// The file as a pipeline runs it: a camera that is read once.
    pub fn camera(&self) -> Camera {
        let JobSpec { sampling, detect, masks, privacy, zones, lines, anchor } = self.spec.clone();
        let stream = StreamSpec { play: Some(Play::Once), ..StreamSpec::detect(&self.uri) };
        Camera {
            streams: vec![stream],
            sampling,
            detect,
            masks,
            privacy,
            zones,
            lines,
            anchor,
            pool: self.pool.clone(),
            labels: self.labels.clone(),
            ..Camera::new(&self.id, "")
        }
    }
}

impl JobError {
    fn of(finding: Finding) -> Self {
        let Finding { field, reason, next_step } = finding;
        Self { field, reason, next_step }
    }
}

fn first_attempt() -> u32 {
    1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Point;

    fn job(uri: &str) -> Job {
        Job {
            id: Job::id_of(uri, "default", None, &JobSpec::default(), &BTreeMap::new()).unwrap(),
            uri: uri.to_owned(),
            pool: default_pool(),
            start: Timestamp::from_micros(0),
            spec: JobSpec::default(),
            labels: BTreeMap::new(),
            attempt: 1,
            not_before: None,
        }
    }

    #[test]
    fn the_same_file_with_the_same_settings_is_one_job() {
        let labels = BTreeMap::from([("site".to_owned(), "hq".to_owned())]);
        let spec = JobSpec { sampling: Sampling::Fps { fps: 5.0 }, ..JobSpec::default() };
        let start = Some(Timestamp::from_micros(1_000));
        let of = |uri, pool, start, spec, labels| Job::id_of(uri, pool, start, spec, labels).unwrap();
        let (bare, none) = (JobSpec::default(), BTreeMap::new());
        let ids = [
            of("s3://a/b.mp4", "default", None, &bare, &none),
            of("s3://a/c.mp4", "default", None, &bare, &none),
            of("s3://a/b.mp4", "night", None, &bare, &none),
            of("s3://a/b.mp4", "default", start, &bare, &none),
            of("s3://a/b.mp4", "default", None, &spec, &none),
            of("s3://a/b.mp4", "default", None, &bare, &labels),
        ];
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(id.len(), 24, "{id}");
            assert!(Job::is_id(id) && !ids[..i].contains(id), "{id}");
        }
        // It may never change: what was added before an upgrade is the same job after it.
        assert_eq!(ids[0], "job-f0494dbe8b69279fe14a");
        assert_eq!(of("s3://a/b.mp4", "default", None, &JobSpec::default(), &none), ids[0]);
    }

    #[test]
    fn what_cannot_be_taken_names_the_field() {
        assert_eq!(job("s3://a/b.mp4").validate(), Ok(()));
        let line = Line {
            id: "door".into(),
            name: String::new(),
            from: Point { x: 0.5, y: 0.5 },
            to: Point { x: 5.0, y: 0.5 },
            classes: Vec::new(),
        };
        let cases = [
            ("id", Job { id: "gate-3".into(), ..job("a") }),
            ("id", Job { id: "job-A".into(), ..job("a") }),
            ("pool", Job { pool: String::new(), ..job("a") }),
            ("uri", job("")),
            ("uri", job("https://user:secret@host/a.mp4")),
            ("attempt", Job { attempt: 0, ..job("a") }),
            (
                "spec.lines[0].to",
                Job { spec: JobSpec { lines: vec![line], ..JobSpec::default() }, ..job("a") },
            ),
        ];
        for (field, bad) in cases {
            let error = bad.validate().unwrap_err();
            assert_eq!(error.field, field, "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_job_runs_as_a_camera_that_is_valid() {
        let camera = job("s3://a/b.mp4").camera();
        camera.validate().unwrap();
        assert_eq!(JobSpec::of_camera(&camera), JobSpec::default());
        assert_eq!(camera.streams[0].play, Some(Play::Once));
    }
}
