//! Reads a file of records from front to back, past whatever is damaged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::record::{MAGIC, PREFIX, Stored, decode, prefix};

/// How much is looked through at a time for the next record behind damage.
const LOOK: usize = 64 << 10;

/// One pass over a segment.
#[derive(Debug)]
pub(super) struct Scanner {
    file: File,
    offset: u64,
    /// Bytes were passed over that are no record, since this was asked last.
    damaged: bool,
}

impl Scanner {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, offset: 0, damaged: false })
    }

    /// The next record that ends within the first `length` bytes. `None` leaves the place as it is: more may come.
    pub(super) fn next(&mut self, length: u64) -> io::Result<Option<Stored>> {
        if let Some((stored, end)) = self.at(self.offset, length)? {
            self.offset = end;
            return Ok(Some(stored));
        }
        let Some((stored, end)) = self.behind(length)? else { return Ok(None) };
        self.damaged = true;
        self.offset = end;
        Ok(Some(stored))
    }

    /// Where the last record that was read ends.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn take_damaged(&mut self) -> bool {
        std::mem::take(&mut self.damaged)
    }

    /// The record that begins at `offset`, and where it ends.
    fn at(&self, offset: u64, length: u64) -> io::Result<Option<(Stored, u64)>> {
        let body_at = offset.saturating_add(PREFIX as u64);
        if body_at > length {
            return Ok(None);
        }
        let mut head = [0; PREFIX];
        self.file.read_exact_at(&mut head, offset)?;
        let Some((size, crc)) = prefix(&head) else { return Ok(None) };
        let end = body_at + size as u64;
        if end > length {
            return Ok(None);
        }
        let mut body = vec![0; size];
        self.file.read_exact_at(&mut body, body_at)?;
        if crc32fast::hash(&body) != crc {
            return Ok(None);
        }
        Ok(decode(&body).map(|stored| (stored, end)))
    }

    /// The first whole record behind this place, and where it ends.
    fn behind(&self, length: u64) -> io::Result<Option<(Stored, u64)>> {
        let mut from = self.offset + 1;
        let mut bytes = vec![0; LOOK];
        while from + PREFIX as u64 <= length {
            let wanted = LOOK.min(usize::try_from(length - from).unwrap_or(LOOK));
            self.file.read_exact_at(&mut bytes[..wanted], from)?;
            for at in magics(&bytes[..wanted]) {
                if let Some(found) = self.at(from + at as u64, length)? {
                    return Ok(Some(found));
                }
            }
            // A magic may lie across two looks.
            from += (wanted - (MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }
}

fn magics(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC).map(|(at, _)| at)
}
