//! What happens, as it happens: one reader of the topic for all who watch.
//!
//! It reads while somebody watches. The newest of what it read stays for who joins: a watcher that comes with a place goes on
//! from there, by itself where that is further back, until it is within what stays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use sightline_service::kafka::{Follower, KafkaSettings, Start};
use sightline_service::shutdown::Shutdown;
use tokio::sync::{Semaphore, watch};

use super::happened::Happened;
use super::outbox::Outbox;
use super::recent::{Joined, State, Watcher};
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Who may watch at once.
const WATCHERS: usize = 256;
/// Who may read by himself at once; others wait for their turn.
const READERS: usize = 8;
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
        let is_here = state.tells(outbox);
        (is_here && outbox.is_empty()).then(|| state.cursor())
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
            self.lock().reached(follower.positions());
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
