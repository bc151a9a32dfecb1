//! What this thread is at, for its log lines.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::context::Context;

/// Sampled work, and whose it is.
#[derive(Clone, Debug)]
pub struct Current {
    pub context: Context,
    pub camera: Arc<str>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Log lines of this thread belong to it until this is dropped.
#[must_use]
pub struct Entered {
    before: Option<Current>,
    /// Of this thread alone.
    stays: PhantomData<*const ()>,
}

impl Current {
    /// What this thread is at from now on.
    pub fn enter(self) -> Entered {
        let before = CURRENT.with(|held| held.replace(Some(self)));
        Entered { before, stays: PhantomData }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that ends has nothing more to say.
        let _ = CURRENT.try_with(|held| held.replace(self.before.take()));
    }
}

/// What this thread is at, where that is sampled.
pub fn current() -> Option<Current> {
    // A line that is written while a thread ends belongs to nothing.
    CURRENT.try_with(|held| held.borrow().clone()).ok().flatten()
}
