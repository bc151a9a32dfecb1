//! What is counted of events.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sightline_schema::EventType;

use crate::runner::of_consumer;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
}

/// Events written, by type.
#[derive(Default)]
pub struct Happened(Family<Kind, Counter>);

impl Happened {
    pub fn register(registry: &mut Registry, consumer: &str) -> Self {
        let happened = Self::default();
        // A series that is there from the beginning shows its first increase.
        for kind in EventType::ALL {
            drop(happened.0.get_or_create(&Kind { r#type: kind.as_str() }));
        }
        of_consumer(registry, consumer).register("events", "Events written, by type", happened.0.clone());
        happened
    }

    pub(super) fn count(&self, kind: EventType) {
        self.0.get_or_create(&Kind { r#type: kind.as_str() }).inc();
    }
}
