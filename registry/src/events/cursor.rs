//! Places to go on from, as texts that mean something to us alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sightline_schema::Timestamp;

/// The form of a place in the topic, and of one in the history.
const TOPIC: u8 = 1;
const HISTORY: u8 = 2;
/// More partitions than anybody has.
const MOST: usize = 4096;

/// A place in the topic: by partition, the offset of the next record. All of them in each id, for that alone says what was
/// told and what was not, whatever the filter lets through.
pub(crate) fn of_positions(positions: &[i64]) -> String {
    let mut bytes = Vec::with_capacity(1 + positions.len() * 3);
    bytes.push(TOPIC);
    for position in positions {
        // Seven bits a byte, the lowest first; the highest bit says that more follow.
        let mut rest = position.unsigned_abs();
        while rest >= 0x80 {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` where it is no such place.
pub(crate) fn positions(text: &str) -> Option<Vec<i64>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (form, rest) = bytes.split_first()?;
    if *form != TOPIC {
        return None;
    }
    let mut positions = Vec::new();
    let (mut position, mut shift) = (0_u64, 0_u32);
    for byte in rest {
        position |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63)?;
        if byte & 0x80 != 0 {
            shift += 7;
            continue;
        }
        positions.push(i64::try_from(position).ok()?);
        (position, shift) = (0, 0);
    }
    (shift == 0 && (1..=MOST).contains(&positions.len())).then_some(positions)
}

/// A place in the history: the event behind which the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) at: Timestamp,
    pub(crate) id: String,
}

impl Behind {
    pub(crate) fn text(&self) -> String {
        let mut bytes = vec![HISTORY];
        bytes.extend(self.at.as_micros().to_be_bytes());
        bytes.extend(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` where it is no such place.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (form, rest) = bytes.split_first()?;
        let (micros, id) = rest.split_first_chunk()?;
        let id = std::str::from_utf8(id).ok()?;
        // No text in a database holds a NUL.
        let is_one = *form == HISTORY && !id.contains('\0');
        is_one.then(|| Self { at: Timestamp::from_micros(i64::from_be_bytes(*micros)), id: id.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_were_written_and_others_are_none() {
        for place in [vec![0], vec![127, 128, 0, i64::MAX], (0..48).map(|n| n * n * 1_000_003).collect()] {
            let text = of_positions(&place);
            assert_eq!(positions(&text), Some(place));
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            assert_eq!(Behind::read(&text), None);
        }
        let behind = Behind { at: Timestamp::from_micros(-7), id: "tür/1/\"2\"".to_owned() };
        assert_eq!(Behind::read(&behind.text()), Some(behind.clone()));
        assert_eq!(positions(&behind.text()), None);
        let cut = URL_SAFE_NO_PAD.encode([TOPIC, 0x80]);
        let endless = URL_SAFE_NO_PAD.encode([[TOPIC].as_slice(), &[0xff; 12], &[0x01]].concat());
        let nothing = URL_SAFE_NO_PAD.encode([TOPIC]);
        for wrong in ["", "?", "AQ", "gate/1/2", &cut, &endless, &nothing] {
            assert_eq!(positions(wrong), None, "{wrong}");
            assert_eq!(Behind::read(wrong), None, "{wrong}");
        }
    }
}
