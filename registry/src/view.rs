//! The registry's own view of its topics, followed by threads of its own. Readers look at it under a lock that is held
//! for the moment of the look.

use std::collections::HashSet;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sightline_schema::Topics;
use sightline_service::kafka::{
    DeadLetters, HEADER_OFFSET, HEADER_PARTITION, HEADER_TOPIC, KafkaFault, KafkaSettings, Tail, Tailed,
};
use sightline_service::shutdown::Shutdown;
use tokio::sync::broadcast;

use crate::metrics::Metrics;
use crate::state::{Event, Record, Source, State};

/// One wait for records; commands are looked at in between.
const LOOK: Duration = Duration::from_millis(50);
/// A broker may take this long for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Registrations are read to their end at start; 10,000 cameras take a second.
const READING: Duration = Duration::from_secs(60);
/// Statuses and pods may lie behind a transaction that is open: nobody waits longer for them at start.
const LIFE: Duration = Duration::from_secs(3);
/// Events that a watcher may be behind.
const EVENTS: usize = 4096;

/// Where a record lies that the view should have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub source: Source,
    pub partition: i32,
    pub offset: i64,
}

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct View {
    shared: Arc<Shared>,
}

struct Shared {
    state: RwLock<State>,
    progress: Mutex<()>,
    moved_on: Condvar,
    events: broadcast::Sender<Event>,
}

impl Default for View {
    fn default() -> Self {
        let events = broadcast::channel(EVENTS).0;
        let shared =
            Shared { state: RwLock::default(), progress: Mutex::new(()), moved_on: Condvar::new(), events };
        Self { shared: Arc::new(shared) }
    }
}

