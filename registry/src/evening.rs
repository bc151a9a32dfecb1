//! Looks every second whether the pods of a pool carry unevenly, and has the desk move what the balancer says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_schema::CameraState;
use sightline_service::shutdown::Shutdown;

use crate::balance::{Balancers, Weight};
use crate::desk::Desk;
use crate::loads::{Loads, place_of};
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::state::{Known, State};
use crate::view::View;
use crate::wish::{Destination, Outcome, Wish};

const LOOK: Duration = Duration::from_secs(1);
/// The name under which moves are audited.
pub(crate) const WHO: &str = "registry";

/// Runs until `shutdown`.
pub(crate) fn run(view: &View, desk: &Desk, pools: &Arc<Pools>, metrics: &Metrics, shutdown: &Shutdown) {
    let mut balancers = Balancers::default();
    while !shutdown.wait_timeout(LOOK) {
        let named = view.read(|state| {
            state
                .live_pods(Instant::now())
                .map(|pod| pod.pool.clone())
                .collect::<std::collections::BTreeSet<_>>()
        });
        for pool in &named {
            if let Err(fault) = pools.learn(pool) {
                tracing::debug!(pool, "how many slots a pool has is not known: {fault}");
            }
        }
        let slots = |pool: &str| pools.slots(pool);
        let now = Instant::now();
        let moves = view.read(|state| {
            let loads = Loads::of(state, now, slots);
            balancers.look(now, &loads, slots, weights(state, slots))
        });
        let mut waiting = Vec::new();
        for (pool, step) in moves {
            tracing::info!(camera = step.camera, pod = step.pod, pool, "evening out");
            let to = Destination::Slot { pool: pool.clone(), slot: step.slot };
            let wish = Wish::Move { id: step.camera.clone(), to, from: None };
            waiting.push((pool, step.camera, desk.hand_in(wish, WHO)));
        }
        for (pool, camera, answered) in waiting {
            match answered.blocking_recv() {
                Ok(Ok(done)) if done.outcome == Outcome::Moved => drop(metrics.evened.inc()),
                _ => balancers.refused(&pool, &camera),
            }
        }
    }
}

/// The enabled cameras of each pool.
fn weights(state: &State, slots: impl Fn(&str) -> Option<u32> + Copy) -> BTreeMap<String, Vec<Weight>> {
    let mut weights = BTreeMap::<String, Vec<Weight>>::new();
    for (id, known) in state.registered() {
        let enabled = known.camera.as_ref().is_some_and(|camera| camera.value.enabled);
        if let (true, Some((pool, slot))) = (enabled, place_of(id, known, slots)) {
            let weight =
                Weight { id: id.clone(), slot, wanted: known.wanted_fps(), settled_on: settled_on(known) };
            weights.entry(pool).or_default().push(weight);
        }
    }
    weights
}

/// The pod on which a camera acts on its newest placement, and either runs or says why not.
fn settled_on(known: &Known) -> Option<String> {
    let status = &known.status.as_ref()?.status;
    let placed = known
        .placement
        .as_ref()
        .is_none_or(|placement| status.placement.is_none_or(|acts_on| acts_on >= placement.offset));
    let settled = !matches!(status.state, CameraState::Claimed | CameraState::Connecting);
    (placed && settled).then(|| status.pod.clone())
}
