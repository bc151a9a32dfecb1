//! How long to wait before the next attempt.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Decorrelated jitter: `sleep = min(cap, random between base and 3 × the previous sleep)`, so that many cameras that
/// failed together do not come back together.
///
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    previous: Duration,
}

impl Backoff {
    /// Waits between `base` and `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        debug_assert!(!base.is_zero() && base <= cap, "0 < base <= cap");
        Self { base, cap, previous: base }
    }

    /// 1 s … 1 min: for what usually comes back by itself.
    pub fn quick() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// 30 s … 10 min: for wrong credentials or a stream that is not there, which only a person changes, and where many
    /// attempts lock accounts.
    pub fn slow() -> Self {
        Self::new(Duration::from_secs(30), Duration::from_secs(600))
    }

    /// The next wait. Takes the source of randomness, so that tests can seed it.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let longest = (self.previous * 3).max(self.base);
        let sleep = rng.random_range(self.base..=longest).min(self.cap);
        self.previous = sleep;
        sleep
    }

    /// After a success: the next wait starts at the base again.
    pub fn reset(&mut self) {
        self.previous = self.base;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn waits_stay_between_base_and_cap_and_below_three_times_the_previous() {
        let mut rng = StdRng::seed_from_u64(7);
        for mut backoff in [Backoff::quick(), Backoff::slow()] {
            let (base, cap) = (backoff.base, backoff.cap);
            let mut previous = base;
            let mut longest = Duration::ZERO;
            for _ in 0..500 {
                let sleep = backoff.next(&mut rng);
                assert!(sleep >= base && sleep <= cap, "{sleep:?} is not in {base:?}..{cap:?}");
                assert!(sleep <= previous * 3, "{sleep:?} after {previous:?}");
                previous = sleep;
                longest = longest.max(sleep);
            }
            assert_eq!(longest, cap, "500 failures reach the cap");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_waits_and_another_seed_others() {
        let waits = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::quick();
            (0..8).map(|_| backoff.next(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn a_reset_starts_at_the_base() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut backoff = Backoff::quick();
        while backoff.next(&mut rng) < Duration::from_secs(30) {}
        backoff.reset();
        assert!(backoff.next(&mut rng) <= Duration::from_secs(3));
    }
}
