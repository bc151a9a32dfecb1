//! Logs: structured lines, on standard error or wherever the command puts them.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

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
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    })
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
    fn a_filter_that_cannot_be_read_is_a_sentence() {
        let error = subscriber(LogFormat::Text, "loud=very", false, io::stderr).err().unwrap().to_string();
        assert!(error.starts_with("--log-filter \"loud=very\" is no log filter ("), "{error}");
    }
}
