//! `placement/1`: which pool and slot a camera belongs to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::message::message;

/// Where a camera belongs. A move is one record. Its offset names it: claims say which placement they act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "schema", rename = "placement/1")]
#[schemars(rename = "Placement")]
pub struct Placement {
    pub camera: String,
    pub pool: String,
    /// A partition of the topic `slots.<pool>`: who holds it runs the camera.
    pub slot: u32,
}
message!(Placement, "placement/1", camera);

/// The slot of a camera without a placement: where Java's clients would put a record with its id as the key.
/// `slots` is above 0.
pub fn slot_of(camera: &str, slots: u32) -> u32 {
    (murmur2(camera.as_bytes()) & 0x7fff_ffff) % slots.max(1)
}

/// Kafka's `Utils.murmur2` (org.apache.kafka.common.utils), Austin Appleby's MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_are_those_of_kafka() {
        let cases = [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn a_slot_is_always_one_of_the_slots() {
        for n in 0..1_000 {
            assert!(slot_of(&format!("camera-{n}"), 48) < 48);
        }
        assert_eq!(slot_of("any", 1), 0);
    }
}
