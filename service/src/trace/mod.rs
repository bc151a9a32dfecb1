//! Traces of sampled frames, told by OTLP (`docs/TRACES.md`).
//!
//! Which frames are sampled follows from camera, epoch and seq (`ids`); what a record or a request belongs to travels as
//! `traceparent` (`context`); spans are told when they are over (`span`) and sent by a thread of their own (`send`), which
//! nobody ever waits for.

mod address;
mod context;
mod current;
mod encode;
mod ids;
mod send;
mod span;

use std::sync::Arc;
use std::time::SystemTime;

use crate::kafka::{Batch, Record};

pub use self::address::{Collector, CollectorError};
pub use self::context::Context;
pub use self::current::{Current, Entered, current};
pub use self::ids::{Known, Seed, Share, SpanId, TraceId};
use self::send::Queue;
pub use self::send::{Resource, Sending};
pub use self::span::{OpenSpan, Role, Span, Value};

/// Where sampled work is told of. Cheap to clone; the default one samples nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    share: Share,
    queue: Queue,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

impl Tracer {
    fn new(share: Share, queue: Queue) -> Self {
        Self(Some(Arc::new(Inner { share, queue })))
    }

    /// Whether anything is ever sampled or followed.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a trace is within this process's share.
    pub fn samples(&self, trace: TraceId) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.share.samples(trace))
    }

    /// Hands in a span that is over. Never waits: where there is no room it is dropped, and counted.
    pub fn tell(&self, span: Span) {
        if let Some(inner) = &self.0 {
            inner.queue.put(span);
        }
    }

    /// Begins a span under another one, where that one's trace is within the share.
    pub fn open(&self, parent: Context, name: &'static str, role: Role, camera: &str) -> Option<OpenSpan> {
        self.samples(parent.trace).then(|| self.begin(parent.trace, Some(parent.span), name, role, camera))
    }

    /// Begins a span under another one, whatever the share: its sender decided.
    pub fn adopt(&self, parent: Context, name: &'static str, role: Role) -> Option<OpenSpan> {
        self.is_on().then(|| self.begin(parent.trace, Some(parent.span), name, role, ""))
    }

    /// As `open`, under what a `traceparent` says.
    pub fn follow(
        &self,
        traceparent: Option<&str>,
        name: &'static str,
        role: Role,
        camera: &str,
    ) -> Option<OpenSpan> {
        if !self.is_on() {
            return None;
        }
        self.open(Context::parse(traceparent?)?, name, role, camera)
    }

    /// Begins work on a record, where it is sampled. Its key is its camera.
    pub fn consume(&self, name: &'static str, batch: &Batch, record: &Record<'_>) -> Option<OpenSpan> {
        let key = record.key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        let span = self.follow(record.traceparent, name, Role::Consumer, key)?;
        span.set("messaging.system", "kafka");
        span.set("messaging.operation.type", "process");
        span.set("messaging.destination.name", &*batch.topic);
        span.set("messaging.destination.partition.id", batch.partition.to_string());
        span.set("messaging.kafka.offset", record.offset);
        Some(span)
    }

    /// Begins a trace of its own, where it falls within the share.
    pub fn start(&self, name: &'static str, role: Role) -> Option<OpenSpan> {
        let inner = self.0.as_ref().filter(|inner| !inner.share.is_none())?;
        let trace = TraceId::random();
        inner.share.samples(trace).then(|| self.begin(trace, None, name, role, ""))
    }

    fn begin(
        &self,
        trace: TraceId,
        parent: Option<SpanId>,
        name: &'static str,
        role: Role,
        camera: &str,
    ) -> OpenSpan {
        let now = SystemTime::now();
        let context = Context { trace, span: SpanId::random() };
        let attributes =
            if camera.is_empty() { Vec::new() } else { vec![("sightline.camera", camera.into())] };
        let span = Span { context, parent, name, role, start: now, end: now, attributes, error: None };
        OpenSpan::new(self.clone(), span, camera.into())
    }
}
