//! The files of the spool: a log in segments, appended in order, read in order, removed from the front.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightline_schema::Timestamp;

use super::continuity::last_of;
use super::record::{Directory, Header, Last, Stored, encode, encode_directory};
use super::segment::Scanner;

pub(super) const ENDING: &str = "log";

/// Why a record was not appended. Nothing of it counts.
#[derive(Debug)]
pub(super) enum AppendError {
    /// `--spool-max` is reached, and all that is left is under way to Kafka already.
    Full,
    Io(io::Error),
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the log gives back, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Stands before the record of this number.
    Directory(u64, Directory),
    Message(Header, Arc<[u8]>),
    Arrived(Header),
    Damaged,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first record, and its name.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    /// Records that were taken and have not arrived.
    pub(super) held: u64,
    pub(super) evicted: bool,
    /// When its first record was accepted.
    pub(super) since: Option<Timestamp>,
}

/// Where a reader stands.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The first number of its segment.
    pub(super) segment: u64,
    pub(super) scanner: Option<Scanner>,
    /// Read already, behind damage that was told first.
    pub(super) ahead: Option<Item>,
}

/// One directory of segments. All records between the first and the last number are in it, each as it is or as one that
/// arrived: a number that is missing was lost.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) folder: PathBuf,
    /// Locked as long as it is open.
    pub(super) _lock: File,
    pub(super) max: u64,
    pub(super) segment_max: u64,
    /// Oldest first.
    pub(super) segments: VecDeque<Segment>,
    /// The last segment, while it is written to.
    pub(super) active: Option<File>,
    /// Behind the last record.
    pub(super) next: u64,
    /// Each camera's last frame before `next`.
    pub(super) known: BTreeMap<Arc<str>, Last>,
    /// Records below it were read, or went to Kafka from memory.
    pub(super) taken_to: u64,
    pub(super) tail: Cursor,
    pub(super) again: Cursor,
    pub(super) unsynced: Vec<File>,
    pub(super) evicted: u64,
}

impl Log {
    /// Each camera's last frame before `next`.
    pub(super) fn lasts(&self) -> &BTreeMap<Arc<str>, Last> {
        &self.known
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The oldest record, if there is any.
    pub(super) fn first(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.first)
    }

