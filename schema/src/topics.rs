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

impl TopicSpec {
    /// Of a topic with so many copies: a write is acknowledged once all but one have it, so that one broker may be away and
    /// nothing that was acknowledged is lost with another. With one copy or two that would stop all writes. −1, the
    /// broker's own number, leaves it to the broker.
    #[must_use]
    pub fn with_copies(mut self, copies: i32) -> Self {
        if copies > 0 {
            let in_sync = if copies >= 3 { copies - 1 } else { 1 };
            self.config.push(("min.insync.replicas", in_sync.to_string()));
        }
        self
    }
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

    /// `camera/1`, or a tombstone.
    pub fn cameras(&self) -> String {
        format!("{}cameras", self.prefix)
    }

    /// `placement/1`.
    pub fn placements(&self) -> String {
        format!("{}placements", self.prefix)
    }

    /// Never holds a record: its partitions are the slots of a pool.
    pub fn slots(&self, pool: &str) -> String {
        format!("{}slots.{pool}", self.prefix)
    }

    /// `pod/1`.
    pub fn pods(&self) -> String {
        format!("{}pods", self.prefix)
    }

    /// `audit/1`.
    pub fn audit(&self) -> String {
        format!("{}audit", self.prefix)
    }

    /// What could not be read, as it came.
    pub fn dead_letter(&self) -> String {
        format!("{}dead-letter", self.prefix)
    }

    /// The consumer group that shares the slots of a pool.
    pub fn pipeline_group(&self, pool: &str) -> String {
        format!("{}sightline-pipeline-{pool}", self.prefix)
    }

    /// The transactional id by which a pod writes its claims.
    pub fn pod_writer(&self, pod: &str) -> String {
        format!("{}pod-{pod}", self.prefix)
    }

    /// `frame/1 spec/1 stream/1 gap/1 tick/1`, in order per camera.
    pub fn detections(&self) -> String {
        format!("{}detections", self.prefix)
    }

    /// `status/1`, the latest per camera.
    pub fn camera_status(&self) -> String {
        format!("{}camera-status", self.prefix)
    }

    /// `event/1`.
    pub fn events(&self) -> String {
        format!("{}events", self.prefix)
    }

    /// `checkpoint/1`. It has as many partitions as `detections`.
    pub fn checkpoints(&self) -> String {
        format!("{}checkpoints", self.prefix)
    }

    /// `job/1`: the queue of a pool. Never written in a transaction: its markers would read as lag for ever.
    pub fn jobs(&self, pool: &str) -> String {
        format!("{}jobs.{pool}", self.prefix)
    }

    /// `job-status/1`, the latest per job, and `job-cancel/1`.
    pub fn job_status(&self) -> String {
        format!("{}job-status", self.prefix)
    }

    /// The consumer group of a pool's workers.
    pub fn jobs_group(&self, pool: &str) -> String {
        format!("{}sightline-jobs-{pool}", self.prefix)
    }

    /// The transactional id by which one process works off jobs.
    pub fn worker_writer(&self, process: &str) -> String {
        format!("{}worker-{process}", self.prefix)
    }

    /// The transactional id by which bases are written.
    pub fn base_writer(&self) -> String {
        format!("{}base", self.prefix)
    }

    /// The consumer group of a consumer: `events`, `store-events`, `store-rollups`, `alerts`, `archive-events`…
    pub fn consumer_group(&self, consumer: &str) -> String {
        format!("{}sightline-{consumer}", self.prefix)
    }

    /// The transactional id by which one process of a consumer writes its checkpoints.
    pub fn consumer_writer(&self, consumer: &str, process: &str) -> String {
        format!("{}{consumer}-{process}", self.prefix)
    }

    /// All topics, as `topics apply` makes them, for pipelines and workers of these pools.
    pub fn wanted(&self, partitions: i32, pools: &[&str]) -> Vec<TopicSpec> {
        let compacted =
            |name| TopicSpec { name, partitions, config: vec![("cleanup.policy", "compact".into())] };
        let kept = |name, partitions, days: u64| TopicSpec {
            name,
            partitions,
            config: vec![("cleanup.policy", "delete".into()), ("retention.ms", (days * DAY_MS).to_string())],
        };
        let mut topics = vec![
            compacted(self.cameras()),
            compacted(self.placements()),
            compacted(self.pods()),
            compacted(self.camera_status()),
            compacted(self.job_status()),
            compacted(self.checkpoints()),
            kept(self.events(), partitions, 7),
            kept(self.detections(), partitions, 1),
            kept(self.audit(), 1, 90),
            kept(self.dead_letter(), 1, 14),
        ];
        topics.extend(pools.iter().map(|pool| kept(self.slots(pool), partitions, 1)));
        topics.extend(pools.iter().map(|pool| kept(self.jobs(pool), partitions, 7)));
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_goes_before_every_name() {
        let names = |topics: &Topics| {
            topics.wanted(4, &["default"]).into_iter().map(|topic| topic.name).collect::<Vec<_>>().join(" ")
        };
        let bare = "cameras placements pods camera-status job-status checkpoints events detections audit dead-letter \
                    slots.default jobs.default";
        assert_eq!(names(&Topics::new("")), bare);
        let prefixed: Vec<_> = bare.split(' ').map(|name| format!("sightline.{name}")).collect();
        assert_eq!(names(&Topics::default()), prefixed.join(" "));
        assert_eq!(Topics::new("a.").pipeline_group("gpu"), "a.sightline-pipeline-gpu");
        assert_eq!(Topics::new("a.").jobs_group("gpu"), "a.sightline-jobs-gpu");
    }

    #[test]
    fn detections_stay_a_day_and_statuses_for_ever() {
        let wanted = Topics::default().wanted(DEFAULT_PARTITIONS, &["default"]);
        let of = |name: String| wanted.iter().find(|topic| topic.name == name).cloned();
        let topics = Topics::default();
        let detections = of(topics.detections()).map(|topic| (topic.partitions, topic.config));
        let day = vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", "86400000".to_owned())];
        assert_eq!(detections, Some((48, day)));
        let status = of(topics.camera_status()).map(|topic| topic.config);
        assert_eq!(status, Some(vec![("cleanup.policy", "compact".to_owned())]));
    }
}
