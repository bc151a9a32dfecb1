//! What happened, by `docs/EVENTS.md`: pure, one partition at a time.
//!
//! Whatever is remembered between records is whole numbers, and is what a checkpoint holds: a run that is interrupted
//! anywhere and restored gives the same events as one that is not.

mod camera;
mod codec;
mod emit;
mod frame;
mod geometry;
mod link;
mod names;
mod partition;
mod spec;
mod track;
mod visit;

pub use codec::StateError;
pub use frame::{FrameView, Seen, UnreadableRecord};
pub use partition::{PARTITION, PartitionState, Taken};
