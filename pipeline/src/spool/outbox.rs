//! Runs the queue: a thread that sends, and with a spool one that writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{GapAfter, Timestamp};
use sightline_service::backoff::Backoff;
use sightline_service::kafka::{Delivered, FaultKind, KafkaFault, OnDelivery, Producer, SendError};

use super::log::{AppendError, Log, SpoolError};
use super::queue::{Due, Given, Limits, Outgoing, Queue, Refusal, Step};
use super::record::Last;
use crate::metrics::PipelineMetrics;
use crate::say::SayAgain;

/// How often the writer looks, and a sender that waits.
const LOOK: Duration = Duration::from_millis(100);
/// How long a client whose own queue is full is left alone.
const PAUSE: Duration = Duration::from_millis(20);
/// What was written reaches the disk itself this often.
const SYNC: Duration = Duration::from_secs(1);
/// A disk that can't be written to is tried again this often.
const RETRY_DISK: Duration = Duration::from_secs(2);
/// Of a spool, this share at most is under way to Kafka: the rest can go when it is full.
const WINDOW_SHARE: u64 = 4;

/// Where results wait for Kafka.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    /// What may be in memory alone, in bytes and in records; and as much may be under way to Kafka.
    pub bytes: usize,
    pub records: usize,
    pub spool: Option<SpoolOptions>,
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
struct Shared {
    log: Option<Mutex<Log>>,
    folder: PathBuf,
    /// Each camera's last result in the spool, at the start.
    lasts: BTreeMap<Arc<str>, Last>,
    state: Mutex<State>,
    /// There may be something to send.
    to_send: Condvar,
    /// There is something to write.
    to_write: Condvar,
    /// Something arrived or was written.
    room: Condvar,
    metrics: PipelineMetrics,
    say: SayAgain,
}

struct State {
    queue: Queue,
    /// Why the client has to be replaced.
    trouble: Option<KafkaFault>,
    /// Why nothing is sent at the moment.
    waiting: Option<KafkaFault>,
    /// Something arrived since the last trouble.
    arrives: bool,
    /// Further records would cost the oldest in the spool.
    nearly_full: bool,
    /// Holds recorded cameras back while there is no room, and whether it does.
    hold: Option<Hold>,
    holds: bool,
    no_more_sending: bool,
    no_more_writing: bool,
}

impl State {
    fn settle_hold(&mut self) {
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
        let OutboxOptions { bytes, records, spool } = options;
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}

/// What the sender found to do, beside waiting.
enum Work {
    Send(Outgoing),
    Load,
    Reload,
    Renew(KafkaFault),
    End,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The sender's thread: makes a client, sends by it, replaces it.
    fn send(self: &Arc<Self>, topic: &str, connect: &Connect) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
        let mut rng = rand::rng();
        loop {
            let fault = match connect() {
                Err(fault) => fault,
                Ok(producer) => {
                    let Some(fault) = self.send_by(topic, &producer) else { return };
                    // Here, too, every record that was handed reports: none is under way after this.
                    drop(producer);
                    fault
                }
            };
            let mut state = self.state();
            state.trouble = None;
            if std::mem::take(&mut state.arrives) {
                backoff.reset();
            }
            drop(state);
            let mut log = self.log.as_ref().map(lock);
            self.state().queue.rewind(log.as_deref_mut());
            drop(log);
            // Which record is refused shows at once by sending them alone.
            if is_of_record(&fault) {
                continue;
            }
            let wait = backoff.next(&mut rng);
            let mut state = self.state();
            let waiting = state.queue.left();
            if self.say.now("send") {
                tracing::error!(
                    code = fault.kind.code(),
                    records = waiting,
                    "{fault}; the records wait, and go out by a new client in {:.1} s",
                    wait.as_secs_f64()
                );
            }
            state.waiting = Some(fault);
            let go_on = |state: &mut State| !state.no_more_sending;
            let waited = self.to_send.wait_timeout_while(state, wait, go_on);
            if waited.unwrap_or_else(PoisonError::into_inner).0.no_more_sending {
                return;
            }
        }
    }

