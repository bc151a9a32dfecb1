//! Server-sent events, as the registry writes them.

use std::io::{BufRead as _, BufReader, Read};
use std::ops::ControlFlow;

use serde_json::Value;

use crate::exit::{Failure, Outcome};

/// Tells `each` of every event, by name and data, until it has enough. The registry ending is a failure.
pub(super) fn follow(
    reader: impl Read,
    mut each: impl FnMut(&str, &Value) -> Result<ControlFlow<()>, Failure>,
) -> Outcome {
    let (mut name, mut data) = (String::new(), String::new());
    for line in BufReader::new(reader).lines() {
        let line =
            line.map_err(|error| Failure::failed(format!("the registry went away ({error}); try again")))?;
        if let Some(event) = line.strip_prefix("event:") {
            event.trim().clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data:") {
            data.push_str(text.trim());
        } else if line.is_empty() && !name.is_empty() {
            let event: Value = serde_json::from_str(&data).unwrap_or_default();
            if each(&name, &event)?.is_break() {
                return Ok(());
            }
            name.clear();
            data.clear();
        }
    }
    Err(Failure::failed("the registry ended; try again"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn events_have_a_name_and_data_and_signs_of_life_are_none() {
        let text = ": hello\n\nevent: status\ndata: {\"a\":1}\n\n:\n\nevent: ready\ndata: {}\n\nevent: more\ndata: {}\n\n";
        let mut seen = Vec::new();
        let enough = |name: &str, data: &Value| {
            seen.push(format!("{name} {data}"));
            Ok(if name == "ready" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        follow(text.as_bytes(), enough).unwrap();
        assert_eq!(seen, ["status {\"a\":1}", "ready {}"]);
        let ended = follow(text.as_bytes(), |_, _| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert!(ended.message.contains("the registry ended"), "{}", ended.message);
    }
}
