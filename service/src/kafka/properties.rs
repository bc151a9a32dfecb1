//! librdkafka properties as text: the file's lines and the environment's variables, without their meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::config::KafkaConfigError;

/// `SIGHTLINE_KAFKA_SASL_PASSWORD` is `sasl.password`.
const PREFIX: &str = "SIGHTLINE_KAFKA_";
/// Variables of the commands' own flags.
const NOT_PROPERTIES: [&str; 1] = ["CONFIG"];

/// Where a property was said, for the sentence that refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Line { file: PathBuf, line: usize },
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line { file, line } => write!(f, "{}, line {line}", file.display()),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A value and where it came from. It may be a secret: no Debug.
pub(crate) struct Said {
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

pub(crate) type Properties = BTreeMap<String, Said>;

/// `key=value` a line; `#` and `!` begin comments. Values are taken as they are, without surrounding white space.
pub(crate) fn parse_file(text: &str, file: &Path) -> Result<Properties, KafkaConfigError> {
    let mut properties = Properties::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let origin = Origin::Line { file: file.to_owned(), line: index + 1 };
        // The line itself is not shown: it may be a password whose name was forgotten.
        let Some((key, value)) = line.split_once('=') else { return Err(KafkaConfigError::NoKey { origin }) };
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() {
            return Err(KafkaConfigError::NoKey { origin });
        }
        if properties
            .insert(key.to_owned(), Said { value: value.to_owned(), origin: origin.clone() })
            .is_some()
        {
            return Err(KafkaConfigError::Twice { key: key.to_owned(), origin });
        }
    }
    Ok(properties)
}

/// The variables that are properties. Kubernetes makes variables of the same beginning for a Service named
/// `sightline-kafka…` (`SIGHTLINE_KAFKA_SERVICE_HOST`, `SIGHTLINE_KAFKA_PORT_9092_TCP`, …): they are none.
pub(crate) fn parse_variables(variables: impl IntoIterator<Item = (String, String)>) -> Properties {
    let property = |(name, value): (String, String)| {
        let rest = name.strip_prefix(PREFIX)?;
        if rest.is_empty() || NOT_PROPERTIES.contains(&rest) || is_kubernetes(rest) {
            return None;
        }
        let key = rest.to_ascii_lowercase().replace('_', ".");
        Some((key, Said { value: value.trim().to_owned(), origin: Origin::Variable(name) }))
    };
    variables.into_iter().filter_map(property).collect()
}

fn is_kubernetes(rest: &str) -> bool {
    let padded = format!("_{rest}");
    let ends = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"];
    let numbered = |(_, behind): (&str, &str)| behind.starts_with(|c: char| c.is_ascii_digit());
    ends.iter().any(|end| padded.ends_with(end))
        || padded.contains("_SERVICE_PORT_")
        || padded.split_once("_PORT_").is_some_and(numbered)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn values(properties: Properties) -> Vec<(String, String)> {
        properties.into_iter().map(|(key, said)| (key, said.value)).collect()
    }

    #[test]
    fn a_file_is_keys_and_values_and_comments() {
        let text = "# by hand\n\n ssl.ca.location = /etc/ca.pem \n! old\nsasl.password=a=b#c\r\n";
        let properties = parse_file(text, Path::new("client.properties")).unwrap();
        assert_eq!(properties["sasl.password"].origin.to_string(), "client.properties, line 5");
        assert_eq!(
            values(properties),
            [("sasl.password".into(), "a=b#c".into()), ("ssl.ca.location".into(), "/etc/ca.pem".into())]
        );
    }

    #[test]
    fn a_line_that_is_none_is_named_by_number_and_never_shown() {
        let error = parse_file("a=1\nhunter2\n", Path::new("f")).err().unwrap().to_string();
        assert!(error.contains("f, line 2") && !error.contains("hunter2"), "{error}");
        let error = parse_file("a=1\n\na=2\n", Path::new("f")).err().unwrap().to_string();
        assert!(error.contains("\"a\"") && error.contains("f, line 3"), "{error}");
    }

    #[test]
    fn variables_become_properties_except_those_of_flags_and_of_kubernetes() {
        let variables = [
            ("SIGHTLINE_KAFKA_SASL_PASSWORD", " p \n"),
            ("SIGHTLINE_KAFKA_SSL_KEY_PASSWORD_FILE", "/run/x"),
            ("SIGHTLINE_KAFKA", "k:9092"),
            ("SIGHTLINE_KAFKA_CONFIG", "/etc/kafka.properties"),
            ("SIGHTLINE_KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("SIGHTLINE_KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("SIGHTLINE_KAFKA_BOOTSTRAP_SERVICE_HOST", "10.0.0.1"),
            ("SIGHTLINE_KAFKA_SERVICE_PORT_TCP_CLIENTS", "9092"),
            ("SIGHTLINE_LOG", "debug"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            values(parse_variables(variables)),
            [("sasl.password".into(), "p".into()), ("ssl.key.password.file".into(), "/run/x".into())]
        );
    }
}
