//! What can happen: what pods do, one wait or one word at a time, what nature and people do, what goes wrong.

use std::collections::BTreeSet;

use super::super::reconcile::Phase;
use super::Scene;
use super::world::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Cameras,
    Placements,
    Statuses,
}

/// Pods first, then the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The group tells the pod what it holds now, or the pod finds that it was thrown out, or joins.
    Hear(usize),
    /// It reads a topic as far as committed records go.
    Read(usize, Topic),
    /// Its claims are written; its offsets arrive; its transaction is committed.
    Produce(usize),
    SendOffsets(usize),
    Commit(usize),
    /// Some time after a refusal, if it is still a member: what was refused is decided again.
    TryAgain(usize),
    /// A run gets its stream; the result of the next frame is ready; the run's thread ends.
    Connect(usize, usize),
    Detect(usize, usize),
    Finish(usize, usize),
    /// What waited for a broker goes out.
    Flush(usize),
    /// One that was to stop has nothing left to hand over.
    Exit(usize),
    /// 10 s have passed: a run waits for another no longer; what can't be read is not waited for.
    LosePatience(usize, usize),
    StopReading(usize),
    /// A camera shows another frame.
    Show(usize),
    /// The group goes on without one that died; the coordinator ends its transaction.
    Expel(usize),
    EndTransaction(usize),
    WakeUp(usize),
    BrokerBack,
    /// What people and the registry do.
    Place(usize, Target),
    Unplace(usize),
    Register(usize, Option<Registered>),
    Leave(usize),
    Start(usize),
    /// What goes wrong.
    Crash(usize),
    FallAsleep(usize),
    Outage,
}

impl World {
    /// All pods are about to join.
    pub(super) fn new(scene: &Scene) -> Self {
        let cameras = scene.cameras;
        let registered = Registered { enabled: true, generation: 1 };
        Self {
            cameras: (0..cameras).map(|camera| (camera, Some(registered))).collect(),
            placements: Vec::new(),
            statuses: Vec::new(),
            groups: vec![Group::new(scene.slots); POOLS.len()],
            pods: scene.pods.iter().map(|pool| Pod::new(*pool, cameras)).collect(),
            scenery: vec![Scenery::default(); cameras],
            outage: false,
            left: Left::default(),
            broken: BTreeSet::new(),
        }
    }

    /// What may happen now, in any order. Steps that would change nothing are left out.
    pub(super) fn possible(&self, scene: &Scene, steps: &mut Vec<Step>) {
        for at in 0..self.pods.len() {
            self.of_pod(at, steps);
            self.of_nature(at, steps);
        }
        // A member that reaches no broker knows by its own clock that it is none any longer.
        if self.outage
            && self
                .pods
                .iter()
                .all(|pod| !pod.is_awake() || pod.transaction.is_some() || pod.generation.is_none())
        {
            steps.push(Step::BrokerBack);
        }
        if self.left.frames > 0 {
            let wants = |camera: &usize| self.scenery[*camera].frames < self.left.frames;
            steps.extend((0..self.scenery.len()).filter(wants).map(Step::Show));
        }
        if self.is_disturbed() {
            self.of_time(steps);
        }
        if self.left.changes > 0 {
            steps.extend(scene.changes.iter().copied().filter(|change| self.can_change(*change)));
        }
        if self.left.faults > 0 && !self.outage {
            steps.extend(scene.faults.iter().copied().filter(|fault| match fault {
                Step::Crash(pod) | Step::FallAsleep(pod) => self.pods[*pod].is_awake(),
                _ => true,
            }));
        }
    }

