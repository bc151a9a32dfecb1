//! What pods do: a model of `Member`, `Assignment`, `Claimer`, `Runs` and `KafkaOutlet`, with the real `reconcile`.

use sightline_schema::CameraState;

use super::super::reconcile::{Action, Known, Membership, Newest, OwnRun, Phase, reconcile};
use super::super::view::RunSeen;
use super::library::{Facts, epoch_at, frame_of};
use super::world::*;
use super::{Flaw, Scene, Seen};

impl World {
    /// `Member::poll`.
    pub(super) fn hear(&mut self, scene: &Scene, at: usize) {
        let pod = &mut self.pods[at];
        let group = &mut self.groups[pod.pool];
        pod.was_refused = false;
        if group.members.contains(&at) {
            let revoked: Vec<_> = (0..group.owner.len())
                .filter(|slot| group.owner[*slot] == Some(at) && group.target[*slot] != Some(at))
                .collect();
            pod.generation = Some(group.generation);
            for slot in &revoked {
                group.owner[*slot] = None;
            }
            pod.slots = group.slots_of(at);
            pod.is_settled = true;
            if !revoked.is_empty() {
                group.rebalance();
            }
            if pod.unsure == Some(Unsure::Out) {
                // Of what is open, too.
                let ends = [self.cameras.len(), self.placements.len(), self.statuses.len()];
                self.pods[at].unsure = Some(Unsure::Reads(ends));
            }
        } else if pod.generation.take().is_some() {
            pod.slots.clear();
            pod.is_settled = false;
            pod.unsure = Some(Unsure::Out);
        } else {
            group.members.insert(at);
            group.rebalance();
        }
        self.look(scene, at);
    }

    /// `Assignment::look` and `decide`, after whatever was heard or read.
    pub(super) fn look(&mut self, scene: &Scene, at: usize) {
        let pod = &mut self.pods[at];
        if matches!(pod.unsure, Some(Unsure::Reads(ends)) if pod.read.iter().zip(ends).all(|(read, end)| *read >= end))
        {
            pod.unsure = None;
        }
        for camera in 0..self.scenery.len() {
            self.follow(scene, at, camera, false);
        }
        let pod = &self.pods[at];
        if pod.life == Life::Up && pod.transaction.is_none() && !pod.was_refused {
            self.decide(scene, at);
        }
    }

    fn decide(&mut self, scene: &Scene, at: usize) {
        let mut claims = Vec::new();
        for camera in 0..self.scenery.len() {
            let facts = scene.library.facts(self, camera, self.pods[at].read);
            match self.action(scene, at, camera, &facts) {
                Action::Nothing | Action::Update => {}
                Action::Claim => {
                    let Some(place) = &facts.place else { continue };
                    if facts.newest().is_some_and(|newest| newest.placement > facts.placed) {
                        self.broken.insert(Broken::BackInTime);
                    }
                    claims.push((camera, place.slot, place.offset, 0));
                }
                Action::ClaimAgain { .. } => {
                    scene.saw(Seen::ClaimedAgain);
                    self.with(at, camera, |run| run.phase = Phase::Ending);
                }
                Action::HandOver => {
                    scene.saw(Seen::HandedOver);
                    self.with(at, camera, |run| run.phase = Phase::HandingOver);
                }
                Action::Resume => {
                    scene.saw(Seen::Resumed);
                    self.with(at, camera, |run| {
                        run.phase = Phase::Running;
                        (run.until, run.is_past) = (None, false);
                    });
                }
                Action::End => self.with(at, camera, |run| {
                    run.unwanted |= !facts.is_registered;
                    run.phase = Phase::Ending;
                }),
            }
        }
        let pod = &mut self.pods[at];
        if let (Some(generation), false) = (pod.generation, claims.is_empty()) {
            let stage = Stage::Decided;
            pod.transaction = Some(Transaction { stage, generation, claims, is_entitled: false });
        }
    }

