//! Access units in both framings, as a decoder's door sees them: reading them ends, and what is told of a stream stays
//! within what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_pipeline::encoded::{EncodedStats, Framing, NalCodec, nal_units, reference};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let codec = if kind & 1 == 0 { NalCodec::H264 } else { NalCodec::H265 };
    let framing = if kind & 2 == 0 { Framing::StartCodes } else { Framing::Lengths(usize::from(kind >> 2 & 3) + 1) };
    let mut stats = EncodedStats::default();
    // A byte for the length, one for the time, then the access unit.
    while let Some(([length, time], behind)) = rest.split_first_chunk::<2>() {
        let (unit, after) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = after;
        assert!(nal_units(unit, framing).map(<[u8]>::len).sum::<usize>() <= unit.len());
        let pts = (*time != 255).then_some(u64::from(*time) * 40_000_000);
        stats.add(pts, unit.len(), time & 1 == 0, reference(unit, framing, codec));
    }
    assert!(stats.keyframes() <= stats.units());
    assert!(stats.unreferred_share().is_none_or(|share| (0.0..=1.0).contains(&share)));
    for figure in [stats.fps(), stats.bit_rate(), stats.keyframe_interval_s()].into_iter().flatten() {
        assert!(figure.is_finite() && figure >= 0.0, "{figure}");
    }
});
