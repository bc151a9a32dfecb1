//! Which registered cameras this pod runs: it shares the slots of its pool with the other pods, claims the cameras of
//! those it holds, and hands over those of others, so that no result is missing and none counts twice.
//!
//! `view` is what is known, `reconcile` decides about one camera (both pure), `claims` writes claims, `runs` keeps the
//! runs of this pod, `pods` says what it is. This file is the one thread that does it all, in turn: the group's
//! membership, the claims and the decisions must agree. `docs/adr/0009-slots-placements-claims.md` says why it is so.

mod claims;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod model_tests;
mod pods;
mod reconcile;
mod runs;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sightline_schema::{Timestamp, Topics};
use sightline_service::kafka::{Ends, Held, KafkaFault, KafkaSettings, Member, Tail, fault_point};
use sightline_service::shutdown::Shutdown;

use self::claims::{Claimer, Claiming};
use self::pods::PodVoice;
use self::reconcile::{Action, Known, Membership, Newest, reconcile};
use self::runs::Runs;
use self::view::View;
use crate::detect::Model;
use crate::handover::Awake;
use crate::reach::Reach;
use crate::run::Runner;

/// One look at the group, and one at the topics.
const LOOK: Duration = Duration::from_millis(20);
/// For reading what lies in the topics at the start; a stop waits for it.
const START: Duration = Duration::from_secs(20);
/// After a loss: how long the topics are read before it is decided without them. An open transaction of a pod that died
/// holds what lies behind it back for longer.
const RESYNC: Duration = Duration::from_secs(5);
/// Every camera is looked at this often, whatever was heard.
const LOOK_AT_ALL: Duration = Duration::from_secs(5);
/// A member that was thrown out hears of it in this time, once it asks again.
const HEARS: Duration = Duration::from_secs(3);
/// A refused claim is not tried again at once.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);
/// How long a stop waits for others to take over.
const HAND_OVER: Duration = Duration::from_secs(10);

/// What a pod shares cameras by.
#[derive(Clone, Debug)]
pub struct AssignmentOptions {
    pub settings: KafkaSettings,
    pub topics: Topics,
    pub pool: String,
    /// Frames a second that it can detect.
    pub capacity_fps: f64,
    /// Where registered cameras may lead.
    pub reach: Reach,
    pub version: String,
    /// Cameras that this process was given otherwise: a registered one of the same id does not run here.
    pub given: BTreeSet<String>,
}

/// Why a pod can't share cameras any longer.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    #[error("{0}")]
    Kafka(#[from] KafkaFault),
    #[error(
        "another process calls itself {pod} too, and began after this one; give each process a --pod name of its own"
    )]
    Namesake { pod: String },
    #[error("pool {pool} has no slots; make them with: sightline topics apply --pool {pool}")]
    NoSlots { pool: String },
}

/// Shares cameras with the other pods of a pool.
pub struct Assignment {
    options: AssignmentOptions,
    tail: Tail,
    member: Member,
    claimer: Claimer,
    voice: PodVoice,
    view: View,
    runs: Runs,
    /// As of the last look.
    held: Held,
    /// Slots were taken away because the group went on without this pod, and it is not known yet what became of them.
    unsure: Option<Unsure>,
    /// Cameras that have to be looked at.
    due: BTreeSet<Arc<str>>,
    awake: Awake,
    sleeps: u64,
    /// Since when another's newer claim of a camera is known that belongs here.
    contested: BTreeMap<Arc<str>, Instant>,
    looked_at_all: Instant,
    refused: Option<Instant>,
    leaving: bool,
}

/// What must be read before a pod that was out of the group decides again.
struct Unsure {
    ends: Option<Ends>,
    back: Option<Instant>,
    /// Until then a loss may not have been heard of.
    not_before: Instant,
}

