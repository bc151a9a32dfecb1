//! What a reader of `detections` makes of it, by the reader's rules of `docs/MESSAGES.md`.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::kcat;

pub const DETECTIONS: &str = "sightline.detections";

/// One epoch of a camera.
#[derive(Debug, Default)]
pub struct Epoch {
    /// The accepted ones.
    pub frames: Vec<u64>,
    /// `stream/1 ended` was read.
    pub ended: bool,
    /// The access unit up to which all is accounted for, plus one.
    next: u64,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Told {
    pub cameras: BTreeMap<String, BTreeMap<u64, Epoch>>,
    /// Accepted ones that count what is missing.
    pub gaps: Vec<Value>,
    /// Those that don't: a process or a camera was away.
    pub unseen: Vec<Value>,
    pub repeats: usize,
    /// Frames of an epoch older than the newest that were not read before.
    pub late: usize,
    /// Σ of `skipped.unpublished`.
    pub unpublished: u64,
}

impl Told {
    /// Reads the topic with kcat. Panics where a sum does not close, or a record is none by its schema.
    pub fn read(bootstrap: &str) -> Self {
        let schemas: BTreeMap<_, _> = ["frame", "spec", "stream", "gap", "tick"]
            .into_iter()
            .map(|name| {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}-1.json"));
                let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                (format!("{name}/1"), jsonschema::validator_for(&schema).unwrap())
            })
            .collect();
        let mut told = Self::default();
        for record in kcat::read(bootstrap, DETECTIONS) {
            assert_eq!(record.headers["sightline-schema"], record.schema());
            assert_eq!(record.value["camera"], *record.key);
            let errors: Vec<_> =
                schemas[record.schema()].iter_errors(&record.value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}: {}", record.value);
            told.take(&record.key, record.schema(), &record.value);
        }
        told
    }

    pub fn epochs(&self, camera: &str) -> Vec<&Epoch> {
        self.cameras.get(camera).into_iter().flat_map(BTreeMap::values).collect()
    }

    fn take(&mut self, camera: &str, schema: &str, value: &Value) {
        let number = value["epoch"].as_u64().unwrap();
        let epochs = self.cameras.entry(camera.to_owned()).or_default();
        let newest = epochs.keys().next_back().copied().unwrap_or(0);
        if number < newest {
            let seq = value["seq"].as_u64().filter(|_| schema == "frame/1");
            let is_new =
                seq.is_some_and(|seq| !epochs.get(&number).is_some_and(|of| of.frames.contains(&seq)));
            self.late += usize::from(is_new);
            return;
        }
        let epoch = epochs.entry(number).or_default();
        match schema {
            "stream/1" => epoch.ended |= value["state"] == "ended",
            "gap/1" => {
                // What was not seen was not counted.
                let Some(frames) = value["frames"].as_u64() else {
                    self.unseen.push(value.clone());
                    return;
                };
                let after = &value["after"];
                let from = match after["epoch"].as_u64() {
                    Some(of) if of == number => after["seq"].as_u64().unwrap() + 1,
                    _ => 0,
                };
                if from + frames <= epoch.next {
                    return;
                }
                assert!(from <= epoch.next, "something is missing before {value}");
                epoch.next = from + frames;
                self.gaps.push(value.clone());
            }
            "frame/1" => {
                let seq = value["seq"].as_u64().unwrap();
                if seq < epoch.next {
                    self.repeats += 1;
                    return;
                }
                let skipped: u64 = value["skipped"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(_, n)| n.as_u64().unwrap())
                    .sum();
                assert_eq!(
                    seq,
                    epoch.next + skipped,
                    "{camera}: seq − previous seq = 1 + Σ skipped: {value}"
                );
                self.unpublished += value["skipped"]["unpublished"].as_u64().unwrap_or(0);
                epoch.next = seq + 1;
                epoch.frames.push(seq);
            }
            _ => {}
        }
    }
}
