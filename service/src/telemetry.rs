//! Logs: structured lines, on standard error or wherever the command puts them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::trace::{self, Current};

const DEFAULT_FILTER: &str = "info";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    #[error("--log-filter {given:?} is no log filter ({why}); try debug, or info,librdkafka=debug")]
    Filter { given: String, why: String },
    #[error("logs cannot be set up: {0}")]
    SetUp(String),
}

/// Logs go to `writer` from now on, a whole line at a time. `filter` says which, in tracing's directives: `debug`,
/// `info,sightline_pipeline=trace`; an empty one is the default. Called once, at start.
pub fn init<W>(format: LogFormat, filter: &str, colours: bool, writer: W) -> Result<(), TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    subscriber(format, filter, colours, writer)?
        .try_init()
        .map_err(|error| TelemetryError::SetUp(error.to_string()))
}

/// What `init` installs: for tests that read the logs.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let directives = if filter.is_empty() { DEFAULT_FILTER } else { filter };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| TelemetryError::Filter { given: filter.to_owned(), why: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(builder.with_ansi(colours).with_target(false).finish()),
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_span_list(false);
            Box::new(builder.map_event_format(Placed).finish())
        }
    })
}

/// JSON lines that say which trace and span they belong to, where they belong to a sampled frame's work, and whose it is.
struct Placed<F>(F);

impl<S, N, F> FormatEvent<S, N> for Placed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(current) = trace::current() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&placed(&line, &current))
    }
}

fn placed(line: &str, Current { context, camera }: &Current) -> String {
    let Some(object) = line.trim_end().strip_suffix('}') else { return line.to_owned() };
    let is_said = |name: &str| {
        serde_json::from_str::<BTreeMap<&str, &RawValue>>(line).is_ok_and(|fields| fields.contains_key(name))
    };
    let mut placed = format!(r#"{object},"trace_id":"{}","span_id":"{}""#, context.trace, context.span);
    if !camera.is_empty() && !is_said("camera") {
        placed.push_str(&format!(r#","camera":{}"#, serde_json::Value::from(&**camera)));
    }
    placed.push_str("}\n");
    placed
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, colours: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, colours, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(camera = "gate-3", "stream opened");
            tracing::debug!("a detail");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_a_line_with_its_fields_and_no_colours_unless_asked() {
        let text = logged(LogFormat::Text, "", false);
        assert!(text.contains("INFO stream opened camera=\"gate-3\"\n"), "{text}");
        assert!(!text.contains("a detail") && !text.contains('\u{1b}'), "{text}");
        assert!(logged(LogFormat::Text, "", true).contains('\u{1b}'));
    }

    #[test]
    fn json_is_one_object_a_line_and_the_filter_holds() {
        let text = logged(LogFormat::Json, "debug", false);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["message"], "stream opened");
        assert_eq!(lines[0]["camera"], "gate-3");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[1]["message"], "a detail");
    }

    #[test]
    fn lines_of_a_sampled_frames_work_say_where_they_belong_and_others_do_not() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(LogFormat::Json, "", false, move || writer.clone()).unwrap();
        let mut registry = prometheus_client::registry::Registry::default();
        let resource = trace::Resource { service: "test", instance: String::new() };
        let collector = trace::Collector::new("http://127.0.0.1:1").unwrap();
        let share = trace::Share::new(1.0);
        let (tracer, sending) = trace::Tracer::to(collector, share, &resource, &mut registry).unwrap();
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = tracer.follow(Some(text), "store", trace::Role::Consumer, "gate-\"3\"").unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            {
                let _entered = span.enter();
                tracing::info!(n = 1, "inside {}", "\"camera\":");
                tracing::info!(camera = "gate-4", "of its own");
            }
            tracing::info!("behind");
        });
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in [&lines[0], &lines[3]] {
            assert!(line.get("trace_id").is_none() && line.get("camera").is_none(), "{line}");
        }
        for line in &lines[1..3] {
            assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(line["span_id"], span.context().span.to_string());
        }
        assert_eq!(lines[1]["camera"], "gate-\"3\"");
        assert_eq!(lines[1]["message"], "inside \"camera\":");
        assert_eq!(lines[2]["camera"], "gate-4");
        drop(sending);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_sentence() {
        let error = subscriber(LogFormat::Text, "loud=very", false, io::stderr).err().unwrap().to_string();
        assert!(error.starts_with("--log-filter \"loud=very\" is no log filter ("), "{error}");
    }
}
