//! The topics: made, compared with what they should be, required.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};
use sightline_schema::TopicSpec;

use super::config::KafkaSettings;
use super::fault::{FaultKind, KafkaFault};
use super::link::{Link, LinkState};
use super::producer::Context;

/// For one question to a broker that answers.
const REQUEST: Duration = Duration::from_secs(30);
/// How long a question for metadata waits before the error callback is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What a broker says about its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub brokers: usize,
    /// Only what this user may see.
    pub topics: BTreeMap<String, Size>,
}

/// How large a topic is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub partitions: i32,
    /// Of the partition with the fewest.
    pub copies: i32,
}

/// A topic that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Missing {
        topic: String,
    },
    /// Partitions are set once: growing them would move keys.
    Partitions {
        topic: String,
        wanted: i32,
        found: i32,
    },
    /// Fewer than wanted. More are nobody's loss.
    Copies {
        topic: String,
        wanted: i32,
        found: i32,
    },
    Config {
        topic: String,
        key: &'static str,
        wanted: String,
        found: Option<String>,
    },
}

impl Difference {
    /// Whether `apply` sees to it.
    pub const fn can_be_applied(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Config { .. })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing { topic } => write!(f, "topic {topic} does not exist"),
            Difference::Partitions { topic, wanted, found } => {
                write!(
                    f,
                    "topic {topic} has {found} partitions, not {wanted}; they can't be changed without "
                )?;
                f.write_str(
                    "moving cameras to other partitions: delete and make it anew, or say --partitions",
                )
            }
            Difference::Copies { topic, wanted, found } => write!(
                f,
                "topic {topic} has {found} of {wanted} copies; give it more with Kafka's kafka-reassign-partitions, or say --replication"
            ),
            Difference::Config { topic, key, wanted, found } => {
                let found = found.as_deref().unwrap_or("nothing");
                write!(f, "topic {topic} has {key}={found}, not {wanted}")
            }
        }
    }
}

/// What `apply` did to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Created { topic: String, partitions: i32 },
    Altered { topic: String, key: &'static str, from: Option<String>, to: String },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Created { topic, partitions } => {
                write!(f, "made topic {topic} with {partitions} partitions")
            }
            Change::Altered { topic, key, from, to } => {
                let from = from.as_deref().unwrap_or("nothing");
                write!(f, "set {key} of topic {topic} from {from} to {to}")
            }
        }
    }
}

/// What `apply` did, and what it left as it was because it can't be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub done: Vec<Change>,
    pub left: Vec<Difference>,
}

/// Asks for brokers and topics; waits up to `timeout` for one that answers. A refused login or TLS ends it at once.
pub fn cluster(settings: &KafkaSettings, timeout: Duration) -> Result<Cluster, KafkaFault> {
    let link = Link::new(settings.bootstrap());
    let client: BaseProducer<Context> = settings
        .client_config()
        .create_with_context(Context::new(link.clone()))
        .map_err(|error| KafkaFault::of_client(&error))?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Ok(metadata) = client.client().fetch_metadata(None, left.min(LOOK)) {
            let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
            let size = |topic: &rdkafka::metadata::MetadataTopic| {
                let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
                let partitions = number(topic.partitions().len());
                (topic.name().to_owned(), Size { partitions, copies: number(copies.unwrap_or(0)) })
            };
            return Ok(Cluster {
                brokers: metadata.brokers().len(),
                topics: metadata.topics().iter().map(size).collect(),
            });
        }
        client.poll(Duration::from_millis(10));
        match link.state() {
            LinkState::Down(fault) if left.is_zero() || fault.kind != FaultKind::Unreachable => {
                return Err(fault);
            }
            _ if left.is_zero() => link.silent(),
            _ => {}
        }
    }
}

