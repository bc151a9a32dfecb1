//! Rows of MOT: an error, or rows that are written and read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_pipeline::mot;

fuzz_target!(|bytes: &[u8]| {
    let Ok(rows) = mot::read(bytes) else { return };
    let mut written = Vec::new();
    mot::write(&mut written, &rows).expect("memory takes it");
    let again = mot::read(written.as_slice()).expect("what was written is read");
    assert_eq!(again.len(), rows.len());
    let mut twice = Vec::new();
    mot::write(&mut twice, &again).expect("memory takes it");
    assert_eq!(written, twice);
    for row in rows {
        let size = (1920, 1080);
        let _ = row.with_box(row.box2d(size), size);
    }
});
