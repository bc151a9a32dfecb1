//! The detect workers, and the lanes their results go down.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use sightline_service::shutdown::{Cause, Shutdown};

use crate::batch::{SlotId, Slots, WhenFull, Work};
use crate::cpu::{self, CpuTime};
use crate::detect::{Model, ModelError, Thresholds};
use crate::detection::Detection;
use crate::frame::{Frame, Planes, StreamItem};
use crate::lane::{DetectTimes, Lane, Outcome};
use crate::trace::entered;

type Lanes = Arc<RwLock<HashMap<SlotId, Arc<Lane>>>>;

/// What a worker does with a frame.
pub type Detect =
    Box<dyn FnMut(&Planes, &Thresholds) -> Result<(Vec<Detection>, DetectTimes), ModelError> + Send>;
/// Gives each worker what it detects with.
type MakeDetect = Arc<dyn Fn() -> Result<Detect, ModelError> + Send + Sync>;

/// A frame that takes longer than this has hung its worker: large models take seconds on a slow machine.
const HANGS: Duration = Duration::from_secs(60);
/// How often the workers are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A worker a core, each with a session of its own. One that hangs is replaced, and its frame counted.
pub struct Workers {
    slots: Arc<Slots>,
    lanes: Lanes,
    team: Arc<Team>,
    watcher: Option<JoinHandle<()>>,
    stopping: Shutdown,
}

impl Workers {
    /// Loads `count` sessions and sets them to work.
    pub fn start(model: &Model, count: usize) -> Result<Self, ModelError> {
        let model = model.clone();
        let make = move || {
            let mut session = model.session()?;
            let detect: Detect = Box::new(move |planes, thresholds| session.detect(planes, thresholds));
            Ok(detect)
        };
        Self::with(Arc::new(make), count, HANGS)
    }

    fn with(make: MakeDetect, count: usize, hangs: Duration) -> Result<Self, ModelError> {
        let (slots, lanes) = (Arc::new(Slots::default()), Lanes::default());
        let team =
            Arc::new(Team { slots: slots.clone(), lanes: lanes.clone(), make, members: Mutex::default() });
        let sessions = (0..count.max(1)).map(|_| (team.make)()).collect::<Result<Vec<_>, _>>()?;
        for detect in sessions {
            team.add(detect)?;
        }
        let stopping = Shutdown::new();
        let watcher = std::thread::Builder::new().name("detect-watch".to_owned()).spawn({
            let (team, stopping) = (team.clone(), stopping.clone());
            move || {
                while !stopping.wait_timeout(LOOK) {
                    team.replace_hung(hangs);
                }
            }
        });
        let watcher = watcher.map_err(|error| {
            ModelError::Internal(format!("no thread to watch the detect workers: {error}"))
        })?;
        Ok(Self { slots, lanes, team, watcher: Some(watcher), stopping })
    }

    /// Where streams are added, from any thread.
    pub fn adder(&self) -> Adder {
        Adder { slots: self.slots.clone(), lanes: self.lanes.clone() }
    }

    /// Finishes what waits, and joins. Gives the CPU time the workers took.
    pub fn stop(mut self) -> CpuTime {
        self.slots.close();
        let mut total = CpuTime::default();
        // A worker that hangs meanwhile leaves the team, so that this comes to an end.
        while let Some(thread) = self.team.finished() {
            total = total + thread.join().unwrap_or_default();
        }
        self.stopping.set(Cause::Finished);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        total
    }
}

/// The workers that are at work.
struct Team {
    slots: Arc<Slots>,
    lanes: Lanes,
    make: MakeDetect,
    members: Mutex<Vec<Member>>,
}

struct Member {
    hand: Arc<Hand>,
    thread: JoinHandle<CpuTime>,
}

impl Team {
    fn add(&self, detect: Detect) -> Result<(), ModelError> {
        let hand = Arc::<Hand>::default();
        let mut members = self.members();
        let thread = std::thread::Builder::new().name(format!("detect-{}", members.len())).spawn({
            let (hand, slots, lanes) = (hand.clone(), self.slots.clone(), self.lanes.clone());
            move || work(detect, &hand, &slots, &lanes)
        });
        let thread = thread
            .map_err(|error| ModelError::Internal(format!("no thread for a detect worker: {error}")))?;
        members.push(Member { hand, thread });
        Ok(())
    }

