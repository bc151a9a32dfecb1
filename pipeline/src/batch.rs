//! A slot per stream between decoding and detection; whoever is free takes the next frame, round-robin.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use sightline_schema::SkipReason;

use crate::frame::{Frame, StreamItem};

/// Names a stream's slot for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u64);

/// What happens to a frame that finds its stream's slot full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest frame goes, counted as `overload`: a live camera is never behind, and loses frames when the
    /// machine is too slow.
    DropOldest,
    /// The stream waits: a recorded file loses nothing, and takes as long as it takes.
    Block,
}

impl WhenFull {
    /// Frames that wait in a slot. A live stream needs one, the newest; a file keeps the decoder busy ahead.
    fn capacity(self) -> usize {
        match self {
            WhenFull::DropOldest => 1,
            WhenFull::Block => 4,
        }
    }
}

/// One item for a detect worker. Tickets count the items of a slot without a hole, in stream order.
#[derive(Debug)]
pub struct Work {
    pub slot: SlotId,
    pub ticket: u64,
    pub item: StreamItem,
}

/// The slots are closed: nobody takes any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

#[derive(Debug)]
struct Slot {
    when_full: WhenFull,
    items: VecDeque<StreamItem>,
    next_ticket: u64,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<SlotId, Slot>,
    next_id: u64,
    /// The slot that was served last.
    served: Option<SlotId>,
    /// Recorded streams wait.
    recorded_wait: bool,
    closed: bool,
}

/// All slots of a process.
#[derive(Debug, Default)]
pub struct Slots {
    state: Mutex<State>,
    filled: Condvar,
    taken: Condvar,
}

impl Slots {
    /// A new slot for a stream.
    pub fn add(&self, when_full: WhenFull) -> SlotId {
        let mut state = self.lock();
        let id = SlotId(state.next_id);
        state.next_id += 1;
        state.slots.insert(id, Slot { when_full, items: VecDeque::new(), next_ticket: 0 });
        id
    }

    /// Removes a slot and what waits in it; a stream removes its own after its end was taken.
    pub fn remove(&self, id: SlotId) {
        self.lock().slots.remove(&id);
        self.taken.notify_all();
    }

    /// Puts an item into a stream's slot, by its policy. Marks and ends wait behind the last frame and drop nothing.
    pub fn push(&self, id: SlotId, mut item: StreamItem) -> Result<(), Closed> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Closed);
            }
            let Some(slot) = state.slots.get_mut(&id) else { return Err(Closed) };
            let full = slot.items.len() >= slot.when_full.capacity();
            match (&mut item, full, slot.when_full) {
                (StreamItem::Frame(_), true, WhenFull::Block) => {
                    state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                (StreamItem::Frame(newer), true, WhenFull::DropOldest) => drop_oldest(&mut slot.items, newer),
                _ => {}
            }
            slot.items.push_back(item);
            self.filled.notify_one();
            return Ok(());
        }
    }

    /// The next item, round-robin over the streams; waits until there is one. `None` when closed and empty.
    pub fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if let Some(work) = next(&mut state) {
                drop(state);
                self.taken.notify_all();
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What recorded streams have in their slots waits, or no longer: while results find no room, no worker should hold
    /// one that waits for it, and live streams need the workers.
    pub fn hold_recorded(&self, hold: bool) {
        self.lock().recorded_wait = hold;
        self.filled.notify_all();
    }

    /// No more items are taken in; what waits is still given out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.taken.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_oldest(items: &mut VecDeque<StreamItem>, newer: &mut Frame) {
    let Some(oldest) = items.iter().position(|item| matches!(item, StreamItem::Frame(_))) else { return };
    let Some(StreamItem::Frame(dropped)) = items.remove(oldest) else { return };
    let heir = items.iter_mut().find_map(|item| match item {
        StreamItem::Frame(frame) => Some(frame),
        StreamItem::Mark(_) | StreamItem::End(_) => None,
    });
    heir.unwrap_or(newer).account_for(&dropped, SkipReason::Overload);
}