impl View {
    /// Looks at what is known. Keep it short: the followers wait.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What changes from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Waits until all of these were read. `false` when that took longer.
    pub(crate) fn wait_for(&self, positions: &[Position], timeout: Duration) -> bool {
        let reached = || {
            let is_read = |at: &Position| (at.source, at.partition, at.offset);
            self.read(|state| {
                positions
                    .iter()
                    .map(is_read)
                    .all(|(source, partition, offset)| state.has_reached(source, partition, offset))
            })
        };
        let deadline = Instant::now() + timeout;
        let mut progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        while !reached() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.moved_on.wait_timeout(progress, left);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn apply(&self, record: &Record<'_>) -> Option<String> {
        let applied = self.shared.state.write().unwrap_or_else(PoisonError::into_inner).apply(record);
        if let Some(event) = applied.event {
            // Nobody may be watching.
            let _ = self.shared.events.send(event);
        }
        applied.unreadable
    }

    fn progressed(&self) {
        // Who waits holds the lock until it sleeps: no wake-up falls between.
        drop(self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.moved_on.notify_all();
    }
}

/// Asks the follower of the registrations to read to where they end now.
pub(crate) struct Reach(Sender<Sender<Result<(), KafkaFault>>>);

impl Reach {
    /// Everything that lies there now was read, once this comes back.
    pub(crate) fn ask(&self) -> Result<(), Option<KafkaFault>> {
        let (answer, answered) = mpsc::channel();
        self.0.send(answer).map_err(|_| None)?;
        answered.recv().map_err(|_| None)?.map_err(Some)
    }
}

/// The two threads that follow: registrations, which a writer has to know to their end, and what pods say, which may
/// stand still behind an open transaction.
pub(crate) struct Followers {
    pub reach: Reach,
    /// They end with `shutdown`.
    pub threads: Vec<JoinHandle<()>>,
}

struct Names {
    sources: Vec<(String, Source)>,
}

impl Names {
    fn of(&self, topic: &str) -> Option<Source> {
        self.sources.iter().find(|(name, _)| name == topic).map(|(_, source)| *source)
    }

    fn list(&self) -> Vec<&str> {
        self.sources.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Followers {
    /// Reads the registrations to where they end now, and follows from then on until `shutdown`. Whoever writes has made
    /// its writer before.
    pub(crate) fn start(
        settings: &KafkaSettings,
        topics: &Topics,
        view: &View,
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> Result<Self, KafkaFault> {
        let registrations = Names {
            sources: vec![(topics.cameras(), Source::Cameras), (topics.placements(), Source::Placements)],
        };
        let life = Names {
            sources: vec![
                (topics.camera_status(), Source::Statuses),
                (topics.pods(), Source::Pods),
                (topics.audit(), Source::Audit),
            ],
        };
        let told = already_told(settings, topics);
        let letters = DeadLetters::new(settings, topics.dead_letter())?;
        let mut reading = Tail::open(settings, &registrations.list(), ANSWER)?;
        let mut living = Tail::open(settings, &life.list(), ANSWER)?;
        let taken = (view.clone(), metrics.clone());
        let take = move |record: Tailed<'_>| {
            let (view, metrics) = &taken;
            if let Some(why) = take_in(view, &registrations, &record, true) {
                let place = (record.topic.to_owned(), record.partition, record.offset);
                if !told.contains(&place) {
                    metrics.dead_letters.inc();
                    letters.send(&record, &why);
                }
            }
        };
        let ends = reading.ends(ANSWER)?;
        reading.reach(&ends, READING, &take)?;
        let living_view = view.clone();
        let live = move |record: Tailed<'_>, is_new: bool| {
            if let Some(why) = take_in(&living_view, &life, &record, is_new) {
                tracing::debug!(topic = record.topic, offset = record.offset, why, "a record can't be read");
            }
        };
        if living.catch_up(LIFE, |record| live(record, false)).is_err() {
            tracing::warn!("statuses are not read to their end yet; they come while the registry runs");
        }
        let (ask, asked) = mpsc::channel();
        let thread = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
            started.map_err(|error| KafkaFault::no_thread(&error))
        };
        let (following, stop) = (view.clone(), shutdown.clone());
        let registrations = thread(
            "registrations",
            Box::new(move || follow_registrations(&mut reading, &following, &stop, &asked, &take)),
        )?;
        let (following, stop) = (view.clone(), shutdown.clone());
        let life = thread(
            "life",
            Box::new(move || {
                while !stop.is_set() {
                    let caught_up = living.is_caught_up();
                    if living.poll(LOOK, |record| live(record, caught_up)) > 0 {
                        following.progressed();
                    }
                }
            }),
        )?;
        Ok(Self { reach: Reach(ask), threads: vec![registrations, life] })
    }
}

fn follow_registrations(
    tail: &mut Tail,
    view: &View,
    shutdown: &Shutdown,
    asked: &Receiver<Sender<Result<(), KafkaFault>>>,
    take: &impl Fn(Tailed<'_>),
) {
    while !shutdown.is_set() {
        if tail.poll(LOOK, take) > 0 {
            view.progressed();
        }
        while let Ok(answer) = asked.try_recv() {
            let reached = tail.ends(ANSWER).and_then(|ends| tail.reach(&ends, READING, take));
            view.progressed();
            // Who asked may be gone.
            let _ = answer.send(reached);
        }
    }
}

/// Why it can't be read, if so.
fn take_in(view: &View, names: &Names, record: &Tailed<'_>, is_new: bool) -> Option<String> {
    let source = names.of(record.topic)?;
    let at = if is_new { Instant::now() } else { written(record.timestamp_ms) };
    let Tailed { partition, offset, value, .. } = *record;
    view.apply(&Record { source, partition, offset, at, key: record.id(), value })
}

/// When an old record was written, on this process's own clock.
fn written(timestamp_ms: Option<i64>) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(timestamp_ms.unwrap_or(0).unsigned_abs());
    let instant = Instant::now();
    instant.checked_sub(now.saturating_sub(then)).unwrap_or(instant)
}

/// The records that an earlier registry sent to the dead letters: one is enough.
fn already_told(settings: &KafkaSettings, topics: &Topics) -> HashSet<(String, i32, i64)> {
    let mut told = HashSet::new();
    let read = Tail::open(settings, &[&topics.dead_letter()], ANSWER).and_then(|mut tail| {
        tail.catch_up(LIFE, |letter| {
            let number = |name| letter.header(name).and_then(|text| text.parse::<i64>().ok());
            let partition = number(HEADER_PARTITION).and_then(|partition| i32::try_from(partition).ok());
            if let (Some(topic), Some(partition), Some(offset)) =
                (letter.header(HEADER_TOPIC), partition, number(HEADER_OFFSET))
            {
                told.insert((topic.to_owned(), partition, offset));
            }
        })
    });
    if let Err(fault) = read {
        tracing::warn!("which records were told to be unreadable before is not known: {fault}");
    }
    told
}
