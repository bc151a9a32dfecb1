//! What stands between the lanes and Kafka: one ordered queue, in memory and, with `--spool`, on disk.
//!
//! `record` is the form on disk, `segment` reads a file of them, `log` keeps the files, `recover` opens them at start,
//! `continuity` knows what is missing, `queue` decides what is sent and written when (pure but for the log it is given;
//! its words are in `entry`), and `outbox` runs it all on two threads, `sender` and `writer`. `look_through` empties one.
//! `docs/adr/0006-spool.md` says why it is so.

mod continuity;
mod entry;
mod log;
mod look_through;
mod outbox;
mod queue;
mod record;
mod recover;
mod segment;
mod sender;
mod writer;

pub(crate) use entry::Given;
pub use look_through::look_through;
pub use outbox::{Connect, Hold, Left, Outbox, OutboxOptions, SpoolOptions};
pub(crate) use record::{FrameAt, Kind};
pub use recover::SpoolError;
