//! Runs the queue: a thread that sends, and with a spool one that writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{GapAfter, Timestamp};
use sightline_service::kafka::{KafkaFault, Producer};
use sightline_service::trace::Tracer;

use super::entry::{Given, Limits};
use super::log::Log;
use super::queue::Queue;
use super::record::Last;
use super::recover::SpoolError;
use crate::metrics::PipelineMetrics;
use crate::say::SayAgain;

/// How often the writer looks, and a sender that waits.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Of a spool, this share at most is under way to Kafka: the rest can go when it is full.
const WINDOW_SHARE: u64 = 4;

/// Where results wait for Kafka.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    /// What may be in memory alone, in bytes and in records; and as much may be under way to Kafka.
    pub bytes: usize,
    pub records: usize,
    pub spool: Option<SpoolOptions>,
    /// Where the way of sampled frames' records to Kafka is told.
    pub tracer: Tracer,
}

/// The directory of the spool, and how many bytes may lie in it.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    pub folder: PathBuf,
    pub max: u64,
}

/// What had not arrived at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// In the spool, for the next start.
    pub spooled: u64,
    pub lost: u64,
}

/// Holds recorded cameras back, or lets them go on. Called with the outbox locked.
pub type Hold = Box<dyn Fn(bool) + Send>;

/// Makes a new client towards Kafka.
pub type Connect = Box<dyn Fn() -> Result<Producer, KafkaFault> + Send>;

/// Results on their way to Kafka, in the order in which they were accepted. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
    sender: Arc<Mutex<Option<JoinHandle<()>>>>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Locked in this order: the log, then the state.
pub(super) struct Shared {
    pub(super) log: Option<Mutex<Log>>,
    pub(super) folder: PathBuf,
    /// Each camera's last result in the spool, at the start.
    pub(super) lasts: BTreeMap<Arc<str>, Last>,
    pub(super) state: Mutex<State>,
    /// There may be something to send.
    pub(super) to_send: Condvar,
    /// There is something to write.
    pub(super) to_write: Condvar,
    /// Something arrived or was written.
    pub(super) room: Condvar,
    pub(super) metrics: PipelineMetrics,
    pub(super) say: SayAgain,
    pub(super) tracer: Tracer,
}

pub(super) struct State {
    pub(super) queue: Queue,
    /// Why the client has to be replaced.
    pub(super) trouble: Option<KafkaFault>,
    /// Why nothing is sent at the moment.
    pub(super) waiting: Option<KafkaFault>,
    /// Something arrived since the last trouble.
    pub(super) arrives: bool,
    /// Further records would cost the oldest in the spool.
    pub(super) nearly_full: bool,
    /// Holds recorded cameras back while there is no room, and whether it does.
    pub(super) hold: Option<Hold>,
    pub(super) holds: bool,
    pub(super) no_more_sending: bool,
    pub(super) no_more_writing: bool,
}

impl State {
    pub(super) fn settle_hold(&mut self) {
        let Some(hold) = &self.hold else { return };
        let holds = self.nearly_full || self.queue.is_full();
        if holds != self.holds {
            self.holds = holds;
            hold(holds);
        }
    }
}

impl Outbox {
    /// Takes the directory of the spool, and finds what an earlier process left there.
    pub fn open(options: &OutboxOptions, metrics: PipelineMetrics) -> Result<Self, SpoolError> {
        let OutboxOptions { bytes, records, spool, tracer } = options;
        let log = match spool {
            Some(spool) => Some(Log::open(&spool.folder, spool.max)?),
            None => None,
        };
        let limits = Limits { bytes: *bytes, records: *records };
        let share = spool.as_ref().map_or(u64::MAX, |spool| spool.max / WINDOW_SHARE);
        let window =
            Limits { bytes: limits.bytes.min(usize::try_from(share).unwrap_or(usize::MAX)), ..limits };
        let queue = Queue::new(limits, window, log.as_ref());
        let lasts = log.as_ref().map(|log| log.lasts().clone()).unwrap_or_default();
        let folder = log.as_ref().map(|log| log.folder().to_owned()).unwrap_or_default();
        if let Some(log) = log.as_ref().filter(|log| !log.is_empty()) {
            tracing::info!(
                folder = %folder.display(), records = queue.left(), bytes = log.bytes(),
                "the spool holds results of an earlier process; they are published first"
            );
        }
        let state = State {
            queue,
            trouble: None,
            waiting: None,
            arrives: false,
            nearly_full: false,
            hold: None,
            holds: false,
            no_more_sending: false,
            no_more_writing: false,
        };
        let shared = Arc::new(Shared {
            log: log.map(Mutex::new),
            folder,
            lasts,
            state: Mutex::new(state),
            to_send: Condvar::new(),
            to_write: Condvar::new(),
            room: Condvar::new(),
            metrics,
            say: SayAgain::default(),
            tracer: tracer.clone(),
        });
        let outbox = Self { shared: shared.clone(), sender: Arc::default(), writer: Arc::default() };
        if shared.log.is_some() {
            let thread = std::thread::Builder::new().name("spool".to_owned());
            let writer = thread.spawn(move || shared.write()).map_err(|source| SpoolError::Io {
                folder: outbox.shared.folder.clone(),
                what: "no thread can be started for it",
                source,
            })?;
            *lock(&outbox.writer) = Some(writer);
        }
        Ok(outbox)
    }

