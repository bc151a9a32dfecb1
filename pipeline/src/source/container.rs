//! What a file's container promises of the file: whether it is whole.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// What is missing of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The index of an MP4, without which nothing in it can be found.
    Index,
    /// Its end: the file is shorter than it says of itself.
    End,
}

/// Reads bytes from a place on, all of them or, where that can't be, none.
type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> bool + 'a;

/// What is missing of a local file, as far as its container tells. MP4, AVI and Matroska say how long they are; a
/// transport stream may end anywhere.
pub fn missing(path: &Path) -> Option<Missing> {
    // What can't be read here is told by who reads it for good.
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    missing_in(length, &mut |at, into| {
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(into)).is_ok()
    })
}

/// The same of so many bytes that lie elsewhere. What `read` does not give tells nothing.
pub(super) fn missing_in(length: u64, read: &mut ReadAt<'_>) -> Option<Missing> {
    let head = read_at::<12>(read, 0)?;
    match head {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => mp4(read, length),
        [b'R', b'I', b'F', b'F', size @ .., b'A', b'V', b'I', b' '] => {
            let end = 8 + u64::from(u32::from_le_bytes(size));
            (end > length).then_some(Missing::End)
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska(read, length),
        _ => None,
    }
}

/// ISO/IEC 14496-12: boxes of a size and four letters, one behind the other.
fn mp4(read: &mut ReadAt<'_>, length: u64) -> Option<Missing> {
    let (mut at, mut indexed) = (0u64, false);
    while at + 8 <= length {
        let [a, b, c, d, kind @ ..] = read_at::<8>(read, at)?;
        indexed |= kind == *b"moov";
        let size = match u32::from_be_bytes([a, b, c, d]) {
            // To the end of the file.
            0 => length - at,
            1 => u64::from_be_bytes(read_at::<8>(read, at + 8)?),
            size => u64::from(size),
        };
        at = at.saturating_add(size.max(8));
    }
    match indexed {
        false => Some(Missing::Index),
        true => (at > length).then_some(Missing::End),
    }
}

/// RFC 8794 and 9559: the EBML header, then one segment, both of a size that is written behind their id.
fn matroska(read: &mut ReadAt<'_>, length: u64) -> Option<Missing> {
    const ID: u64 = 4;
    let (size, width) = variable_size(read, ID)?;
    let segment = ID + width + size?;
    if read_at::<4>(read, segment)? != [0x18, 0x53, 0x80, 0x67] {
        return None;
    }
    let (size, width) = variable_size(read, segment + ID)?;
    (segment + ID + width + size? > length).then_some(Missing::End)
}

/// A size and how many bytes it is written in; all ones is an unknown one.
fn variable_size(read: &mut ReadAt<'_>, at: u64) -> Option<(Option<u64>, u64)> {
    let [first] = read_at::<1>(read, at)?;
    let width = u64::from(first.leading_zeros()) + 1;
    if width > 8 {
        return None;
    }
    let mut value = u64::from(first) & ((1 << (8 - width)) - 1);
    for place in 1..width {
        let [byte] = read_at::<1>(read, at + place)?;
        value = value << 8 | u64::from(byte);
    }
    let unknown = (1u64 << (7 * width)) - 1;
    // Beyond what a file can be long is no promise.
    Some(((value != unknown && value < 1 << 50).then_some(value), width))
}

fn read_at<const N: usize>(read: &mut ReadAt<'_>, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    read(at, &mut bytes).then_some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<Missing> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        missing(file.path())
    }

    #[test]
    fn an_mp4_needs_its_index_and_its_end() {
        let ftyp = b"\0\0\0\x10ftypmp42\0\0\0\0".as_slice();
        let moov = b"\0\0\0\x0cmoov....".as_slice();
        let mdat = b"\0\0\0\x0cmdat....".as_slice();
        assert_eq!(of(&[ftyp, mdat, moov].concat()), None);
        assert_eq!(of(&[ftyp, mdat].concat()), Some(Missing::Index));
        assert_eq!(of(&[ftyp, moov, &mdat[..9]].concat()), Some(Missing::End));
        let long = b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14....".as_slice();
        assert_eq!(of(&[ftyp, long, moov].concat()), None);
        let open = b"\0\0\0\0mdat....".as_slice();
        assert_eq!(of(&[ftyp, moov, open].concat()), None);
    }

    #[test]
    fn avi_and_matroska_say_how_long_they_are() {
        let avi = b"RIFF\x08\0\0\0AVI ....".as_slice();
        assert_eq!((of(avi), of(&avi[..14])), (None, Some(Missing::End)));
        let mkv = b"\x1a\x45\xdf\xa3\x82..\x18\x53\x80\x67\x40\x04....".as_slice();
        assert_eq!((of(mkv), of(&mkv[..15])), (None, Some(Missing::End)));
        // A recording that was never closed.
        let unclosed =
            b"\x1a\x45\xdf\xa3\x82..\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff....".as_slice();
        assert_eq!(of(unclosed), None);
        assert_eq!((of(b""), of(b"Not a film, but words.")), (None, None));
    }
}
