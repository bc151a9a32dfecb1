//! Opens the directory of a log and finds what an earlier process left there.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::continuity::last_of;
use super::log::{Cursor, ENDING, Log, Segment};
use super::record::Stored;
use super::segment::Scanner;

/// A segment is at most this long, and at most an eighth of the whole: what goes when the spool is full.
const SEGMENT: u64 = 16 << 20;
const SEGMENTS_AT_LEAST: u64 = 8;
const LOCK: &str = "lock";

/// Why a directory can't be a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("--spool {}: another process uses this directory; give each process a directory of its own", folder.display())]
    Taken { folder: PathBuf },
    #[error("--spool {}: {what}: {source}; give a directory that this process may write to, on a disk with room", folder.display())]
    Io { folder: PathBuf, what: &'static str, source: io::Error },
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
}

/// A full disk lets an empty file be made, and nothing be written into it.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe");
    let written = fs::write(&path, [0; 4096]);
    let removed = fs::remove_file(&path);
    written.and(removed)
}

pub(super) fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}
