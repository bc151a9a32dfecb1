//! Files of a spool: whatever lies in them, a start comes to an end, and what was taken out is gone.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sightline_pipeline::spool::look_through;

const MAX: u64 = 1 << 20;

/// In memory: the disk is not what is tried here.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(format!("/dev/shm/sightline-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder in memory");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let (mut file, mut number, mut rest) = (Vec::new(), 1, bytes);
    let write = |number: u64, file: &mut Vec<u8>| {
        fs::write(FOLDER.join(format!("{number:020}.log")), std::mem::take(file)).expect("a file in memory");
    };
    // A byte for what comes, one for its length, then so many bytes: a body with the right checksum, or anything.
    while let Some(([what, length], behind)) = rest.split_first_chunk::<2>() {
        let (piece, after) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = after;
        match what % 8 {
            0 => {
                write(number, &mut file);
                number += u64::from(*what) + 1;
            }
            1 => file.extend_from_slice(piece),
            _ => {
                file.extend_from_slice(&[0xF5, b'S', b'L', 1]);
                file.extend_from_slice(&(piece.len() as u32).to_le_bytes());
                file.extend_from_slice(&crc32fast::hash(piece).to_le_bytes());
                file.extend_from_slice(piece);
            }
        }
    }
    write(number, &mut file);
    look_through(&FOLDER, MAX).expect("a folder that can be read");
    for entry in fs::read_dir(&*FOLDER).expect("the folder").flatten() {
        let _ = fs::remove_file(entry.path());
    }
});
