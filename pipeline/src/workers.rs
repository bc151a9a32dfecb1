//! The detect workers, and the lanes their results go down.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::batch::{SlotId, Slots, WhenFull, Work};
use crate::cpu::{self, CpuTime};
use crate::detect::{DetectSession, Model, ModelError};
use crate::frame::{Frame, StreamItem};
use crate::lane::{Lane, Outcome};

type Lanes = Arc<RwLock<HashMap<SlotId, Arc<Lane>>>>;

/// A worker a core, each with a session of its own.
pub struct Workers {
    slots: Arc<Slots>,
    lanes: Lanes,
    threads: Vec<JoinHandle<CpuTime>>,
}

impl Workers {
    /// Loads `count` sessions and sets them to work.
    pub fn start(model: &Model, count: usize) -> Result<Self, ModelError> {
        let slots = Arc::new(Slots::default());
        let lanes = Lanes::default();
        let sessions = (0..count.max(1)).map(|_| model.session()).collect::<Result<Vec<_>, _>>()?;
        let mut threads = Vec::new();
        for (index, session) in sessions.into_iter().enumerate() {
            let (slots, lanes) = (slots.clone(), lanes.clone());
            let thread = std::thread::Builder::new()
                .name(format!("detect-{index}"))
                .spawn(move || work(session, &slots, &lanes))
                .map_err(|error| ModelError::Internal(format!("no thread for a detect worker: {error}")))?;
            threads.push(thread);
        }
        Ok(Self { slots, lanes, threads })
    }

    /// Where streams are added, from any thread.
    pub fn adder(&self) -> Adder {
        Adder { slots: self.slots.clone(), lanes: self.lanes.clone() }
    }

    /// Finishes what waits, and joins. Gives the CPU time the workers took.
    pub fn stop(self) -> CpuTime {
        self.slots.close();
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    }
}

/// Adds and removes streams while the workers work.
#[derive(Clone)]
pub struct Adder {
    slots: Arc<Slots>,
    lanes: Lanes,
}

impl Adder {
    pub fn slots(&self) -> Arc<Slots> {
        self.slots.clone()
    }

    /// A slot for a stream, and the lane behind it.
    pub fn add(&self, lane: Lane, when_full: WhenFull) -> (SlotId, Arc<Lane>) {
        let lane = Arc::new(lane);
        // Under the lock, so that no worker takes from a slot that has no lane yet.
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let slot = self.slots.add(when_full);
        lanes.insert(slot, lane.clone());
        (slot, lane)
    }

    /// Takes a stream off. What still waits in its slot is dropped.
    pub fn remove(&self, slot: SlotId) {
        self.slots.remove(slot);
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(&slot);
    }
}

fn work(mut session: DetectSession, slots: &Slots, lanes: &Lanes) -> CpuTime {
    while let Some(Work { slot, ticket, item }) = slots.take() {
        let lane = lanes.read().unwrap_or_else(PoisonError::into_inner).get(&slot).cloned();
        let Some(lane) = lane else { continue };
        let outcome = match item {
            StreamItem::Mark(mark) => Outcome::Mark(mark),
            StreamItem::End(end) => Outcome::End(end),
            StreamItem::Frame(frame) => detect(&mut session, frame, &lane),
        };
        lane.complete(ticket, outcome);
    }
    cpu::this_thread()
}

/// A frame that can't be detected is counted, and costs neither the worker nor the frames behind it: their lane waits
/// for every ticket.
fn detect(session: &mut DetectSession, frame: Frame, lane: &Lane) -> Outcome {
    let detected = catch_unwind(AssertUnwindSafe(|| session.detect(&frame.planes, lane.thresholds())));
    match detected {
        Ok(Ok((detections, times))) => Outcome::Detected { frame, detections, times },
        Ok(Err(error)) => {
            tracing::error!(camera = lane.camera(), seq = frame.seq, %error, "a frame could not be detected");
            Outcome::Failed { frame }
        }
        Err(_) => {
            tracing::error!(camera = lane.camera(), seq = frame.seq, "the detector panicked on a frame");
            Outcome::Failed { frame }
        }
    }
}
