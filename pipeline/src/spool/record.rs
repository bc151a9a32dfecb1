//! A record as it lies on disk: magic, length, CRC-32, body. All numbers are little-endian.

use std::sync::Arc;

use sightline_schema::{FrameResult, Gap, Message as _, SpecRecord, StreamRecord, Tick, Timestamp};

/// Begins a record. No JSON in UTF-8 holds its first byte.
pub(super) const MAGIC: [u8; 4] = [0xF5, b'S', b'L', 1];
/// Magic, length of the body, CRC-32 of the body.
pub(super) const PREFIX: usize = 12;
/// No body is longer: a length above it is damage.
pub(super) const MAX_BODY: usize = 64 << 20;

/// What a record of `detections` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Frame,
    Spec,
    Stream,
    Tick,
    Gap,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Frame, Self::Spec, Self::Stream, Self::Tick, Self::Gap];

    /// The value of the header `sightline-schema`.
    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::Frame => FrameResult::SCHEMA,
            Self::Spec => SpecRecord::SCHEMA,
            Self::Stream => StreamRecord::SCHEMA,
            Self::Tick => Tick::SCHEMA,
            Self::Gap => Gap::SCHEMA,
        }
    }

    pub(crate) fn of_schema(schema: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.schema() == schema)
    }

    fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// Where a frame stands in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameAt {
    pub(crate) seq: u64,
    /// Σ skipped.
    pub(crate) skipped: u64,
    pub(crate) captured_at: Timestamp,
    /// Its record says which trace it belongs to.
    pub(crate) sampled: bool,
}

/// What is known of a record without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Counts accepted records, without a hole.
    pub(crate) number: u64,
    pub(crate) accepted_at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) camera: Arc<str>,
    pub(crate) epoch: u64,
    /// Of a frame, and of the gap that stands in a frame's place.
    pub(crate) frame: Option<FrameAt>,
}

/// A camera's last frame at some point of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) captured_at: Timestamp,
}

impl Last {
    /// Whether it stands behind `other`.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        (self.epoch, self.seq) > (other.epoch, other.seq)
    }
}

/// What lies in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Message(Header, Arc<[u8]>),
    /// Acknowledged before it was written: keeps the order without a hole.
    Arrived(Header),
    /// First in a segment: each camera's last frame before it.
    Directory(Directory),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// The records behind it went for lack of room.
    pub(super) evicted: bool,
    pub(super) lasts: Vec<(Arc<str>, Last)>,
}

const MESSAGE: u8 = 1;
const ARRIVED: u8 = 2;
const DIRECTORY: u8 = 3;
const EVICTED: u8 = 4;

/// Of a message that is of a frame.
const FRAME: u8 = 1;
const SAMPLED: u8 = 2;

/// A message, or with no payload what is left of one that arrived.
pub(super) fn encode(header: &Header, payload: Option<&[u8]>) -> Vec<u8> {
    framed(|body| {
        body.push(if payload.is_some() { MESSAGE } else { ARRIVED });
        body.push(header.kind as u8);
        put(body, header.number);
        put(body, header.accepted_at.as_micros() as u64);
        put(body, header.epoch);
        // A version that knows no samples reads whatever is not 0 as a frame.
        body.push(header.frame.map_or(0, |frame| FRAME | if frame.sampled { SAMPLED } else { 0 }));
        if let Some(frame) = header.frame {
            put(body, frame.seq);
            put(body, frame.skipped);
            put(body, frame.captured_at.as_micros() as u64);
        }
        put_name(body, &header.camera);
        body.extend_from_slice(payload.unwrap_or_default());
    })
}

pub(super) fn encode_directory(directory: &Directory) -> Vec<u8> {
    framed(|body| {
        body.push(if directory.evicted { EVICTED } else { DIRECTORY });
        put(body, directory.lasts.len() as u64);
        for (camera, last) in &directory.lasts {
            put(body, last.epoch);
            put(body, last.seq);
            put(body, last.captured_at.as_micros() as u64);
            put_name(body, camera);
        }
    })
}

fn framed(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![0; PREFIX];
    fill(&mut bytes);
    let (crc, length) = (crc32fast::hash(&bytes[PREFIX..]), (bytes.len() - PREFIX) as u32);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..PREFIX].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn put(body: &mut Vec<u8>, number: u64) {
    body.extend_from_slice(&number.to_le_bytes());
}

/// Ids are DNS labels of at most 63 bytes; what is longer is cut rather than refused.
fn put_name(body: &mut Vec<u8>, name: &str) {
    let cut = name.len().min(usize::from(u16::MAX));
    body.extend_from_slice(&(cut as u16).to_le_bytes());
    body.extend_from_slice(&name.as_bytes()[..cut]);
}

/// Length and checksum of the body, if a record begins here.
pub(super) fn prefix(bytes: &[u8; PREFIX]) -> Option<(usize, u32)> {
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = *bytes;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let is_one = [m0, m1, m2, m3] == MAGIC && length <= MAX_BODY;
    is_one.then(|| (length, u32::from_le_bytes([c0, c1, c2, c3])))
}

