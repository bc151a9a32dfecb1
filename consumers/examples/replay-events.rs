//! The event rules on a pipe: records in, events out, without Kafka and without a clock.
//!
//! Lines on stdin, any number of runs: `{"from_the_beginning": true}`, then `{"timestamp_ms": …, "record": {…}}` each, and
//! `{"end": true}`. `{"restart": true}` in between writes a checkpoint and goes on from it. On stdout an `event/1` a line, and
//! `{"end": true}` with what was passed over after each run.
//!
//! `tests/oracle/generate.py 17 | cargo run -q -p sightline-consumers --example replay-events`

#[path = "../tests/support/replay.rs"]
mod replay;

use std::io::{BufRead as _, BufWriter, Write as _};

use replay::{Answer, Replay};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut replay, mut out) = (Replay::default(), BufWriter::new(std::io::stdout().lock()));
    for line in std::io::stdin().lock().lines() {
        match replay.take(&line?)? {
            Answer::Events(events) => {
                for event in events {
                    serde_json::to_writer(&mut out, &event)?;
                    writeln!(out)?;
                }
            }
            Answer::End(end) => {
                writeln!(out, "{end}")?;
                out.flush()?;
            }
        }
    }
    Ok(())
}
