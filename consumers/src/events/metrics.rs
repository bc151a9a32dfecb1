//! What is counted of events.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sightline_schema::EventType;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    consumer: String,
    r#type: &'static str,
}

/// Events written, by type.
pub struct Happened {
    consumer: String,
    written: Family<Kind, Counter>,
}

impl Happened {
    pub fn register(registry: &mut Registry, consumer: &str) -> Self {
        let happened = Self { consumer: consumer.to_owned(), written: Family::default() };
        // A series that is there from the beginning shows its first increase.
        EventType::ALL.into_iter().for_each(|kind| drop(happened.written.get_or_create(&happened.of(kind))));
        let registry = registry.sub_registry_with_prefix("sightline_events");
        registry.register("written", "Events written, by type", happened.written.clone());
        happened
    }

    pub(super) fn count(&self, kind: EventType) {
        self.written.get_or_create(&self.of(kind)).inc();
    }

    fn of(&self, kind: EventType) -> Kind {
        Kind { consumer: self.consumer.clone(), r#type: kind.as_str() }
    }
}
