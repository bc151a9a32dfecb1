//! Kafka's flags, read.

use sightline_schema::{DEFAULT_PREFIX, Topics};
use sightline_service::kafka::{FaultKind, KafkaFault, KafkaSettings};

use crate::cli::KafkaSettingsArgs;
use crate::exit::Failure;

pub(crate) fn settings(bootstrap: &str, args: &KafkaSettingsArgs) -> Result<KafkaSettings, Failure> {
    KafkaSettings::load(bootstrap, args.kafka_config.as_deref()).map_err(Failure::usage)
}

pub(crate) fn topics(args: &KafkaSettingsArgs) -> Topics {
    Topics::new(&args.topic_prefix)
}

/// What may be mended on the broker's side while a process waits: a pipeline never ends for a broker.
pub(crate) fn may_pass(fault: &KafkaFault) -> bool {
    matches!(
        fault.kind,
        FaultKind::Unreachable | FaultKind::Authentication | FaultKind::Tls | FaultKind::Other
    )
}

/// Goes behind a `sightline topics …` that is suggested, where topics are called otherwise than by default.
pub(crate) fn prefix_flag(topics: &Topics) -> String {
    let detections = topics.detections();
    let prefix = detections.strip_suffix("detections").unwrap_or_default();
    if prefix == DEFAULT_PREFIX { String::new() } else { format!(" --topic-prefix '{prefix}'") }
}
