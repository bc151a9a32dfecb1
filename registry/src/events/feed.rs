//! What happens, as it happens: one reader of the topic for all who watch.
//!
//! It reads while somebody watches. The newest of what it read stays for who joins: a watcher that comes with a place goes on
//! from there, by itself where that is further back, until it is within what stays.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use sightline_service::kafka::{Follower, KafkaSettings, Start};
use sightline_service::shutdown::Shutdown;
use tokio::sync::{Semaphore, watch};

use super::cursor;
use super::filter::Filter;
use super::happened::Happened;
use super::outbox::{Outbox, Told};
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Who may watch at once.
const WATCHERS: usize = 256;
/// Who may read by himself at once; others wait for their turn.
const READERS: usize = 8;
/// What stays for who joins.
const RECENT: usize = 2048;
const RECENT_BYTES: usize = super::outbox::ROOM / 2;
/// One wait for records.
const LOOK: Duration = Duration::from_millis(50);
/// A broker may take this long to say where the topic ends.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
/// How long somebody waits for the reader to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// The reader goes on so long with nobody watching: a page that is reloaded comes back.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// It reads nothing.
    Closed,
    Open,
    /// Why it can't read: a sentence.
    Away(String),
}

/// All clones of the `Arc` are one.
pub(crate) struct Feed {
    status: watch::Sender<Status>,
    stopping: watch::Sender<bool>,
    state: Mutex<State>,
    watching: AtomicUsize,
    pub(super) readers: Arc<Semaphore>,
    pub(super) on: OnceLock<On>,
    pub(super) metrics: Metrics,
}

/// Where it reads, and until when.
pub(super) struct On {
    pub(super) settings: KafkaSettings,
    pub(super) topic: String,
    pub(super) shutdown: Shutdown,
}

#[derive(Default)]
struct State {
    is_open: bool,
    /// By partition, the next offset.
    positions: Vec<i64>,
    /// By partition, the first offset from which on all that was read is in `recent`.
    floor: Vec<i64>,
    recent: VecDeque<Arc<Happened>>,
    bytes: usize,
    watchers: Vec<Watcher>,
}

/// Somebody to be told.
#[derive(Clone)]
pub(super) struct Watcher {
    pub(super) filter: Arc<Filter>,
    pub(super) outbox: Arc<Outbox>,
}

/// Whether a watcher is told from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Yes,
    /// What it has not seen does not stay here any more.
    Behind,
    /// It has seen what is not read here yet.
    Ahead,
    Closed,
}

/// One of those who may watch.
pub(crate) struct Seat {
    feed: Arc<Feed>,
    gauge: Gauge,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.feed.watching.fetch_sub(1, Ordering::SeqCst);
        self.gauge.dec();
    }
}