impl Assignment {
    /// Reads what is registered, and joins the group. `runner` runs the cameras.
    pub fn start(options: AssignmentOptions, runner: Runner, model: &Model) -> Result<Self, AssignmentError> {
        let AssignmentOptions { settings, topics, pool, .. } = &options;
        let slots = sightline_service::kafka::cluster(settings, START)?
            .topics
            .get(&topics.slots(pool))
            .copied()
            .and_then(|slots| u32::try_from(slots.partitions).ok())
            .filter(|slots| *slots > 0)
            .ok_or_else(|| AssignmentError::NoSlots { pool: pool.clone() })?;
        let names = [topics.cameras(), topics.placements(), topics.camera_status(), topics.pods()];
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut tail = Tail::open(settings, &names, START)?;
        let mut view = View::new(topics, slots);
        let (now, wall) = (Instant::now(), wall());
        tail.catch_up(START, |record| view.take(&record, now, wall))?;
        let claimer = Claimer::new(settings, topics, &runner.options.pod)?;
        fault_point("before-join");
        let member = Member::join(settings, &topics.pipeline_group(pool), &topics.slots(pool))?;
        let held = member.poll(Duration::ZERO);
        let voice = PodVoice::new(&options, &runner, model);
        let awake = Awake::watch().map_err(|error| KafkaFault::no_thread(&error))?;
        let runs = Runs::new(runner, awake.clone(), options.reach.clone());
        let (due, unsure) = (BTreeSet::new(), None);
        let looked_at_all = now;
        Ok(Self {
            options,
            tail,
            member,
            claimer,
            voice,
            view,
            runs,
            held,
            unsure,
            due,
            sleeps: awake.sleeps(),
            awake,
            contested: BTreeMap::new(),
            looked_at_all,
            refused: None,
            leaving: false,
        })
    }

    /// Works until `stop`, then hands everything over, and comes back when all runs have ended.
    pub fn run(&mut self, stop: &Shutdown) -> Result<(), AssignmentError> {
        let outcome = loop {
            if stop.is_set() {
                break Ok(());
            }
            self.look();
            if let Some(namesake) = self.view.namesake(self.voice.pod()) {
                break Err(AssignmentError::Namesake { pod: namesake.pod.clone() });
            }
            self.decide();
        };
        self.leave();
        outcome
    }

    /// Hears what is new: of the group, of the topics, of the runs.
    fn look(&mut self) {
        let held = self.member.poll(LOOK);
        let (now, wall) = (Instant::now(), wall());
        let view = &mut self.view;
        self.tail.poll(LOOK, |record| view.take(&record, now, wall));
        self.due.extend(self.view.take_changed());
        let sleeps = self.awake.sleeps();
        if sleeps != self.sleeps {
            self.sleeps = sleeps;
            tracing::warn!(
                "this process was stopped for a while; its results wait until it knows what became of its cameras"
            );
            self.unsure = Some(Unsure { ends: None, back: None, not_before: now + HEARS });
        }
        if held.losses != self.held.losses {
            tracing::warn!(
                "the group went on without this pod; its cameras run on until it is known who has them"
            );
            self.unsure = Some(Unsure { ends: None, back: None, not_before: now });
        }
        if !held.is_as(&self.held) || now.saturating_duration_since(self.looked_at_all) >= LOOK_AT_ALL {
            self.look_at_all(now);
        }
        self.held = held;
        self.resync(now);
        self.due.extend(self.runs.ended());
        let is_sure = self.unsure.is_none() && self.held.is_settled;
        self.runs.follow(&self.view, is_sure.then_some(self.sleeps), now);
        self.voice.say(&self.held, &self.runs, now);
    }

    /// After a loss, and back in the group: reads on to where the topics end now.
    fn resync(&mut self, now: Instant) {
        let Some(unsure) = &mut self.unsure else { return };
        if !self.held.is_settled || now < unsure.not_before {
            unsure.back = None;
            unsure.ends = None;
            return;
        }
        let back = *unsure.back.get_or_insert(now);
        if unsure.ends.is_none() {
            unsure.ends = self.tail.ends(RESYNC).ok();
        }
        let has_read = unsure.ends.as_ref().is_some_and(|ends| self.tail.has_reached(ends));
        if has_read || now.saturating_duration_since(back) >= RESYNC {
            self.unsure = None;
            self.look_at_all(now);
        }
    }

