//! What encoded video says of itself without being decoded: how often keyframes come, which pictures no other needs.

use std::ops::RangeInclusive;

/// How NAL units stand in an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// ITU-T H.264 and H.265, Annex B.
    StartCodes,
    /// Each behind its length in so many bytes (ISO/IEC 14496-15).
    Lengths(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalCodec {
    H264,
    H265,
}

/// The NAL units of an access unit. Stops where the bytes make no sense.
pub fn nal_units(bytes: &[u8], framing: Framing) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || match framing {
        Framing::StartCodes => {
            let start = find_start_code(rest)? + 3;
            let unit = rest.get(start..)?;
            let end = find_start_code(unit).unwrap_or(unit.len());
            rest = unit.get(end..)?;
            // A start code may be four bytes long; a NAL unit never ends in a zero byte.
            let unit = unit.get(..end)?;
            Some(&unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)])
        }
        Framing::Lengths(size) => {
            // Without a length nothing would be passed over.
            let prefix = rest.get(..size).filter(|prefix| !prefix.is_empty())?;
            let length = prefix.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            let unit = rest.get(size..)?.get(..length)?;
            rest = rest.get(size + length..)?;
            Some(unit)
        }
    })
    .filter(|unit| !unit.is_empty())
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

/// Whether other pictures may refer to this one, as its NAL units say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// None does: H.264's `nal_ref_idc` 0.
    None,
    /// None of its own temporal layer does: H.265's sub-layer non-reference pictures. At the highest layer that is none
    /// at all.
    NoneOfLayer(u8),
    Some,
}

/// Of the picture in an access unit; `None` where it holds none.
pub fn reference(bytes: &[u8], framing: Framing, codec: NalCodec) -> Option<Reference> {
    /// H.264, table 7-1: coded slices.
    const H264_SLICES: RangeInclusive<u8> = 1..=5;
    /// H.265, table 7-1: the even types below are the sub-layer non-reference pictures.
    const H265_SUBLAYER: u8 = 16;
    const H265_SLICES: RangeInclusive<u8> = 0..=31;
    nal_units(bytes, framing).find_map(|unit| match codec {
        NalCodec::H264 => {
            let header = *unit.first()?;
            let referred = header >> 5 & 3 != 0;
            H264_SLICES.contains(&(header & 0x1f)).then_some(if referred {
                Reference::Some
            } else {
                Reference::None
            })
        }
        NalCodec::H265 => {
            let (kind, layer) = (*unit.first()? >> 1 & 0x3f, (*unit.get(1)? & 7).saturating_sub(1));
            let referred = kind >= H265_SUBLAYER || kind % 2 == 1;
            H265_SLICES.contains(&kind).then_some(if referred {
                Reference::Some
            } else {
                Reference::NoneOfLayer(layer)
            })
        }
    })
}

/// What the access units of a stream were, in the order of decoding. Pure.
#[derive(Clone, Debug, Default)]
pub struct EncodedStats {
    units: u64,
    bytes: u64,
    keyframes: u64,
    since_keyframe: u64,
    last_keyframe_ns: Option<u64>,
    keyframe_interval_ns: Option<u64>,
    keyframe_interval_units: Option<u64>,
    first_ns: Option<u64>,
    highest_ns: Option<u64>,
    reordered: bool,
    looked_into: u64,
    unreferred: u64,
    /// By temporal layer.
    layers: [LayerStats; 8],
}

#[derive(Clone, Copy, Debug, Default)]
struct LayerStats {
    unreferred: u64,
    any: bool,
}

impl EncodedStats {
    /// An access unit came. `reference` where it was looked into.
    pub fn add(&mut self, pts_ns: Option<u64>, bytes: usize, keyframe: bool, reference: Option<Reference>) {
        self.units += 1;
        self.bytes += bytes as u64;
        self.since_keyframe += 1;
        if let Some(pts) = pts_ns {
            self.first_ns = Some(self.first_ns.map_or(pts, |first| first.min(pts)));
            self.reordered |= self.highest_ns.is_some_and(|highest| pts < highest);
            self.highest_ns = Some(self.highest_ns.map_or(pts, |highest| highest.max(pts)));
        }
        if keyframe {
            if self.keyframes > 0 {
                self.keyframe_interval_units = Some(self.since_keyframe);
                self.keyframe_interval_ns =
                    pts_ns.zip(self.last_keyframe_ns).map(|(pts, last)| pts.saturating_sub(last));
            }
            self.keyframes += 1;
            self.since_keyframe = 0;
            self.last_keyframe_ns = pts_ns;
        }
        self.looked_into += u64::from(reference.is_some());
        match reference {
            Some(Reference::None) => self.unreferred += 1,
            Some(Reference::NoneOfLayer(layer)) => {
                let layer = &mut self.layers[usize::from(layer & 7)];
                layer.unreferred += 1;
                layer.any = true;
            }
            Some(Reference::Some) | None => {}
        }
    }

