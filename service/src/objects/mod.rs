//! Object stores and directories: where they are, with credentials from the environment, and what lies there.
//!
//! Async, since the client is: whoever works in threads brings a runtime of its own.

mod fault;
mod open;
mod place;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

pub use self::fault::{Fault, Reason};
pub use self::place::{Meta, Object, Place, PlaceError};
