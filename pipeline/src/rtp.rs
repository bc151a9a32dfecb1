//! Which access units a camera sent, read from its RTP packets: also those that got lost on the way.
//!
//! A depayloader gives nothing for an access unit whose packets are missing, so whoever counts behind it counts too
//! few. Packets are numbered without a hole (RFC 3550 §5.1), and all packets of an access unit carry one RTP timestamp
//! (RFC 6184 §5.1, RFC 7798 §4.1, RFC 2435 §3.1).

use std::collections::VecDeque;

/// How access units are told from what stands between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// Every timestamp is a picture.
    Other,
}

impl Payload {
    /// Of an SDP's encoding name, in capitals.
    pub fn of(encoding: &str) -> Self {
        match encoding {
            "H264" => Self::H264,
            "H265" => Self::H265,
            _ => Self::Other,
        }
    }

    /// Whether a packet holds a part of a picture, and not parameter sets or messages alone: some cameras give those a
    /// timestamp of their own. What can't be read counts as a picture.
    fn holds_picture(self, payload: &[u8]) -> bool {
        match self {
            Self::Other => true,
            Self::H264 => h264_picture(payload),
            Self::H265 => h265_picture(payload),
        }
    }
}

fn h264_picture(payload: &[u8]) -> bool {
    let coded = |nal: u8| (1..=5).contains(&(nal & 0x1f));
    match payload.first().map(|first| first & 0x1f) {
        // STAP-A, STAP-B: 16-bit sizes and NAL units, behind a decoding order number in B.
        Some(kind @ 24..=25) => aggregated(payload.get(if kind == 24 { 1 } else { 3 }..)).any(coded),
        // FU-A, FU-B: the type is in the second byte.
        Some(28..=29) => payload.get(1).is_none_or(|header| coded(*header)),
        Some(1..=5 | 26..=27) | None => true,
        Some(_) => false,
    }
}

fn h265_picture(payload: &[u8]) -> bool {
    let coded = |nal: u8| (nal >> 1) & 0x3f < 32;
    match payload.first().map(|first| (first >> 1) & 0x3f) {
        // Aggregation packet.
        Some(48) => aggregated(payload.get(2..)).any(coded),
        // Fragment: the type is in the third byte, without the bit in front.
        Some(49) => payload.get(2).is_none_or(|header| header & 0x3f < 32),
        Some(kind) => !(32..=49).contains(&kind),
        None => true,
    }
}

/// The first byte of each NAL unit of an aggregation packet.
fn aggregated(units: Option<&[u8]>) -> impl Iterator<Item = u8> {
    let mut rest = units.unwrap_or_default();
    std::iter::from_fn(move || {
        let (size, behind) = rest.split_first_chunk::<2>()?;
        let first = *behind.first()?;
        rest = behind.get(usize::from(u16::from_be_bytes(*size))..).unwrap_or_default();
        Some(first)
    })
}

/// What an RTP packet says of itself (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub sequence: u16,
    /// On the payload's clock.
    pub timestamp: u32,
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// `None` for what is no RTP packet.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<12>()?;
        if header[0] >> 6 != 2 {
            return None;
        }
        let mut rest = rest.get(4 * usize::from(header[0] & 0x0f)..)?;
        if header[0] & 0x10 != 0 {
            let (extension, behind) = rest.split_first_chunk::<4>()?;
            let words = u16::from_be_bytes([extension[2], extension[3]]);
            rest = behind.get(4 * usize::from(words)..)?;
        }
        if header[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            rest = rest.get(..rest.len().checked_sub(padding)?)?;
        }
        Some(Self {
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            payload: rest,
        })
    }
}

/// A jump in the numbers beyond this is a camera that started anew, and no loss.
const MOST_LOST: u16 = 3_000;
/// The same for what was lost before the first packet: what cameras say of it is often wrong.
const MOST_LOST_AT_START: u16 = 64;
/// Distances of access units that are looked back at.
const DISTANCES: usize = 9;

/// Counts the access units of one RTP stream. Pure.
#[derive(Debug)]
pub struct SentUnits {
    payload: Payload,
    /// Number and timestamp of the first packet, as the camera said them; until the first access unit.
    base: Option<(u16, u32)>,
    last: Option<u16>,
    /// The timestamp of the last access unit.
    unit: Option<u32>,
    /// Packets missing since the last access unit's first packet.
    missing: u32,
    /// Timestamps between neighbours, the latest at the back.
    distances: VecDeque<i32>,
    /// What went missing before the pace was known.
    unsettled: Vec<Hole>,
}

/// Packets went missing before an access unit.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// From `since` to the access unit that came, in ticks.
    span: i32,
    since: Since,
    /// Packets.
    missing: u32,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    /// An access unit that arrived.
    Arrived,
    /// The stream's first, which did not.
    Lost,
}

impl Hole {
    /// As many access units as fit in by the camera's pace, but no more than packets are missing.
    fn units(self, pace: i32) -> u32 {
        let steps = (f64::from(self.span) / f64::from(pace)).round();
        let units = match self.since {
            Since::Arrived => steps - 1.0,
            Since::Lost => steps,
        };
        (units.max(0.0) as u32).min(self.missing)
    }
}