    pub fn units(&self) -> u64 {
        self.units
    }

    /// Seconds between the last two keyframes.
    pub fn keyframe_interval_s(&self) -> Option<f64> {
        self.keyframe_interval_ns.filter(|ns| *ns > 0).map(|ns| ns as f64 / 1e9)
    }

    /// Pictures from one keyframe to the next.
    pub fn keyframe_interval_units(&self) -> Option<u64> {
        self.keyframe_interval_units
    }

    pub fn keyframes(&self) -> u64 {
        self.keyframes
    }

    /// Pictures a second, as they came.
    pub fn fps(&self) -> Option<f64> {
        let seconds = self.seconds()?;
        (self.units > 1).then(|| (self.units - 1) as f64 / seconds)
    }

    /// Bits a second.
    pub fn bit_rate(&self) -> Option<f64> {
        Some(self.bytes as f64 * 8.0 / self.seconds()?)
    }

    fn seconds(&self) -> Option<f64> {
        let seconds = self.highest_ns?.checked_sub(self.first_ns?)? as f64 / 1e9;
        (seconds > 0.0).then_some(seconds)
    }

    /// Pictures come in another order than they are shown in.
    pub fn is_reordered(&self) -> bool {
        self.reordered
    }

    /// The share of pictures that no other refers to, 0..1, where they were looked into.
    pub fn unreferred_share(&self) -> Option<f64> {
        let highest = self.layers.iter().rev().find(|layer| layer.any).map_or(0, |layer| layer.unreferred);
        (self.looked_into > 0).then(|| (self.unreferred + highest) as f64 / self.looked_into as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_come_out_of_both_framings() {
        let annex_b = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4, 5, 6];
        let units: Vec<_> = nal_units(&annex_b, Framing::StartCodes).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4, 5, 6]]);
        let avc = [0, 0, 0, 2, 0x68, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0x65, 4, 5];
        let units: Vec<_> = nal_units(&avc, Framing::Lengths(4)).collect();
        assert_eq!(units, [&[0x68, 3][..], &[0x65, 4, 5]]);
        for framing in [Framing::StartCodes, Framing::Lengths(4), Framing::Lengths(0)] {
            for bytes in [&annex_b[..], &avc[..]] {
                for end in 0..bytes.len() {
                    assert!(nal_units(&bytes[..end], framing).take(100).count() < 100, "it ends");
                }
            }
        }
    }

    #[test]
    fn which_pictures_others_refer_to() {
        let h264 =
            |nal: u8| reference(&[0, 0, 1, 0x09, 0xf0, 0, 0, 1, nal, 7], Framing::StartCodes, NalCodec::H264);
        assert_eq!(
            [h264(0x65), h264(0x41), h264(0x01)],
            [Some(Reference::Some), Some(Reference::Some), Some(Reference::None)]
        );
        assert_eq!(h264(0x67), None, "parameter sets alone");
        let h265 =
            |kind: u8, tid: u8| reference(&[0, 0, 1, kind << 1, tid, 7], Framing::StartCodes, NalCodec::H265);
        assert_eq!(
            [h265(19, 1), h265(1, 1), h265(0, 1), h265(2, 3)],
            [
                Some(Reference::Some),
                Some(Reference::Some),
                Some(Reference::NoneOfLayer(0)),
                Some(Reference::NoneOfLayer(2))
            ]
        );
    }

    #[test]
    fn a_stream_is_described_by_what_came() {
        const PICTURE_NS: u64 = 40_000_000;
        let mut stats = EncodedStats::default();
        // I P B B, in the order of decoding: 0 3 1 2 4 7 5 6 …
        for n in 0..100u64 {
            let shown = n / 4 * 4 + [0, 3, 1, 2][(n % 4) as usize];
            let reference = if n % 4 >= 2 { Reference::None } else { Reference::Some };
            stats.add(Some(shown * PICTURE_NS), 1_000, n % 48 == 0, Some(reference));
        }
        assert_eq!(stats.keyframe_interval_s(), Some(1.92));
        assert_eq!((stats.keyframe_interval_units(), stats.keyframes()), (Some(48), 3));
        assert_eq!((stats.is_reordered(), stats.unreferred_share()), (true, Some(0.5)));
        assert!((stats.fps().unwrap_or_default() - 25.0).abs() < 0.01);
        assert!((stats.bit_rate().unwrap_or_default() - 202_020.0).abs() < 1.0);
    }

    #[test]
    fn only_the_highest_layer_of_h265_can_go() {
        let mut stats = EncodedStats::default();
        for n in 0..8u64 {
            let reference = match n % 4 {
                0 => Reference::Some,
                2 => Reference::NoneOfLayer(1),
                _ => Reference::NoneOfLayer(2),
            };
            stats.add(Some(n), 1, false, Some(reference));
        }
        assert_eq!((stats.is_reordered(), stats.unreferred_share()), (false, Some(0.5)));
    }
}
