//! The files of the spool: a log in segments, appended in order, read in order, removed from the front.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightline_schema::Timestamp;

use super::continuity::last_of;
use super::record::{Directory, Header, Last, Stored, encode, encode_directory};
use super::segment::Scanner;

/// A segment is at most this long, and at most an eighth of the whole: what goes when the spool is full.
const SEGMENT: u64 = 16 << 20;
const SEGMENTS_AT_LEAST: u64 = 8;
const ENDING: &str = "log";
const LOCK: &str = "lock";

/// Why a directory can't be a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("--spool {}: another process uses this directory; give each process a directory of its own", folder.display())]
    Taken { folder: PathBuf },
    #[error("--spool {}: {what}: {source}; give a directory that this process may write to, on a disk with room", folder.display())]
    Io { folder: PathBuf, what: &'static str, source: io::Error },
}

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
struct Segment {
    /// The number of its first record, and its name.
    first: u64,
    path: PathBuf,
    length: u64,
    /// Records that were taken and have not arrived.
    held: u64,
    evicted: bool,
    /// When its first record was accepted.
    since: Option<Timestamp>,
}

/// Where a reader stands.
#[derive(Debug, Default)]
struct Cursor {
    /// The first number of its segment.
    segment: u64,
    scanner: Option<Scanner>,
    /// Read already, behind damage that was told first.
    ahead: Option<Item>,
}

/// One directory of segments. All records between the first and the last number are in it, each as it is or as one that
/// arrived: a number that is missing was lost.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    max: u64,
    segment_max: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last segment, while it is written to.
    active: Option<File>,
    /// Behind the last record.
    next: u64,
    /// Each camera's last frame before `next`.
    known: BTreeMap<Arc<str>, Last>,
    /// Records below it were read, or went to Kafka from memory.
    taken_to: u64,
    tail: Cursor,
    again: Cursor,
    unsynced: Vec<File>,
    evicted: u64,
}

impl Log {
    /// Takes the directory, cuts a torn end off, and finds what an earlier process left.
    pub(super) fn open(folder: &Path, max: u64) -> Result<Self, SpoolError> {
        let failed = |what| move |source| SpoolError::Io { folder: folder.to_owned(), what, source };
        fs::create_dir_all(folder).map_err(failed("it can't be made"))?;
        let lock = folder.join(LOCK);
        let made = File::options().create(true).truncate(false).write(true).open(&lock);
        made.map_err(failed("it can't be written to"))?;
        // Held for reading alone: a disk that something is written to can't be made read-only.
        let lock = File::open(&lock).map_err(failed("it can't be read"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::Taken { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("it can't be locked")(source)),
        }
        let mut log = Self {
            folder: folder.to_owned(),
            _lock: lock,
            max,
            segment_max: SEGMENT.min(max / SEGMENTS_AT_LEAST).max(1),
            segments: VecDeque::new(),
            active: None,
            next: 1,
            known: BTreeMap::new(),
            taken_to: 0,
            tail: Cursor::default(),
            again: Cursor::default(),
            unsynced: Vec::new(),
            evicted: 0,
        };
        log.recover().map_err(failed("what lies in it can't be read"))?;
        match probe(folder) {
            // Publishing what is there makes room.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && !log.is_empty() => {}
            written => written.map_err(failed("it can't be written to"))?,
        }
        Ok(log)
    }

    fn recover(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(first) = number_of(&path) else { continue };
            let length = fs::metadata(&path)?.len();
            found.push(Segment { first, path, length, held: 0, evicted: false, since: None });
        }
        found.sort_by_key(|segment| segment.first);
        for mut segment in found {
            let mut scanner = Scanner::open(&segment.path)?;
            for _ in 0..2 {
                match scanner.next(segment.length)? {
                    Some(Stored::Directory(directory)) => segment.evicted = directory.evicted,
                    Some(Stored::Message(header, _) | Stored::Arrived(header)) => {
                        segment.since.get_or_insert(header.accepted_at);
                    }
                    None => break,
                }
            }
            self.segments.push_back(segment);
        }
        // The last one with a record tells where the order goes on.
        while let Some(segment) = self.segments.back_mut() {
            let mut scanner = Scanner::open(&segment.path)?;
            let mut last = None;
            while let Some(stored) = scanner.next(segment.length)? {
                match stored {
                    Stored::Directory(directory) => self.known.extend(directory.lasts),
                    Stored::Message(header, _) | Stored::Arrived(header) => {
                        last = Some(header.number);
                        if let Some(frame) = &header.frame {
                            self.known.insert(header.camera.clone(), last_of(header.epoch, frame));
                        }
                    }
                }
            }
            let end = scanner.offset();
            if last.is_none() && !segment.evicted {
                fs::remove_file(&segment.path)?;
                self.segments.pop_back();
                continue;
            }
            if end < segment.length {
                tracing::info!(
                    file = %segment.path.display(), bytes = segment.length - end,
                    "the end of a spool's last file was torn, and is cut off"
                );
                File::options().write(true).open(&segment.path)?.set_len(end)?;
                segment.length = end;
            }
            self.next = last.unwrap_or(segment.first).saturating_add(1);
            break;
        }
        Ok(())
    }

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

/// A full disk lets an empty file be made, and nothing be written into it.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe");
    let written = fs::write(&path, [0; 4096]);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
