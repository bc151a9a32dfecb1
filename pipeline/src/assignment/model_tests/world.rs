//! The world of the model: logs, groups, cameras, pods, and what a moment of it looks like.

use std::collections::{BTreeSet, HashMap};

use super::super::reconcile::Phase;

pub(super) const POOLS: [&str; 2] = ["east", "west"];
pub(super) const PODS: [&str; 3] = ["pod-0", "pod-1", "pod-2"];
/// `slot_of` of two slots gives the first 0, the second 1.
pub(super) const CAMERAS: [&str; 2] = ["b", "a"];

/// All there is. Whatever happens in it is one `Step`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The topics, one partition each. A record is of a camera; offsets are places.
    pub(super) cameras: Vec<(usize, Option<Registered>)>,
    pub(super) placements: Vec<(usize, Option<Target>)>,
    pub(super) statuses: Vec<Written>,
    /// One for each pool.
    pub(super) groups: Vec<Group>,
    pub(super) pods: Vec<Pod>,
    /// One for each camera.
    pub(super) scenery: Vec<Scenery>,
    /// No broker answers, and the groups have thrown everybody out.
    pub(super) outage: bool,
    pub(super) left: Left,
    pub(super) broken: BTreeSet<Broken>,
}

/// How much may happen yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Left {
    /// What people and the registry do: moves, changes, planned stops.
    pub(super) changes: u8,
    pub(super) faults: u8,
    /// Of each camera.
    pub(super) frames: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Registered {
    pub(super) enabled: bool,
    pub(super) generation: u64,
}

/// A pool, and a slot of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) pool: usize,
    pub(super) slot: u32,
}

/// A record of `camera-status`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Written {
    pub(super) camera: usize,
    pub(super) pod: usize,
    pub(super) word: Word,
    pub(super) seal: Seal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Claim { slot: u32, placement: i64 },
    Status { epoch: u64, placement: i64, state: &'static str, first: Option<u8>, last: Option<u8> },
    Forget,
}

/// Whether readers of committed records see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seal {
    Open,
    Committed,
    Aborted,
}

/// A group's coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) generation: u8,
    pub(super) members: BTreeSet<usize>,
    /// Who has a slot, and who is to have it.
    pub(super) owner: Vec<Option<usize>>,
    pub(super) target: Vec<Option<usize>>,
}

impl Group {
    pub(super) fn new(slots: u32) -> Self {
        let none = vec![None; slots as usize];
        Self { generation: 0, members: BTreeSet::new(), owner: none.clone(), target: none }
    }

    /// Like cooperative-sticky: who has a slot keeps it while that is even; one that is to go to another is revoked
    /// first, and assigned in the generation after.
    pub(super) fn rebalance(&mut self) {
        self.generation += 1;
        let quota = self.owner.len().div_ceil(self.members.len().max(1));
        let mut counts: HashMap<usize, usize> = self.members.iter().map(|pod| (*pod, 0)).collect();
        self.target = vec![None; self.owner.len()];
        for (target, owner) in self.target.iter_mut().zip(&mut self.owner) {
            *owner = owner.filter(|owner| counts.contains_key(owner));
            if let Some(count) =
                owner.and_then(|owner| counts.get_mut(&owner)).filter(|count| **count < quota)
            {
                *count += 1;
                *target = *owner;
            }
        }
        for (target, owner) in
            self.target.iter_mut().zip(&mut self.owner).filter(|(target, _)| target.is_none())
        {
            let least = self.members.iter().copied().min_by_key(|pod| (counts[pod], *pod));
            if let Some(least) = least {
                *counts.entry(least).or_default() += 1;
                *target = Some(least);
                *owner = owner.or(*target);
            }
        }
    }

