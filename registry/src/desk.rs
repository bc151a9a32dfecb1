//! The one place where registrations are written. Wishes are decided one after another, on the newest that is known;
//! those that came meanwhile are written together, in one transaction, and answered when the view shows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Camera, Placement, Timestamp, Topics};
use sightline_service::kafka::{KafkaFault, KafkaSettings, Write, WriteError, Writer};
use sightline_service::shutdown::{Cause, Shutdown};
use tokio::sync::oneshot;

use crate::loads::Loads;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::problem::Problem;
use crate::secrets::Sealer;
use crate::state::{Known, Source};
use crate::view::{Position, Reach, View};
use crate::wish::{Decision, Draft, Outcome, Refusal, Wish};

/// Cameras that are written in one transaction.
const BATCH: usize = 500;
/// How long the view may take to show what was written, before a client is told to look later.
const FOLLOW: Duration = Duration::from_secs(5);
/// Whether somebody else took over is asked this often while there is nothing to write.
const CHECK: Duration = Duration::from_secs(10);
/// How long a new writer may wait for its coordinator.
const COORDINATOR: Duration = Duration::from_secs(30);

/// What came of a wish that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub outcome: Outcome,
    pub camera: Option<Arc<Camera>>,
    /// The view shows it. Else it will.
    pub followed: bool,
}

struct Job {
    wish: Wish,
    who: String,
    answer: oneshot::Sender<Result<Done, Refusal>>,
}

/// Takes wishes from any thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    jobs: Sender<Job>,
}

impl Desk {
    /// Hands a wish in; the answer comes when it is written, or refused.
    pub(crate) fn hand_in(&self, wish: Wish, who: &str) -> oneshot::Receiver<Result<Done, Refusal>> {
        let (answer, answered) = oneshot::channel();
        let job = Job { wish, who: who.to_owned(), answer };
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            // Who asked may be gone.
            let _ = job.answer.send(Err(stopping().into()));
        }
        answered
    }
}

fn stopping() -> Problem {
    Problem::unavailable("the registry is stopping; try again")
}

/// Why the registry can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another registry took over ({0}); one alone writes registrations: let that one run, or stop it and start this one \
     again"
)]
pub struct TakenOver(pub KafkaFault);

/// What the desk's thread works with.
pub(crate) struct Clerk {
    pub(crate) settings: KafkaSettings,
    pub(crate) topics: Topics,
    pub(crate) name: String,
    pub(crate) view: View,
    pub(crate) pools: Arc<Pools>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
}

/// The name that fences: there is one registry for each prefix of topics.
pub fn writer_name(topics: &Topics) -> String {
    // Topics are `<prefix>cameras` and the like.
    let cameras = topics.cameras();
    format!("{}registry", cameras.strip_suffix("cameras").unwrap_or_default())
}

impl Clerk {
    /// Fences whoever wrote before. Before anything is read, so that nothing is written behind what was read.
    pub(crate) fn writer(&self) -> Result<Writer, KafkaFault> {
        Writer::new(&self.settings, &self.name, COORDINATOR)
    }

    /// Works until `shutdown`, or until somebody else took over.
    pub(crate) fn start(
        self,
        writer: Writer,
        reach: Reach,
    ) -> std::io::Result<(Desk, JoinHandle<Result<(), TakenOver>>)> {
        let (jobs, waiting) = mpsc::channel();
        let work = move || {
            let shutdown = self.shutdown.clone();
            let outcome =
                Work { clerk: self, writer: Some(writer), reach, above: BTreeMap::new(), behind: Vec::new() };
            let outcome = outcome.run(&waiting);
            shutdown.set(Cause::Finished);
            outcome
        };
        let thread = std::thread::Builder::new().name("desk".to_owned()).spawn(work)?;
        Ok((Desk { jobs }, thread))
    }
}

struct Work {
    clerk: Clerk,
    /// `None` after an outcome that is not known: a new one settles it.
    writer: Option<Writer>,
    reach: Reach,
    /// What was written and is not in the view yet, and where it lies.
    above: BTreeMap<String, Known>,
    behind: Vec<Position>,
}

/// A job whose decision waits to be written.
struct Decided {
    job: Job,
    decision: Decision,
}

