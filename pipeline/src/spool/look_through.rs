//! Takes everything out of a spool as a start would, with nobody to send it to: for whoever wants to know what lies in one.

use std::path::Path;
use std::time::Instant;

use super::entry::{Limits, Step};
use super::log::Log;
use super::queue::Queue;
use super::recover::SpoolError;

/// The payloads in the order in which they would be sent, gaps included. Like a start it cuts a torn end off, and what
/// was taken out is removed.
pub fn look_through(folder: &Path, max: u64) -> Result<Vec<Vec<u8>>, SpoolError> {
    const ALL: Limits = Limits { bytes: usize::MAX, records: usize::MAX };
    let mut log = Log::open(folder, max)?;
    let mut queue = Queue::new(ALL, ALL, Some(&log));
    let (now, mut found) = (Instant::now(), Vec::new());
    loop {
        match queue.step(now) {
            Step::Send(outgoing) => {
                found.push(outgoing.payload.to_vec());
                queue.handed(outgoing.place);
                queue.reported(outgoing.place, Ok(()), now);
            }
            Step::Load => queue.load(&mut log, now),
            Step::Reload => queue.reload(&mut log),
            Step::Wait => {
                queue.settle(&mut log);
                return Ok(found);
            }
        }
    }
}
