//! The files under every damage: torn, flipped, full, shared.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::spool::record::{FrameAt, Kind};
use crate::spool::recover::number_of;

const ROOMY: u64 = 64 << 20;

fn header(number: u64) -> Header {
    let captured_at = Timestamp::from_micros(number as i64 * 1_000);
    Header {
        number,
        accepted_at: captured_at,
        kind: Kind::Frame,
        camera: if number.is_multiple_of(2) { "even".into() } else { "odd".into() },
        epoch: 7,
        frame: Some(FrameAt { seq: number, skipped: 1, captured_at, sampled: false }),
    }
}

fn payload(number: u64, size: usize) -> Vec<u8> {
    format!("{{\"seq\":{number}}}{}", " ".repeat(size)).into_bytes()
}

fn append(log: &mut Log, numbers: std::ops::RangeInclusive<u64>, size: usize) {
    for number in numbers {
        log.append(&header(number), Some(&payload(number, size))).unwrap();
    }
}

/// All that can be read, by number, and how often damage was told.
fn read(log: &mut Log) -> (Vec<u64>, usize) {
    let (mut numbers, mut damaged) = (Vec::new(), 0);
    loop {
        let (items, _) = log.read_tail(1 << 10);
        if items.is_empty() {
            return (numbers, damaged);
        }
        for item in items {
            match item {
                Item::Message(found, bytes) => {
                    assert_eq!(found, header(found.number));
                    assert!(bytes.starts_with(&payload(found.number, 0)), "{}", found.number);
                    numbers.push(found.number);
                }
                Item::Arrived(found) => assert_eq!(found, header(found.number)),
                Item::Damaged => damaged += 1,
                Item::Directory(..) => {}
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| number_of(path).is_some())
        .collect();
    files.sort();
    files
}

/// Bytes of a segment with the records 1 to 6, and where each of its records ends.
fn sample() -> (Vec<u8>, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), ROOMY).unwrap();
    let mut ends = Vec::new();
    for number in 1..=6 {
        append(&mut log, number..=number, 3);
        ends.push(log.bytes());
    }
    (fs::read(&files(folder.path())[0]).unwrap(), ends)
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let (bytes, ends) = sample();
    for length in 0..=bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("{:020}.log", 1)), &bytes[..length]).unwrap();
        let mut log = Log::open(folder.path(), ROOMY).unwrap();
        let whole = ends.iter().filter(|end| **end <= length as u64).count() as u64;
        assert_eq!(log.next(), whole + 1, "cut at {length}");
        // It goes on behind, and all of it is there at the next start.
        append(&mut log, whole + 1..=whole + 2, 3);
        drop(log);
        let mut log = Log::open(folder.path(), ROOMY).unwrap();
        assert_eq!(read(&mut log), ((1..=whole + 2).collect(), 0), "cut at {length}");
    }
}

#[test]
fn a_flipped_byte_costs_one_record_wherever_it_is() {
    let (bytes, ends) = sample();
    for at in 0..bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(folder.path().join(format!("{:020}.log", 1)), &damaged).unwrap();
        let mut log = Log::open(folder.path(), ROOMY).unwrap();
        let hit = ends.iter().position(|end| (at as u64) < *end).unwrap() as u64 + 1;
        let first_end = ends[0] - encode(&header(1), Some(&payload(1, 3))).len() as u64;
        let (numbers, told) = read(&mut log);
        if (at as u64) < first_end {
            assert_eq!((numbers, told), ((1..=6).collect(), 1), "the directory, at {at}");
        } else {
            assert_eq!(numbers, (1..=6).filter(|number| *number != hit).collect::<Vec<_>>(), "at {at}");
            // The last one is as good as torn.
            assert_eq!(told, usize::from(hit != 6), "at {at}");
        }
    }
}

#[test]
fn a_byte_flipped_in_a_file_of_several_is_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 64 << 10).unwrap();
    append(&mut log, 1..=60, 500);
    drop(log);
    let found = files(folder.path());
    assert!(found.len() > 3);
    for path in &found[..found.len() - 1] {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let mut log = Log::open(folder.path(), 64 << 10).unwrap();
    let (numbers, told) = read(&mut log);
    assert_eq!((numbers.len(), told), (60 - (found.len() - 1), found.len() - 1));
}

