//! What a write makes of what is registered: decided against the newest known, before anything is written. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use sightline_schema::{Audit, AuditAction, AuditPlacement, Camera, Placement, Timestamp, slot_of};

use crate::loads::{Loads, place_of};
use crate::problem::{FieldError, Problem};
use crate::secrets::Sealer;
use crate::state::{Known, Lies, State};

/// What somebody wants written.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// The settings as they shall be; validated already.
    Put {
        camera: Box<Camera>,
        conditions: Conditions,
    },
    Delete {
        id: String,
        conditions: Conditions,
    },
    Move {
        id: String,
        to: Destination,
        /// Only out of this pool.
        from: Option<String>,
    },
}

impl Wish {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Put { camera, .. } => &camera.id,
            Self::Delete { id, .. } | Self::Move { id, .. } => id,
        }
    }
}

/// On which state of the camera a write depends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// `If-Match`.
    pub if_match: Option<Match>,
    /// `If-None-Match: *`, and `POST`.
    pub must_be_new: bool,
    /// The generation in the body: what the settings were made from. Who sends the same again changes nothing.
    pub made_from: Option<u64>,
    /// The generation that the settings were merged with (0: none was there): a later one wants them merged anew.
    pub merged_with: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// `*`
    Any,
    Generations(Vec<u64>),
}

/// Where a camera moves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Pool(String),
    Pod(String),
    /// By evening-out.
    Slot {
        pool: String,
        slot: u32,
    },
}

/// Why nothing is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    Told(Problem),
    /// Somebody else was quicker: merge anew.
    Stale,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Told(problem)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    Changed,
    Unchanged,
    Deleted,
    Moved,
}

/// What is to be written, and what the camera is then.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub id: String,
    pub outcome: Outcome,
    /// `None`: as it was. `Some(None)`: a tombstone.
    pub camera: Option<Option<Arc<Camera>>>,
    pub placement: Option<Option<Arc<Placement>>>,
    pub audit: Option<Audit>,
}

/// The state that decisions are made on: what the view knows, and above it what was decided and is not in the view yet.
pub(crate) struct Draft<'a> {
    pub state: &'a State,
    pub above: &'a mut BTreeMap<String, Known>,
    pub loads: Loads,
    pub slots: &'a dyn Fn(&str) -> Option<u32>,
    pub sealer: &'a Sealer,
    pub now: Instant,
    pub at: Timestamp,
}

