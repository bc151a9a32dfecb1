//! Pods, and how many there should be.

use std::time::Instant;

use axum::http::StatusCode;

use super::types::{PodList, PodView, Scaling};
use super::{Answer, App, Asked, json};
use crate::state::State;

/// Pods are wanted so that each is full to this share.
const TARGET: f64 = 0.8;

pub(super) fn list(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&["pool"])?;
    let pool = asked.query.one("pool")?;
    let now = Instant::now();
    let items = app.view().read(|state| {
        let of_pool = state.pods.values().filter(|known| pool.is_none_or(|pool| known.pod.pool == pool));
        let shown = of_pool.map(|known| PodView {
            pod: (*known.pod).clone(),
            alive: known.is_alive(now),
            age_s: (now.saturating_duration_since(known.seen).as_secs_f64() * 10.0).round() / 10.0,
        });
        shown.collect()
    });
    json(StatusCode::OK, &PodList { items })
}

pub(super) fn scaling(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&["pool"])?;
    let pool = asked.query.one("pool")?.unwrap_or("default").to_owned();
    json(StatusCode::OK, &app.view().read(|state| of_pool(state, &pool, Instant::now())))
}

/// How many pods a pool wants.
pub(crate) fn of_pool(state: &State, pool: &str, now: Instant) -> Scaling {
    let of_pool = state.registered().filter(|(_, known)| known.pool() == Some(pool));
    let wanted_fps: f64 = of_pool.map(|(_, known)| known.wanted_fps()).sum();
    let capacities: Vec<f64> = state
        .live_pods(now)
        .filter(|pod| pod.pool == pool)
        .map(|pod| pod.capacity_fps)
        .filter(|fps| fps.is_finite() && *fps > 0.0)
        .collect();
    let capacity = match capacities.len() {
        0 => state.capacities.get(pool).copied().unwrap_or(1.0),
        pods => capacities.iter().sum::<f64>() / pods as f64,
    };
    let three = |value: f64| (value * 1e3).round() / 1e3;
    Scaling {
        pool: pool.to_owned(),
        pods_wanted: three(wanted_fps / (TARGET * capacity)),
        wanted_fps: three(wanted_fps),
        capacity_fps_per_pod: three(capacity),
        pods: state.live_pods(now).filter(|pod| pod.pool == pool).count(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sightline_schema::{Camera, Sampling};

    use super::*;
    use crate::loads::tests::pod;
    use crate::state::{Known, Lies, POD_LIFE};

    #[test]
    fn pods_wanted_are_what_is_wanted_over_four_fifths_of_what_they_can() {
        let mut state = State::default();
        for n in 0..16 {
            let mut camera = Camera::new(format!("c{n}"), "x");
            camera.sampling = Sampling::Fps { fps: 10.0 };
            camera.enabled = n > 0;
            let known =
                Known { camera: Some(Lies { value: Arc::new(camera), offset: 0 }), ..Known::default() };
            state.cameras.insert(format!("c{n}"), known);
        }
        let now = Instant::now();
        let before = of_pool(&state, "default", now);
        assert_eq!((before.wanted_fps, before.capacity_fps_per_pod, before.pods), (150.0, 1.0, 0));
        for (name, capacity) in [("a", 40.0), ("b", 60.0)] {
            state.pods.insert(name.into(), pod(name, capacity, &[]));
        }
        state.capacities.insert("default".into(), 60.0);
        let with = of_pool(&state, "default", now);
        assert_eq!((with.pods_wanted, with.capacity_fps_per_pod, with.pods), (3.75, 50.0, 2));
        let dead = of_pool(&state, "default", now + 2 * POD_LIFE);
        assert_eq!((dead.pods_wanted, dead.capacity_fps_per_pod, dead.pods), (3.125, 60.0, 0));
        assert_eq!(of_pool(&state, "gpu", now).pods_wanted, 0.0);
    }
}