impl Feed {
    pub(crate) fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            status: watch::Sender::new(Status::Closed),
            stopping: watch::Sender::new(false),
            state: Mutex::default(),
            watching: AtomicUsize::new(0),
            readers: Arc::new(Semaphore::new(READERS)),
            on: OnceLock::new(),
            metrics,
        })
    }

    /// Begins to serve. Ends with `shutdown`.
    pub(crate) fn start(
        self: &Arc<Self>,
        settings: &KafkaSettings,
        topic: String,
        shutdown: &Shutdown,
    ) -> std::io::Result<()> {
        // It is set once.
        let _ = self.on.set(On { settings: settings.clone(), topic, shutdown: shutdown.clone() });
        let (feed, stop) = (self.clone(), shutdown.clone());
        // Of its own: the reader may wait for a broker.
        std::thread::Builder::new().name("events stop".to_owned()).spawn(move || {
            stop.wait();
            feed.stopping.send_replace(true);
        })?;
        let feed = self.clone();
        std::thread::Builder::new().name("events".to_owned()).spawn(move || feed.run())?;
        Ok(())
    }

    /// A place among those who watch.
    pub(crate) fn seat(self: &Arc<Self>) -> Result<Seat, Problem> {
        let more = |watching| (watching < WATCHERS).then_some(watching + 1);
        if self.watching.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
            return Err(Problem::too_many(format!(
                "{WATCHERS} watch events at the moment; try again, or read the topic events by a consumer of your own"
            )));
        }
        let gauge = self.metrics.event_watchers.clone();
        gauge.inc();
        Ok(Seat { feed: self.clone(), gauge })
    }

    /// Waits until the reader reads. Who waits has a seat.
    pub(super) async fn opened(&self) -> Result<(), Problem> {
        let mut status = self.status.subscribe();
        let known = status.wait_for(|status| *status != Status::Closed);
        let known = tokio::time::timeout(BEGIN, known).await;
        match known.as_ref().map(|found| found.as_ref().map(|status| (**status).clone())) {
            Ok(Ok(Status::Open)) => Ok(()),
            Ok(Ok(Status::Away(why))) => {
                Err(Problem::unavailable(format!("events can't be read: {why}; try again")))
            }
            _ => Err(Problem::unavailable("events can't be read yet: Kafka takes its time; try again")),
        }
    }

    /// Comes back when the process stops.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as this.
        let _ = self.stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the watcher what happened from its place on, and from now on. Without a place: from now on.
    pub(super) fn join(&self, place: Option<&[i64]>, watcher: &Watcher) -> Joined {
        self.lock().join(place, watcher)
    }

    /// The place of a watcher that joined and took all it was told; none for one who did not.
    pub(crate) fn place(&self, outbox: &Arc<Outbox>) -> Option<String> {
        let state = self.lock();
        // Nothing is put into it while the state is held.
        let is_here = state.watchers.iter().any(|watcher| Arc::ptr_eq(&watcher.outbox, outbox));
        (is_here && outbox.is_empty()).then(|| cursor::of_positions(&state.positions))
    }

    fn run(&self) {
        let Some(on) = self.on.get() else { return };
        while !on.shutdown.is_set() {
            if self.watching.load(Ordering::SeqCst) == 0 {
                self.status
                    .send_if_modified(|status| std::mem::replace(status, Status::Closed) != Status::Closed);
                on.shutdown.wait_timeout(LOOK);
                continue;
            }
            match Follower::open(&on.settings, &on.topic, &Start::End, ANSWER) {
                Ok(follower) => self.follow(follower, &on.shutdown),
                Err(fault) => {
                    tracing::debug!("events can't be read: {fault}");
                    self.status.send_replace(Status::Away(fault.to_string()));
                    on.shutdown.wait_timeout(PAUSE);
                }
            }
        }
    }

    fn follow(&self, mut follower: Follower, shutdown: &Shutdown) {
        self.lock().open(follower.positions());
        self.status.send_replace(Status::Open);
        let mut watched = Instant::now();
        while !shutdown.is_set() {
            follower.poll(LOOK, |record| {
                if let Some(happened) = Happened::read(&record) {
                    self.lock().tell(happened);
                }
            });
            self.lock().positions.copy_from_slice(follower.positions());
            if self.watching.load(Ordering::SeqCst) > 0 {
                watched = Instant::now();
            } else if watched.elapsed() >= IDLE {
                break;
            }
        }
        // Who asks meanwhile finds it closed, and waits for it to open.
        self.status.send_replace(Status::Closed);
        *self.lock() = State::default();
    }
}

impl State {
    fn open(&mut self, positions: &[i64]) {
        *self = Self {
            is_open: true,
            positions: positions.to_vec(),
            floor: positions.to_vec(),
            ..Self::default()
        };
    }

    fn join(&mut self, place: Option<&[i64]>, watcher: &Watcher) -> Joined {
        if !self.is_open {
            return Joined::Closed;
        }
        // Those who left while nothing happened.
        self.watchers.retain(|watcher| !watcher.outbox.is_closed());
        let place = place.unwrap_or(&self.positions);
        let any = |differs: fn(&i64, &i64) -> bool, others: &[i64]| {
            place.iter().zip(others).any(|(place, other)| differs(place, other))
        };
        if place.len() != self.positions.len() || any(|place, floor| place < floor, &self.floor) {
            return Joined::Behind;
        }
        if any(|place, read| place > read, &self.positions) {
            return Joined::Ahead;
        }
        let mut at = place.to_vec();
        for happened in &self.recent {
            let Some(seen) = at.get_mut(happened.partition) else { continue };
            if happened.offset < *seen {
                continue;
            }
            *seen = happened.offset + 1;
            if watcher.filter.fits(&happened.event) {
                let cursor = cursor::of_positions(&at).into();
                let told = Told::Happened { happened: happened.clone(), cursor };
                // Who left is out of the list at the next event.
                let _ = watcher.outbox.put_first(told);
            }
        }
        let _ = watcher.outbox.put_first(Told::Live { cursor: cursor::of_positions(&self.positions).into() });
        self.watchers.push(watcher.clone());
        Joined::Yes
    }

    fn tell(&mut self, happened: Happened) {
        let happened = Arc::new(happened);
        let Some(position) = self.positions.get_mut(happened.partition) else { return };
        *position = happened.offset + 1;
        let positions = &self.positions;
        let mut cursor: Option<Arc<str>> = None;
        self.watchers.retain(|Watcher { filter, outbox }| {
            if !filter.fits(&happened.event) {
                return !outbox.is_closed();
            }
            let cursor = cursor.get_or_insert_with(|| cursor::of_positions(positions).into()).clone();
            outbox.put(Told::Happened { happened: happened.clone(), cursor }).is_ok()
        });
        self.bytes += happened.size();
        self.recent.push_back(happened);
        while self.recent.len() > RECENT || self.bytes > RECENT_BYTES {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.bytes -= oldest.size();
            if let Some(floor) = self.floor.get_mut(oldest.partition) {
                *floor = oldest.offset + 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
