//! One partition after the other through the rules, as lines of JSON: what `replay-events` and the oracle's test share.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sightline_consumers::checkpoint::Kept;
use sightline_consumers::events::rules::PartitionState;
use sightline_consumers::partition::Taken;
use sightline_consumers::seen::Seen;
use sightline_schema::Event;

/// A run through the records of a partition.
#[derive(Default)]
pub(crate) struct Replay {
    state: PartitionState,
    /// As it was after the last checkpoint: by camera, and the partition's own.
    kept: BTreeMap<String, Kept>,
    offset: i64,
    passed_over: BTreeMap<&'static str, u64>,
}

/// What a line is answered with.
pub(crate) enum Answer {
    Events(Vec<Event>),
    /// The run is over: how many records were passed over, by why.
    End(Value),
}

impl Replay {
    /// Takes one line: `{"from_the_beginning": …}` begins a run, `{"timestamp_ms": …, "record": …}` is a record of it,
    /// `{"restart": true}` stops and goes on from a checkpoint, `{"end": true}` ends the run.
    pub(crate) fn take(&mut self, line: &str) -> Result<Answer, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        if let Some(whole) = value["from_the_beginning"].as_bool() {
            *self = Self { offset: if whole { 0 } else { 1000 }, ..Self::default() };
        } else if value["restart"] == true {
            self.restart()?;
        } else if value["end"] == true {
            return Ok(Answer::End(json!({"end": true, "passed_over": self.passed_over})));
        } else if let Some(timestamp) = value["timestamp_ms"].as_i64() {
            return self.record(&value["record"], timestamp).map(Answer::Events);
        } else {
            return Err(format!("{line} is none of what a run is made of"));
        }
        Ok(Answer::Events(Vec::new()))
    }

    fn record(&mut self, record: &Value, timestamp: i64) -> Result<Vec<Event>, String> {
        let (bytes, mut events) = (record.to_string(), Vec::new());
        let seen = Seen::parse(bytes.as_bytes(), None).map_err(|error| format!("{bytes}: {error}"))?;
        let why = match self.state.take(&seen, self.offset, timestamp, &mut events) {
            Taken::Accepted => None,
            Taken::Late => Some("late"),
            Taken::Repeat => Some("repeat"),
            Taken::Backwards => Some("backwards"),
            Taken::NotTakenUp => Some("not_taken_up"),
        };
        if let Some(why) = why {
            *self.passed_over.entry(why).or_default() += 1;
        }
        self.offset += 1;
        Ok(events)
    }

    /// All that was known goes, but for what a checkpoint holds.
    fn restart(&mut self) -> Result<(), String> {
        for (id, kept) in self.state.changes() {
            match kept {
                Some(kept) => drop(self.kept.insert(id, kept)),
                None => drop(self.kept.remove(&id)),
            }
        }
        self.state = PartitionState::default();
        for (id, kept) in &self.kept {
            self.state.restore(id, kept).map_err(|error| format!("the checkpoint of {id}: {error}"))?;
        }
        Ok(())
    }
}
