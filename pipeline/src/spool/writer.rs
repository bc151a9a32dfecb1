//! The outbox's thread that writes to the spool, and says what hinders it.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::entry::Due;
use super::log::{AppendError, Log};
use super::outbox::{LOOK, Shared, State, lock, since};

/// What was written reaches the disk itself this often.
const SYNC: Duration = Duration::from_secs(1);
/// A disk that can't be written to is tried again this often.
const RETRY_DISK: Duration = Duration::from_secs(2);

impl Shared {
    /// The writer's thread.
    pub(super) fn write(&self) {
        let mut synced = Instant::now();
        let mut retry_at = None;
        loop {
            let state = self.state();
            let idle = |state: &mut State| {
                !(state.no_more_writing || state.queue.is_pressed() && retry_at.is_none())
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
