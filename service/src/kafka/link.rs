//! Whether a broker answers, learnt from librdkafka's error callback, from deliveries and from metadata; and
//! librdkafka's log lines on their way to ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::brokers::{self, Broker, Brokers};
use super::config::code_of;
use super::fault::{FaultKind, KafkaFault};

/// A broker that is away is worth one line in this time.
pub(crate) const REPEAT: Duration = Duration::from_secs(10);

/// Whether a broker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing is known yet: the first connection is being made.
    Connecting,
    Up,
    /// None answers; librdkafka keeps trying.
    Down(KafkaFault),
}

/// One client's connection to the cluster, shared with its callbacks.
#[derive(Debug)]
pub(crate) struct Link {
    bootstrap: String,
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Debug)]
struct Known {
    state: LinkState,
    /// The last that was said about one broker: the why of "all brokers are down", which comes without.
    cause: Option<KafkaFault>,
    /// A connection broke since a broker last gave metadata: librdkafka does not always say when the last one is gone.
    doubted: bool,
    closed: bool,
    log: Throttle,
}

impl Link {
    pub(crate) fn new(bootstrap: &str) -> Arc<Link> {
        let known = Known {
            state: LinkState::Connecting,
            cause: None,
            doubted: false,
            closed: false,
            log: Throttle::default(),
        };
        Arc::new(Link { bootstrap: bootstrap.to_owned(), known: Mutex::new(known), changed: Condvar::new() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> LinkState {
        self.known().state.clone()
    }

    /// A broker acknowledged a record.
    pub(crate) fn up(&self) {
        let mut known = self.known();
        if known.state != LinkState::Up {
            if matches!(known.state, LinkState::Down(_)) {
                tracing::info!(brokers = self.bootstrap, "kafka answers");
            }
            known.state = LinkState::Up;
            known.cause = None;
            self.changed.notify_all();
        }
    }

    /// A broker gave metadata.
    pub(crate) fn confirmed(&self) {
        self.known().doubted = false;
        self.up();
    }

    /// No broker gave metadata though one was asked for.
    pub(crate) fn refuted(&self) {
        let mut known = self.known();
        if known.state == LinkState::Up {
            let unknown = || KafkaFault::of_link(RDKafkaErrorCode::AllBrokersDown, "", &self.bootstrap);
            known.state = LinkState::Down(known.cause.clone().unwrap_or_else(unknown));
            self.changed.notify_all();
        }
    }

    /// librdkafka said so, by its error callback or its log.
    pub(crate) fn failed(&self, code: RDKafkaErrorCode, reason: &str) {
        let fault = KafkaFault::of_link(code, reason, &self.bootstrap);
        let mut known = self.known();
        let all_down = code == RDKafkaErrorCode::AllBrokersDown;
        let fault = if all_down { known.cause.clone().unwrap_or(fault) } else { fault };
        let is_up = known.state == LinkState::Up;
        // A refused login stays the reason when the connection then also breaks.
        let weaker = fault.kind == FaultKind::Unreachable
            && known.cause.as_ref().is_some_and(|cause| cause.kind != FaultKind::Unreachable);
        if weaker && !is_up {
            return;
        }
        let is_down = match fault.kind {
            FaultKind::Authentication | FaultKind::Tls => true,
            // One of several brokers may be away while the others work: metadata will tell.
            FaultKind::Unreachable => !is_up,
            _ => return,
        };
        known.cause = Some(fault.clone());
        known.doubted = true;
        if is_down {
            known.state = LinkState::Down(fault);
        }
        self.changed.notify_all();
    }

    /// The client asked for metadata and none came in time.
    pub(crate) fn silent(&self) {
        self.failed(RDKafkaErrorCode::OperationTimedOut, "");
    }

    /// One warning each `REPEAT` while no broker answers.
    pub(crate) fn log_down(&self, now: Instant) {
        let mut known = self.known();
        if let LinkState::Down(fault) = known.state.clone()
            && known.log.allows("down", now).is_some()
        {
            tracing::warn!(code = fault.kind.code(), "{fault}");
        }
    }

    /// Ends `wait`, for the client's end.
    pub(crate) fn close(&self) {
        self.known().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.known().closed
    }

    /// Until there is something to ask metadata for, or the link is closed.
    pub(crate) fn wait_for_doubt(&self) {
        let certain = |known: &mut Known| !known.closed && !known.doubted && known.state == LinkState::Up;
        drop(self.changed.wait_while(self.known(), certain));
    }

    /// `timeout`, or until the link is closed.
    pub(crate) fn pause(&self, timeout: Duration) {
        drop(self.changed.wait_timeout_while(self.known(), timeout, |known| !known.closed));
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
impl Link {
    fn is_in_doubt(&self) -> bool {
        let known = self.known();
        known.doubted || known.state != LinkState::Up
    }

    /// The reason, once there is one; panics after a minute without.
    pub(crate) fn await_down(&self) -> KafkaFault {
        let not_down = |known: &mut Known| !matches!(known.state, LinkState::Down(_));
        let waited = self.changed.wait_timeout_while(self.known(), Duration::from_secs(60), not_down);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0.state.clone();
        let LinkState::Down(fault) = state else { panic!("the link is {state:?}") };
        fault
    }
}

/// The context of every client: callbacks never panic, and never log a broker's absence more than `Link` does.
pub(crate) struct LinkContext {
    pub(crate) link: Arc<Link>,
    brokers: Brokers,
}

impl LinkContext {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, brokers: Brokers::default() }
    }

    /// From now on this client is told again where its brokers are, should it forget them. Its configuration is [`lasting`].
    pub(super) fn reminds<C: ClientContext>(&self, client: &Client<C>) {
        self.brokers.are_of(client);
    }

    /// What the client says of its brokers.
    pub(super) fn look(&self, brokers: &[Broker]) {
        self.brokers.look(brokers, &self.link.bootstrap);
    }

    fn line(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // A connection that the broker closed is in the log alone; what is worse comes to `error`, too.
        if facility == "FAIL" && matches!(level, RDKafkaLogLevel::Info | RDKafkaLogLevel::Warning) {
            let reason = line.split_once("]: ").map_or(line, |(_thread, reason)| reason);
            self.link.failed(RDKafkaErrorCode::BrokerTransportFailure, reason);
        }
        // These repeat what the error callback said, once per broker and reconnect.
        let repeats = matches!(facility, "FAIL" | "ERROR" | "CONNWARN" | "SASLREFRESH");
        // Said of each client that promises to leave nothing out: it is what was asked for.
        let wanted = facility == "CONFWARN" && line.contains("enable.gapless.guarantee");
        let quiet = repeats || wanted || matches!(level, RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug);
        if quiet {
            tracing::debug!(target: "librdkafka", facility, "{line}");
            return;
        }
        let Some(suppressed) = self.link.known().log.allows(facility, Instant::now()) else { return };
        tracing::warn!(target: "librdkafka", facility, suppressed, "{line}");
    }
}

impl ClientContext for LinkContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        contained(|| self.line(level, facility, line));
    }

    fn stats_raw(&self, statistics: &[u8]) {
        contained(|| match brokers::told(statistics) {
            Ok(brokers) => self.look(&brokers),
            Err(error) => tracing::debug!(%error, "a client's statistics"),
        });
    }

    fn error(&self, error: KafkaError, reason: &str) {
        contained(|| {
            tracing::debug!(target: "librdkafka", %error, reason, "client error");
            self.link.failed(code_of(&error), reason);
        });
    }
}

/// Keeps a panic out of librdkafka's C code, where it would end the process. Its own message has been written.
fn contained(callback: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(callback));
}

