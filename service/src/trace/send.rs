//! Spans on their way to the collector: a queue that never makes anybody wait, and the thread that empties it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use ureq::Agent;
use ureq::http::header::CONTENT_TYPE;

use super::Tracer;
use super::address::{Collector, CollectorError, pairs};
use super::encode;
use super::ids::Share;
use super::span::Span;
use crate::backoff::Backoff;

/// Spans that wait at most: about 2 MB.
const MOST_WAITING: usize = 4096;
/// Spans in one request at most.
const MOST_TOGETHER: usize = 512;
/// A span waits this long for company.
const GATHER: Duration = Duration::from_secs(1);
/// One request, from its connection to its answer.
const REQUEST: Duration = Duration::from_secs(5);
/// A request that failed is tried again for so long: a collector that is started anew loses nothing.
const TRY_FOR: Duration = Duration::from_secs(10);
/// One wait before it is looked whether the process ends.
const LOOK: Duration = Duration::from_millis(100);
/// At the end of the process what waits may take so long.
const LAST: Duration = Duration::from_secs(2);
/// A collector that stays away is said this often.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Read of an answer.
const MOST_ANSWER: u64 = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// What became of spans.
#[derive(Clone)]
struct Counted {
    sent: Counter,
    /// There was no room for them.
    full: Counter,
    /// The collector could not be reached, or asked for another time, for too long.
    away: Counter,
    /// It does not take them.
    refused: Counter,
}

impl Counted {
    fn register(registry: &mut Registry) -> Self {
        let (sent, dropped) = (Counter::default(), Family::<Why, Counter>::default());
        let of = |reason| dropped.get_or_create(&Why { reason }).clone();
        let counted = Self { sent: sent.clone(), full: of("full"), away: of("away"), refused: of("refused") };
        let registry = registry.sub_registry_with_prefix("sightline_traces");
        registry.register("spans_sent", "Spans that the collector took", sent);
        registry.register("spans_dropped", "Spans that are lost, by reason", dropped);
        counted
    }
}

/// Where spans are handed in.
pub(super) struct Queue {
    spans: SyncSender<Span>,
    full: Counter,
}

impl Queue {
    pub(super) fn put(&self, span: Span) {
        // Full, or the process ends: nobody waits for either.
        if self.spans.try_send(span).is_err() {
            self.full.inc();
        }
    }
}

/// What a process says of itself with its spans.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `sightline-pipeline`, and so on.
    pub service: &'static str,
    /// This process alone.
    pub instance: String,
}

impl Resource {
    /// As OpenTelemetry names it; `OTEL_RESOURCE_ATTRIBUTES` adds to it, `OTEL_SERVICE_NAME` and it go first.
    fn attributes(&self) -> Vec<(String, String)> {
        let mut attributes = vec![
            ("service.name".to_owned(), self.service.to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id".to_owned(), self.instance.clone()),
        ];
        let mut set = |key: &str, value: String| {
            attributes.retain(|(known, _)| known != key);
            attributes.push((key.to_owned(), value));
        };
        let more = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        for (key, value) in pairs(&more) {
            if let Some(value) = value {
                set(key, value);
            }
        }
        if let Some(name) = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty()) {
            set("service.name", name);
        }
        attributes
    }
}

/// Sends while it lives; what waits when it is dropped has 2 s to go out.
pub struct Sending {
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Disconnected or too late: either way it is over.
        let _ = self.ended.recv_timeout(LAST);
    }
}

impl Tracer {
    /// Begins to send to `collector`. What becomes of spans is shown in `registry`.
    pub fn to(
        collector: Collector,
        share: Share,
        resource: &Resource,
        registry: &mut Registry,
    ) -> Result<(Self, Sending), CollectorError> {
        let counted = Counted::register(registry);
        let (spans, waiting) = mpsc::sync_channel(MOST_WAITING);
        let (end, ended) = mpsc::sync_channel(1);
        let stop = Arc::<AtomicBool>::default();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(REQUEST))
            .max_response_header_size(64 * 1024)
            .user_agent(concat!("sightline/", env!("CARGO_PKG_VERSION")));
        let sender = Sender {
            agent: Agent::new_with_config(config.build()),
            collector,
            process: resource.attributes(),
            counted: counted.clone(),
            stop: Arc::clone(&stop),
            said: None,
        };
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                sender.work(&waiting);
                drop(end);
            })
            .map_err(|error| CollectorError::Start(error.to_string()))?;
        Ok((Self::new(share, Queue { spans, full: counted.full }), Sending { stop, ended }))
    }
}

