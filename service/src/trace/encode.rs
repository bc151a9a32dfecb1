//! Spans as OTLP's protobuf. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValueKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};
use prost::Message as _;

use super::span::{Role, Span, Value};

/// W3C's flag "sampled", in the lowest byte.
const SAMPLED: u32 = 1;

/// One request with these spans, of a process that is described so.
pub(super) fn request(process: &[(String, String)], spans: Vec<Span>) -> Vec<u8> {
    let attributes = process.iter().map(|(key, value)| attribute(key, Value::Text(value.clone()))).collect();
    let scope = InstrumentationScope {
        name: "sightline".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How many spans the collector did not take of a request that it answered well, and why.
pub(super) fn rejected(answer: &[u8]) -> (u64, String) {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    let partial = partial.unwrap_or_default();
    (u64::try_from(partial.rejected_spans).unwrap_or(0), partial.error_message)
}

fn span(span: Span) -> OtlpSpan {
    let Span { context, parent, name, role, start, end, attributes, error } = span;
    let kind = match role {
        Role::Internal => SpanKind::Internal,
        Role::Server => SpanKind::Server,
        Role::Client => SpanKind::Client,
        Role::Producer => SpanKind::Producer,
        Role::Consumer => SpanKind::Consumer,
    };
    OtlpSpan {
        trace_id: context.trace.0.to_vec(),
        span_id: context.span.0.to_vec(),
        parent_span_id: parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: SAMPLED,
        name: name.to_owned(),
        kind: kind as i32,
        start_time_unix_nano: nanos(start),
        // A clock that was put back makes no span that ends before it began.
        end_time_unix_nano: nanos(end.max(start)),
        attributes: attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        status: error.map(|message| Status { message, code: StatusCode::Error as i32 }),
        ..OtlpSpan::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => AnyValueKind::StringValue(text),
        Value::Number(number) => AnyValueKind::IntValue(number),
        Value::Flag(flag) => AnyValueKind::BoolValue(flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