#[test]
fn the_oldest_segment_goes_when_it_is_full_and_its_directory_stays() {
    let folder = tempfile::tempdir().unwrap();
    let max = 64 << 10;
    let mut log = Log::open(folder.path(), max).unwrap();
    append(&mut log, 1..=500, 500);
    assert!(log.bytes() <= max + 1_000, "{}", log.bytes());
    assert!(log.take_evicted() > 300);
    drop(log);
    let mut log = Log::open(folder.path(), max).unwrap();
    let (items, to) = log.read_tail(usize::MAX);
    assert_eq!(to, 501);
    let Item::Directory(1, Directory { evicted: true, lasts }) = &items[0] else { panic!("{:?}", items[0]) };
    assert!(lasts.is_empty(), "nothing was before");
    let Item::Directory(first, Directory { evicted: false, lasts }) = &items[1] else {
        panic!("{:?}", items[1])
    };
    assert!(*first > 300);
    assert_eq!(lasts.iter().map(|(_, last)| last.seq).max(), Some(first - 1), "what was before is known");
    let numbers: Vec<_> = items
        .iter()
        .filter_map(|item| if let Item::Message(header, _) = item { Some(header.number) } else { None })
        .collect();
    assert_eq!(numbers, (*first..=500).collect::<Vec<_>>());
}

#[test]
fn what_was_taken_is_never_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 64 << 10).unwrap();
    append(&mut log, 1..=60, 500);
    log.taken(61);
    for number in 61.. {
        log.taken(number + 1);
        match log.append(&header(number), Some(&payload(number, 500))) {
            Ok(()) => assert!(number < 200),
            Err(AppendError::Full) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(log.take_evicted(), 0);
    log.rewind();
    let (items, is_all) = log.read_again(1, usize::MAX, |_| true);
    assert!(is_all);
    assert_eq!(items.len() as u64, log.next() - 1);
}

#[test]
fn files_go_from_the_front_once_all_in_them_has_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 64 << 10).unwrap();
    append(&mut log, 1..=60, 500);
    let all = files(folder.path()).len();
    assert_eq!(read(&mut log).0.len(), 60);
    // The last ones first: nothing goes.
    for number in (2..=60).rev() {
        log.arrived(number);
        log.tidy();
        assert_eq!(files(folder.path()).len(), all);
    }
    log.arrived(1);
    log.tidy();
    assert!(files(folder.path()).is_empty() && log.is_empty());
    assert_eq!(log.bytes(), 0);
    // And it goes on.
    append(&mut log, 61..=61, 3);
    assert_eq!(read(&mut log), (vec![61], 0));
}

#[test]
fn what_arrived_needs_no_file_of_its_own_but_keeps_its_place_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), ROOMY).unwrap();
    log.append(&header(1), None).unwrap();
    assert!(log.is_empty() && log.next() == 2);
    append(&mut log, 2..=2, 0);
    log.append(&header(3), None).unwrap();
    append(&mut log, 4..=4, 0);
    drop(log);
    let mut log = Log::open(folder.path(), ROOMY).unwrap();
    let (items, _) = log.read_tail(usize::MAX);
    let Item::Directory(2, Directory { lasts, .. }) = &items[0] else { panic!("{:?}", items[0]) };
    assert_eq!((&*lasts[0].0, lasts[0].1.seq), ("odd", 1), "it knows of the one before");
    assert!(matches!(&items[2], Item::Arrived(header) if header.number == 3));
}

#[test]
fn a_directory_has_one_owner_and_foreign_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "1.log", "00000000000000000001.log.bak", "0000000000000000000x.log"] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let log = Log::open(folder.path(), ROOMY).unwrap();
    let sentence = Log::open(folder.path(), ROOMY).unwrap_err().to_string();
    assert_eq!(
        sentence,
        format!(
            "--spool {}: another process uses this directory; give each process a directory of its own",
            folder.path().display()
        )
    );
    drop(log);
    let mut log = Log::open(folder.path(), ROOMY).unwrap();
    assert_eq!(read(&mut log), (vec![], 0));
    assert!(folder.path().join("notes.txt").exists() && folder.path().join("1.log").exists());
}

#[test]
fn a_directory_that_can_not_be_made_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Log::open(&file.join("spool"), ROOMY).unwrap_err().to_string();
    assert!(error.contains("/file/spool: it can't be made: Not a directory"), "{error}");
}
