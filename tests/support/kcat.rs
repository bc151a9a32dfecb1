//! What a foreign client reads: kcat.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// One record, as kcat's `-J` gives it.
#[derive(Clone, Debug)]
pub struct Record {
    pub partition: u32,
    pub offset: u64,
    /// Milliseconds since 1970, by whoever wrote it.
    pub timestamp_ms: i64,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub value: Value,
}

impl Record {
    pub fn schema(&self) -> &str {
        self.value["schema"].as_str().expect("a schema")
    }
}

/// All of a topic, partition by partition in the order of offsets.
pub fn read(bootstrap: &str, topic: &str) -> Vec<Record> {
    let mut records: Vec<_> = lines(bootstrap, topic).iter().map(record).collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The headers alone, of records that may be anything.
pub fn headers(bootstrap: &str, topic: &str) -> Vec<BTreeMap<String, String>> {
    lines(bootstrap, topic).iter().map(headers_of).collect()
}

fn lines(bootstrap: &str, topic: &str) -> Vec<Value> {
    let mut command = Command::new("kcat");
    command.args(["-m", "60", "-C", "-q", "-e", "-J", "-o", "beginning", "-b", bootstrap, "-t", topic]);
    let output = command.output().expect("kcat runs: apt-get install kcat");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

fn headers_of(read: &Value) -> BTreeMap<String, String> {
    let texts: Vec<_> =
        read["headers"].as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect();
    texts.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

fn record(read: &Value) -> Record {
    let payload = read["payload"].as_str().expect("a payload");
    Record {
        partition: read["partition"].as_u64().unwrap() as u32,
        offset: read["offset"].as_u64().unwrap(),
        timestamp_ms: read["ts"].as_i64().unwrap(),
        key: read["key"].as_str().expect("a key").to_owned(),
        headers: headers_of(read),
        value: serde_json::from_str(payload).unwrap_or_else(|error| panic!("{error}: {payload}")),
    }
}

/// The partition Java's clients choose: `toPositive(murmur2(key)) % partitions`.
pub fn partition(key: &str, partitions: u32) -> u32 {
    (murmur2(key.as_bytes()) & 0x7fff_ffff) % partitions
}

/// MurmurHash2 with Kafka's seed: `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ k >> 24).wrapping_mul(M);
    }
    let rest = chunks.remainder();
    for (i, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * i);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[test]
fn murmur2_is_that_of_java() {
    // From UtilsTest.testMurmur2 of Apache Kafka.
    let known = [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)];
    for (key, hash) in known {
        assert_eq!(murmur2(key.as_bytes()), hash as u32, "{key}");
    }
}