fn next(state: &mut State) -> Option<Work> {
    let after = state.served;
    let held = state.recorded_wait && !state.closed;
    let ready = |(id, slot): (&SlotId, &Slot)| {
        let waits = held && slot.when_full == WhenFull::Block;
        (!waits && !slot.items.is_empty()).then_some(*id)
    };
    let later = state.slots.iter().filter(|(id, _)| after.is_none_or(|served| **id > served)).find_map(ready);
    let id = later.or_else(|| state.slots.iter().find_map(ready))?;
    state.served = Some(id);
    let slot = state.slots.get_mut(&id)?;
    let item = slot.items.pop_front()?;
    let ticket = slot.next_ticket;
    slot.next_ticket += 1;
    Some(Work { slot: id, ticket, item })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use sightline_schema::{Clock, Skipped, Timestamp};

    use super::*;
    use crate::frame::End;

    fn frame(seq: u64) -> StreamItem {
        StreamItem::Frame(crate::testing::frame(seq, Skipped::default()))
    }

    fn end() -> End {
        let at = Timestamp::from_micros(0);
        End { at, clock: Clock::Arrival, complete: false, skipped: Skipped::default() }
    }

    fn seq_and_overload(work: Work) -> (u64, u64) {
        match work.item {
            StreamItem::Frame(frame) => (frame.seq, frame.skipped.overload),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_live_slot_keeps_the_newest_and_counts_the_others() {
        let slots = Slots::default();
        let id = slots.add(WhenFull::DropOldest);
        for seq in 0..10 {
            slots.push(id, frame(seq)).unwrap();
        }
        slots.push(id, StreamItem::End(end())).unwrap();
        assert_eq!(seq_and_overload(slots.take().unwrap()), (9, 9));
        assert!(matches!(slots.take().unwrap().item, StreamItem::End(_)));
    }

    #[test]
    fn a_recorded_slot_loses_nothing() {
        let slots = Arc::new(Slots::default());
        let id = slots.add(WhenFull::Block);
        let pushing = std::thread::spawn({
            let slots = slots.clone();
            move || (0..1000).for_each(|seq| slots.push(id, frame(seq)).unwrap())
        });
        for seq in 0..1000 {
            let work = slots.take().unwrap();
            assert_eq!(work.ticket, seq);
            assert_eq!(seq_and_overload(work), (seq, 0));
        }
        pushing.join().unwrap();
    }

    #[test]
    fn streams_take_turns() {
        let slots = Slots::default();
        let ids: Vec<_> = (0..3).map(|_| slots.add(WhenFull::Block)).collect();
        for seq in 0..2 {
            for id in &ids {
                slots.push(*id, frame(seq)).unwrap();
            }
        }
        let order: Vec<_> = (0..6).map(|_| slots.take().unwrap().slot).collect();
        assert_eq!(order, [ids[0], ids[1], ids[2], ids[0], ids[1], ids[2]]);
    }

    #[test]
    fn a_recorded_stream_that_waits_leaves_the_workers_to_the_live_ones() {
        let slots = Slots::default();
        let (recorded, live) = (slots.add(WhenFull::Block), slots.add(WhenFull::DropOldest));
        slots.push(recorded, frame(0)).unwrap();
        slots.hold_recorded(true);
        for seq in 0..3 {
            slots.push(live, frame(seq)).unwrap();
            assert_eq!(slots.take().unwrap().slot, live);
        }
        slots.hold_recorded(false);
        assert_eq!(slots.take().unwrap().slot, recorded);
        // What still waits at the end is given out.
        slots.push(recorded, frame(1)).unwrap();
        slots.hold_recorded(true);
        slots.close();
        assert_eq!(slots.take().unwrap().slot, recorded);
    }

    #[test]
    fn closing_wakes_everyone() {
        let slots = Arc::new(Slots::default());
        let id = slots.add(WhenFull::Block);
        for seq in 0..4 {
            slots.push(id, frame(seq)).unwrap();
        }
        let pushing = std::thread::spawn({
            let slots = slots.clone();
            move || slots.push(id, frame(4))
        });
        slots.close();
        assert_eq!(pushing.join().unwrap(), Err(Closed));
        assert_eq!(std::iter::from_fn(|| slots.take()).count(), 4);
    }
}