    /// Sends by one client until it can't go on; `None` at the end.
    fn send_by(self: &Arc<Self>, topic: &str, producer: &Producer) -> Option<KafkaFault> {
        loop {
            match self.next_work(topic, producer) {
                Work::End => return None,
                Work::Renew(fault) => return Some(fault),
                Work::Load => self.with_log(|log, state| state.queue.load(log, Instant::now())),
                Work::Reload => self.with_log(|log, state| state.queue.reload(log)),
                Work::Send(outgoing) => {
                    let sent = self.hand(topic, producer, &outgoing);
                    let Err(error) = sent else { continue };
                    self.metrics.under_way(-1);
                    match error {
                        SendError::QueueFull => {
                            let mut state = self.state();
                            state.queue.taken_back(outgoing);
                            drop(self.to_send.wait_timeout(state, PAUSE));
                        }
                        SendError::Fatal(fault) => {
                            self.state().queue.taken_back(outgoing);
                            return Some(fault);
                        }
                        // The client looks at the record itself before it takes it.
                        SendError::Other(fault) if is_of_record(&fault) => {
                            self.report(topic, &outgoing, Err((Refusal::ForGood, fault)));
                        }
                        SendError::Other(fault) => {
                            self.state().queue.taken_back(outgoing);
                            return Some(fault);
                        }
                    }
                }
            }
        }
    }

    fn with_log(&self, work: impl FnOnce(&mut Log, &mut State)) {
        if let Some(log) = &self.log {
            let mut log = lock(log);
            work(&mut log, &mut self.state());
        }
    }

    fn next_work(&self, topic: &str, producer: &Producer) -> Work {
        let mut state = self.state();
        loop {
            if state.no_more_sending {
                return Work::End;
            }
            if let Some(fault) = state.trouble.clone() {
                return Work::Renew(fault);
            }
            let step = state.queue.step(Instant::now());
            (0..state.queue.take_given_up()).for_each(|_| self.metrics.refused(topic));
            match step {
                Step::Send(outgoing) => {
                    state.queue.handed(outgoing.place);
                    // Before, since its report may come before `send` returns.
                    self.metrics.under_way(1);
                    return Work::Send(outgoing);
                }
                Step::Load => return Work::Load,
                Step::Reload => return Work::Reload,
                Step::Wait => {}
            }
            let waited = self.to_send.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out()
                && let Some(fault) = producer.fatal()
            {
                return Work::Renew(fault);
            }
        }
    }

    fn hand(
        self: &Arc<Self>,
        topic: &str,
        producer: &Producer,
        outgoing: &Outgoing,
    ) -> Result<(), SendError> {
        let (shared, name) = (self.clone(), topic.to_owned());
        let told = Outgoing { payload: Arc::default(), ..outgoing.clone() };
        let on_delivery: OnDelivery = Box::new(move |delivered: Result<Delivered, KafkaFault>| {
            shared.metrics.under_way(-1);
            let outcome = delivered.map(|_| ()).map_err(|fault| {
                let refusal = match fault.kind {
                    FaultKind::TooLarge => Refusal::TooLarge,
                    FaultKind::InvalidRecord => Refusal::OfRecord,
                    _ => Refusal::Passing,
                };
                (refusal, fault)
            });
            shared.report(&name, &told, outcome);
        });
        let Outgoing { kind, camera, payload, .. } = outgoing;
        producer.send(topic, camera, payload, kind.schema(), on_delivery).map_err(|refused| refused.error)
    }

    /// A record arrived at a topic, or did not.
    fn report(&self, topic: &str, outgoing: &Outgoing, outcome: Result<(), (Refusal, KafkaFault)>) {
        let mut state = self.state();
        let told = outcome.as_ref().copied().map_err(|(refusal, _)| *refusal);
        let reported = state.queue.reported(outgoing.place, told, Instant::now());
        match outcome {
            Ok(()) => {
                state.arrives = true;
                state.waiting = None;
                self.metrics.acknowledged(topic, reported.captured_at.map(since));
                if outgoing.replayed {
                    self.metrics.spool().replayed.inc();
                }
            }
            Err((refusal, fault)) => {
                if reported.given_up && self.say.now("refused") {
                    tracing::error!(
                        camera = &*outgoing.camera,
                        code = fault.kind.code(),
                        schema = outgoing.kind.schema(),
                        "a record is lost: {fault}; where a frame was, a gap/1 says so"
                    );
                }
                if refusal != Refusal::ForGood && fault.kind != FaultKind::Purged {
                    state.trouble.get_or_insert(fault);
                }
            }
        }
        state.settle_hold();
        drop(state);
        self.to_send.notify_one();
        self.room.notify_all();
    }