/// Makes the topics that are missing, with `replication` copies (−1: the broker's own default), and sets settings
/// that differ. Partitions of what is there stay. Doing it twice does nothing more.
pub fn apply(
    settings: &KafkaSettings,
    wanted: &[TopicSpec],
    replication: i32,
    timeout: Duration,
) -> Result<Report, KafkaFault> {
    let found = cluster(settings, timeout)?;
    let admin = Admin::new(settings)?;
    let mut report = Report::default();

    let (present, missing): (Vec<&TopicSpec>, Vec<&TopicSpec>) =
        wanted.iter().partition(|spec| found.topics.contains_key(&spec.name));
    if !missing.is_empty() {
        for (spec, is_new) in admin.create(&missing, replication, found.brokers)? {
            if is_new {
                report.done.push(Change::Created { topic: spec.name.clone(), partitions: spec.partitions });
            }
        }
    }
    for difference in admin.differences(&present, replication, &found)? {
        match difference {
            Difference::Config { topic, key, wanted, found } => {
                report.done.push(Change::Altered { topic, key, from: found, to: wanted });
            }
            other => report.left.push(other),
        }
    }
    let altered: Vec<&TopicSpec> = present
        .into_iter()
        .filter(|spec| {
            report
                .done
                .iter()
                .any(|done| matches!(done, Change::Altered { topic, .. } if *topic == spec.name))
        })
        .collect();
    admin.alter(&altered)?;
    Ok(report)
}

/// What differs; changes nothing. Empty when all is as it should be.
pub fn check(
    settings: &KafkaSettings,
    wanted: &[TopicSpec],
    replication: i32,
    timeout: Duration,
) -> Result<Vec<Difference>, KafkaFault> {
    let found = cluster(settings, timeout)?;
    let (present, missing): (Vec<&TopicSpec>, Vec<&TopicSpec>) =
        wanted.iter().partition(|spec| found.topics.contains_key(&spec.name));
    let missing = missing.into_iter().map(|spec| Difference::Missing { topic: spec.name.clone() });
    let mut differences: Vec<Difference> = missing.collect();
    if !present.is_empty() {
        differences.extend(Admin::new(settings)?.differences(&present, replication, &found)?);
    }
    Ok(differences)
}

/// A pipeline's question at start: are these topics there? A missing one is `FaultKind::UnknownTopic` with the command
/// that makes it; another kind says why the question was not answered.
pub fn require(settings: &KafkaSettings, topics: &[&str], timeout: Duration) -> Result<(), KafkaFault> {
    let found = cluster(settings, timeout)?;
    let missing: Vec<&str> =
        topics.iter().copied().filter(|topic| !found.topics.contains_key(*topic)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (noun, verb, it) =
        if missing.len() == 1 { ("topic", "does", "it") } else { ("topics", "do", "them") };
    let sentence = format!(
        "{noun} {} {verb} not exist at {} (or this user may not see {it}); make {it} with: sightline topics apply {}",
        missing.join(", "),
        settings.bootstrap(),
        settings.flags()
    );
    Err(KafkaFault::new(FaultKind::UnknownTopic, sentence))
}

/// The admin client with its futures waited for.
struct Admin<'a> {
    settings: &'a KafkaSettings,
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
    options: AdminOptions,
}

impl<'a> Admin<'a> {
    fn new(settings: &'a KafkaSettings) -> Result<Self, KafkaFault> {
        let client = settings.client_config().create().map_err(|error| KafkaFault::of_client(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| KafkaFault::new(FaultKind::Other, format!("cannot wait for Kafka: {error}")))?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        Ok(Self { settings, client, runtime, options })
    }

    fn wait<T>(&self, asked: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaFault> {
        self.runtime.block_on(asked).map_err(|error| match &error {
            KafkaError::AdminOp(code) => KafkaFault::of_link(*code, "", self.settings.bootstrap()),
            other => {
                KafkaFault::new(FaultKind::Other, format!("Kafka at {}: {other}", self.settings.bootstrap()))
            }
        })
    }

    /// Each with whether it was made; false when somebody else made it meanwhile.
    fn create<'s>(
        &self,
        specs: &[&'s TopicSpec],
        replication: i32,
        brokers: usize,
    ) -> Result<Vec<(&'s TopicSpec, bool)>, KafkaFault> {
        let new_topic = |spec: &&'s TopicSpec| {
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(replication));
            spec.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        };
        let topics: Vec<NewTopic<'_>> = specs.iter().map(new_topic).collect();
        let results = self.wait(self.client.create_topics(&topics, &self.options))?;
        let mut made = Vec::new();
        for (spec, result) in specs.iter().zip(results) {
            match result {
                Ok(_) => made.push((*spec, true)),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => made.push((*spec, false)),
                Err((topic, RDKafkaErrorCode::InvalidReplicationFactor)) => {
                    let sentence = format!(
                        "cannot make topic {topic} with {replication} copies: {brokers} brokers answer; \
                         give another --replication"
                    );
                    return Err(KafkaFault::new(FaultKind::Other, sentence));
                }
                Err((topic, code)) => return Err(refused("make", &topic, code)),
            }
        }
        Ok(made)
    }

