//! What the feed read last, and who is told: a watcher joins without a loss or a repeat.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cursor;
use super::filter::Filter;
use super::happened::Happened;
use super::outbox::{Outbox, ROOM, Told};

/// What stays for who joins.
const RECENT: usize = 2048;
const RECENT_BYTES: usize = ROOM / 2;

/// What was read last, and who is told.
#[derive(Default)]
pub(super) struct State {
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

impl State {
    pub(super) fn open(&mut self, positions: &[i64]) {
        *self = Self {
            is_open: true,
            positions: positions.to_vec(),
            floor: positions.to_vec(),
            ..Self::default()
        };
    }

    /// Tells the watcher what happened from its place on, and from now on. Without a place: from now on.
    pub(super) fn join(&mut self, place: Option<&[i64]>, watcher: &Watcher) -> Joined {
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

    /// One more event, to all for whom it is meant.
    pub(super) fn tell(&mut self, happened: Happened) {
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

    /// What was read up to here beside it is no event, or a transaction's end.
    pub(super) fn reached(&mut self, positions: &[i64]) {
        self.positions.clear();
        self.positions.extend_from_slice(positions);
    }

    /// Whether the watcher of this outbox is told.
    pub(super) fn tells(&self, outbox: &Arc<Outbox>) -> bool {
        self.watchers.iter().any(|watcher| Arc::ptr_eq(&watcher.outbox, outbox))
    }

    /// The place behind all that was told.
    pub(super) fn cursor(&self) -> String {
        cursor::of_positions(&self.positions)
    }
}

#[cfg(test)]
#[path = "recent_tests.rs"]
mod tests;