    /// What a pod does by itself.
    pub(super) fn of_pod(&self, at: usize, steps: &mut Vec<Step>) {
        let pod = &self.pods[at];
        if !pod.is_awake() {
            return;
        }
        let group = &self.groups[pod.pool];
        let is_member = group.members.contains(&at);
        match &pod.transaction {
            // The thread waits for the coordinator.
            Some(_) if self.outage => {}
            Some(Transaction { stage, .. }) => steps.push(match stage {
                Stage::Decided => Step::Produce(at),
                Stage::Produced => Step::SendOffsets(at),
                Stage::OffsetsSent => Step::Commit(at),
            }),
            None => {
                let hears = match is_member {
                    true => !self.outage && (!pod.is_settled || pod.generation != Some(group.generation)),
                    false => pod.generation.is_some() || !self.outage,
                };
                match pod.life {
                    Life::Up if hears => steps.push(Step::Hear(at)),
                    Life::Up if pod.was_refused && !self.outage => steps.push(Step::TryAgain(at)),
                    _ => {}
                }
                if !self.outage {
                    let topics = [Topic::Cameras, Topic::Placements, Topic::Statuses];
                    let ends = self.visible();
                    let new = topics.into_iter().zip(pod.read.iter().zip(ends));
                    steps.extend(
                        new.filter(|(_, (at, end))| *at < end).map(|(topic, _)| Step::Read(at, topic)),
                    );
                }
                if pod.life == Life::Leaving && pod.runs.iter().all(Option::is_none) {
                    steps.push(Step::Exit(at));
                }
            }
        }
        let unsaid = pod.runs.iter().flatten().any(|run| run.unsaid);
        if !self.outage && (unsaid || !pod.outbox.is_empty()) {
            steps.push(Step::Flush(at));
        }
        for (camera, run) in pod.runs.iter().enumerate() {
            let Some(run) = run else { continue };
            let over = run.phase == Phase::Ending || run.is_past;
            match run.next {
                _ if over => {}
                None => steps.push(Step::Connect(at, camera)),
                Some(next) if next < self.scenery[camera].frames => steps.push(Step::Detect(at, camera)),
                Some(_) => {}
            }
            if over && pod.transaction.is_none() && (self.outage || pod.outbox.is_empty()) {
                steps.push(Step::Finish(at, camera));
            }
        }
    }

    /// What follows from what went wrong.
    pub(super) fn of_nature(&self, at: usize, steps: &mut Vec<Step>) {
        let pod = &self.pods[at];
        if pod.is_awake() {
            return;
        }
        if self.groups[pod.pool].members.contains(&at) {
            steps.push(Step::Expel(at));
        }
        if pod.transaction.as_ref().is_some_and(|open| open.stage != Stage::Decided) && self.has_open(at) {
            steps.push(Step::EndTransaction(at));
        }
        if pod.life == Life::Asleep {
            steps.push(Step::WakeUp(at));
        }
    }

    /// What happens when nothing else does for long.
    pub(super) fn of_time(&self, steps: &mut Vec<Step>) {
        for (at, pod) in self.pods.iter().enumerate().filter(|(_, pod)| pod.is_awake()) {
            if pod.transaction.is_some() {
                continue;
            }
            for (camera, run) in pod.runs.iter().enumerate() {
                let waits = |run: &Run| {
                    run.phase == Phase::HandingOver && !run.is_past || matches!(run.hold, Hold::Held(_))
                };
                if run.as_ref().is_some_and(waits) {
                    steps.push(Step::LosePatience(at, camera));
                }
            }
            if matches!(pod.unsure, Some(Unsure::Reads(_))) {
                steps.push(Step::StopReading(at));
            }
        }
    }

    /// Somebody is away for long enough for others to lose patience.
    fn is_disturbed(&self) -> bool {
        self.outage || self.pods.iter().any(|pod| matches!(pod.life, Life::Asleep | Life::Crashed))
    }

    fn can_change(&self, change: Step) -> bool {
        match change {
            Step::Place(camera, target) => {
                let last = self.placements.iter().rev().find(|(of, _)| *of == camera);
                last.is_none_or(|(_, last)| *last != Some(target))
            }
            Step::Unplace(camera) => self.placements.iter().any(|(of, _)| *of == camera),
            Step::Register(camera, registered) => {
                self.cameras.iter().rev().find(|(of, _)| *of == camera).map(|(_, last)| *last)
                    != Some(registered)
            }
            Step::Leave(at) => {
                let stays = |pod: &&Pod| pod.life == Life::Up && pod.pool == self.pods[at].pool;
                let pod = &self.pods[at];
                stays(&pod) && pod.transaction.is_none() && self.pods.iter().filter(stays).count() > 1
            }
            Step::Start(pod) => matches!(self.pods[pod].life, Life::Crashed | Life::Gone),
            _ => true,
        }
    }

    /// How far readers of committed records get: an open transaction holds back what lies behind it.
    fn visible(&self) -> [usize; 3] {
        let open = self.statuses.iter().position(|written| written.seal == Seal::Open);
        [self.cameras.len(), self.placements.len(), open.unwrap_or(self.statuses.len())]
    }

    fn has_open(&self, pod: usize) -> bool {
        self.statuses.iter().any(|written| written.pod == pod && written.seal == Seal::Open)
    }

