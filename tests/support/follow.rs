//! A topic as it grows, read by a foreign client: kcat.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Where the record's own timestamp is put into its value: when it was ready, ms since 1970.
pub const READY_MS: &str = "ready_ms";

/// The records of a topic so far, by camera in the order of their partition.
pub struct Follow {
    child: Child,
    records: Arc<Mutex<HashMap<String, Vec<Value>>>>,
}

impl Follow {
    pub fn topic(bootstrap: &str, topic: &str) -> Self {
        let mut child = Command::new("kcat")
            .args([
                "-m",
                "60",
                "-C",
                "-q",
                "-u",
                "-E",
                "-o",
                "beginning",
                "-f",
                "%k\t%T\t%s\n",
                "-b",
                bootstrap,
                "-t",
            ])
            .arg(topic)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("kcat runs: apt-get install kcat");
        let records = Arc::<Mutex<HashMap<String, Vec<Value>>>>::default();
        let (out, kept) = (BufReader::new(child.stdout.take().expect("its output")), records.clone());
        // Ends with kcat.
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let mut fields = line.splitn(3, '\t');
                let mut next = || fields.next().expect("a key, a timestamp and a value");
                let (camera, timestamp, value) = (next(), next(), next());
                // A tombstone says nothing.
                let mut value: Value = match value {
                    "" => Value::Null,
                    value => serde_json::from_str(value).unwrap_or_else(|error| panic!("{error}: {line}")),
                };
                value[READY_MS] = timestamp.parse::<i64>().expect("a timestamp").into();
                kept.lock().unwrap().entry(camera.to_owned()).or_default().push(value);
            }
        });
        Self { child, records }
    }

    /// All records of a camera so far.
    pub fn of(&self, camera: &str) -> Vec<Value> {
        self.records.lock().unwrap().get(camera).cloned().unwrap_or_default()
    }

    pub fn count(&self, camera: &str) -> usize {
        self.records.lock().unwrap().get(camera).map_or(0, Vec::len)
    }

    /// The first record of a camera from number `from` on that fits.
    pub fn find(&self, camera: &str, from: usize, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let records = self.records.lock().unwrap();
        records.get(camera)?.iter().skip(from).find(|record| fits(record)).cloned()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