/// What a packet begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begins {
    /// Access units that are found to be lost whole, from before this packet.
    pub lost: u32,
    /// A new access unit.
    pub unit: bool,
}

impl SentUnits {
    /// `base`: the first packet's number and timestamp as the camera said it (RFC 2326 §12.33, `RTP-Info`).
    pub fn new(payload: Payload, base: Option<(u16, u32)>) -> Self {
        Self {
            payload,
            base,
            last: None,
            unit: None,
            missing: 0,
            distances: VecDeque::new(),
            unsettled: Vec::new(),
        }
    }

    /// Takes the next packet, in the order of their numbers.
    pub fn packet(&mut self, packet: &Packet<'_>) -> Begins {
        let before = match (self.last, self.base) {
            (Some(last), _) => Some((last, MOST_LOST)),
            (None, Some((first, _))) => Some((first.wrapping_sub(1), MOST_LOST_AT_START)),
            (None, None) => None,
        };
        if let Some((before, most)) = before {
            let missing = packet.sequence.wrapping_sub(before).wrapping_sub(1);
            if missing < most {
                self.missing += u32::from(missing);
            }
        }
        self.last = Some(packet.sequence);
        if self.unit == Some(packet.timestamp) || !self.payload.holds_picture(packet.payload) {
            return Begins::default();
        }
        self.began(packet.timestamp);
        let lost = self.pace().map_or(0, |pace| self.unsettled.drain(..).map(|hole| hole.units(pace)).sum());
        Begins { lost, unit: true }
    }

    fn began(&mut self, timestamp: u32) {
        let missing = std::mem::take(&mut self.missing);
        let ticks = |since: u32| timestamp.wrapping_sub(since) as i32;
        match (self.unit.replace(timestamp), self.base.take()) {
            (Some(unit), _) if missing == 0 => {
                if self.distances.len() == DISTANCES {
                    self.distances.pop_front();
                }
                self.distances.push_back(ticks(unit));
            }
            (Some(unit), _) => {
                self.unsettled.push(Hole { span: ticks(unit), since: Since::Arrived, missing });
            }
            (None, Some((_, first))) if missing > 0 => {
                self.unsettled.push(Hole { span: ticks(first), since: Since::Lost, missing });
            }
            (None, _) => {}
        }
    }

    /// The usual distance of two access units, in ticks of the payload's clock.
    fn pace(&self) -> Option<i32> {
        let mut distances: Vec<i32> =
            self.distances.iter().map(|distance| distance.saturating_abs()).collect();
        distances.sort_unstable();
        distances.get(distances.len() / 2).copied().filter(|pace| *pace > 0)
    }
}

/// A step of the packets' own clock that differs by more than this from what the jitter buffer makes of it is a camera
/// that started its clock anew.
const ANEW_NS: i64 = 5_000_000_000;

/// The pts of packets by the camera's own timestamps alone: the same clip has the same pts each time. A jitter buffer
/// smooths them by arrivals instead, and gives two pictures one pts where B-frames go back in time.
#[derive(Debug)]
pub struct PacketClock {
    /// Ticks a second.
    rate: u32,
    base_ns: i64,
    /// Since `base_ns`.
    ticks: i64,
    /// The last packet's timestamp, and its pts as the jitter buffer gave it.
    last: Option<(u32, i64)>,
}

impl PacketClock {
    /// `rate` is the payload's clock, ticks a second; RTP's usual 90 kHz where it is 0.
    pub fn new(rate: u32) -> Self {
        Self { rate: if rate == 0 { 90_000 } else { rate }, base_ns: 0, ticks: 0, last: None }
    }

    /// The pts of the packet with this timestamp, ns; `given_ns` is that of the jitter buffer.
    pub fn pts_ns(&mut self, timestamp: u32, given_ns: u64) -> u64 {
        let given = i64::try_from(given_ns).unwrap_or(i64::MAX);
        match self.last.replace((timestamp, given)) {
            None => self.base_ns = given,
            Some((last, last_given)) => {
                let step = i64::from(timestamp.wrapping_sub(last) as i32);
                let given_step = given.saturating_sub(last_given);
                if self.ns(step).abs_diff(given_step) > ANEW_NS.unsigned_abs() {
                    self.base_ns =
                        self.base_ns.saturating_add(self.ns(self.ticks)).saturating_add(given_step);
                    self.ticks = 0;
                } else {
                    self.ticks = self.ticks.saturating_add(step);
                }
            }
        }
        u64::try_from(self.base_ns.saturating_add(self.ns(self.ticks))).unwrap_or(0)
    }

    fn ns(&self, ticks: i64) -> i64 {
        let ns = i128::from(ticks) * 1_000_000_000 / i128::from(self.rate);
        i64::try_from(ns).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
    }
}

#[cfg(test)]
#[path = "rtp_tests.rs"]
mod tests;
