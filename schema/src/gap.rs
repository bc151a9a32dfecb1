//! `gap/1`: what was not seen or not kept.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::message::message;

/// Something was not seen or not kept. It begins at the camera's last accepted result before it in the partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "gap/1")]
#[schemars(rename = "Gap")]
pub struct Gap {
    pub camera: String,
    pub epoch: u64,
    /// The last result before it, as far as the writer knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<GapAfter>,
    /// The first result behind it; absent where the epoch has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<GapBefore>,
    /// How many access units have no record because of it, where somebody counted them: a reader adds them to the
    /// `skipped` of the next frame. Null where nobody did.
    #[serde(default)]
    pub frames: Option<u64>,
    pub reason: GapReason,
}
message!(Gap, "gap/1", camera);

/// The last result before a gap; it may be of an older epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapAfter {
    pub epoch: u64,
    pub seq: u64,
    pub captured_at: Timestamp,
}

/// The first result behind a gap, of the gap's own epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapBefore {
    pub seq: u64,
    pub captured_at: Timestamp,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The process that ran the camera died.
    PodLost,
    /// The camera was away.
    Disconnected,
    /// A move between pods took too long.
    Moved,
    /// Nobody had time for the frames.
    Overload,
    /// The spool was full; its oldest records went.
    SpoolFull,
    /// Records in the spool could not be read back.
    Corrupt,
    /// Kafka refuses the records for good: too large, for instance.
    Refused,
}

impl GapReason {
    pub const ALL: [Self; 7] = [
        Self::PodLost,
        Self::Disconnected,
        Self::Moved,
        Self::Overload,
        Self::SpoolFull,
        Self::Corrupt,
        Self::Refused,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PodLost => "pod_lost",
            Self::Disconnected => "disconnected",
            Self::Moved => "moved",
            Self::Overload => "overload",
            Self::SpoolFull => "spool_full",
            Self::Corrupt => "corrupt",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_called_on_the_wire_as_in_the_code() {
        for reason in GapReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
