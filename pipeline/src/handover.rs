//! What a run of a camera and whoever rules it tell each other, so that two runs in turn give one sequence of results.
//!
//! The run that takes over holds its results until the one before it has published its last; that one publishes up to
//! the first result of its successor, and ends. Both are told by `assignment`, which sees the statuses of all pods.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sightline_schema::{Camera, GapAfter, GapReason, Timestamp};
use sightline_service::shutdown::{Cause, Shutdown};

use crate::detect::Thresholds;

/// A process that is stopped does not know that it was. While it sleeps others take its cameras over, so what it has to
/// say when it wakes waits until it knows whether it still counts. A thread that does nothing else notices. Cheap to clone.
#[derive(Clone)]
pub struct Awake(Arc<Alarm>);

struct Alarm {
    began: Instant,
    /// Milliseconds since `began`: looked at by then, this process did not sleep.
    until: AtomicU64,
    /// How often it slept.
    sleeps: AtomicU64,
}

impl Awake {
    /// A pod that sleeps for longer may have been replaced: a little less than the group's session.
    const LEASE: Duration = Duration::from_secs(8);
    const LOOK: Duration = Duration::from_millis(500);

    /// Watches until the last clone is dropped.
    pub fn watch() -> std::io::Result<Self> {
        let awake = Self::unwatched();
        let alarm = Arc::downgrade(&awake.0);
        std::thread::Builder::new().name("awake".to_owned()).spawn(move || {
            while let Some(alarm) = alarm.upgrade() {
                if alarm.is_over() {
                    alarm.sleeps.fetch_add(1, Ordering::AcqRel);
                }
                alarm.renew();
                drop(alarm);
                std::thread::sleep(Self::LOOK);
            }
        })?;
        Ok(awake)
    }

    fn unwatched() -> Self {
        let alarm = Alarm { began: Instant::now(), until: AtomicU64::new(0), sleeps: AtomicU64::new(0) };
        alarm.renew();
        Self(Arc::new(alarm))
    }

    /// How often this process slept. One that is told of late is counted already.
    pub fn sleeps(&self) -> u64 {
        // In this order: the thread counts before it renews, so one of the two shows it.
        let is_over = self.0.is_over();
        self.0.sleeps.load(Ordering::Acquire) + u64::from(is_over)
    }
}

impl Alarm {
    fn renew(&self) {
        let until = self.began.elapsed() + Awake::LEASE;
        self.until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() > Duration::from_millis(self.until.load(Ordering::Acquire))
    }
}

/// One run's control. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct RunControl {
    /// Ends the run.
    pub stop: Shutdown,
    /// None where nobody else could take over.
    awake: Option<Awake>,
    inner: Arc<Mutex<Inner>>,
    settings: Arc<RwLock<Settings>>,
}

/// A camera's settings while it runs. Some change in mid-run.
#[derive(Clone)]
pub struct Settings {
    /// Grows with each change.
    pub version: u64,
    pub camera: Arc<Camera>,
    pub thresholds: Arc<Thresholds>,
}

struct Inner {
    hold: Hold,
    /// The run before still has results.
    is_joined: bool,
    /// How often the process had slept when this run was last known to count.
    sleeps: u64,
    /// Of a held run: the first result that is ready, and since when.
    first: Option<(Timestamp, Instant)>,
    /// Results later than this are the successor's.
    until: Option<Timestamp>,
    /// One of them came by: nothing is left to publish.
    is_past: bool,
    /// What hindered it is gone: it should not wait to try again.
    hurry: bool,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hold {
    Open,
    /// Until the run before has ended.
    Held,
    /// Until it is known whether this run still counts.
    Slept,
    Released(Release),
}

/// What the run before left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Release {
    /// Its last result, as far as it is known.
    pub last: Option<GapAfter>,
    /// Why something may be missing in between.
    pub reason: GapReason,
    /// The run before is this very run, before it slept.
    pub slept: bool,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All its results are acknowledged.
    Settled,
    /// Some results were still on their way.
    Unsettled,
}

