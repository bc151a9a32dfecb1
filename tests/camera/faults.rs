//! What is wrong with the camera now.

use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Stall,
    Freeze,
    Black,
    Garbage,
    Die,
    RefuseSessions,
    Silent,
    Babble,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "none" => Self::None,
            "stall" => Self::Stall,
            "freeze" => Self::Freeze,
            "black" => Self::Black,
            "garbage" => Self::Garbage,
            "die" => Self::Die,
            "refuse-sessions" => Self::RefuseSessions,
            "silent" => Self::Silent,
            "babble" => Self::Babble,
            other => return Err(format!("no fault {other}")),
        })
    }
}

/// Read by every callback, set by the control.
pub(crate) struct Faults {
    now: Mutex<Now>,
}

struct Now {
    fault: Fault,
    clock_offset_s: f64,
}

impl Faults {
    pub(crate) fn new(fault: Fault, clock_offset_s: f64) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(Now { fault, clock_offset_s }) })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self) -> Fault {
        self.now().fault
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.now().fault = fault;
    }

    /// How far the camera's clock is ahead.
    pub(crate) fn clock_offset_s(&self) -> f64 {
        self.now().clock_offset_s
    }

    pub(crate) fn step_clock(&self, by_s: f64) {
        self.now().clock_offset_s += by_s;
    }
}

pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970")
}
