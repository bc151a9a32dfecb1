//! Kafka's flags, read.

use sightline_schema::Topics;
use sightline_service::kafka::{FaultKind, KafkaFault, KafkaSettings};

use crate::cli::KafkaSettingsArgs;
use crate::exit::Failure;

pub(crate) fn settings(bootstrap: &str, args: &KafkaSettingsArgs) -> Result<KafkaSettings, Failure> {
    KafkaSettings::load(bootstrap, args.kafka_config.as_deref()).map_err(Failure::usage)
}

pub(crate) fn topics(args: &KafkaSettingsArgs) -> Topics {
    Topics::new(&args.topic_prefix)
}

/// A fault that asking again won't cure is the caller's to mend.
pub(crate) fn passes_by_itself(fault: &KafkaFault) -> bool {
    matches!(fault.kind, FaultKind::Unreachable)
}