    pub(super) fn slots_of(&self, pod: usize) -> BTreeSet<u32> {
        (0..).zip(&self.owner).filter(|(_, owner)| **owner == Some(pod)).map(|(slot, _)| slot).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Up,
    /// Asked to stop: it has left the group, and waits until others have its cameras.
    Leaving,
    /// Stopped by a signal, and thrown out of the group meanwhile.
    Asleep,
    /// Killed.
    Crashed,
    /// Came to its end.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pod {
    pub(super) pool: usize,
    pub(super) life: Life,
    /// As whom it believes to be a member; `Held`.
    pub(super) generation: Option<u8>,
    pub(super) slots: BTreeSet<u32>,
    pub(super) is_settled: bool,
    pub(super) unsure: Option<Unsure>,
    /// How far it has read each topic.
    pub(super) read: [usize; 3],
    pub(super) transaction: Option<Transaction>,
    /// Its claims were refused, and it waits a little.
    pub(super) was_refused: bool,
    /// By camera.
    pub(super) runs: Vec<Option<Run>>,
    /// Results that no broker took yet: camera, epoch, time.
    pub(super) outbox: Vec<(usize, u64, u8)>,
}

impl Pod {
    pub(super) fn new(pool: usize, cameras: usize) -> Self {
        Self {
            pool,
            life: Life::Up,
            generation: None,
            slots: BTreeSet::new(),
            is_settled: false,
            unsure: None,
            read: [0; 3],
            transaction: None,
            was_refused: false,
            runs: vec![None; cameras],
            outbox: Vec::new(),
        }
    }

    /// Whether its threads run.
    pub(super) fn is_awake(&self) -> bool {
        matches!(self.life, Life::Up | Life::Leaving)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unsure {
    /// Not back in the group.
    Out,
    /// Back, and to read up to there.
    Reads([usize; 3]),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transaction {
    pub(super) stage: Stage,
    /// As whom the pod decided.
    pub(super) generation: u8,
    /// Camera, slot, placement; and where the claim lies.
    pub(super) claims: Vec<(usize, u32, i64, usize)>,
    /// Whether the pod had all slots when its offsets arrived. The coordinator sees to it, where the fence holds.
    pub(super) is_entitled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Decided,
    Produced,
    OffsetsSent,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) epoch: u64,
    pub(super) placement: i64,
    pub(super) phase: Phase,
    pub(super) generation: u64,
    pub(super) unwanted: bool,
    /// The next frame it sees, once connected.
    pub(super) next: Option<u8>,
    pub(super) hold: Hold,
    /// `RunControl`: results later than this are the successor's; one came by.
    pub(super) until: Option<u8>,
    pub(super) is_past: bool,
    /// `KafkaOutlet`: what is not later was published by the run before.
    pub(super) published: Option<u8>,
    pub(super) first: Option<u8>,
    pub(super) last: Option<u8>,
    /// Its status waits for a broker.
    pub(super) unsaid: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    Open,
    Held(Vec<u8>),
    /// What was held, and the last result of the runs before.
    Released(Vec<u8>, Option<u8>),
}

/// A camera, and who reads its results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Scenery {
    /// How many frames it has shown.
    pub(super) frames: u8,
    /// The reader of `detections`: the newest epoch seen, the last time accepted.
    pub(super) epoch: u64,
    pub(super) accepted: Option<u8>,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Broken {
    /// A result of an older epoch was acted on after one of a newer.
    OlderCounted,
    /// A time was accepted twice.
    Twice,
    /// A claim's epoch is not above those of all earlier claims, or readers compute another than the pod.
    Epoch,
    /// A claim was committed by a pod that did not hold the camera's slot when its offsets arrived.
    Zombie,
    /// A pod that had seen a claim by a newer placement claimed by an older.
    BackInTime,
    /// Where nothing went wrong: a result came late or was no news, so that the reader's rules had to act.
    NetWasNeeded,
    /// Where nothing went wrong: a result is missing.
    Gap,
    /// Where nothing went wrong: somebody had to lose patience.
    Patience,
}
