//! Chance that a seed repeats: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{SystemTime, UNIX_EPOCH};

pub struct Chance(u64);

impl Chance {
    /// By the number in the environment variable, else by the time; says which.
    pub fn by(variable: &str) -> Self {
        let by_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let seed = setting(variable, u64::from(by_time)).max(1);
        println!("{variable}={seed}");
        Self(seed)
    }

    /// From 0 to `n - 1`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// The number of this name in the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |given| given.parse().unwrap_or_else(|_| panic!("{name}={given} is no number")))
}
