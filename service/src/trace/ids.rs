//! Which frames are sampled, and what their traces are called: by camera, epoch and seq alone, so that every process that
//! asks comes to the same. Pure.

use sha2::{Digest as _, Sha256};

/// Random bits of a trace id by which it is sampled: its last seven bytes, as W3C and OpenTelemetry have it.
const RANDOM_BITS: u32 = 56;

/// Names a trace: never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Names a span in its trace: never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A span whose id follows from its trace's: who meets it in another process knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The frame's whole way through the pipeline.
    Frame = 1,
    /// From the outbox to Kafka's acknowledgement.
    Publish = 2,
}

impl TraceId {
    /// Of something that is no frame.
    pub fn random() -> Self {
        Self::of_halves(rand::random(), rand::random())
    }

    fn of_halves(high: u64, low: u64) -> Self {
        // Zero is no id.
        let whole = (u128::from(high) << 64 | u128::from(low)).max(1);
        Self(whole.to_be_bytes())
    }

    fn low(self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }

    /// The id of a span that is known by its trace.
    pub fn span(self, known: Known) -> SpanId {
        SpanId::of(mix(self.low() ^ (known as u64) << 32))
    }
}

impl SpanId {
    pub fn random() -> Self {
        Self::of(rand::random())
    }

    fn of(number: u64) -> Self {
        Self(number.max(1).to_be_bytes())
    }
}

/// The share of traces that are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Trace ids whose random bits are below it are not sampled: OpenTelemetry's rejection threshold.
    below: u64,
}

impl Share {
    /// 0 to 1.
    pub fn new(share: f64) -> Self {
        let all = (1_u64 << RANDOM_BITS) as f64;
        Self { below: ((1.0 - share.clamp(0.0, 1.0)) * all).round() as u64 }
    }

    pub fn is_none(self) -> bool {
        self.below >= 1 << RANDOM_BITS
    }

    /// A larger share samples all that a smaller one does.
    pub fn samples(self, trace: TraceId) -> bool {
        trace.low() & ((1 << RANDOM_BITS) - 1) >= self.below
    }
}

/// What trace ids of one camera's epoch are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u64; 2]);

impl Seed {
    pub fn new(camera: &str, epoch: u64) -> Self {
        let digest =
            Sha256::new().chain_update(camera).chain_update([0_u8]).chain_update(epoch.to_be_bytes());
        let bytes: [u8; 32] = digest.finalize().into();
        let half = |at: usize| bytes[at..at + 8].iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        Self([half(0), half(8)])
    }

    /// A few nanoseconds.
    pub fn trace(self, seq: u64) -> TraceId {
        let [high, low] = self.0;
        TraceId::of_halves(mix(high ^ seq), mix(low ^ seq))
    }
}

/// SplitMix64's step: one bit in changes half of the bits that come out (Steele, Lea, Flood 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_frame_has_the_same_ids_and_no_two_frames_do() {
        let mut ids = BTreeSet::new();
        for camera in ["gate-3", "gate-4"] {
            for epoch in [7, 8] {
                let seed = Seed::new(camera, epoch);
                for seq in 0..5_000 {
                    let trace = seed.trace(seq);
                    assert_eq!(trace, Seed::new(camera, epoch).trace(seq));
                    assert_ne!(trace.span(Known::Frame), trace.span(Known::Publish));
                    assert!(ids.insert(trace.0), "{camera} {epoch} {seq}");
                }
            }
        }
        // What is known of other processes' frames depends on it: a change of it is a change of the format.
        let trace = Seed::new("gate-3", 1827).trace(90_211);
        assert_eq!(trace.to_string(), "89b7415cc97890f72319105c04321b4c");
    }

    #[test]
    fn the_share_is_what_was_asked_for_and_a_larger_one_holds_a_smaller_one() {
        let frames = 200_000;
        for share in [0.0, 0.001, 0.01, 0.1, 0.5, 1.0] {
            let (part, larger) = (Share::new(share), Share::new(share * 2.0));
            let mut sampled = 0;
            for camera in 0..20 {
                let seed = Seed::new(&format!("camera-{camera}"), 3);
                for trace in (0..frames / 20).map(|seq| seed.trace(seq)) {
                    sampled += u64::from(part.samples(trace));
                    assert!(!part.samples(trace) || larger.samples(trace));
                }
            }
            // Five standard deviations of a fair draw.
            let bound = 5.0 * (frames as f64 * share * (1.0 - share)).sqrt();
            let off = (sampled as f64 - frames as f64 * share).abs();
            assert!(off <= bound, "{share}: {sampled} of {frames}");
            assert_eq!(part.is_none(), share == 0.0);
        }
    }
}
