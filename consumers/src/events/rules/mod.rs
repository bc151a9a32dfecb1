//! What happened, by `docs/EVENTS.md`: pure, one partition at a time.
//!
//! Whatever is remembered between records is whole numbers, and is what a checkpoint holds: a run that is interrupted
//! anywhere and restored gives the same events as one that is not.

mod camera;
mod emit;
mod geometry;
mod link;
mod models;
mod names;
mod spec;
mod track;
mod visit;

pub use camera::Camera;

/// A partition by these rules.
pub type PartitionState = crate::partition::PartitionState<Camera>;