impl Draft<'_> {
    fn known(&self, id: &str) -> Known {
        self.above.get(id).or_else(|| self.state.cameras.get(id)).cloned().unwrap_or_default()
    }

    /// Decides, and lets the decisions behind it see what came of it.
    pub(crate) fn decide(&mut self, wish: &Wish, who: &str) -> Result<Decision, Refusal> {
        let known = self.known(wish.id());
        let decision = match wish {
            Wish::Put { camera, conditions } => self.put(camera, conditions, &known, who)?,
            Wish::Delete { id, conditions } => self.delete(id, conditions, &known, who)?,
            Wish::Move { id, to, from } => self.r#move(id, to, from.as_deref(), &known, who)?,
        };
        self.keep(&decision, known);
        Ok(decision)
    }

    fn keep(&mut self, decision: &Decision, before: Known) {
        let Decision { id, camera, placement, .. } = decision;
        if camera.is_none() && placement.is_none() {
            return;
        }
        // Offsets come with the acknowledgement; nothing asks for them before.
        let lies = |offset: Option<i64>| offset.unwrap_or(-1);
        let mut after = before.clone();
        if let Some(camera) = camera {
            let offset = lies(before.camera.as_ref().map(|camera| camera.offset));
            after.camera = camera.clone().map(|value| Lies { value, offset });
        }
        if let Some(placement) = placement {
            let offset = lies(before.placement.as_ref().map(|placement| placement.offset));
            after.placement = placement.clone().map(|value| Lies { value, offset });
        }
        if before.camera.is_some()
            && let Some((pool, slot)) = place_of(id, &before, self.slots)
        {
            self.loads.remove(&pool, slot, before.wanted_fps());
        }
        if after.camera.is_some()
            && let Some((pool, slot)) = place_of(id, &after, self.slots)
        {
            self.loads.add(&pool, slot, after.wanted_fps());
        }
        self.above.insert(id.clone(), after);
    }

    fn put(
        &self,
        given: &Camera,
        conditions: &Conditions,
        known: &Known,
        who: &str,
    ) -> Result<Decision, Refusal> {
        let current = known.camera.as_ref().map(|lies| &lies.value);
        conditions.check(&given.id, current.map(|camera| camera.generation))?;
        let mut camera = given.clone();
        camera.generation = current.map_or(1, |current| current.generation);
        self.sealer
            .seal(&mut camera, current.map(|camera| &**camera))
            .map_err(|error| Problem::invalid(vec![error]))?;
        // What is only in memory (a record with a password, written by hand) is never the same as what is sealed.
        if current.is_some_and(|current| **current == camera) {
            return Ok(Decision::nothing(&camera.id));
        }
        if let (Some(made_from), Some(current)) = (conditions.made_from, current)
            && made_from != current.generation
        {
            let found = current.generation;
            return Err(Problem::precondition(format!(
                "the settings say generation {made_from}, and camera {:?} has {found} by now; read it again, or leave \
                 the generation out",
                camera.id
            ))
            .into());
        }
        camera.generation = current.map_or(1, |current| current.generation.saturating_add(1));
        let placement = self.placement_of_put(&camera, current, known)?;
        let (outcome, action) = match current {
            None => (Outcome::Created, AuditAction::Created),
            Some(_) => (Outcome::Changed, AuditAction::Changed),
        };
        let fields = current.map(|current| changed(current, &camera)).unwrap_or_default();
        let audit = Audit {
            who: who.to_owned(),
            at: self.at,
            action,
            camera: camera.id.clone(),
            generation: Some(camera.generation),
            fields,
            placement: placement.as_ref().map(led_to),
        };
        Ok(Decision {
            id: camera.id.clone(),
            outcome,
            camera: Some(Some(Arc::new(camera))),
            placement: placement.map(|placement| Some(Arc::new(placement))),
            audit: Some(audit),
        })
    }

    /// A new camera gets a place, and one whose settings name another pool gets one there.
    fn placement_of_put(
        &self,
        camera: &Camera,
        current: Option<&Arc<Camera>>,
        known: &Known,
    ) -> Result<Option<Placement>, Refusal> {
        let named_anew = current.is_none_or(|current| current.pool != camera.pool);
        let elsewhere = known.placement.as_ref().is_none_or(|placement| placement.value.pool != camera.pool);
        let wanted = current.is_none() || named_anew && elsewhere;
        if !wanted {
            return Ok(None);
        }
        let slot = self.slot_in(&camera.id, &camera.pool, "pool")?;
        Ok(Some(Placement { camera: camera.id.clone(), pool: camera.pool.clone(), slot }))
    }

    fn slot_in(&self, id: &str, pool: &str, field: &str) -> Result<u32, Refusal> {
        let Some(slots) = (self.slots)(pool).filter(|slots| *slots > 0) else {
            let error = FieldError::new(
                field,
                format!("there is no pool {pool:?}: it has no topic of slots"),
                format!("make it with: sightline topics apply --pool {pool}, or name another pool"),
            );
            return Err(Problem::invalid(vec![error]).into());
        };
        Ok(self.loads.choose(pool).unwrap_or_else(|| slot_of(id, slots)))
    }

    fn delete(
        &self,
        id: &str,
        conditions: &Conditions,
        known: &Known,
        who: &str,
    ) -> Result<Decision, Refusal> {
        let current = known.camera.as_ref().map(|lies| &lies.value);
        if current.is_none() && !self.state.unreadable.contains(id) {
            return Err(Problem::no_camera(id).into());
        }
        conditions.check(id, current.map(|camera| camera.generation))?;
        let audit = Audit {
            who: who.to_owned(),
            at: self.at,
            action: AuditAction::Deleted,
            camera: id.to_owned(),
            generation: current.map(|camera| camera.generation),
            fields: Vec::new(),
            placement: None,
        };
        Ok(Decision {
            id: id.to_owned(),
            outcome: Outcome::Deleted,
            camera: Some(None),
            placement: known.placement.as_ref().map(|_| None),
            audit: Some(audit),
        })
    }

    fn r#move(
        &self,
        id: &str,
        to: &Destination,
        from: Option<&str>,
        known: &Known,
        who: &str,
    ) -> Result<Decision, Refusal> {
        let Some(camera) = &known.camera else { return Err(Problem::no_camera(id).into()) };
        let (here_pool, here_slot) = place_of(id, known, self.slots).unwrap_or_default();
        if let Some(from) = from
            && known.pool() != Some(from)
        {
            let detail = format!(
                "camera {id:?} is in pool {:?} by now, not in {from:?}; look where it is, and move it from there",
                known.pool().unwrap_or_default()
            );
            return Err(Problem::precondition(detail).into());
        }
        let placement = match to {
            Destination::Pool(pool) if *pool == here_pool && known.placement.is_some() => {
                return Ok(Decision::nothing(id));
            }
            Destination::Pool(pool) => {
                Placement { camera: id.to_owned(), pool: pool.clone(), slot: self.slot_in(id, pool, "pool")? }
            }
            Destination::Pod(pod) => {
                let live = self.state.live_pods(self.now).find(|live| live.pod == *pod);
                let not_there = |reason: String| {
                    let error = FieldError::new("pod", reason, "GET /v1/pods lists those that live");
                    Refusal::Told(Problem::invalid(vec![error]))
                };
                let live = live.ok_or_else(|| not_there(format!("no pod {pod:?} lives")))?;
                if live.pool == here_pool && live.slots.contains(&here_slot) {
                    return Ok(Decision::nothing(id));
                }
                let slot = self.loads.choose_on(&live.pool, pod);
                let slot = slot.ok_or_else(|| not_there(format!("the pod {pod:?} holds no slot")))?;
                Placement { camera: id.to_owned(), pool: live.pool.clone(), slot }
            }
            Destination::Slot { pool, slot } => {
                if *pool != here_pool {
                    return Err(Refusal::Stale);
                }
                Placement { camera: id.to_owned(), pool: pool.clone(), slot: *slot }
            }
        };
        let audit = Audit {
            who: who.to_owned(),
            at: self.at,
            action: AuditAction::Moved,
            camera: id.to_owned(),
            generation: Some(camera.value.generation),
            fields: Vec::new(),
            placement: Some(led_to(&placement)),
        };
        Ok(Decision {
            id: id.to_owned(),
            outcome: Outcome::Moved,
            camera: None,
            placement: Some(Some(Arc::new(placement))),
            audit: Some(audit),
        })
    }
}