    fn action(&self, scene: &Scene, at: usize, camera: usize, facts: &Facts) -> Action {
        let pod = &self.pods[at];
        let belongs =
            facts.target().is_some_and(|target| target.pool == pod.pool && pod.slots.contains(&target.slot));
        let is_unsure = match scene.flaw {
            Some(Flaw::LossIsRevoke) => false,
            _ => pod.unsure.is_some() || !pod.is_settled,
        };
        let membership = match (is_unsure, belongs) {
            (true, _) => Membership::Unsure,
            (false, true) => Membership::Holds,
            (false, false) => Membership::HoldsNot,
        };
        let newest = facts.newest().map(|run| Newest {
            epoch: run.epoch,
            placement: if scene.flaw == Some(Flaw::NotLetGo) { -1 } else { run.placement },
        });
        let own = pod.runs[camera].as_ref().map(|run| OwnRun {
            epoch: run.epoch,
            phase: run.phase,
            same_source: facts.generation.is_none_or(|generation| generation == run.generation),
            same_settings: true,
        });
        let mut place = facts.place.clone();
        if let (Some(place), Some(Flaw::PlacementForgotten)) = (&mut place, scene.flaw) {
            place.read = place.offset;
        }
        let known = Known { wanted: facts.is_enabled, place, newest };
        match reconcile(&known, own, membership) {
            Action::ClaimAgain { because_newer: true } if scene.flaw == Some(Flaw::NoClaimAgain) => {
                Action::Nothing
            }
            action => action,
        }
    }

    /// `Claimer::claim` up to where its records lie in the log.
    pub(super) fn produce(&mut self, at: usize) {
        let Some(mut transaction) = self.pods[at].transaction.take() else { return };
        for (camera, slot, placement, lies) in &mut transaction.claims {
            *lies = self.statuses.len();
            let word = Word::Claim { slot: *slot, placement: *placement };
            self.statuses.push(Written { camera: *camera, pod: at, word, seal: Seal::Open });
        }
        transaction.stage = Stage::Produced;
        self.pods[at].transaction = Some(transaction);
    }

    pub(super) fn send_offsets(&mut self, scene: &Scene, at: usize) {
        let group = &self.groups[self.pods[at].pool];
        let Some(transaction) = &mut self.pods[at].transaction else { return };
        let is_member = group.members.contains(&at) && transaction.generation == group.generation;
        let is_ended = transaction.claims.iter().any(|claim| self.statuses[claim.3].seal != Seal::Open);
        if is_ended || !is_member && scene.flaw != Some(Flaw::Unfenced) {
            self.refused(scene, at);
            return;
        }
        let slots = group.slots_of(at);
        transaction.is_entitled = transaction.claims.iter().all(|(_, slot, ..)| slots.contains(slot));
        transaction.stage = Stage::OffsetsSent;
    }

    fn refused(&mut self, scene: &Scene, at: usize) {
        scene.saw(Seen::Refused);
        self.end_open(at);
        let pod = &mut self.pods[at];
        (pod.transaction, pod.was_refused) = (None, true);
    }

    pub(super) fn commit(&mut self, scene: &Scene, at: usize) {
        let Some(transaction) = self.pods[at].transaction.take() else { return };
        if transaction.claims.iter().any(|claim| self.statuses[claim.3].seal != Seal::Open) {
            self.refused(scene, at);
            return;
        }
        if !transaction.is_entitled {
            self.broken.insert(Broken::Zombie);
        }
        for claim in &transaction.claims {
            self.statuses[claim.3].seal = Seal::Committed;
        }
        for (camera, _, placement, lies) in transaction.claims {
            self.begin(scene, at, camera, placement, lies);
        }
        self.look(scene, at);
    }