    /// Behind the last record.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Less than a segment more, and the oldest one goes.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.bytes() + self.segment_max > self.max
    }

    /// When the oldest record in the files was accepted.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.segments.iter().find_map(|segment| segment.since)
    }

    /// How many records went for lack of room since this was asked last.
    pub(super) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Appends the record of number `next`; without a payload, one that arrived, which an empty log need not keep.
    pub(super) fn append(&mut self, header: &Header, payload: Option<&[u8]>) -> Result<(), AppendError> {
        if !self.segments.is_empty() || payload.is_some() {
            self.write(header, &encode(header, payload))?;
        }
        self.next = header.number.saturating_add(1);
        if let Some(frame) = &header.frame {
            self.known.insert(header.camera.clone(), last_of(header.epoch, frame));
        }
        Ok(())
    }

    fn write(&mut self, header: &Header, bytes: &[u8]) -> Result<(), AppendError> {
        let size = bytes.len() as u64;
        if let Some(segment) = self.segments.back()
            && self.active.is_some()
            && segment.since.is_some()
            && segment.length + size > self.segment_max
        {
            self.seal();
        }
        while self.bytes() + size > self.max && !self.segments.is_empty() {
            self.evict()?;
        }
        if self.active.is_none() {
            self.begin(header.number)?;
        }
        let (Some(file), Some(segment)) = (&self.active, self.segments.back_mut()) else {
            return Err(AppendError::Full);
        };
        // By its place: what an attempt that failed has left is written over.
        file.write_all_at(bytes, segment.length)?;
        segment.length += size;
        segment.since.get_or_insert(header.accepted_at);
        Ok(())
    }

    /// Makes the segment that begins with this number.
    fn begin(&mut self, first: u64) -> io::Result<()> {
        let path = self.folder.join(format!("{first:020}.{ENDING}"));
        let lasts = self.known.iter().map(|(camera, last)| (camera.clone(), *last)).collect();
        let bytes = encode_directory(&Directory { evicted: false, lasts });
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        if let Err(error) = file.write_all_at(&bytes, 0) {
            // As good as nothing; the next attempt makes it anew.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        File::open(&self.folder)?.sync_all()?;
        let length = bytes.len() as u64;
        self.segments.push_back(Segment { first, path, length, held: 0, evicted: false, since: None });
        self.active = Some(file);
        Ok(())
    }

    fn seal(&mut self) {
        self.unsynced.extend(self.active.take());
    }

    /// Removes the oldest segment of which nothing was taken. Its directory stays, and says what was before it.
    fn evict(&mut self) -> Result<(), AppendError> {
        let sealed = self.segments.len() - usize::from(self.active.is_some());
        let taken_to = self.taken_to.max(1);
        let oldest = (0..sealed).find(|at| {
            let segment = &self.segments[*at];
            segment.first >= taken_to && !segment.evicted && self.tail.segment != segment.first
        });
        let Some(at) = oldest else { return Err(AppendError::Full) };
        let end = self.segments.get(at + 1).map_or(self.next, |segment| segment.first);
        let segment = &mut self.segments[at];
        self.evicted += end - segment.first;
        let mut scanner = Scanner::open(&segment.path)?;
        let mut directory = match scanner.next(segment.length) {
            Ok(Some(Stored::Directory(directory))) => directory,
            _ => Directory::default(),
        };
        directory.evicted = true;
        let bytes = encode_directory(&directory);
        if at > 0 && self.segments[at - 1].evicted {
            // The directory before the first of them counts.
            let segment = self.segments.remove(at);
            if let Some(segment) = segment {
                fs::remove_file(&segment.path)?;
            }
            return Ok(());
        }
        let segment = &mut self.segments[at];
        // Cut first: on a full disk there may be no room for a second file.
        let file = File::options().write(true).open(&segment.path)?;
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        segment.length = bytes.len() as u64;
        segment.evicted = true;
        segment.since = None;
        self.unsynced.push(file);
        Ok(())
    }

    /// Records below this number went to Kafka from memory.
    pub(super) fn taken(&mut self, to: u64) {
        self.taken_to = self.taken_to.max(to);
    }

    /// What was not taken yet, about `bytes` of it, and the number up to which that is all there is.
    pub(super) fn read_tail(&mut self, bytes: usize) -> (Vec<Item>, u64) {
        let mut cursor = std::mem::take(&mut self.tail);
        let (mut items, mut size) = (Vec::new(), 0);
        while size < bytes {
            let Some(item) = self.step(&mut cursor) else {
                self.taken_to = self.taken_to.max(self.next);
                break;
            };
            match &item {
                Item::Message(header, _) | Item::Arrived(header) if header.number < self.taken_to => continue,
                Item::Directory(first, _) if *first < self.taken_to => continue,
                Item::Message(header, payload) => {
                    size += payload.len();
                    self.taken_to = header.number + 1;
                    self.hold(header.number);
                }
                Item::Arrived(header) => self.taken_to = header.number + 1,
                Item::Directory(..) | Item::Damaged => {}
            }
            items.push(item);
        }
        self.tail = cursor;
        (items, self.taken_to)
    }

    /// Records of before, from `from` on, that are wanted again: about `bytes` of them, and whether that is all.
    pub(super) fn read_again(
        &mut self,
        from: u64,
        bytes: usize,
        wanted: impl Fn(u64) -> bool,
    ) -> (Vec<Item>, bool) {
        let mut cursor = std::mem::take(&mut self.again);
        let (mut items, mut size, mut is_all) = (Vec::new(), 0, false);
        while size < bytes {
            match self.step(&mut cursor) {
                None => {
                    is_all = true;
                    break;
                }
                Some(Item::Message(header, payload)) if header.number >= from && wanted(header.number) => {
                    size += payload.len();
                    items.push(Item::Message(header, payload));
                }
                Some(_) => {}
            }
        }
        self.again = cursor;
        (items, is_all)
    }

    /// `read_again` begins at the front.
    pub(super) fn rewind(&mut self) {
        self.again = Cursor::default();
    }

    /// The next thing behind a cursor; over to the next segment at the end of one.
    fn step(&self, cursor: &mut Cursor) -> Option<Item> {
        if let Some(item) = cursor.ahead.take() {
            return Some(item);
        }
        loop {
            let at = self.segments.iter().position(|segment| segment.first >= cursor.segment)?;
            let segment = &self.segments[at];
            if cursor.segment != segment.first {
                *cursor = Cursor { segment: segment.first, ..Cursor::default() };
            }
            let scanned = match &mut cursor.scanner {
                Some(scanner) => scanner.next(segment.length),
                None => Scanner::open(&segment.path).and_then(|mut scanner| {
                    let first = scanner.next(segment.length);
                    cursor.scanner = Some(scanner);
                    first
                }),
            };
            let is_last = at + 1 == self.segments.len();
            match scanned {
                Ok(Some(stored)) => {
                    let item = match stored {
                        Stored::Message(header, payload) => Item::Message(header, payload),
                        Stored::Arrived(header) => Item::Arrived(header),
                        Stored::Directory(directory) => Item::Directory(segment.first, directory),
                    };
                    if cursor.scanner.as_mut().is_some_and(Scanner::take_damaged) {
                        tracing::error!(file = %segment.path.display(), "a part of the spool is damaged, and is passed over");
                        cursor.ahead = Some(item);
                        return Some(Item::Damaged);
                    }
                    return Some(item);
                }
                Ok(None) if is_last => return None,
                Ok(None) => {
                    // A sealed segment ends with its last record, or its end is damaged.
                    let end = cursor.scanner.as_ref().map_or(0, Scanner::offset);
                    *cursor = Cursor { segment: segment.first + 1, ..Cursor::default() };
                    if end < segment.length {
                        return Some(Item::Damaged);
                    }
                }
                Err(error) => {
                    tracing::error!(file = %segment.path.display(), %error, "a file of the spool can't be read, and is passed over");
                    *cursor = Cursor { segment: segment.first + 1, ..Cursor::default() };
                    return Some(Item::Damaged);
                }
            }
        }
    }

    /// Keeps the segment of this record until it has arrived.
    pub(super) fn hold(&mut self, number: u64) {
        if let Some(segment) = self.segment_of(number) {
            segment.held += 1;
        }
    }

    pub(super) fn arrived(&mut self, number: u64) {
        if let Some(segment) = self.segment_of(number) {
            segment.held = segment.held.saturating_sub(1);
        }
    }

    fn segment_of(&mut self, number: u64) -> Option<&mut Segment> {
        let behind = self.segments.partition_point(|segment| segment.first <= number);
        self.segments.get_mut(behind.checked_sub(1)?)
    }

    /// Removes from the front what has arrived.
    pub(super) fn tidy(&mut self) {
        while self.front_is_done() {
            let Some(segment) = self.segments.pop_front() else { return };
            if self.segments.is_empty() {
                self.active = None;
                self.unsynced.clear();
            }
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::warn!(
                    file = %segment.path.display(), %error,
                    "a spooled file that arrived can't be removed; the next start publishes it again, and readers drop that"
                );
            }
        }
    }

    /// Only from the front, so that a number that is missing means a loss. A directory without its records waits for the
    /// segment behind it: that one's gaps rest on it.
    fn front_is_done(&self) -> bool {
        for (at, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(at + 1).map_or(self.next, |next| next.first);
            if segment.held > 0 || self.taken_to < end {
                return false;
            }
            if !segment.evicted {
                return true;
            }
        }
        !self.segments.is_empty()
    }

    /// Files whose records may not be on the disk itself yet.
    pub(super) fn take_unsynced(&mut self) -> io::Result<Vec<File>> {
        let mut files = std::mem::take(&mut self.unsynced);
        if let Some(active) = &self.active {
            files.push(active.try_clone()?);
        }
        Ok(files)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
