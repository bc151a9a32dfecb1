//! What is counted of alerts, by target: its consumer's name is a label of each series.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::target::Fault;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Whose {
    consumer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRule {
    consumer: String,
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    consumer: String,
    reason: &'static str,
}

/// Why an event went to the dead letters and not to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    Refused,
    Redirect,
    /// It waited too long.
    TooOld,
}

impl GivenUp {
    const ALL: [Self; 3] = [Self::Refused, Self::Redirect, Self::TooOld];

    /// As a label.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Redirect => "redirect",
            Self::TooOld => "too_old",
        }
    }
}

/// Those of all targets of a process: a name may be registered once.
pub struct AlertFamilies {
    matched: Family<ByRule, Counter>,
    sent: Family<Whose, Counter>,
    failed: Family<ByReason, Counter>,
    given_up: Family<ByReason, Counter>,
    circuits_open: Family<Whose, Gauge>,
    delivery: Family<Whose, Histogram, fn() -> Histogram>,
}

/// Those of one target.
#[derive(Clone)]
pub struct Delivered {
    consumer: String,
    matched: Family<ByRule, Counter>,
    pub(super) sent: Counter,
    failed: Family<ByReason, Counter>,
    given_up: Family<ByReason, Counter>,
    pub(super) circuits_open: Gauge,
    pub(super) delivery: Histogram,
}

/// From milliseconds to a day: an outage is in it.
fn delays() -> Histogram {
    Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0, 86_400.0])
}

impl AlertFamilies {
    pub fn register(registry: &mut Registry) -> Self {
        let families = Self {
            matched: Family::default(),
            sent: Family::default(),
            failed: Family::default(),
            given_up: Family::default(),
            circuits_open: Family::default(),
            delivery: Family::new_with_constructor(delays),
        };
        let registry = registry.sub_registry_with_prefix("sightline_alerts");
        registry.register("matched", "Events that a rule is about", families.matched.clone());
        registry.register("sent", "Alerts that the target took", families.sent.clone());
        registry.register("failed", "Attempts that failed, by reason", families.failed.clone());
        registry.register(
            "given_up",
            "Events that went to the dead letters and not to the target, by reason",
            families.given_up.clone(),
        );
        registry.register(
            "circuits_open",
            "Addresses of the target that are probed alone, because they failed again and again",
            families.circuits_open.clone(),
        );
        registry.register(
            "delivery_seconds",
            "From an event being written to the target having taken it",
            families.delivery.clone(),
        );
        families
    }

    /// Of a target with these rules.
    pub fn of<'r>(&self, consumer: &str, rules: impl IntoIterator<Item = &'r str>) -> Delivered {
        let whose = Whose { consumer: consumer.to_owned() };
        let delivered = Delivered {
            consumer: consumer.to_owned(),
            matched: self.matched.clone(),
            sent: self.sent.get_or_create(&whose).clone(),
            failed: self.failed.clone(),
            given_up: self.given_up.clone(),
            circuits_open: self.circuits_open.get_or_create(&whose).clone(),
            delivery: self.delivery.get_or_create(&whose).clone(),
        };
        // A series that is there from the beginning shows its first increase.
        for rule in rules {
            drop(delivered.matched.get_or_create(&delivered.by_rule(rule)));
        }
        for reason in Fault::REASONS {
            drop(delivered.failed.get_or_create(&delivered.by_reason(reason)));
        }
        for reason in GivenUp::ALL {
            drop(delivered.given_up.get_or_create(&delivered.by_reason(reason.as_str())));
        }
        delivered
    }
}

impl Delivered {
    fn by_rule(&self, rule: &str) -> ByRule {
        ByRule { consumer: self.consumer.clone(), rule: rule.to_owned() }
    }

    fn by_reason(&self, reason: &'static str) -> ByReason {
        ByReason { consumer: self.consumer.clone(), reason }
    }

    pub(super) fn matched(&self, rule: &str) {
        self.matched.get_or_create(&self.by_rule(rule)).inc();
    }

    pub(super) fn failed(&self, fault: &Fault) {
        self.failed.get_or_create(&self.by_reason(fault.reason())).inc();
    }

    pub(super) fn given_up(&self, reason: GivenUp) {
        self.given_up.get_or_create(&self.by_reason(reason.as_str())).inc();
    }
}
