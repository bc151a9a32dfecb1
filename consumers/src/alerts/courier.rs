//! Brings alerts to one target: some lanes side by side, a camera always by the same one, so that its order is kept.
//!
//! It lives as long as the process and knows nothing of Kafka. What is to be delivered is handed in, how each ended is
//! fetched; a target that hangs holds up its own lanes and nothing else.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sightline_schema::Event;
use sightline_service::backoff::Backoff;
use sightline_service::kafka::Partition;
use sightline_service::trace::{Entered, OpenSpan};

use super::circuit::{Circuit, Permit};
use super::metrics::{Delivered, GivenUp};
use super::rules::Rule;
use super::target::{Alert, Attempt, Fault, Target};

/// No more is handed in while so much waits.
const MOST_WAITING: usize = 1000;
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Whoever waits looks again after this long, whether called or not.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a partition is still held: what is under way of one that is not is of no interest any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    fn is_gone(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An event on its way to the target.
pub(super) struct Job {
    pub(super) partition: Partition,
    pub(super) claim: Claim,
    pub(super) offset: i64,
    /// Milliseconds since 1970 at which it was written.
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) event: Event,
    /// Places in the list of rules.
    pub(super) rules: Vec<usize>,
    /// Where the event is sampled: until it ended.
    pub(super) span: Option<OpenSpan>,
}

/// How a job ended.
pub(super) enum End {
    Taken,
    /// With a sentence.
    GivenUp(String),
}

/// A target and what is on its way to it.
pub struct Courier {
    target: Target,
    rules: Vec<Rule>,
    metrics: Delivered,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lanes: Vec<VecDeque<Job>>,
    /// Handed in and not ended.
    waiting: usize,
    bytes: usize,
    /// Requests that are being made.
    under_way: usize,
    /// No further request is begun.
    held_back: bool,
    ended: Vec<(Job, End)>,
    /// One a member.
    circuits: Vec<Circuit>,
    /// While the target takes nothing.
    fault: Option<String>,
}

impl Courier {
    /// Starts its lanes. `rules` are those that this target is told of.
    pub fn start(target: Target, rules: Vec<Rule>, metrics: Delivered) -> std::io::Result<Arc<Self>> {
        // Members are asked in their turn.
        let probe = target.timeout * target.members().len() as u32 + Duration::from_secs(5);
        let state = State {
            lanes: (0..target.parallel).map(|_| VecDeque::new()).collect(),
            waiting: 0,
            bytes: 0,
            under_way: 0,
            held_back: false,
            ended: Vec::new(),
            circuits: target.members().iter().map(|_| Circuit::new(probe)).collect(),
            fault: None,
        };
        let lanes = target.parallel;
        let courier =
            Arc::new(Self { target, rules, metrics, state: Mutex::new(state), changed: Condvar::new() });
        for lane in 0..lanes {
            let courier = Arc::clone(&courier);
            // Not joined: one may hang in a request, and the end of the process does not wait for it.
            std::thread::Builder::new().name("alerts".to_owned()).spawn(move || courier.work(lane))?;
        }
        Ok(courier)
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The rules that an event is an alert by.
    pub(super) fn matching(&self, event: &Event) -> Vec<usize> {
        let matching = self.rules.iter().enumerate().filter(|(_, rule)| rule.matches(event));
        matching
            .map(|(n, rule)| {
                self.metrics.matched(&rule.name);
                n
            })
            .collect()
    }

    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        state.waiting < MOST_WAITING && state.bytes < MOST_BYTES
    }

    pub(super) fn hand_in(&self, job: Job) {
        let mut hasher = DefaultHasher::new();
        job.event.camera.hash(&mut hasher);
        let mut state = self.state();
        state.waiting += 1;
        state.bytes += job.value.len();
        let lane = (hasher.finish() % state.lanes.len().max(1) as u64) as usize;
        if let Some(lane) = state.lanes.get_mut(lane) {
            lane.push_back(job);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.state().ended.is_empty()
    }

    pub(super) fn ended(&self) -> Vec<(Job, End)> {
        std::mem::take(&mut self.state().ended)
    }

    /// Begins no further request, and waits for those under way, at most so long.
    pub(super) fn hold_back(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        let mut state = self.state();
        state.held_back = true;
        while state.under_way > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait(state, left);
        }
    }

    pub(super) fn go_on(&self) {
        self.state().held_back = false;
        self.changed.notify_all();
    }

