//! Settings of every Kafka client: the user's librdkafka properties and Sightline's own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DefaultProducerContext};
use rdkafka::types::RDKafkaConfRes;

use super::properties::{Origin, Properties, parse_file, parse_variables};

/// What Sightline sets itself, in every name that librdkafka knows it by, and the values that agree with it. Anything
/// else in a properties file would break an order or a promise, so it is refused, not overwritten in silence.
const OWNED: [(&str, &[&str], &str); 18] = [
    ("acks", &["all", "-1"], "a result counts as published once all replicas in sync have it"),
    (
        "request.required.acks",
        &["all", "-1"],
        "a result counts as published once all replicas in sync have it",
    ),
    ("enable.idempotence", &["true"], "results arrive once and in order"),
    ("enable.gapless.guarantee", &[], "results arrive in order"),
    ("max.in.flight", &["5"], "results arrive in order"),
    ("max.in.flight.requests.per.connection", &["5"], "results arrive in order"),
    ("message.timeout.ms", &["0"], "the client never throws a result away"),
    ("delivery.timeout.ms", &["0"], "the client never throws a result away"),
    ("partitioner", &["murmur2_random"], "a camera's partition is the one that Java's clients compute"),
    ("linger.ms", &[], "it is 100, or 5 with --low-latency"),
    ("transactional.id", &[], "each writer has its own"),
    ("group.id", &[], "each consumer has its own"),
    ("group.instance.id", &[], "membership is dynamic"),
    ("group.protocol", &["classic"], "with the other protocol the broker sets the time-outs"),
    ("partition.assignment.strategy", &["cooperative-sticky"], "partitions that stay are not interrupted"),
    ("enable.auto.commit", &[], "offsets are committed after the work"),
    ("enable.auto.offset.store", &["false"], "offsets are stored after the work"),
    ("isolation.level", &[], "each reader needs its own"),
];

/// Parts of a property's name whose value is never shown.
const SECRET_SIGNS: [&str; 8] =
    ["password", "secret", "pem", "token", "credential", "jaas", "oauthbearer", "ssl.key"];

/// Where to find Kafka and how to talk to it. Debug shows no secret.
#[derive(Clone)]
pub struct KafkaSettings {
    bootstrap: String,
    file: Option<PathBuf>,
    properties: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaConfigError {
    #[error("{0:?} names no broker; give --kafka HOST:PORT, or several with commas between")]
    Bootstrap(String),
    #[error("cannot read the Kafka properties in {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("no Kafka property of the form key=value ({origin})")]
    NoKey { origin: Origin },
    #[error("the Kafka property {key:?} is given twice ({origin})")]
    Twice { key: String, origin: Origin },
    #[error("the Kafka property {key:?} is given both by its value and by {key}.file ({origin})")]
    ValueAndFile { key: String, origin: Origin },
    #[error("cannot read {} for the Kafka property {key:?} ({origin}): {source}", path.display())]
    ReadSecret { key: String, path: PathBuf, origin: Origin, source: std::io::Error },
    #[error("unknown Kafka property {key:?} ({origin}): {why}; the names are librdkafka's")]
    Unknown { key: String, origin: Origin, why: String },
    #[error("the Kafka property {key:?} has a value that can't be ({origin}): {why}")]
    Invalid { key: String, origin: Origin, why: String },
    #[error("the Kafka property {key:?} is Sightline's own ({origin}): {why}; take it out")]
    Owned { key: String, origin: Origin, why: String },
    #[error("these Kafka settings make no client: {0}")]
    Client(String),
}

impl KafkaSettings {
    /// `bootstrap` is HOST:PORT[,HOST:PORT…]; `file` holds librdkafka properties, `SIGHTLINE_KAFKA_…` variables go over
    /// it, and `<key>.file=PATH` in either takes the value from a file. Checked against librdkafka, connects nowhere.
    pub fn load(bootstrap: &str, file: Option<&Path>) -> Result<KafkaSettings, KafkaConfigError> {
        // Variables that are no UTF-8 are none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::load_with(bootstrap, file, std::env::vars_os().filter_map(text))
    }

