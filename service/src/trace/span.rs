//! What is told of one step of sampled work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::Tracer;
use super::context::Context;
use super::current::{Current, Entered};
use super::ids::SpanId;

/// Whether a span takes part in an exchange, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// Of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A step that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub context: Context,
    /// `None` where a trace begins.
    pub parent: Option<SpanId>,
    pub name: &'static str,
    pub role: Role,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A step that is not over: it ends when this is dropped.
#[derive(Debug)]
pub struct OpenSpan {
    tracer: Tracer,
    context: Context,
    camera: Arc<str>,
    span: Mutex<Option<Span>>,
}

impl OpenSpan {
    pub(super) fn new(tracer: Tracer, span: Span, camera: Arc<str>) -> Self {
        Self { tracer, context: span.context, camera, span: Mutex::new(Some(span)) }
    }

    /// What others are made under.
    pub fn context(&self) -> Context {
        self.context
    }

    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.with(|span| span.attributes.push((key, value.into())));
    }

    /// It comes to nothing; the first reason stays.
    pub fn fail(&self, why: &str) {
        self.with(|span| {
            span.error.get_or_insert_with(|| why.to_owned());
        });
    }

    /// What this thread logs belongs to it, until what is given is dropped.
    pub fn enter(&self) -> Entered {
        Current { context: self.context, camera: Arc::clone(&self.camera) }.enter()
    }

    fn with(&self, change: impl FnOnce(&mut Span)) {
        if let Some(span) = &mut *self.span.lock().unwrap_or_else(PoisonError::into_inner) {
            change(span);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let span = self.span.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(span) = span {
            self.tracer.tell(Span { end: SystemTime::now(), ..span });
        }
    }
}