/// What an outlet does with a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Out,
    /// Keep it until the run before has ended.
    Hold,
    /// The run before has ended: what was kept goes out first.
    Release(Release),
}

impl RunControl {
    /// A run that waits for nobody. `stop` ends it.
    pub fn new(stop: Shutdown, awake: Option<Awake>, camera: Camera, thresholds: Thresholds) -> Self {
        let sleeps = awake.as_ref().map_or(0, Awake::sleeps);
        let inner = Inner {
            hold: Hold::Open,
            is_joined: false,
            sleeps,
            first: None,
            until: None,
            is_past: false,
            hurry: false,
            ended: None,
        };
        let settings = Settings { version: 0, camera: Arc::new(camera), thresholds: Arc::new(thresholds) };
        Self { stop, awake, inner: Arc::new(Mutex::new(inner)), settings: Arc::new(RwLock::new(settings)) }
    }

    /// Its results wait for `release`.
    pub fn hold(&self) {
        self.lock().hold = Hold::Held;
    }

    /// Whether the run before, on another pod, still has results: what is seen now is seen there, too.
    pub fn join(&self, has_results: bool) {
        self.lock().is_joined = has_results;
    }

    /// Whether results wait for a run that still has some.
    pub fn is_joined(&self) -> bool {
        let inner = self.lock();
        inner.is_joined && inner.hold == Hold::Held
    }

    /// The run before has ended, or is not waited for any longer.
    pub fn release(&self, release: Release) {
        let mut inner = self.lock();
        if inner.hold == Hold::Held {
            inner.hold = Hold::Released(release);
            inner.hurry = true;
        }
    }

    /// Whether to try again at once: a camera may have refused a second session, and the first is gone. Asked once.
    pub fn hurries(&self) -> bool {
        std::mem::take(&mut self.lock().hurry)
    }

    /// The process slept so often, and this run still counts. One sleep more, and that is to be found out again.
    pub fn goes_on(&self, sleeps: u64) {
        let mut inner = self.lock();
        inner.sleeps = sleeps;
        if inner.hold == Hold::Slept {
            inner.hold = Hold::Released(Release { last: None, reason: GapReason::PodLost, slept: true });
        }
    }

    /// Whether results wait for the run before.
    pub fn is_held(&self) -> bool {
        self.lock().hold == Hold::Held
    }

    /// Whether results wait until it is known whether this run still counts.
    pub fn has_slept(&self) -> bool {
        self.lock().hold == Hold::Slept
    }

    /// Since when a held run has a result ready.
    pub fn ready_since(&self) -> Option<Instant> {
        self.lock().first.map(|(_, since)| since)
    }

    /// Publish up to here, and end: what comes later is the successor's.
    pub fn end_after(&self, first: Timestamp) {
        self.lock().until = Some(first);
    }

    /// The slot came back before anybody took over: what was said of an end is forgotten.
    pub fn resume(&self) {
        let mut inner = self.lock();
        inner.until = None;
        inner.is_past = false;
    }

    /// End now.
    pub fn end(&self) {
        self.stop.set(Cause::Finished);
    }

    /// End now, and say nothing more: another run counts, or will.
    pub fn abandon(&self) {
        self.hold();
        self.end();
    }

    /// Whether the stream should be read no further.
    pub fn is_over(&self) -> bool {
        self.stop.is_set() || self.lock().is_past
    }

    /// Which way a result goes that is ready now. Asked in order.
    pub fn way(&self, captured_at: Timestamp) -> Way {
        let way = self.way_of_mark();
        let mut inner = self.lock();
        if way == Way::Hold && inner.hold == Hold::Held {
            inner.first.get_or_insert_with(|| (captured_at, Instant::now()));
        }
        way
    }

    /// The same for what is said between results.
    pub fn way_of_mark(&self) -> Way {
        let mut inner = self.lock();
        match inner.hold {
            Hold::Open if self.awake.as_ref().is_some_and(|awake| awake.sleeps() != inner.sleeps) => {
                inner.hold = Hold::Slept;
                Way::Hold
            }
            Hold::Open => Way::Out,
            Hold::Held | Hold::Slept => Way::Hold,
            Hold::Released(release) => {
                inner.hold = Hold::Open;
                Way::Release(release)
            }
        }
    }