/// Lets one line of a kind through each `REPEAT`.
#[derive(Debug, Default)]
struct Throttle {
    /// Few kinds: librdkafka has some dozens of facilities.
    last: Vec<(String, Instant, u64)>,
}

impl Throttle {
    /// How many of its kind were held back since the last, when this one may pass.
    fn allows(&mut self, kind: &str, now: Instant) -> Option<u64> {
        let Some((_, last, held)) = self.last.iter_mut().find(|(known, ..)| known == kind) else {
            self.last.push((kind.to_owned(), now, 0));
            return Some(0);
        };
        if now.saturating_duration_since(*last) < REPEAT {
            *held += 1;
            return None;
        }
        *last = now;
        Some(std::mem::take(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused \
                           (after 0ms in state CONNECT)";

    fn reason(link: &Link) -> String {
        match link.state() {
            LinkState::Down(fault) => fault.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn all_brokers_down_keeps_the_reason_of_the_last_one() {
        let link = Link::new("127.0.0.1:9092");
        link.failed(RDKafkaErrorCode::BrokerTransportFailure, REFUSED);
        link.failed(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(reason(&link), "no broker answers at 127.0.0.1:9092 (connection refused)");
        link.up();
        assert_eq!(link.state(), LinkState::Up);
    }

    #[test]
    fn a_broken_connection_is_a_doubt_until_metadata_tell() {
        let link = Link::new("a:9092,b:9092");
        link.confirmed();
        assert!(!link.is_in_doubt());
        link.failed(RDKafkaErrorCode::BrokerTransportFailure, REFUSED);
        assert!(link.is_in_doubt());
        assert_eq!(link.state(), LinkState::Up);
        // The other broker answers.
        link.confirmed();
        assert!(!link.is_in_doubt());
        link.failed(RDKafkaErrorCode::BrokerTransportFailure, REFUSED);
        link.refuted();
        assert_eq!(reason(&link), "no broker answers at 127.0.0.1:9092 (connection refused)");
        // An acknowledgement says more than a doubt.
        link.up();
        assert_eq!(link.state(), LinkState::Up);
        assert!(link.is_in_doubt());
    }

    #[test]
    fn a_connection_closed_at_once_is_learnt_from_the_log() {
        let context = LinkContext::new(Link::new("127.0.0.1:9092"));
        let line = "[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Disconnected: connection closed by \
                    peer: receive 0 after POLLIN (after 23ms in state APIVERSION_QUERY)";
        context.log(RDKafkaLogLevel::Info, "FAIL", line);
        assert_eq!(
            reason(&context.link),
            "the broker at 127.0.0.1:9092 ends new connections; does it want TLS or a login, or neither? check \
             security.protocol in --kafka-config"
        );
    }

    #[test]
    fn a_refused_login_stays_the_reason_until_a_broker_answers() {
        let link = Link::new("k:9093");
        link.failed(
            RDKafkaErrorCode::Authentication,
            "sasl_ssl://k:9093/bootstrap: SASL authentication error: no",
        );
        link.failed(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        link.silent();
        assert!(reason(&link).starts_with("the broker at k:9093 refuses the login"), "{}", reason(&link));
        link.confirmed();
        link.failed(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        link.refuted();
        assert_eq!(reason(&link), "no broker answers at k:9093");
    }

    #[test]
    fn one_line_of_a_kind_each_ten_seconds() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(throttle.allows("down", at(0)), Some(0));
        assert_eq!(throttle.allows("down", at(1)), None);
        assert_eq!(throttle.allows("other", at(1)), Some(0));
        assert_eq!(throttle.allows("down", at(9)), None);
        assert_eq!(throttle.allows("down", at(10)), Some(2));
        assert_eq!(throttle.allows("down", at(11)), None);
    }
}