    /// `load` with the environment as a parameter.
    pub fn load_with(
        bootstrap: &str,
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<KafkaSettings, KafkaConfigError> {
        if !bootstrap.split(',').all(is_broker) {
            return Err(KafkaConfigError::Bootstrap(bootstrap.to_owned()));
        }
        let mut properties = BTreeMap::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| KafkaConfigError::Read { path: path.to_owned(), source })?;
            properties = resolve(parse_file(&text, path)?, bootstrap)?;
        }
        properties.extend(resolve(parse_variables(variables), bootstrap)?);
        let settings =
            KafkaSettings { bootstrap: bootstrap.to_owned(), file: file.map(Path::to_owned), properties };
        settings.try_out()?;
        Ok(settings)
    }

    /// Without properties: the embedded broker, and brokers that ask nobody who they are.
    pub fn plain(bootstrap: &str) -> KafkaSettings {
        KafkaSettings { bootstrap: bootstrap.to_owned(), file: None, properties: BTreeMap::new() }
    }

    /// With one property more, unchecked: for tests.
    #[cfg(test)]
    pub(crate) fn with_property(mut self, key: &str, value: &str) -> KafkaSettings {
        self.properties.insert(key.to_owned(), value.to_owned());
        self
    }

    /// HOST:PORT[,HOST:PORT…], as given.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The flags that a person gives to another command to reach the same Kafka.
    pub fn flags(&self) -> String {
        match &self.file {
            Some(file) => format!("--kafka {} --kafka-config {}", self.bootstrap, file.display()),
            None => format!("--kafka {}", self.bootstrap),
        }
    }

    /// What every client begins with.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // `LinkContext` learns of closed connections from lines of this level, whatever of it is then shown.
        if (config.log_level as i32) < RDKafkaLogLevel::Info as i32 {
            config.set_log_level(RDKafkaLogLevel::Info);
        }
        config.set("client.id", "sightline");
        // A broker that comes back is found within 2 s; librdkafka's own bound is 10 s.
        config.set("reconnect.backoff.max.ms", "2000");
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// An idempotent producer that never throws a record away. `linger_ms` trades latency for compression.
    pub fn producer_config(&self, linger_ms: u32) -> ClientConfig {
        let mut config = self.client_config();
        for (key, default) in [("compression.codec", "zstd"), ("queue.buffering.max.kbytes", "65536")] {
            if !self.properties.contains_key(key) {
                config.set(key, default);
            }
        }
        if self.properties.contains_key("compression.type") {
            config.remove("compression.codec");
        }
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("max.in.flight.requests.per.connection", "5");
        config.set("message.timeout.ms", "0");
        config.set("partitioner", "murmur2_random");
        config.set("linger.ms", linger_ms.to_string());
        config
    }

    /// The same for results, which are kept by whoever sends them: the client holds whatever it is given, and after a
    /// record that can't be written nothing behind it is.
    pub(super) fn results_config(&self, linger_ms: u32) -> ClientConfig {
        let mut config = self.producer_config(linger_ms);
        config.set("enable.gapless.guarantee", "true");
        config.set("queue.buffering.max.kbytes", "2097151");
        config.set("queue.buffering.max.messages", "10000000");
        config
    }

    /// How much may wait for a broker that is away, in bytes and in records: librdkafka's own properties say it.
    pub fn memory(&self) -> (usize, usize) {
        let of = |keys: &[&str], default: usize| {
            keys.iter().find_map(|key| self.properties.get(*key)?.parse().ok()).unwrap_or(default)
        };
        let kib = of(&["queue.buffering.max.kbytes"], 65_536);
        // librdkafka's default, and its 0 for no limit.
        let records = match of(&["queue.buffering.max.messages"], 100_000) {
            0 => usize::MAX,
            records => records,
        };
        (kib.saturating_mul(1024), records)
    }

