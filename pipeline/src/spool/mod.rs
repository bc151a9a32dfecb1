//! What stands between the lanes and Kafka: one ordered queue, in memory and, with `--spool`, on disk.
//!
//! `record` is the form on disk, `segment` reads a file of them, `log` keeps the files, `continuity` knows what is
//! missing, `queue` decides what is sent and written when (pure but for the log it is given), and `outbox` runs it all
//! on two threads. `docs/adr/0006-spool.md` says why it is so.

mod continuity;
mod log;
mod outbox;
mod queue;
mod record;
mod segment;

pub use log::SpoolError;
pub use outbox::{Connect, Hold, Left, Outbox, OutboxOptions, SpoolOptions};
pub(crate) use queue::Given;
pub(crate) use record::{FrameAt, Kind};