    /// `Runs::begin`.
    fn begin(&mut self, scene: &Scene, at: usize, camera: usize, placement: i64, lies: usize) {
        let epoch = epoch_at(lies);
        let all = scene.library.facts(self, camera, self.ends());
        let grows = all.epochs.windows(2).all(|pair| pair[0] < pair[1]);
        if !grows || !all.epochs.contains(&epoch) {
            self.broken.insert(Broken::Epoch);
        }
        let facts = scene.library.facts(self, camera, self.pods[at].read);
        // The camera was read when the claim was decided.
        let Some(generation) = facts.generation else { return };
        scene.saw(Seen::Claimed);
        let waits = facts.before(epoch).any(|run| !run.is_over() && *run.pod != *PODS[at]);
        if waits {
            scene.saw(Seen::Waited);
        }
        let hold = match scene.flaw {
            Some(Flaw::OwnClaimUnread) if !waits => Hold::Open,
            _ => Hold::Held(Vec::new()),
        };
        let (first, last) = (None, None);
        self.pods[at].runs[camera] = Some(Run {
            epoch,
            placement,
            phase: Phase::Running,
            generation,
            unwanted: false,
            next: None,
            hold,
            until: None,
            is_past: false,
            published: None,
            first,
            last,
            unsaid: true,
        });
        self.say(at, camera, "connecting");
    }

    fn ends(&self) -> [usize; 3] {
        [self.cameras.len(), self.placements.len(), self.statuses.len()]
    }

    /// Says how a run fares, if a broker hears it.
    pub(super) fn say(&mut self, at: usize, camera: usize, state: &'static str) {
        let outage = self.outage;
        let Some(run) = &mut self.pods[at].runs[camera] else { return };
        run.unsaid = outage;
        if outage {
            return;
        }
        let state = if state == "running" && run.first.is_none() { "connecting" } else { state };
        let last = run.last.filter(|_| matches!(run.hold, Hold::Open));
        let word = Word::Status { epoch: run.epoch, placement: run.placement, state, first: run.first, last };
        let said = Written { camera, pod: at, word, seal: Seal::Committed };
        if self.statuses.iter().rev().find(|written| written.pod == at && written.camera == camera)
            != Some(&said)
        {
            self.statuses.push(said);
        }
    }

    /// `Run::follow_successor` and `follow_predecessors`.
    pub(super) fn follow(&mut self, scene: &Scene, at: usize, camera: usize, lost_patience: bool) {
        let facts = scene.library.facts(self, camera, self.pods[at].read);
        let lives: Vec<_> = self.pods.iter().map(Pod::is_awake).collect();
        let Some(run) = &mut self.pods[at].runs[camera] else { return };
        let other = |seen: &&RunSeen| *seen.pod != *PODS[at];
        if run.phase == Phase::HandingOver {
            let own = facts.run(run.epoch);
            let runs = own.is_some_and(|own| own.state == CameraState::Running);
            match facts.newest().filter(|newest| newest.epoch > run.epoch).filter(other) {
                Some(successor) if !runs && successor.state != CameraState::Claimed => {
                    run.phase = Phase::Ending;
                }
                Some(successor) => {
                    if let Some(first) = successor.first.map(frame_of) {
                        run.until = Some(first);
                        if own.and_then(|own| own.last).is_some_and(|last| frame_of(last.captured_at) > first)
                        {
                            run.phase = Phase::Ending;
                        }
                    }
                }
                None => {}
            }
            if lost_patience {
                run.phase = Phase::Ending;
            }
        }
        if let Hold::Held(held) = &mut run.hold {
            let before = || facts.before(run.epoch).filter(other).filter(|seen| !seen.is_over());
            let alive =
                before().any(|seen| PODS.iter().zip(&lives).any(|(pod, alive)| *alive && **pod == *seen.pod));
            let knows_all = facts.run(run.epoch).is_some() || scene.flaw == Some(Flaw::OwnClaimUnread);
            let gives_up = lost_patience && (!alive || !held.is_empty());
            if knows_all && before().count() == 0 || gives_up {
                let last = facts
                    .before(run.epoch)
                    .filter_map(|seen| seen.last)
                    .max_by_key(|last| (last.epoch, last.seq));
                run.hold = Hold::Released(std::mem::take(held), last.map(|last| frame_of(last.captured_at)));
            }
        }
    }