    /// Takes a step. It has to be possible.
    pub(super) fn take(&mut self, scene: &Scene, step: Step) {
        match step {
            Step::Hear(pod) => self.hear(scene, pod),
            Step::Read(pod, topic) => {
                self.pods[pod].read[topic as usize] = self.visible()[topic as usize];
                self.look(scene, pod);
            }
            Step::Produce(pod) => self.produce(pod),
            Step::SendOffsets(pod) => self.send_offsets(scene, pod),
            Step::Commit(pod) => self.commit(scene, pod),
            Step::TryAgain(pod) => {
                self.pods[pod].was_refused = false;
                self.look(scene, pod);
            }
            Step::Connect(pod, camera) => {
                let frames = self.scenery[camera].frames;
                self.with(pod, camera, |run| run.next = Some(frames));
            }
            Step::Detect(pod, camera) => self.detect(scene, pod, camera),
            Step::Finish(pod, camera) => self.finish(scene, pod, camera),
            Step::Flush(pod) => {
                for (camera, epoch, frame) in std::mem::take(&mut self.pods[pod].outbox) {
                    self.publish(scene, camera, epoch, frame);
                }
                (0..self.scenery.len()).for_each(|camera| self.say(pod, camera, "running"));
            }
            Step::Exit(pod) => self.pods[pod].life = Life::Gone,
            Step::LosePatience(pod, camera) => {
                if scene.is_calm {
                    self.broken.insert(Broken::Patience);
                }
                self.follow(scene, pod, camera, true);
            }
            Step::StopReading(pod) => {
                self.pods[pod].unsure = None;
                self.look(scene, pod);
            }
            Step::Show(camera) => self.scenery[camera].frames += 1,
            Step::Expel(pod) => self.expel(pod),
            Step::EndTransaction(pod) => self.end_open(pod),
            Step::WakeUp(pod) => self.pods[pod].life = Life::Up,
            Step::BrokerBack => self.outage = false,
            Step::Crash(pod) => {
                self.left.faults -= 1;
                let pod = &mut self.pods[pod];
                pod.life = Life::Crashed;
                pod.runs.fill(None);
            }
            Step::FallAsleep(pod) => {
                self.left.faults -= 1;
                self.pods[pod].life = Life::Asleep;
                self.expel(pod);
            }
            Step::Outage => {
                self.left.faults -= 1;
                self.outage = true;
                for group in &mut self.groups {
                    group.members.clear();
                    group.rebalance();
                }
            }
            change => {
                self.left.changes -= 1;
                self.change(scene, change);
            }
        }
    }

    fn change(&mut self, scene: &Scene, change: Step) {
        match change {
            Step::Place(camera, target) => self.placements.push((camera, Some(target))),
            Step::Unplace(camera) => self.placements.push((camera, None)),
            Step::Register(camera, registered) => {
                self.cameras.push((camera, registered));
            }
            Step::Leave(at) => {
                let others = (0..)
                    .zip(&self.pods)
                    .any(|(other, pod)| other != at && pod.pool == self.pods[at].pool && pod.is_awake());
                self.expel(at);
                let pod = &mut self.pods[at];
                (pod.life, pod.generation) = (Life::Leaving, None);
                pod.slots.clear();
                for run in pod.runs.iter_mut().flatten() {
                    run.phase = match run.phase {
                        Phase::Running if others => Phase::HandingOver,
                        phase if others => phase,
                        _ => Phase::Ending,
                    };
                }
                self.look(scene, at);
            }
            Step::Start(at) => {
                // A writer of the same name ends what the one before has left open, and the spool what it has left.
                self.end_open(at);
                self.expel(at);
                let fresh = Pod::new(self.pods[at].pool, self.scenery.len());
                let outbox = std::mem::take(&mut self.pods[at].outbox);
                self.pods[at] = Pod { read: self.visible(), outbox, ..fresh };
            }
            _ => {}
        }
    }

    fn expel(&mut self, pod: usize) {
        let group = &mut self.groups[self.pods[pod].pool];
        if group.members.remove(&pod) {
            group.rebalance();
        }
    }

    pub(super) fn end_open(&mut self, pod: usize) {
        let open = |written: &&mut Written| written.pod == pod && written.seal == Seal::Open;
        self.statuses.iter_mut().filter(open).for_each(|written| written.seal = Seal::Aborted);
    }

    pub(super) fn with(&mut self, pod: usize, camera: usize, change: impl FnOnce(&mut Run)) {
        if let Some(run) = &mut self.pods[pod].runs[camera] {
            change(run);
        }
    }
}
