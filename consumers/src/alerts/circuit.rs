//! Whether an address is tried at the moment. Pure: the clock and the chance are passed in.

use std::time::{Duration, Instant};

use rand::Rng;
use sightline_service::backoff::Backoff;

/// It opens after so many failures in a row.
const FAILURES: u32 = 5;
/// An address that asks for a longer pause is not obeyed further.
const MOST: Duration = Duration::from_secs(3600);

/// One address. Closed, everybody may try. Open, one probe at a time does, at most a minute apart, and the rest waits: an
/// address that is dead costs nothing.
#[derive(Clone, Debug)]
pub(super) struct Circuit {
    failures: u32,
    /// Nobody tries before.
    until: Option<Instant>,
    backoff: Backoff,
    /// How long a probe takes at most.
    probe: Duration,
    probes: u64,
}

/// What an address is tried with, and reported by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    /// Which one, of an open circuit.
    probe: Option<u64>,
}

impl Circuit {
    pub(super) fn new(probe: Duration) -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        Self { failures: 0, until: None, backoff, probe, probes: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures >= FAILURES
    }

    /// A permit, or how long to wait before asking again.
    pub(super) fn ask(&mut self, now: Instant) -> Result<Permit, Duration> {
        let left = self.until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
        if !left.is_zero() {
            return Err(left);
        }
        if !self.is_open() {
            self.until = None;
            return Ok(Permit { probe: None });
        }
        // Until it reports, or has had the time to.
        self.until = Some(now + self.probe);
        self.probes += 1;
        Ok(Permit { probe: Some(self.probes) })
    }

    /// It answered, whatever it said.
    pub(super) fn succeeded(&mut self) {
        (self.failures, self.until) = (0, None);
        self.backoff.reset();
    }

    /// It did not, or asked for a pause.
    pub(super) fn failed(
        &mut self,
        permit: Permit,
        now: Instant,
        pause: Option<Duration>,
        rng: &mut impl Rng,
    ) {
        // One that was under way when it opened says nothing new; nor does a probe that was given up.
        if self.is_open() && permit.probe != Some(self.probes) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = pause.map(|pause| pause.min(MOST));
        let wait = if self.is_open() { Some(self.backoff.next(rng)) } else { None };
        self.until = pause.max(wait).map(|wait| now + wait);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const PROBE: Duration = Duration::from_secs(15);

    #[test]
    fn it_opens_at_the_fifth_failure_and_lets_one_probe_through_at_a_time() {
        let (mut circuit, mut rng, start) = (Circuit::new(PROBE), StdRng::seed_from_u64(1), Instant::now());
        let permits: Vec<_> = (0..8).map(|_| circuit.ask(start).unwrap()).collect();
        for (n, permit) in permits.into_iter().enumerate() {
            assert_eq!(circuit.is_open(), n >= 5);
            circuit.failed(permit, start, None, &mut rng);
        }
        let wait = circuit.ask(start).unwrap_err();
        assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(3), "{wait:?}: one step alone");
        let then = start + wait;
        let probe = circuit.ask(then).unwrap();
        assert_eq!(circuit.ask(then), Err(PROBE));
        circuit.failed(probe, then, None, &mut rng);
        circuit.ask(then).unwrap_err();
        // A probe that never reported is not waited for for ever.
        let probe = circuit.ask(then + PROBE).unwrap();
        assert!(circuit.ask(then + PROBE).is_err() && probe.probe.is_some());
        let again = circuit.ask(then + PROBE * 2).unwrap();
        assert!(again.probe.is_some());
        circuit.succeeded();
        assert!(!circuit.is_open() && circuit.ask(then).is_ok() && circuit.ask(then).is_ok());
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_open_or_closed() {
        let (mut circuit, mut rng, start) = (Circuit::new(PROBE), StdRng::seed_from_u64(1), Instant::now());
        let pause = Duration::from_secs(120);
        let permit = circuit.ask(start).unwrap();
        circuit.failed(permit, start, Some(pause), &mut rng);
        assert!(!circuit.is_open());
        assert_eq!(circuit.ask(start), Err(pause));
        let permit = circuit.ask(start + pause).unwrap();
        circuit.failed(permit, start, Some(Duration::MAX), &mut rng);
        assert_eq!(circuit.ask(start), Err(MOST));
    }

    /// Whatever happens in whatever order: an open one is probed by one at a time, and again within a minute.
    #[test]
    fn whatever_happens_it_is_probed_by_one_at_a_time_and_within_a_minute() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut circuit, mut now) = (Circuit::new(PROBE), Instant::now());
            let mut under_way: Vec<(Permit, Instant)> = Vec::new();
            for _ in 0..300 {
                now += Duration::from_millis(rng.random_range(0..5000));
                if rng.random_bool(0.5) {
                    match circuit.ask(now) {
                        Ok(permit) => {
                            let probes = under_way
                                .iter()
                                .filter(|(permit, at)| permit.probe.is_some() && now < *at + PROBE)
                                .count();
                            assert!(permit.probe.is_none() || probes == 0, "seed {seed}");
                            under_way.push((permit, now));
                        }
                        Err(wait) => assert!(wait <= Duration::from_secs(60), "{wait:?}"),
                    }
                } else if !under_way.is_empty() {
                    let (permit, at) = under_way.swap_remove(rng.random_range(0..under_way.len()));
                    // None takes longer than it may.
                    if now < at + PROBE && rng.random_bool(0.2) {
                        circuit.succeeded();
                        under_way.retain(|(permit, _)| permit.probe.is_none());
                    } else {
                        circuit.failed(permit, now, None, &mut rng);
                    }
                }
            }
        }
    }
}
