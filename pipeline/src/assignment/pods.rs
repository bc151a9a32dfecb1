//! Says what this pod is and holds, every 5 s.

use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Pod, Timestamp};
use sightline_service::kafka::Held;

use super::AssignmentOptions;
use super::runs::Runs;
use crate::detect::Model;
use crate::publish::Publisher;
use crate::run::Runner;

const EVERY: Duration = Duration::from_secs(5);
/// A change is said sooner, but not at every step of it.
const SOON: Duration = Duration::from_millis(500);

pub(super) struct PodVoice {
    publisher: Publisher,
    topic: String,
    pod: Pod,
    said: Option<Instant>,
}

impl PodVoice {
    pub(super) fn new(options: &AssignmentOptions, runner: &Runner, model: &Model) -> Self {
        let pod = Pod {
            pod: runner.options.pod.clone(),
            instance: format!("{:08x}", rand::random::<u32>()),
            pool: options.pool.clone(),
            slots: Vec::new(),
            device: model.device().to_string(),
            capacity_fps: options.capacity_fps,
            wanted_fps: 0.0,
            cameras: 0,
            version: options.version.clone(),
            since: Timestamp::from_system_time(SystemTime::now()),
            model: model.facts(),
        };
        Self { publisher: runner.publisher.clone(), topic: options.topics.pods(), pod, said: None }
    }

    pub(super) fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Says it when it is time, or when something changed.
    pub(super) fn say(&mut self, held: &Held, runs: &Runs, now: Instant) {
        let slots: Vec<u32> = held.slots.iter().copied().collect();
        let (cameras, wanted_fps) = runs.load();
        let is_changed =
            slots != self.pod.slots || cameras != self.pod.cameras || wanted_fps != self.pod.wanted_fps;
        let wait = if is_changed { SOON } else { EVERY };
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < wait) {
            return;
        }
        self.said = Some(now);
        self.pod.slots = slots;
        self.pod.cameras = cameras;
        self.pod.wanted_fps = wanted_fps;
        self.publisher.pod(&self.topic, &self.pod.pod, Some(&self.pod));
    }

    /// It takes no more, and its cameras go to others.
    pub(super) fn say_leaving(&mut self, runs: &Runs) {
        let (cameras, wanted_fps) = runs.load();
        (self.pod.slots, self.pod.cameras, self.pod.wanted_fps) = (Vec::new(), cameras, wanted_fps);
        self.publisher.pod(&self.topic, &self.pod.pod, Some(&self.pod));
    }

    /// A clean end.
    pub(super) fn say_goodbye(&self) {
        self.publisher.pod(&self.topic, &self.pod.pod, None);
    }
}