/// Reads a body. `None` where it is none, whatever its checksum says.
pub(super) fn decode(body: &[u8]) -> Option<Stored> {
    let mut rest = body;
    match byte(&mut rest)? {
        tag @ (MESSAGE | ARRIVED) => {
            let kind = Kind::of_byte(byte(&mut rest)?)?;
            let number = number(&mut rest)?;
            let accepted_at = time(&mut rest)?;
            let epoch = self::number(&mut rest)?;
            let frame = match byte(&mut rest)? {
                0 => None,
                flags => Some(FrameAt {
                    seq: self::number(&mut rest)?,
                    skipped: self::number(&mut rest)?,
                    captured_at: time(&mut rest)?,
                    sampled: flags & SAMPLED != 0,
                }),
            };
            let camera = name(&mut rest)?;
            let header = Header { number, accepted_at, kind, camera, epoch, frame };
            Some(if tag == MESSAGE { Stored::Message(header, rest.into()) } else { Stored::Arrived(header) })
        }
        tag @ (DIRECTORY | EVICTED) => {
            let mut lasts = Vec::new();
            for _ in 0..number(&mut rest)? {
                let last = Last {
                    epoch: number(&mut rest)?,
                    seq: number(&mut rest)?,
                    captured_at: time(&mut rest)?,
                };
                lasts.push((name(&mut rest)?, last));
            }
            Some(Stored::Directory(Directory { evicted: tag == EVICTED, lasts }))
        }
        _ => None,
    }
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

/// Nothing that was counted comes near it, and sums of what lies below don't run over.
const COUNTED_BELOW: u64 = 1 << 62;

fn number(rest: &mut &[u8]) -> Option<u64> {
    eight(rest).map(u64::from_le_bytes).filter(|number| *number < COUNTED_BELOW)
}

fn time(rest: &mut &[u8]) -> Option<Timestamp> {
    eight(rest).map(|bytes| Timestamp::from_micros(i64::from_le_bytes(bytes)))
}

fn eight(rest: &mut &[u8]) -> Option<[u8; 8]> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*bytes)
}

fn name(rest: &mut &[u8]) -> Option<Arc<str>> {
    let (length, behind) = rest.split_first_chunk()?;
    let (name, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = behind;
    std::str::from_utf8(name).ok().map(Arc::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    // Found by fuzzing: the number after it ran over.
    #[test]
    fn a_number_that_nobody_counted_to_is_no_record() {
        let frame = None;
        let accepted_at = Timestamp::from_micros(-1);
        let of = |number, epoch| {
            let header =
                Header { number, accepted_at, kind: Kind::Tick, camera: "gate".into(), epoch, frame };
            decode(&encode(&header, Some(b"{}"))[PREFIX..]).is_some()
        };
        assert!(of(COUNTED_BELOW - 1, 3));
        assert!(!of(u64::MAX, 3) && !of(COUNTED_BELOW, 3) && !of(1, u64::MAX));
    }

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let captured_at = Timestamp::from_micros(-7);
        let frame = FrameAt { seq: 90_211, skipped: 5, captured_at, sampled: false };
        let sampled = FrameAt { sampled: true, ..frame };
        for (kind, frame) in Kind::ALL.into_iter().zip([Some(frame), None, None, None, Some(sampled)]) {
            let header = Header {
                number: COUNTED_BELOW - 1,
                accepted_at: Timestamp::from_micros(1),
                kind,
                camera: "gate-3".into(),
                epoch: 1827,
                frame,
            };
            assert_eq!(Kind::of_schema(kind.schema()), Some(kind));
            let bytes = encode(&header, Some(b"{}"));
            let (length, crc) = prefix(bytes[..PREFIX].try_into().unwrap()).unwrap();
            assert_eq!((length, crc), (bytes.len() - PREFIX, crc32fast::hash(&bytes[PREFIX..])));
            assert_eq!(decode(&bytes[PREFIX..]), Some(Stored::Message(header.clone(), b"{}"[..].into())));
            assert_eq!(decode(&encode(&header, None)[PREFIX..]), Some(Stored::Arrived(header)));
        }
        let last = Last { epoch: 1, seq: 2, captured_at: Timestamp::from_micros(3) };
        for evicted in [false, true] {
            let directory = Directory { evicted, lasts: vec![("a".into(), last), ("ü".into(), last)] };
            assert_eq!(decode(&encode_directory(&directory)[PREFIX..]), Some(Stored::Directory(directory)));
        }
    }

    #[test]
    fn a_body_that_is_none_is_refused_at_every_length() {
        let directory = Directory {
            evicted: false,
            lasts: vec![("gate".into(), Last { epoch: 1, seq: 2, captured_at: Timestamp::from_micros(3) })],
        };
        let body = &encode_directory(&directory)[PREFIX..];
        for length in 0..body.len() {
            assert_eq!(decode(&body[..length]), None, "{length} bytes");
        }
        assert_eq!(decode(&[9]), None);
    }
}
