//! Whether this process is ready, and if not, why: named conditions, each set by the component it belongs to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One component's say on readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Ready,
    /// With the reason, a sentence for a person.
    NotReady(String),
}

/// Cheap to clone; all clones are one. Ready when every condition is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: Arc<Mutex<BTreeMap<&'static str, Condition>>>,
}

impl Health {
    /// The components that must report before the process is ready; each starts as not ready, "starting".
    pub fn new(components: &[&'static str]) -> Self {
        let starting = |name: &&'static str| (*name, Condition::NotReady("starting".to_owned()));
        Self { conditions: Arc::new(Mutex::new(components.iter().map(starting).collect())) }
    }

    pub fn set(&self, component: &'static str, condition: Condition) {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).insert(component, condition);
    }

    /// From now on not ready, whatever the components say: load balancers stop sending before the process ends.
    pub fn shutting_down(&self) {
        self.set("shutdown", Condition::NotReady("shutting down".to_owned()));
    }

    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// Component and reason of each that is not ready, by name.
    pub fn reasons(&self) -> Vec<(&'static str, String)> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = |(name, condition): (&&'static str, &Condition)| match condition {
            Condition::Ready => None,
            Condition::NotReady(reason) => Some((*name, reason.clone())),
        };
        conditions.iter().filter_map(reason).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_component_is() {
        let health = Health::new(&["kafka", "cameras"]);
        assert_eq!(health.reasons(), [("cameras", "starting".to_owned()), ("kafka", "starting".to_owned())]);
        health.set("kafka", Condition::Ready);
        assert!(!health.is_ready());
        health.set("cameras", Condition::Ready);
        assert!(health.is_ready());

        health.set("kafka", Condition::NotReady("no broker answers at k:9092".to_owned()));
        assert_eq!(health.reasons(), [("kafka", "no broker answers at k:9092".to_owned())]);

        health.set("kafka", Condition::Ready);
        health.shutting_down();
        assert_eq!(health.reasons(), [("shutdown", "shutting down".to_owned())]);
    }
}