    fn differences(
        &self,
        specs: &[&TopicSpec],
        replication: i32,
        found: &Cluster,
    ) -> Result<Vec<Difference>, KafkaFault> {
        let mut differences = Vec::new();
        for (spec, entries) in specs.iter().zip(self.describe(specs)?) {
            let topic = &spec.name;
            let Some(size) = found.topics.get(topic) else { continue };
            if size.partitions != spec.partitions {
                let (topic, wanted) = (topic.clone(), spec.partitions);
                differences.push(Difference::Partitions { topic, wanted, found: size.partitions });
            }
            if size.copies < replication {
                let (topic, wanted) = (topic.clone(), replication);
                differences.push(Difference::Copies { topic, wanted, found: size.copies });
            }
            for (key, wanted) in &spec.config {
                let value =
                    entries.iter().find(|entry| entry.name == *key).and_then(|entry| entry.value.clone());
                if value.as_ref() != Some(wanted) {
                    let (topic, wanted) = (topic.clone(), wanted.clone());
                    differences.push(Difference::Config { topic, key, wanted, found: value });
                }
            }
        }
        Ok(differences)
    }

    /// All settings of each topic, in the order asked.
    fn describe(&self, specs: &[&TopicSpec]) -> Result<Vec<Vec<ConfigEntry>>, KafkaFault> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let resources: Vec<_> = specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
        let results = self.wait(self.client.describe_configs(&resources, &self.options))?;
        let entries =
            |(spec, result): (&&TopicSpec, Result<rdkafka::admin::ConfigResource, RDKafkaErrorCode>)| {
                result
                    .map(|resource| resource.entries)
                    .map_err(|code| refused("read the settings of", &spec.name, code))
            };
        specs.iter().zip(results).map(entries).collect()
    }

    /// Kafka's AlterConfigs replaces a topic's own settings as a whole, so those that are not ours go with them.
    fn alter(&self, specs: &[&TopicSpec]) -> Result<(), KafkaFault> {
        if specs.is_empty() {
            return Ok(());
        }
        let current = self.describe(specs)?;
        let alter = |(spec, entries): (&&'_ TopicSpec, &'_ Vec<ConfigEntry>)| {
            let mut config: BTreeMap<String, String> = entries
                .iter()
                .filter(|entry| entry.source == ConfigSource::DynamicTopic)
                .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
                .collect();
            config.extend(spec.config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            (spec.name.clone(), config)
        };
        let wanted: Vec<(String, BTreeMap<String, String>)> = specs.iter().zip(&current).map(alter).collect();
        let requests: Vec<AlterConfig<'_>> = wanted
            .iter()
            .map(|(topic, config)| {
                let request = AlterConfig::new(ResourceSpecifier::Topic(topic));
                config.iter().fold(request, |request, (key, value)| request.set(key, value))
            })
            .collect();
        let results = self.wait(self.client.alter_configs(&requests, &self.options))?;
        for (spec, result) in specs.iter().zip(results) {
            result.map_err(|(_, code)| refused("change", &spec.name, code))?;
        }
        Ok(())
    }
}

fn refused(verb: &str, topic: &str, code: RDKafkaErrorCode) -> KafkaFault {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            KafkaFault::new(FaultKind::NotAuthorized, format!("this user may not {verb} topic {topic}"))
        }
        _ => KafkaFault::new(FaultKind::Other, format!("cannot {verb} topic {topic}: {code}")),
    }
}