struct Sender {
    agent: Agent,
    collector: Collector,
    process: Vec<(String, String)>,
    counted: Counted,
    stop: Arc<AtomicBool>,
    /// While the collector takes nothing: when that was said last.
    said: Option<Instant>,
}

/// What an attempt came to.
enum Sent {
    Taken,
    Later(String),
    Refused(String),
}

impl Sender {
    fn work(mut self, waiting: &Receiver<Span>) {
        loop {
            let is_last = self.stop.load(Ordering::SeqCst);
            let spans = gather(waiting, &self.stop);
            match spans {
                None => return,
                Some(spans) if spans.is_empty() && is_last => return,
                Some(spans) if spans.is_empty() => {}
                Some(spans) => self.send(spans),
            }
        }
    }

    fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let body = encode::request(&self.process, spans);
        let (began, mut backoff) =
            (Instant::now(), Backoff::new(Duration::from_millis(250), Duration::from_secs(2)));
        loop {
            match self.attempt(&body, count) {
                Sent::Taken => {
                    if self.said.take().is_some() {
                        tracing::info!(collector = self.collector.url, "the collector takes traces again");
                    }
                    return;
                }
                Sent::Refused(why) => {
                    self.counted.refused.inc_by(count);
                    return self.say(&why);
                }
                Sent::Later(why) => {
                    let pause = backoff.next(&mut rand::rng());
                    if began.elapsed() + pause > TRY_FOR || self.waits(pause) {
                        self.counted.away.inc_by(count);
                        return self.say(&why);
                    }
                }
            }
        }
    }

    /// True when the process ends meanwhile.
    fn waits(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stop.load(Ordering::SeqCst) {
            thread::park_timeout(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        self.stop.load(Ordering::SeqCst)
    }

    fn attempt(&self, body: &[u8], count: u64) -> Sent {
        let mut request = self.agent.post(&self.collector.url).header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.collector.headers {
            request = request.header(name, value);
        }
        let mut answer = match request.send(body) {
            Ok(answer) => answer,
            Err(error) => return Sent::Later(error.to_string()),
        };
        match answer.status().as_u16() {
            200..=299 => {
                let answer = answer.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
                let (rejected, why) = encode::rejected(&answer.unwrap_or_default());
                let rejected = rejected.min(count);
                self.counted.refused.inc_by(rejected);
                self.counted.sent.inc_by(count - rejected);
                if rejected > 0 {
                    tracing::debug!(rejected, why, "the collector did not take all spans");
                }
                Sent::Taken
            }
            // As OTLP has it.
            status @ (429 | 502..=504) => Sent::Later(format!("it answered {status}")),
            status => Sent::Refused(format!("it answered {status}")),
        }
    }

    fn say(&mut self, why: &str) {
        if self.said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            tracing::warn!(
                collector = self.collector.url,
                "spans are dropped, since the collector does not take them: {why}; see that it runs and takes OTLP over HTTP"
            );
        }
    }
}

/// What there is, after a moment for more to come. Nothing where nothing came; `None` where nothing can come any more.
fn gather(waiting: &Receiver<Span>, stop: &AtomicBool) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    let mut until = Instant::now() + LOOK;
    while spans.len() < MOST_TOGETHER {
        let wait = match stop.load(Ordering::SeqCst) {
            true => Duration::ZERO,
            false => LOOK.min(until.saturating_duration_since(Instant::now())),
        };
        match waiting.recv_timeout(wait) {
            Ok(span) => {
                if spans.is_empty() {
                    until = Instant::now() + GATHER;
                }
                spans.push(span);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= until || stop.load(Ordering::SeqCst) => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if spans.is_empty() => return None,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(spans)
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
