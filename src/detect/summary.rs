//! What is said at the end of an input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sightline_pipeline::cpu::{CpuTime, StageTime};
use sightline_pipeline::lane::{DetectTimes, Tracked};
use sightline_schema::{FrameResult, SkipReason, Skipped, Timestamp, TrackState, VideoFacts};

pub(crate) type Shared = Arc<Mutex<Tally>>;

/// Counts of one input.
#[derive(Debug)]
pub(crate) struct Tally {
    frames: u64,
    labels: BTreeMap<String, u64>,
    tracks: BTreeMap<String, BTreeSet<u64>>,
    skipped: Skipped,
    times: DetectTimes,
    track: StageTime,
    video: Option<VideoFacts>,
    end: (Timestamp, Skipped),
    drawing_error: Option<String>,
    interrupted: bool,
}

impl Tally {
    pub(crate) fn shared() -> Shared {
        let zero = Timestamp::from_micros(0);
        Arc::new(Mutex::new(Self {
            frames: 0,
            labels: BTreeMap::new(),
            tracks: BTreeMap::new(),
            skipped: Skipped::default(),
            times: DetectTimes::default(),
            track: StageTime::default(),
            video: None,
            end: (zero, Skipped::default()),
            drawing_error: None,
            interrupted: false,
        }))
    }

    pub(crate) fn frame(&mut self, tracked: &Tracked<'_>, result: &FrameResult) {
        self.frames += 1;
        self.skipped.merge(&tracked.skipped);
        self.times.letterbox += tracked.times.letterbox;
        self.times.session += tracked.times.session;
        self.times.head += tracked.times.head;
        self.track += tracked.track;
        for detection in &result.detections {
            *self.labels.entry(detection.label.clone()).or_default() += 1;
            if let Some(track) = detection.track.filter(|track| track.state == TrackState::Confirmed) {
                self.tracks.entry(detection.label.clone()).or_default().insert(track.id);
            }
        }
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn video(&mut self, video: VideoFacts) {
        self.video = Some(video);
    }

    /// What came after the last frame that was handed on.
    pub(crate) fn tail(&mut self, at: Timestamp, skipped: Skipped) {
        self.end = (at, skipped);
    }

    pub(crate) fn end(&self) -> (Timestamp, Skipped) {
        self.end
    }

    pub(crate) fn ended(&mut self, skipped: Skipped) {
        self.skipped.merge(&skipped);
    }

    /// A signal ended it early: what was made of it so far is not kept.
    pub(crate) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    pub(crate) fn drawing_failed(&mut self, error: String) {
        self.drawing_error = Some(error);
    }

    pub(crate) fn has_drawing_error(&self) -> bool {
        self.drawing_error.is_some()
    }

    pub(crate) fn take_drawing_error(&mut self) -> Option<String> {
        self.drawing_error.take()
    }

    /// The lines for a person. `cpu` is what the whole process took meanwhile.
    pub(crate) fn summary(&self, name: &str, picture: bool, wall: Duration, cpu: CpuTime) -> String {
        let short = name.rsplit('/').next().unwrap_or(name);
        if picture {
            return format!("{short}: {}", counts(self.labels.iter().map(|(label, n)| (label, *n))));
        }
        let frames = self.frames.max(1) as f64;
        let detect = self.times.total();
        let ms = |time: StageTime| time.cpu.as_millis() / frames;
        // What is neither detecting nor tracking is decoding, give or take the writing of results.
        let decode = (cpu - detect.cpu - self.track.cpu).as_millis() / frames;
        let seen = if self.tracks.is_empty() {
            counts(self.labels.iter().map(|(label, n)| (label, *n)))
        } else {
            let by_label = self.tracks.iter().map(|(label, ids)| (label, ids.len() as u64));
            let all = self.tracks.values().map(BTreeSet::len).sum::<usize>() as u64;
            format!("{} ({all} {})", counts(by_label), plural("track", all))
        };
        let video = self
            .video
            .as_ref()
            .map_or(String::new(), |video| format!(" {}x{} {}", video.width, video.height, video.codec));
        let mut text = format!(
            "{short}: {seen}\n  {} frames{video}, {:.1} fps; decode {:.1} ms, detect {:.1} ms, track {:.2} ms a frame",
            self.frames,
            self.frames as f64 / wall.as_secs_f64().max(1e-9),
            decode.max(0.0),
            ms(detect),
            ms(self.track),
        );
        let skipped: Vec<_> = SkipReason::ALL
            .into_iter()
            .filter(|reason| self.skipped.get(*reason) > 0)
            .map(|reason| format!("{} {reason}", self.skipped.get(reason)))
            .collect();
        if !skipped.is_empty() {
            text.push_str(&format!("\n  skipped: {}", skipped.join(", ")));
        }
        text
    }
}

/// "4 persons, 1 bus"; most first.
fn counts<'a>(counts: impl Iterator<Item = (&'a String, u64)>) -> String {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    if counts.is_empty() {
        return "nothing detected".to_owned();
    }
    counts.iter().map(|(label, n)| format!("{n} {}", plural(label, *n))).collect::<Vec<_>>().join(", ")
}

/// English, regular: class names are.
fn plural(label: &str, n: u64) -> String {
    if n == 1 {
        return label.to_owned();
    }
    let ends = |suffix: &str| label.ends_with(suffix);
    if ends("s") || ends("x") || ends("ch") || ends("sh") {
        return format!("{label}es");
    }
    match label.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{label}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_people_say_them() {
        let labels =
            [("bus", 1), ("person", 4), ("bench", 2), ("teddy bear", 1)].map(|(l, n)| (l.to_owned(), n));
        let text = counts(labels.iter().map(|(label, n)| (label, *n)));
        assert_eq!(text, "4 persons, 2 benches, 1 bus, 1 teddy bear");
        assert_eq!(counts(std::iter::empty()), "nothing detected");
    }
}