    /// Whether a result belongs to the successor. The first that does ends the run.
    pub fn is_successors(&self, captured_at: Timestamp) -> bool {
        let mut inner = self.lock();
        let is_later = inner.until.is_some_and(|until| captured_at > until);
        inner.is_past |= is_later;
        is_later
    }

    pub fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn version(&self) -> u64 {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Other settings from now on: no new run.
    pub fn update(&self, camera: Camera, thresholds: Thresholds) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let version = settings.version + 1;
        *settings = Settings { version, camera: Arc::new(camera), thresholds: Arc::new(thresholds) };
    }

    pub fn set_ended(&self, ended: Ended) {
        self.lock().ended = Some(ended);
    }

    pub fn ended(&self) -> Option<Ended> {
        self.lock().ended
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    fn control() -> RunControl {
        let camera = Camera::new("gate", "rtsp://10.0.0.5/1");
        let thresholds = Thresholds::of(&camera, &[], true).unwrap();
        RunControl::new(Shutdown::new(), Some(Awake::unwatched()), camera, thresholds)
    }

    #[test]
    fn a_held_run_tells_its_first_result_and_lets_go_once() {
        let run = control();
        assert_eq!(run.way(at(0)), Way::Out);
        run.hold();
        assert_eq!(run.way_of_mark(), Way::Hold);
        assert!(run.ready_since().is_none(), "a mark is no result");
        assert_eq!(run.way(at(100)), Way::Hold);
        assert!(run.ready_since().is_some());
        let release = Release { last: None, reason: GapReason::Moved, slept: false };
        run.release(release);
        run.release(Release { reason: GapReason::PodLost, ..release });
        assert_eq!([run.way(at(200)), run.way(at(300))], [Way::Release(release), Way::Out]);
    }

    #[test]
    fn a_run_is_joined_while_it_waits_for_one_that_has_results() {
        let run = control();
        run.join(true);
        assert!(!run.is_joined(), "it waits for nobody");
        run.hold();
        assert!(run.is_joined());
        run.join(false);
        assert!(!run.is_joined(), "that one has stopped, or died");
        run.join(true);
        run.release(Release { last: None, reason: GapReason::Moved, slept: false });
        assert!(!run.is_joined());
    }

    #[test]
    fn a_run_that_slept_holds_what_it_has_until_it_is_known_to_count() {
        let run = control();
        assert_eq!(run.way(at(0)), Way::Out);
        let alarm = &run.awake.as_ref().unwrap().0;
        alarm.until.store(0, Ordering::Release);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!([run.way(at(100)), run.way_of_mark()], [Way::Hold; 2]);
        assert!(run.has_slept() && run.ready_since().is_none());
        // Awake again it still does not know.
        alarm.sleeps.fetch_add(1, Ordering::AcqRel);
        alarm.renew();
        run.release(Release { last: None, reason: GapReason::Moved, slept: false });
        assert_eq!(run.way(at(200)), Way::Hold);
        run.goes_on(0);
        assert!(matches!(run.way(at(250)), Way::Release(Release { slept: true, .. })));
        assert_eq!(run.way(at(260)), Way::Hold, "of the sleep it was not told");
        run.goes_on(1);
        assert!(matches!(run.way(at(300)), Way::Release(Release { slept: true, .. })));
        assert_eq!(run.way(at(400)), Way::Out);
    }

    #[test]
    fn a_run_that_ends_publishes_up_to_its_successors_first() {
        let run = control();
        run.end_after(at(500));
        assert!(!run.is_successors(at(500)) && !run.is_over());
        assert!(run.is_successors(at(501)) && run.is_over());
        run.resume();
        assert!(!run.is_successors(at(900)) && !run.is_over());
        run.end();
        assert!(run.is_over());
    }
}
