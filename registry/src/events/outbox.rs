//! What lies between the one reader of the topic and one watcher: bounded, so that a watcher that takes nothing holds
//! nobody up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;

use super::happened::Happened;

/// Bytes that may wait for one watcher; they are shared with others.
pub(super) const ROOM: usize = 4 << 20;

/// What a watcher is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Happened {
        happened: Arc<Happened>,
        /// The place behind it.
        cursor: Arc<str>,
    },
    /// From here on it is told what happens as it happens.
    Live { cursor: Arc<str> },
    /// Of what it asked for, something is not in the topic any more.
    Cut,
}

/// Why nothing comes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It took too long over what lay here. What did is not told: it goes on from its last place.
    Slow,
    /// Kafka does not answer: a sentence.
    Unavailable(String),
}

/// Nobody takes it, or it was ended.
#[derive(Debug)]
pub(super) struct Closed;

/// Filled from any thread, and emptied by one task.
pub(crate) struct Outbox {
    shared: Mutex<Shared>,
    told: Notify,
    room: Condvar,
    /// Counts those that are too slow.
    slow: Counter,
}

#[derive(Default)]
struct Shared {
    waiting: VecDeque<Told>,
    bytes: usize,
    end: Option<End>,
    is_left: bool,
}

impl Told {
    fn size(&self) -> usize {
        match self {
            Self::Happened { happened, cursor } => happened.data.len() + cursor.len() + 128,
            Self::Live { .. } | Self::Cut => 128,
        }
    }
}

impl Outbox {
    pub(super) fn new(slow: Counter) -> Arc<Self> {
        Arc::new(Self { shared: Mutex::default(), told: Notify::new(), room: Condvar::new(), slow })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without waiting. What finds no room ends it.
    pub(super) fn put(&self, told: Told) -> Result<(), Closed> {
        let mut shared = self.lock();
        if shared.bytes + told.size() > ROOM && !shared.waiting.is_empty() {
            self.too_slow(&mut shared);
        }
        self.add(shared, told)
    }

    /// However much lies there: what is known to be little.
    pub(super) fn put_first(&self, told: Told) -> Result<(), Closed> {
        self.add(self.lock(), told)
    }

    /// Waits for room, as long as the watcher takes something within `patience`.
    pub(super) fn put_waiting(&self, told: Told, patience: Duration) -> Result<(), Closed> {
        let shared = self.wait_below(ROOM.saturating_sub(told.size()), patience);
        self.add(shared, told)
    }

    /// Waits until half of the room is free.
    pub(super) fn wait_for_half(&self, patience: Duration) -> Result<(), Closed> {
        let shared = self.wait_below(ROOM / 2, patience);
        if shared.is_closed() { Err(Closed) } else { Ok(()) }
    }

    fn wait_below(&self, most: usize, patience: Duration) -> MutexGuard<'_, Shared> {
        let mut shared = self.lock();
        let (mut before, mut since) = (shared.bytes, Instant::now());
        while shared.bytes > most && !shared.waiting.is_empty() && !shared.is_closed() {
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                self.too_slow(&mut shared);
                self.told.notify_one();
                break;
            }
            shared = self.room.wait_timeout(shared, left).unwrap_or_else(PoisonError::into_inner).0;
            if shared.bytes < before {
                (before, since) = (shared.bytes, Instant::now());
            }
        }
        shared
    }

    fn add(&self, mut shared: MutexGuard<'_, Shared>, told: Told) -> Result<(), Closed> {
        let is_closed = shared.is_closed();
        if !is_closed {
            shared.bytes += told.size();
            shared.waiting.push_back(told);
        }
        drop(shared);
        self.told.notify_one();
        if is_closed { Err(Closed) } else { Ok(()) }
    }

    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.told.notify_one();
        self.room.notify_all();
    }

    /// What waits for who is too slow would only hold up the last word.
    fn too_slow(&self, shared: &mut Shared) {
        if !shared.is_closed() {
            self.slow.inc();
            shared.waiting = VecDeque::new();
            shared.bytes = 0;
            shared.end = Some(End::Slow);
        }
    }

    /// Whether nothing can be put into it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// Whether all was taken that was put into it.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// What is next, or why there is nothing more. Safe to give up in between.
    pub(crate) async fn next(&self) -> Result<Told, End> {
        loop {
            {
                let mut shared = self.lock();
                if let Some(told) = shared.waiting.pop_front() {
                    shared.bytes -= told.size();
                    drop(shared);
                    self.room.notify_all();
                    return Ok(told);
                }
                if let Some(end) = &shared.end {
                    return Err(end.clone());
                }
            }
            // One that came since the look is kept for this wait.
            self.told.notified().await;
        }
    }

    /// The watcher is gone.
    pub(crate) fn leave(&self) {
        let mut shared = self.lock();
        shared.is_left = true;
        shared.waiting = VecDeque::new();
        shared.bytes = 0;
        drop(shared);
        self.room.notify_all();
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.is_left || self.end.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn happened(size: usize) -> Told {
        let happened = Happened::of_text(&"x".repeat(size));
        Told::Happened { happened: Arc::new(happened), cursor: "c".into() }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn what_finds_no_room_ends_a_watcher_and_frees_what_waited() {
        let outbox = Outbox::new(Counter::default());
        for _ in 0..3 {
            outbox.put(happened(1 << 20)).unwrap();
        }
        assert!(outbox.put(happened(1 << 20)).is_err(), "three lie there, and there is no room for a fourth");
        assert!(outbox.is_closed());
        assert_eq!(outbox.slow.get(), 1);
        assert_eq!(block_on(outbox.next()).unwrap_err(), End::Slow);
        outbox.end(End::Unavailable("x".to_owned()));
        assert_eq!(block_on(outbox.next()).unwrap_err(), End::Slow, "the first reason stays");
        // One that is larger than the room goes through alone.
        let outbox = Outbox::new(Counter::default());
        outbox.put(happened(ROOM + 1)).unwrap();
        assert!(block_on(outbox.next()).is_ok());
    }

    #[test]
    fn who_fills_waits_for_who_takes_and_not_for_ever() {
        let outbox = Outbox::new(Counter::default());
        let minute = Duration::from_secs(60);
        std::thread::scope(|scope| {
            let filling = scope.spawn(|| {
                (0..16).try_for_each(|_| outbox.put_waiting(happened(1 << 20), minute)).unwrap();
                outbox.wait_for_half(minute).unwrap();
            });
            for _ in 0..16 {
                assert!(block_on(outbox.next()).is_ok());
            }
            filling.join().unwrap();
        });
        let short = Duration::from_millis(10);
        while outbox.put_waiting(happened(1 << 20), short).is_ok() {}
        assert_eq!(block_on(outbox.next()).unwrap_err(), End::Slow);
        let outbox = Outbox::new(Counter::default());
        outbox.put(happened(10)).unwrap();
        outbox.leave();
        assert!(outbox.put_waiting(happened(10), minute).is_err());
        assert_eq!(outbox.slow.get(), 0, "who left was not slow");
    }
}