    /// The writer's thread.
    fn write(&self) {
        let mut synced = Instant::now();
        let mut retry_at = None;
        loop {
            let state = self.state();
            let idle = |state: &mut State| {
                !state.no_more_writing && !(state.queue.is_pressed() && retry_at.is_none())
            };
            let waited = self.to_write.wait_timeout_while(state, LOOK, idle);
            let at_end = waited.unwrap_or_else(PoisonError::into_inner).0.no_more_writing;
            let may_write = at_end || retry_at.is_none_or(|at| Instant::now() >= at);
            match self.write_due(at_end, may_write) {
                Ok(()) if may_write => retry_at = None,
                Ok(()) => {}
                Err(error) => {
                    retry_at = Some(Instant::now() + RETRY_DISK);
                    self.metrics.spool().errors.inc();
                    if self.say.now("write") {
                        self.say_unwritable(&error);
                    }
                }
            }
            if at_end || synced.elapsed() >= SYNC {
                synced = Instant::now();
                self.sync();
            }
            self.measure();
            self.room.notify_all();
            if at_end {
                return;
            }
        }
    }

    /// Writes what is due. No lane waits for the disk: the state is not locked meanwhile.
    fn write_due(&self, all: bool, may_write: bool) -> Result<(), AppendError> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut log = lock(log);
        loop {
            let mut state = self.state();
            let mut due = state.queue.due(Instant::now(), all);
            state.queue.settle(&mut log);
            drop(state);
            if !may_write {
                // An empty log needs no disk to go past what arrived.
                let end = due.iter().take_while(|due| log.is_empty() && due.payload.is_none()).count();
                due.truncate(end);
            }
            let (written, outcome) = append(&mut log, &due);
            let mut state = self.state();
            state.queue.wrote(&mut log, &due[..written]);
            state.nearly_full = log.is_nearly_full();
            state.settle_hold();
            drop(state);
            if due.is_empty() || outcome.is_err() {
                return outcome;
            }
        }
    }

    fn say_unwritable(&self, error: &AppendError) {
        let folder = self.folder.display();
        match error {
            AppendError::Io(error) => tracing::error!(
                "the spool {folder} can't be written to: {error}; results stay in memory, and when that is full live \
                 cameras lose frames; make room or mend the disk, it is tried again every 2 s"
            ),
            AppendError::Full => tracing::error!(
                "the spool {folder} is full of results that are under way to kafka; further ones stay in memory, and \
                 when that is full live cameras lose frames; a larger --spool-max holds more"
            ),
        }
    }

    fn sync(&self) {
        let Some(log) = &self.log else { return };
        let files = lock(log).take_unsynced();
        let synced = files.and_then(|files| files.iter().try_for_each(std::fs::File::sync_data));
        if let Err(error) = synced {
            self.metrics.spool().errors.inc();
            if self.say.now("sync") {
                tracing::error!(
                    "the spool {} can't be brought to the disk: {error}; a power cut would lose what lies in it",
                    self.folder.display()
                );
            }
        }
    }

    fn measure(&self) {
        let Some(log) = &self.log else { return };
        let mut log = lock(log);
        let (bytes, oldest, evicted) = (log.bytes(), log.oldest(), log.take_evicted());
        drop(log);
        let spool = self.metrics.spool();
        spool.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        spool.oldest_age.set(oldest.map_or(0.0, |oldest| since(oldest).as_secs_f64()));
        spool.evicted.inc_by(evicted);
        if evicted > 0 && self.say.now("evicted") {
            tracing::warn!(
                records = evicted,
                "the spool {} is full: its oldest results go, and a gap/1 says so; a larger --spool-max holds more",
                self.folder.display()
            );
        }
    }
}

/// Appends one after the other; how many, and what ended it.
fn append(log: &mut Log, due: &[Due]) -> (usize, Result<(), AppendError>) {
    for (at, due) in due.iter().enumerate() {
        if let Err(error) = log.append(&due.header, due.payload.as_deref()) {
            return (at, Err(error));
        }
    }
    (due.len(), Ok(()))
}

/// Another record may be taken.
fn is_of_record(fault: &KafkaFault) -> bool {
    matches!(fault.kind, FaultKind::TooLarge | FaultKind::InvalidRecord)
}

fn since(at: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now().as_micros().saturating_sub(at.as_micros())).unwrap_or(0))
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
