//! Object stores and directories: where they are, with credentials from the environment, and what lies there. And files on
//! web servers.
//!
//! Async, since the client is: whoever works in threads brings a runtime of its own.

mod fault;
mod open;
mod place;
mod web;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

pub use self::fault::{Fault, Reason};
pub use self::place::{Meta, Object, Place, PlaceError};
pub use self::web::{WebFault, WebFile, WebMeta, WebReason};