    /// Makes a client that connects nowhere: a CA file that is not there or a login without a user is found now.
    fn try_out(&self) -> Result<(), KafkaConfigError> {
        let mut config = self.producer_config(0);
        config.remove("bootstrap.servers");
        match config.create_with_context::<_, BaseProducer<_>>(DefaultProducerContext) {
            Ok(_) => Ok(()),
            Err(KafkaError::ClientCreation(why)) => Err(KafkaConfigError::Client(why)),
            // Its own text would show the value.
            Err(KafkaError::ClientConfig(_, why, key, _)) => {
                Err(KafkaConfigError::Client(format!("{key}: {}", hide_why(&key, why))))
            }
            Err(other) => Err(KafkaConfigError::Client(other.to_string())),
        }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, value)| (key, if is_secret(key) { "[hidden]" } else { value });
        let properties: BTreeMap<&str, &str> =
            self.properties.iter().map(|(key, value)| shown((key.as_str(), value.as_str()))).collect();
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("file", &self.file)
            .field("properties", &properties)
            .finish()
    }
}

/// HOST, HOST:PORT or [V6]:PORT; librdkafka's `plaintext://` in front is allowed.
fn is_broker(broker: &str) -> bool {
    let address = broker.trim().split_once("://").map_or(broker.trim(), |(_, address)| address);
    match address.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0),
        None => !address.is_empty(),
    }
}

fn is_secret(key: &str) -> bool {
    SECRET_SIGNS.iter().any(|sign| key.contains(sign)) && !key.ends_with(".location")
}

/// librdkafka's description of a bad value repeats it, which is a help unless it is a secret.
fn hide_why(key: &str, why: String) -> String {
    if is_secret(key) { "librdkafka refuses it".to_owned() } else { why }
}

/// Files read, names and values checked.
fn resolve(said: Properties, bootstrap: &str) -> Result<BTreeMap<String, String>, KafkaConfigError> {
    let mut properties = BTreeMap::new();
    for (key, said) in said {
        let (key, value, origin) = match key.strip_suffix(".file").filter(|_| !is_known(&key)) {
            None => (key, said.value, said.origin),
            Some(base) => {
                let path = PathBuf::from(&said.value);
                match std::fs::read_to_string(&path) {
                    Ok(text) => {
                        (base.to_owned(), text.trim_end_matches(['\n', '\r']).to_owned(), said.origin)
                    }
                    Err(source) => {
                        let key = base.to_owned();
                        return Err(KafkaConfigError::ReadSecret { key, path, origin: said.origin, source });
                    }
                }
            }
        };
        check(&key, &value, &origin, bootstrap)?;
        if properties.insert(key.clone(), value).is_some() {
            return Err(KafkaConfigError::ValueAndFile { key, origin });
        }
    }
    Ok(properties)
}

fn is_known(key: &str) -> bool {
    let mut config = ClientConfig::new();
    config.set(key, "");
    let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
    !matches!(config.create_native_config(), Err(KafkaError::ClientConfig(result, ..)) if result == unknown)
}

fn check(key: &str, value: &str, origin: &Origin, bootstrap: &str) -> Result<(), KafkaConfigError> {
    let (key, origin) = (key.to_owned(), origin.clone());
    if key == "bootstrap.servers" || key == "metadata.broker.list" {
        if value != bootstrap {
            let why = format!("--kafka says where the brokers are ({bootstrap})");
            return Err(KafkaConfigError::Owned { key, origin, why });
        }
        return Ok(());
    }
    if let Some((_, agreeing, why)) = OWNED.iter().find(|(owned, ..)| *owned == key) {
        if !agreeing.contains(&value) {
            return Err(KafkaConfigError::Owned { key, origin, why: (*why).to_owned() });
        }
        return Ok(());
    }
    let mut config = ClientConfig::new();
    config.set(&key, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, why, ..)) => {
            Err(KafkaConfigError::Unknown { key, origin, why })
        }
        Err(KafkaError::ClientConfig(_, why, ..)) => {
            let why = hide_why(&key, why);
            Err(KafkaConfigError::Invalid { key, origin, why })
        }
        Err(_) => Err(KafkaConfigError::Invalid { key, origin, why: "a NUL byte".to_owned() }),
    }
}

/// The code that a send or a delivery failed with.
pub(crate) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