impl Work {
    fn run(mut self, waiting: &Receiver<Job>) -> Result<(), TakenOver> {
        let mut idle = Instant::now();
        while !self.clerk.shutdown.is_set() {
            match waiting.recv_timeout(Duration::from_millis(200)) {
                Ok(first) => {
                    let jobs = std::iter::once(first).chain(waiting.try_iter()).take(BATCH).collect();
                    self.work(jobs)?;
                    idle = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) if idle.elapsed() >= CHECK => {
                    self.check()?;
                    idle = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TakenOver> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.check(&self.clerk.topics.placements()) {
            Err(WriteError::Fenced(fault)) => return Err(TakenOver(fault)),
            Err(WriteError::Unknown(fault)) => {
                tracing::debug!("the writer is made anew: {fault}");
                self.writer = None;
            }
            Err(WriteError::Refused(fault)) => tracing::debug!("the writer was not checked: {fault}"),
            Ok(()) => {}
        }
        Ok(())
    }

    fn work(&mut self, jobs: Vec<Job>) -> Result<(), TakenOver> {
        if let Err(fault) = self.ready() {
            for job in jobs {
                let problem = Problem::unavailable(format!("nothing was written: {fault}; try again"));
                let _ = job.answer.send(Err(problem.into()));
            }
            return Ok(());
        }
        let decided = self.decide(jobs);
        let (changes, unchanged): (Vec<_>, Vec<_>) =
            decided.into_iter().partition(|decided| decided.decision.outcome != Outcome::Unchanged);
        for decided in unchanged {
            let camera = self.clerk.view.read(|state| self.camera(state, &decided.decision.id));
            self.answer(decided, camera, true);
        }
        if changes.is_empty() { Ok(()) } else { self.write(changes) }
    }

    /// A writer, and everything known that an earlier one may have written.
    fn ready(&mut self) -> Result<(), KafkaFault> {
        if self.writer.is_some() {
            return Ok(());
        }
        let writer = self.clerk.writer()?;
        if let Err(Some(fault)) = self.reach.ask() {
            return Err(fault);
        }
        self.above.clear();
        self.behind.clear();
        self.writer = Some(writer);
        Ok(())
    }

    fn decide(&mut self, jobs: Vec<Job>) -> Vec<Decided> {
        let Self { clerk, above, .. } = self;
        let pools = clerk.pools.clone();
        let slots = move |pool: &str| pools.slots(pool);
        let now = Instant::now();
        clerk.view.read(|state| {
            let mut loads = Loads::of(state, now, &slots);
            for (id, known) in above.iter() {
                recount(&mut loads, id, state.cameras.get(id), known, &slots);
            }
            let at = Timestamp::from_system_time(SystemTime::now());
            let mut draft = Draft { state, above, loads, slots: &slots, sealer: &clerk.sealer, now, at };
            let mut decided = Vec::new();
            for job in jobs {
                match draft.decide(&job.wish, &job.who) {
                    Ok(decision) => decided.push(Decided { job, decision }),
                    Err(refusal) => drop(job.answer.send(Err(refusal))),
                }
            }
            decided
        })
    }

    fn write(&mut self, changes: Vec<Decided>) -> Result<(), TakenOver> {
        let records = match self.records(&changes) {
            Ok(records) => records,
            Err(error) => {
                self.refuse(changes, &format!("a record can't be made ({error})"));
                return Ok(());
            }
        };
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let writes: Vec<_> = records.iter().map(|(_, write)| write.clone()).collect();
        let begun = Instant::now();
        match writer.write(&writes, None) {
            Ok(delivered) => {
                self.behind.extend(records.iter().zip(delivered).filter_map(|((source, _), lies)| {
                    let (partition, offset) = (lies.partition, lies.offset);
                    source.map(|source| Position { source, partition, offset })
                }));
                let followed = self.clerk.view.wait_for(&self.behind, FOLLOW);
                self.clerk.metrics.view_lag.observe(begun.elapsed().as_secs_f64());
                if followed {
                    self.above.clear();
                    self.behind.clear();
                }
                self.done(changes, followed);
                Ok(())
            }
            Err(WriteError::Fenced(fault)) => {
                for decided in changes {
                    let _ = decided.job.answer.send(Err(stopping().into()));
                }
                Err(TakenOver(fault))
            }
            Err(WriteError::Refused(fault)) => {
                self.refuse(changes, &fault.to_string());
                Ok(())
            }
            Err(WriteError::Unknown(fault)) => {
                self.settle(changes, &fault);
                Ok(())
            }
        }
    }

    /// Whether an outcome that is not known was the good one: a new writer ends what was open, and the log says.
    fn settle(&mut self, changes: Vec<Decided>, fault: &KafkaFault) {
        self.writer = None;
        if let Err(again) = self.ready() {
            let why = format!("{fault}; whether it was written is not known ({again})");
            for decided in changes {
                self.forget(&decided.decision);
                let _ = decided
                    .job
                    .answer
                    .send(Err(Problem::unavailable(format!("{why}; look, and try again")).into()));
            }
            return;
        }
        let is_there = |decision: &Decision| {
            self.clerk.view.read(|state| {
                let known = state.cameras.get(&decision.id);
                let camera = known.and_then(|known| known.camera.as_ref()).map(|lies| &*lies.value);
                let placement = known.and_then(|known| known.placement.as_ref()).map(|lies| &*lies.value);
                decision.camera.as_ref().is_none_or(|wanted| wanted.as_deref() == camera)
                    && decision.placement.as_ref().is_none_or(|wanted| wanted.as_deref() == placement)
            })
        };
        let (there, not): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|decided| is_there(&decided.decision));
        self.done(there, true);
        self.refuse(not, &fault.to_string());
    }

    fn done(&mut self, changes: Vec<Decided>, followed: bool) {
        for decided in changes {
            let Decision { id, outcome, camera, .. } = &decided.decision;
            self.clerk.metrics.wrote(*outcome);
            tracing::info!(camera = id, who = decided.job.who, "{}", verb(*outcome));
            let camera = match camera {
                Some(camera) => camera.clone(),
                None => self.clerk.view.read(|state| self.camera(state, id)),
            };
            self.answer(decided, camera, followed);
        }
    }

    fn refuse(&mut self, changes: Vec<Decided>, why: &str) {
        tracing::warn!("nothing was written: {why}");
        for decided in changes {
            self.forget(&decided.decision);
            let problem = Problem::unavailable(format!("nothing was written: {why}; try again"));
            let _ = decided.job.answer.send(Err(problem.into()));
        }
    }

    /// What was decided and not written is not known any more. What else of it was on its way to the view comes there.
    fn forget(&mut self, decision: &Decision) {
        self.above.remove(&decision.id);
    }

    fn camera(&self, state: &crate::state::State, id: &str) -> Option<Arc<Camera>> {
        let known = self.above.get(id).or_else(|| state.cameras.get(id))?;
        Some(known.camera.as_ref()?.value.clone())
    }

    fn answer(&self, decided: Decided, camera: Option<Arc<Camera>>, followed: bool) {
        let done = Done { outcome: decided.decision.outcome, camera, followed };
        // Who asked may be gone.
        let _ = decided.job.answer.send(Ok(done));
    }

    /// What each change is on Kafka; the view waits for those with a source.
    fn records(&self, changes: &[Decided]) -> Result<Vec<(Option<Source>, Write)>, serde_json::Error> {
        let topics = &self.clerk.topics;
        let mut records = Vec::with_capacity(changes.len() * 3);
        for Decided { decision, .. } in changes {
            let Decision { id, camera, placement, audit, .. } = decision;
            if let Some(camera) = camera {
                let record = match camera {
                    Some(camera) => Write::of(topics.cameras(), &**camera)?,
                    None => Write::tombstone(topics.cameras(), id, Camera::schema_name()),
                };
                records.push((Some(Source::Cameras), record));
            }
            if let Some(placement) = placement {
                let record = match placement {
                    Some(placement) => Write::of(topics.placements(), &**placement)?,
                    None => Write::tombstone(topics.placements(), id, Placement::schema_name()),
                };
                records.push((Some(Source::Placements), record));
            }
            if let Some(audit) = audit {
                records.push((None, Write::of(topics.audit(), audit)?));
            }
        }
        Ok(records)
    }
}

/// Counts a camera as it was decided instead of as the view has it.
fn recount(
    loads: &mut Loads,
    id: &str,
    viewed: Option<&Known>,
    decided: &Known,
    slots: &impl Fn(&str) -> Option<u32>,
) {
    let place = |known: &Known| known.camera.as_ref().and_then(|_| crate::loads::place_of(id, known, slots));
    if let Some((known, (pool, slot))) = viewed.and_then(|known| Some((known, place(known)?))) {
        loads.remove(&pool, slot, known.wanted_fps());
    }
    if let Some((pool, slot)) = place(decided) {
        loads.add(&pool, slot, decided.wanted_fps());
    }
}

fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created => "camera created",
        Outcome::Changed => "camera changed",
        Outcome::Unchanged => "camera left as it is",
        Outcome::Deleted => "camera deleted",
        Outcome::Moved => "camera moved",
    }
}