    /// Puts new workers in the place of those that have had one frame in hand for too long.
    fn replace_hung(&self, hangs: Duration) {
        let given_up: Vec<InHand> = {
            let mut members = self.members();
            let mut given_up = Vec::new();
            members.retain(|member| match member.hand.give_up(hangs) {
                Some(in_hand) => {
                    given_up.push(in_hand);
                    false
                }
                None => true,
            });
            given_up
        };
        for InHand { ticket, frame, lane, since } in given_up {
            let _entered = entered(frame.trace.as_ref());
            tracing::error!(
                camera = lane.camera(),
                seq = frame.seq,
                seconds = since.elapsed().as_secs(),
                "a detect worker hangs on a frame and is replaced; its thread is left behind"
            );
            lane.complete(ticket, Outcome::Failed { frame });
            if let Err(error) = (self.make)().and_then(|detect| self.add(detect)) {
                tracing::error!(%error, "no new detect worker in its place");
            }
        }
    }

    /// A thread of the team that came to its end; waits for one. `None` when there is no other.
    fn finished(&self) -> Option<JoinHandle<CpuTime>> {
        loop {
            let mut members = self.members();
            if let Some(at) = members.iter().position(|member| member.thread.is_finished()) {
                return Some(members.swap_remove(at).thread);
            }
            if members.is_empty() {
                return None;
            }
            drop(members);
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frame that a worker has in hand.
#[derive(Default)]
struct Hand(Mutex<Option<InHand>>);

struct InHand {
    ticket: u64,
    frame: Frame,
    lane: Arc<Lane>,
    since: Instant,
}

impl Hand {
    fn take_up(&self, ticket: u64, frame: &Frame, lane: &Arc<Lane>) {
        let in_hand = InHand { ticket, frame: frame.clone(), lane: lane.clone(), since: Instant::now() };
        *self.lock() = Some(in_hand);
    }

    /// False when the frame was taken out of it meanwhile.
    fn put_down(&self) -> bool {
        self.lock().take().is_some()
    }

    fn give_up(&self, hangs: Duration) -> Option<InHand> {
        self.lock().take_if(|in_hand| in_hand.since.elapsed() >= hangs)
    }

    fn lock(&self) -> MutexGuard<'_, Option<InHand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

fn work(mut detect: Detect, hand: &Hand, slots: &Slots, lanes: &Lanes) -> CpuTime {
    while let Some(Work { slot, ticket, item }) = slots.take() {
        let lane = lanes.read().unwrap_or_else(PoisonError::into_inner).get(&slot).cloned();
        let Some(lane) = lane else { continue };
        let outcome = match item {
            StreamItem::Mark(mark) => Outcome::Mark(mark),
            StreamItem::End(end) => Outcome::End(end),
            StreamItem::Frame(frame) => {
                lane.waited(frame.ready.elapsed());
                let _entered = entered(frame.trace.as_ref());
                frame.trace.iter().for_each(|trace| trace.taken());
                hand.take_up(ticket, &frame, &lane);
                let outcome = try_detect(&mut detect, frame, &lane);
                if !hand.put_down() {
                    // Another worker stands here since.
                    break;
                }
                outcome
            }
        };
        lane.complete(ticket, outcome);
    }
    cpu::this_thread()
}

/// A frame that can't be detected is counted, and costs neither the worker nor the frames behind it: their lane waits
/// for every ticket.
fn try_detect(detect: &mut Detect, frame: Frame, lane: &Lane) -> Outcome {
    let began = frame.trace.as_ref().map(|_| SystemTime::now());
    let detected = catch_unwind(AssertUnwindSafe(|| detect(&frame.planes, &lane.thresholds())));
    if let (Some(trace), Some(began)) = (&frame.trace, began) {
        let times = detected.as_ref().ok().and_then(|detected| detected.as_ref().ok());
        trace.detected(began, times.map(|(_, times)| times));
    }
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

#[cfg(test)]
#[path = "workers_tests.rs"]
mod tests;