impl Decision {
    fn nothing(id: &str) -> Self {
        let id = id.to_owned();
        Self { id, outcome: Outcome::Unchanged, camera: None, placement: None, audit: None }
    }
}

impl Conditions {
    fn check(&self, id: &str, generation: Option<u64>) -> Result<(), Refusal> {
        if self.merged_with.is_some_and(|merged_with| merged_with != generation.unwrap_or(0)) {
            return Err(Refusal::Stale);
        }
        if self.must_be_new && generation.is_some() {
            return Err(Problem::exists(id).into());
        }
        let holds = match (&self.if_match, generation) {
            (None, _) | (Some(Match::Any), Some(_)) => true,
            (Some(Match::Generations(wanted)), Some(found)) => wanted.contains(&found),
            (Some(_), None) => false,
        };
        if holds {
            return Ok(());
        }
        let found = generation.map_or("is not there".to_owned(), |found| format!("has generation {found}"));
        let detail =
            format!("If-Match does not hold: camera {id:?} {found}; read it again, and change what is there");
        Err(Problem::precondition(detail).into())
    }
}

fn led_to(placement: &Placement) -> AuditPlacement {
    AuditPlacement { pool: placement.pool.clone(), slot: placement.slot }
}

/// The names of the settings that differ.
fn changed(before: &Camera, after: &Camera) -> Vec<String> {
    let object = |camera: &Camera| match serde_json::to_value(camera) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (object(before), object(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&&String| name.as_str() != "generation" && before.get(**name) != after.get(**name);
    names.iter().filter(differs).map(|name| (*name).clone()).collect()
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
