//! What the queue holds and says: places, records in memory, steps, reports.

use std::sync::Arc;
use std::time::Instant;

use sightline_schema::Timestamp;
use sightline_service::trace::{Context, Known, Seed};

use super::record::{FrameAt, Header, Kind, Last};

/// A record's place in the order: its number, then what stands before the record itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) part: u32,
}

impl Place {
    pub(super) fn of_record(number: u64) -> Self {
        Self { number, part: u32::MAX }
    }

    pub(super) fn start(number: u64) -> Self {
        Self { number, part: 0 }
    }

    pub(super) fn next(self) -> Self {
        match self.part.checked_add(1) {
            Some(part) => Self { part, ..self },
            None => Self::start(self.number + 1),
        }
    }

    pub(super) fn is_record(self) -> bool {
        self.part == u32::MAX
    }
}

/// How much is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.records += 1;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records = self.records.saturating_sub(1);
    }

    /// Something always fits where nothing is.
    pub(super) fn has_room(&self, bytes: usize, limits: Limits) -> bool {
        self.records == 0 || self.records < limits.records && self.bytes + bytes <= limits.bytes
    }
}

/// What a lane gives.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) kind: Kind,
    pub(crate) camera: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) frame: Option<FrameAt>,
    pub(crate) payload: Arc<[u8]>,
    /// The time from its capture to its acknowledgement is of interest.
    pub(crate) live: bool,
}

/// No room: not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A record in memory, with or without its payload.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) header: Header,
    /// Gone once it is on disk, or has arrived.
    pub(super) payload: Option<Arc<[u8]>>,
    pub(super) bytes: usize,
    pub(super) accepted: Instant,
    pub(super) live: bool,
    pub(super) handed: bool,
    pub(super) arrived: bool,
    pub(super) passed: bool,
    /// Handed with nothing else under way.
    pub(super) alone: bool,
    /// The log keeps its segment for it.
    pub(super) held: bool,
    /// Stands nowhere but here: a gap, or what a record was replaced by.
    pub(super) only_here: bool,
    /// The camera's frame before it, once it was looked for what is missing.
    pub(super) checked: Option<Option<Last>>,
}

/// A record for the log.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) header: Header,
    pub(super) payload: Option<Arc<[u8]>>,
}

/// What the sender should do.
#[derive(Debug)]
pub(super) enum Step {
    Send(Outgoing),
    /// Call `load` with the log.
    Load,
    /// Call `reload` with the log.
    Reload,
    Wait,
}

/// A record on its way to Kafka.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) camera: Arc<str>,
    pub(super) payload: Arc<[u8]>,
    /// From an earlier process.
    pub(super) replayed: bool,
    pub(super) traced: Option<Traced>,
}

/// Of a sampled frame's record: under what it travels. It follows from what lies in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traced {
    /// The span from its acceptance to its acknowledgement.
    pub(super) context: Context,
    pub(super) accepted_at: Timestamp,
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

impl Traced {
    /// `None` of what is not a sampled frame, or stands in its place.
    pub(super) fn of(header: &Header) -> Option<Self> {
        let frame = header.frame.filter(|frame| frame.sampled && header.kind == Kind::Frame)?;
        let trace = Seed::new(&header.camera, header.epoch).trace(frame.seq);
        let context = Context { trace, span: trace.span(Known::Publish) };
        Some(Self { context, accepted_at: header.accepted_at, epoch: header.epoch, seq: frame.seq })
    }
}

/// Why Kafka did not take a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may take the same record later, from another client.
    Passing,
    /// This record, or one that was sent together with it, can't be.
    OfRecord,
    /// The same, for its size.
    TooLarge,
    /// This very record can't be, whatever it is sent with.
    ForGood,
}

/// What became of a report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    /// It arrived; of a live camera, with its capture time.
    pub(super) captured_at: Option<Timestamp>,
    /// It was given up, and a gap stands in its place.
    pub(super) given_up: bool,
    /// Whether it was under way at all.
    pub(super) known: bool,
}
