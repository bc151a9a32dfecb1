//! Says what happens again and again without a line for each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same thing is said at most this often.
const AGAIN: Duration = Duration::from_secs(10);

/// What was said when.
#[derive(Debug, Default)]
pub(crate) struct SayAgain {
    said: Mutex<BTreeMap<&'static str, Instant>>,
}

impl SayAgain {
    /// Whether it is time to say this.
    pub(crate) fn now(&self, what: &'static str) -> bool {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = said.get(what).is_none_or(|at| now.saturating_duration_since(*at) >= AGAIN);
        if is_time {
            said.insert(what, now);
        }
        is_time
    }
}