    /// `KafkaOutlet::frame`.
    pub(super) fn detect(&mut self, scene: &Scene, at: usize, camera: usize) {
        let Some(run) = &mut self.pods[at].runs[camera] else { return };
        let Some(frame) = run.next else { return };
        run.next = Some(frame + 1);
        if run.until.is_some_and(|until| frame > until) {
            run.is_past = true;
            return;
        }
        let is_first = run.first.is_none();
        run.first.get_or_insert(frame);
        if let Hold::Held(held) = &mut run.hold {
            held.push(frame);
        } else {
            self.release(scene, at, camera);
            self.result(scene, at, camera, frame);
        }
        if is_first {
            self.say(at, camera, "running");
        }
    }

    /// `KafkaOutlet::release`: what the run before has published is left out.
    fn release(&mut self, scene: &Scene, at: usize, camera: usize) {
        let Some(run) = &mut self.pods[at].runs[camera] else { return };
        let Hold::Released(held, last) = std::mem::replace(&mut run.hold, Hold::Open) else { return };
        let is_behind = scene.flaw == Some(Flaw::BehindTheOther);
        run.published = if is_behind { None } else { last };
        for frame in held.into_iter().filter(|frame| last.is_none_or(|last| *frame > last)) {
            self.result(scene, at, camera, frame);
        }
        self.say(at, camera, "running");
    }

    fn result(&mut self, scene: &Scene, at: usize, camera: usize, frame: u8) {
        let outage = self.outage;
        let pod = &mut self.pods[at];
        let Some(run) = &mut pod.runs[camera] else { return };
        if run.published.is_some_and(|published| frame <= published) {
            return;
        }
        run.last = Some(frame);
        let epoch = run.epoch;
        if outage || !pod.outbox.is_empty() {
            pod.outbox.push((camera, epoch, frame));
        } else {
            self.publish(scene, camera, epoch, frame);
        }
    }

    /// A result lies in `detections`, and its reader judges it.
    pub(super) fn publish(&mut self, scene: &Scene, camera: usize, epoch: u64, frame: u8) {
        let reader = &mut self.scenery[camera];
        if epoch < reader.epoch && scene.flaw != Some(Flaw::ReaderKeepsAll) {
            if scene.is_calm {
                self.broken.insert(Broken::NetWasNeeded);
            }
            return;
        }
        let is_news = reader.accepted.is_none_or(|accepted| frame > accepted);
        if epoch < reader.epoch {
            self.broken.insert(Broken::OlderCounted);
        } else if !is_news {
            reader.epoch = epoch;
            if scene.is_calm {
                self.broken.insert(Broken::NetWasNeeded);
            }
            return;
        }
        if !is_news {
            self.broken.insert(Broken::Twice);
        }
        if scene.is_gapless() && reader.accepted.is_some_and(|accepted| frame > accepted + 1) {
            self.broken.insert(Broken::Gap);
        }
        reader.epoch = reader.epoch.max(epoch);
        reader.accepted = Some(frame);
    }

    /// The end of a run's thread, and `Runs::ended`.
    pub(super) fn finish(&mut self, scene: &Scene, at: usize, camera: usize) {
        let Some(run) = &mut self.pods[at].runs[camera] else { return };
        let unwanted = run.unwanted;
        match run.hold {
            // Nobody heard of it: to readers it never began.
            Hold::Held(_) => run.hold = Hold::Open,
            _ => self.release(scene, at, camera),
        }
        self.say(at, camera, "ended");
        self.pods[at].runs[camera] = None;
        if unwanted && !self.outage {
            let seal = Seal::Committed;
            self.statuses.push(Written { camera, pod: at, word: Word::Forget, seal });
        }
        self.look(scene, at);
    }
}
