//! `detections` → `events`: what happened, exactly.

mod metrics;
mod outlet;
pub mod rules;

pub use self::metrics::Happened;
pub use self::outlet::EventsOutlet;
use crate::checkpointed::Checkpointed;

/// What `consume events` does with its partitions.
pub type Events = Checkpointed<rules::Camera, EventsOutlet>;
