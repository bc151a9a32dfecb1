//! Brokers that a client has forgotten.
//!
//! Brokers that come back from a long silence may name none at all for a moment, and librdkafka 2.12 takes that at its word: it
//! lets go of those that it knew, and then knows nobody to ask for others, for good
//! (<https://github.com/confluentinc/librdkafka/issues/5301>). A client that is polled tells of its brokers every few seconds; one
//! that is in touch with none of them is told again where they are.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::{ClientConfig, ClientContext};
use serde::Deserialize;

const INTERVAL: &str = "statistics.interval.ms";
/// How often a client tells of its brokers.
const LOOK_MS: &str = "5000";

/// For a client that lives long and is polled all the time: one that is not would pile up what it has to say.
pub(super) fn lasting(config: &mut ClientConfig) {
    if config.get(INTERVAL).is_none_or(|said| said == "0") {
        config.set(INTERVAL, LOOK_MS);
    }
}

/// What a client says of a broker.
#[derive(Debug, Deserialize)]
pub(super) struct Broker {
    source: String,
    state: String,
}

impl Broker {
    pub(super) fn of(source: &str, state: &str) -> Self {
        Self { source: source.to_owned(), state: state.to_owned() }
    }

    /// Whether it can be asked for others, and the client does something about it. What is `logical` or `internal` stands in for
    /// one of the others. One that a client lets go of, and still holds somewhere, is in the state it began in.
    fn is_in_touch(&self) -> bool {
        ["configured", "learned"].contains(&self.source.as_str()) && self.state != "INIT"
    }
}

/// Of one client.
#[derive(Debug, Default)]
pub(super) struct Brokers {
    client: AtomicPtr<sys::rd_kafka_t>,
    /// At the last look none was in touch: so it is for a moment when a client begins, and after a long idleness.
    was_lost: AtomicBool,
}

impl Brokers {
    pub(super) fn are_of<C: ClientContext>(&self, client: &Client<C>) {
        self.client.store(client.native_ptr(), Ordering::SeqCst);
    }

    /// To be called from the client's own callbacks alone: those run while it is polled, so it is there.
    pub(super) fn look(&self, brokers: &[Broker], bootstrap: &str) {
        let client = self.client.load(Ordering::SeqCst);
        let is_lost = !brokers.iter().any(Broker::is_in_touch);
        let was_lost = self.was_lost.swap(is_lost, Ordering::SeqCst);
        if !is_lost || !was_lost || client.is_null() {
            return;
        }
        // Checked when the settings were read.
        let Ok(list) = CString::new(bootstrap) else { return };
        if add(client, &list) {
            self.was_lost.store(false, Ordering::SeqCst);
            tracing::info!(
                brokers = bootstrap,
                "a client in touch with no broker is told again where they are"
            );
        }
    }
}

#[allow(unsafe_code, reason = "the bindings have no safe way to add brokers to a client")]
fn add(client: *mut sys::rd_kafka_t, brokers: &CString) -> bool {
    // The client lives, as `look` says; it copies the list, and takes its own locks.
    !client.is_null() && unsafe { sys::rd_kafka_brokers_add(client, brokers.as_ptr()) > 0 }
}

/// A client's brokers, by its statistics.
pub(super) fn told(statistics: &[u8]) -> Result<Vec<Broker>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Told {
        brokers: HashMap<String, Broker>,
    }
    let told: Told = serde_json::from_slice(statistics)?;
    Ok(told.brokers.into_values().collect())
}