    fn look_at_all(&mut self, now: Instant) {
        self.looked_at_all = now;
        self.due.extend(self.view.of_pool(&self.options.pool).map(|(id, _)| id.clone()));
        self.due.extend(self.runs.ids().cloned());
    }

    fn decide(&mut self) {
        let now = Instant::now();
        if self.refused.is_some_and(|at| now.saturating_duration_since(at) < AFTER_REFUSAL) {
            return;
        }
        let (mut claims, mut doubtful) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.due) {
            match self.action(&id) {
                Action::Nothing => drop(self.contested.remove(&id)),
                Action::Claim => claims.push(id),
                Action::ClaimAgain { because_newer } => {
                    // A pod that was thrown out may read its successor's claim before it hears of that.
                    let seen = *self.contested.entry(id.clone()).or_insert(now);
                    if because_newer && now.saturating_duration_since(seen) < HEARS {
                        doubtful.push(id);
                        continue;
                    }
                    self.contested.remove(&id);
                    if because_newer {
                        self.runs.metrics().contested();
                        tracing::error!(camera = %id, "another pod claimed it, though it belongs here; claiming it again");
                    }
                    // Its end brings it back here.
                    self.runs.end(&id, true);
                }
                Action::Update => self.runs.update(&id, &self.view),
                Action::HandOver => self.runs.hand_over(&id, now),
                Action::Resume => self.runs.resume(&id),
                Action::End => self.runs.end(&id, self.view.is_registered(&id)),
            }
        }
        self.due.extend(doubtful);
        self.runs.say_disabled(&self.view, &self.options.pool, &self.held);
        if !claims.is_empty() {
            self.claim(claims, now);
        }
    }

    fn action(&self, id: &Arc<str>) -> Action {
        let view = &self.view;
        let place = view.place(id);
        let newest = view.newest(id).map(|run| Newest { epoch: run.epoch, placement: run.placement });
        let belongs = place
            .as_ref()
            .is_some_and(|place| *place.pool == *self.options.pool && self.held.slots.contains(&place.slot));
        let membership = match (self.unsure.is_some() || !self.held.is_settled, belongs) {
            (true, _) => Membership::Unsure,
            (false, true) => Membership::Holds,
            (false, false) => Membership::HoldsNot,
        };
        let wanted = view.is_enabled(id) && !self.options.given.contains(&**id);
        reconcile(&Known { wanted, place, newest }, self.runs.own(id, view), membership)
    }

    /// Claims cameras in one transaction, as the member that this pod is now, and begins to run them.
    fn claim(&mut self, ids: Vec<Arc<str>>, now: Instant) {
        fault_point("before-claim");
        let Some(group) = self.held.offsets() else {
            self.due.extend(ids);
            return;
        };
        match self.claimer.claim(&ids, &self.view, &self.runs.pod(), group) {
            Claiming::Claimed(claims) => {
                self.runs.metrics().claimed(claims.len());
                for claim in claims {
                    self.runs.begin(claim, &self.view, now);
                }
            }
            Claiming::Refused => {
                self.refused = Some(now);
                self.due.extend(ids);
            }
        }
    }

    /// The threads of runs that were told to end.
    pub fn into_threads(self) -> Vec<std::thread::JoinHandle<()>> {
        self.runs.into_threads()
    }

    /// Leaves the group, runs on until others have taken over, and ends what is left.
    fn leave(&mut self) {
        self.leaving = true;
        let now = Instant::now();
        let others = self.view.has_others(&self.options.pool, &self.runs.pod(), now);
        self.member.leave();
        self.voice.say_leaving(&self.runs);
        self.runs.hand_all_over(now);
        let patience = if others { HAND_OVER } else { Duration::ZERO };
        while !self.runs.is_empty() && now.elapsed() < patience {
            let (now, wall) = (Instant::now(), wall());
            let view = &mut self.view;
            self.tail.poll(LOOK, |record| view.take(&record, now, wall));
            drop(self.runs.ended());
            self.runs.follow(&self.view, None, now);
        }
        self.runs.end_all();
        self.voice.say_goodbye();
    }
}

fn wall() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now())
}