    /// What is of this partition is not delivered any more, as far as no request is under way.
    pub(super) fn forget(&self, claim: &Claim) {
        claim.0.store(true, Ordering::SeqCst);
        let mut state = self.state();
        let State { lanes, waiting, bytes, .. } = &mut *state;
        for lane in lanes {
            lane.retain(|job| {
                let stays = !job.claim.is_gone();
                if !stays {
                    *waiting -= 1;
                    *bytes -= job.value.len();
                }
                stays
            });
        }
        state.ended.retain(|(job, _)| !job.claim.is_gone());
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, at_most: Duration) -> MutexGuard<'s, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn work(&self, lane: usize) {
        loop {
            let jobs = self.next(lane);
            self.deliver(jobs);
        }
    }

    /// What waits in a lane, as much as one request holds; waits for it.
    fn next(&self, lane: usize) -> Vec<Job> {
        let mut state = self.state();
        loop {
            let mut jobs = Vec::new();
            let mut alerts = 0;
            if let Some(lane) = state.lanes.get_mut(lane) {
                while let Some(job) = lane.pop_front() {
                    let more = self.target.alerts_of(job.rules.len());
                    if !jobs.is_empty() && alerts + more > self.target.most_alerts() {
                        lane.push_front(job);
                        break;
                    }
                    alerts += more;
                    jobs.push(job);
                }
            }
            if !jobs.is_empty() {
                return jobs;
            }
            state = self.wait(state, Duration::from_secs(3600));
        }
    }

    /// Tries until each of these has ended.
    fn deliver(&self, mut jobs: Vec<Job>) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut not_before = Instant::now();
        while let Some(permits) = self.permits(&mut jobs, not_before) {
            let members: Vec<usize> = permits.iter().map(|(member, _)| *member).collect();
            let alerts: Vec<Alert<'_>> = jobs
                .iter()
                .map(|job| Alert {
                    event: &job.event,
                    json: &job.value,
                    rules: job.rules.iter().filter_map(|n| self.rules.get(*n)).collect(),
                })
                .collect();
            let attempts = self.target.attempt(&members, &alerts);
            match self.report(permits, attempts, &jobs) {
                Verdict::Taken => {
                    jobs.iter()
                        .flat_map(|job| &job.span)
                        .for_each(|span| span.set("sightline.outcome", "taken"));
                    return self.end_all(jobs, || End::Taken);
                }
                // One of many may be at fault: each by itself.
                Verdict::Refused(..) if jobs.len() > 1 => {
                    jobs.into_iter().for_each(|job| self.deliver(vec![job]));
                    return;
                }
                Verdict::Refused(reason, why) => {
                    self.metrics.given_up(reason);
                    for job in &jobs {
                        let _entered = given_up(job, &why);
                        tracing::error!(
                            target = self.target.name,
                            event = job.event.id,
                            "{why}; it goes to the dead letters"
                        );
                    }
                    return self.end_all(jobs, || End::GivenUp(why.clone()));
                }
                Verdict::Later => not_before = Instant::now() + backoff.next(&mut rand::rng()),
            }
        }
    }

    /// Waits until these may be tried, at which members. Those that nobody waits for any more, or that waited too long
    /// for a target that takes nothing, go; `None` when none is left.
    fn permits(&self, jobs: &mut Vec<Job>, not_before: Instant) -> Option<Vec<(usize, Permit)>> {
        let mut state = self.state();
        loop {
            let State { waiting, bytes, ended, fault, .. } = &mut *state;
            for job in std::mem::take(jobs) {
                let size = job.value.len();
                if job.claim.is_gone() {
                    *waiting -= 1;
                    *bytes -= size;
                } else if let Some(why) = fault.as_ref().and_then(|fault| self.too_old(&job, fault)) {
                    *waiting -= 1;
                    *bytes -= size;
                    self.metrics.given_up(GivenUp::TooOld);
                    let _entered = given_up(&job, &why);
                    tracing::error!(
                        target = self.target.name,
                        event = job.event.id,
                        "{why}; it goes to the dead letters"
                    );
                    ended.push((job, End::GivenUp(why)));
                } else {
                    jobs.push(job);
                }
            }
            if jobs.is_empty() {
                return None;
            }
            let now = Instant::now();
            let mut wait = not_before.saturating_duration_since(now);
            if wait.is_zero() && !state.held_back {
                let mut permits = Vec::new();
                let mut shortest = LOOK;
                for (member, circuit) in state.circuits.iter_mut().enumerate() {
                    match circuit.ask(now) {
                        Ok(permit) => permits.push((member, permit)),
                        Err(wait) => shortest = shortest.min(wait),
                    }
                }
                if !permits.is_empty() {
                    state.under_way += 1;
                    return Some(permits);
                }
                wait = shortest;
            } else if wait.is_zero() {
                wait = LOOK;
            }
            state = self.wait(state, wait.min(LOOK));
        }
    }

    fn too_old(&self, job: &Job, fault: &str) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let limit = self.target.give_up_after;
        let waited = Duration::from_millis(u64::try_from(now - job.timestamp_ms).unwrap_or(0));
        (waited >= limit).then(|| {
            let hours = limit.as_secs_f64() / 3600.0;
            format!("the event waited for {hours:.1} h, longer than give_up_after_h lets it; the last time, {fault}")
        })
    }

    /// What the members said goes to their circuits; what it comes to for these jobs.
    fn report(&self, permits: Vec<(usize, Permit)>, attempts: Vec<Attempt>, jobs: &[Job]) -> Verdict {
        let now = Instant::now();
        let mut state = self.state();
        state.under_way -= 1;
        let (mut taken, mut later, mut refused) = (false, None, None);
        let mut failed = Vec::new();
        for ((member, permit), attempt) in permits.into_iter().zip(attempts) {
            let address = self.target.members().get(member).map(ToString::to_string).unwrap_or_default();
            let said = |fault: &Fault| format!("target {}: {address} {fault}", self.target.name);
            let Some(circuit) = state.circuits.get_mut(member) else { continue };
            match attempt {
                Attempt::Taken => {
                    taken = true;
                    circuit.succeeded();
                }
                Attempt::Refused(fault) => {
                    // It lives.
                    circuit.succeeded();
                    self.metrics.failed(&fault);
                    let reason = match fault {
                        Fault::Redirect(_) => GivenUp::Redirect,
                        _ => GivenUp::Refused,
                    };
                    refused = Some((reason, said(&fault)));
                }
                Attempt::Later(fault, pause) => {
                    let was_open = circuit.is_open();
                    circuit.failed(permit, now, pause, &mut rand::rng());
                    self.metrics.failed(&fault);
                    let why = said(&fault);
                    failed.push((why.clone(), !was_open && circuit.is_open()));
                    later = Some(why);
                }
            }
        }
        for (why, opened) in failed {
            let then =
                if taken { "another member took it" } else { "what is for it waits, and is tried again" };
            if opened {
                tracing::error!(
                    "{why}; {then}; it failed again and again: from now on one probe at a time asks it"
                );
            } else {
                tracing::warn!("{why}; {then}");
            }
        }
        self.metrics
            .circuits_open
            .set(state.circuits.iter().filter(|circuit| circuit.is_open()).count() as i64);
        let verdict = match (taken, later, refused) {
            (true, ..) => {
                if state.fault.take().is_some() {
                    tracing::info!("target {} takes alerts again", self.target.name);
                }
                Verdict::Taken
            }
            (_, Some(why), _) => {
                state.fault = Some(why);
                Verdict::Later
            }
            (_, None, Some((reason, why))) => {
                state.fault = None;
                Verdict::Refused(reason, why)
            }
            (_, None, None) => Verdict::Later,
        };
        drop(state);
        if matches!(verdict, Verdict::Taken) {
            self.count(jobs);
        }
        // Others may have waited for the circuit, or for this request to end.
        self.changed.notify_all();
        verdict
    }

    fn count(&self, jobs: &[Job]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        for job in jobs {
            self.metrics.sent.inc_by(self.target.alerts_of(job.rules.len()) as u64);
            self.metrics.delivery.observe((now - job.timestamp_ms as f64 / 1000.0).max(0.0));
        }
    }

    fn end_all(&self, jobs: Vec<Job>, end: impl Fn() -> End) {
        let mut state = self.state();
        for mut job in jobs {
            state.waiting -= 1;
            state.bytes -= job.value.len();
            // It ends with the answer, not when that is committed.
            drop(job.span.take());
            if !job.claim.is_gone() {
                state.ended.push((job, end()));
            }
        }
    }
}

/// Lines about it belong to its span.
fn given_up(job: &Job, why: &str) -> Option<Entered> {
    let span = job.span.as_ref()?;
    span.fail(why);
    Some(span.enter())
}

enum Verdict {
    Taken,
    Later,
    Refused(GivenUp, String),
}
