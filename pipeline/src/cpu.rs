//! CPU time, for what benches and summaries say.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Time on a processor, of a thread or of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct CpuTime(pub Duration);

/// Of the calling thread so far.
pub fn this_thread() -> CpuTime {
    read(ClockId::ThreadCPUTime)
}

/// Of all threads of the process so far, ended ones too.
pub fn process() -> CpuTime {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> CpuTime {
    let time = clock_gettime(clock);
    CpuTime(Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0)))
}

impl CpuTime {
    pub fn as_millis(self) -> f64 {
        self.0.as_secs_f64() * 1e3
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for CpuTime {
    type Output = Self;

    /// Never below zero.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for CpuTime {
    fn sum<I: Iterator<Item = Self>>(times: I) -> Self {
        times.fold(Self::default(), Add::add)
    }
}

/// What one step took: time that passed, and time on the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageTime {
    pub wall: Duration,
    /// Of the thread that did it.
    pub cpu: CpuTime,
}

impl Add for StageTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

impl AddAssign for StageTime {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Times steps that follow each other on one thread.
#[derive(Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu: CpuTime,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: this_thread() }
    }

    /// The step since the start, or since the last lap.
    pub fn lap(&mut self) -> StageTime {
        let now = Self::start();
        let lap = StageTime { wall: now.wall - self.wall, cpu: now.cpu - self.cpu };
        *self = now;
        lap
    }
}
