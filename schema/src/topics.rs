//! The topics: their names, partitions and settings.

/// It divides evenly by many replica counts. Partitions are set once: growing them would move keys.
pub const DEFAULT_PARTITIONS: i32 = 48;
/// On the embedded broker, for trying out.
pub const EMBEDDED_PARTITIONS: i32 = 4;
/// Goes before the name of every topic and consumer group.
pub const DEFAULT_PREFIX: &str = "sightline.";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Names the topics of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    /// Kafka's topic settings that differ from its defaults or that Sightline relies on.
    pub config: Vec<(&'static str, String)>,
}

impl Default for Topics {
    fn default() -> Self {
        Self::new(DEFAULT_PREFIX)
    }
}

impl Topics {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// `frame/1 spec/1 stream/1 tick/1`, in order per camera.
    pub fn detections(&self) -> String {
        format!("{}detections", self.prefix)
    }

    /// `status/1`, the latest per camera.
    pub fn camera_status(&self) -> String {
        format!("{}camera-status", self.prefix)
    }

    /// All topics, as `topics apply` makes them.
    pub fn wanted(&self, partitions: i32) -> Vec<TopicSpec> {
        vec![
            TopicSpec {
                name: self.detections(),
                partitions,
                config: vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", DAY_MS.to_string())],
            },
            TopicSpec {
                name: self.camera_status(),
                partitions,
                config: vec![("cleanup.policy", "compact".to_owned())],
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_goes_before_every_name() {
        let names =
            |topics: &Topics| topics.wanted(4).into_iter().map(|topic| topic.name).collect::<Vec<_>>();
        assert_eq!(names(&Topics::default()), ["sightline.detections", "sightline.camera-status"]);
        assert_eq!(names(&Topics::new("")), ["detections", "camera-status"]);
    }

    #[test]
    fn detections_stay_a_day_and_statuses_for_ever() {
        let [detections, status] = &Topics::default().wanted(DEFAULT_PARTITIONS)[..] else { unreachable!() };
        assert_eq!(detections.partitions, 48);
        assert!(detections.config.contains(&("retention.ms", "86400000".to_owned())));
        assert_eq!(status.config, [("cleanup.policy", "compact".to_owned())]);
    }
}