    /// Begins to send to `topic`.
    pub fn start(&self, topic: String, connect: Connect) -> std::io::Result<()> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("outbox".to_owned());
        *lock(&self.sender) = Some(thread.spawn(move || shared.send(&topic, &connect))?);
        Ok(())
    }

    /// Takes a record, if there is room. One that can wait is not taken at the cost of others in a full spool.
    pub(crate) fn take(&self, given: Given, can_wait: bool) -> bool {
        let mut state = self.shared.state();
        // What was on its way before its camera was held back is let through: a few frames.
        let let_through = can_wait && state.holds;
        if can_wait && state.nearly_full && !let_through {
            return false;
        }
        let taken = state.queue.accept(given, Instant::now(), now(), let_through);
        state.settle_hold();
        let pressed = state.queue.is_pressed();
        drop(state);
        self.shared.to_send.notify_one();
        if pressed {
            self.shared.to_write.notify_one();
        }
        taken.is_ok()
    }

    /// What holds recorded cameras back while there is no room. Without it they wait in whoever brings a record.
    pub fn hold_by(&self, hold: Option<Hold>) {
        let mut state = self.shared.state();
        if let Some(before) = state.hold.take().filter(|_| state.holds) {
            before(false);
        }
        state.holds = false;
        state.hold = hold;
        state.settle_hold();
    }

    /// A camera's last result that an earlier process left in the spool.
    pub fn last_left(&self, camera: &str) -> Option<GapAfter> {
        let last = self.shared.lasts.get(camera)?;
        Some(GapAfter { epoch: last.epoch, seq: last.seq, captured_at: last.captured_at })
    }

    /// Waits until all that a camera gave so far has arrived. False when it has not in time, or can't any more.
    pub fn wait_for_arrival(&self, camera: &str, patience: Duration) -> bool {
        let to = self.shared.state().queue.newest();
        let waits = |state: &mut State| !state.no_more_sending && !state.queue.has_arrived(camera, to);
        let waited = self.shared.room.wait_timeout_while(self.shared.state(), patience, waits);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.queue.has_arrived(camera, to)
    }

    /// Why nothing is sent at the moment, beside a broker that is away.
    pub fn waiting(&self) -> Option<KafkaFault> {
        self.shared.state().waiting.clone()
    }

    /// Waits for acknowledgements, at most `patience`; what has not arrived then stays in the spool, or is lost.
    pub fn stop(&self, patience: Duration) -> Left {
        let unsettled = |state: &mut State| !state.queue.is_settled();
        let has_sender = lock(&self.sender).is_some();
        if has_sender {
            let waited = self.shared.room.wait_timeout_while(self.shared.state(), patience, unsettled);
            drop(waited);
        }
        self.shared.state().no_more_sending = true;
        self.shared.to_send.notify_all();
        join(&self.sender);
        self.shared.state().no_more_writing = true;
        self.shared.to_write.notify_all();
        join(&self.writer);
        let state = self.shared.state();
        let (left, unwritten) = (state.queue.left(), state.queue.unwritten());
        Left { spooled: left.saturating_sub(unwritten), lost: unwritten }
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    let thread = lock(thread).take();
    if thread.is_some_and(|thread| thread.join().is_err()) {
        tracing::error!("a thread of the outbox panicked");
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

pub(super) fn since(at: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now().as_micros().saturating_sub(at.as_micros())).unwrap_or(0))
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
