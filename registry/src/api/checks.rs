//! What a camera has to pass beyond its own rules: addresses that are allowed, a pool that exists, classes that its
//! models know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sightline_schema::Camera;
use sightline_service::uri_policy::{Forbidden, Target, resolve};
use tokio::task::JoinSet;

use crate::api::App;
use crate::problem::{FieldError, Problem};
use crate::state::State;

/// A name may take this long to be resolved; one that takes longer is looked at by whoever connects.
const RESOLUTION: Duration = Duration::from_secs(3);
/// Names resolved at a time.
const AT_ONCE: usize = 32;

/// The names of hosts in uris that are to be resolved.
pub(super) struct Names(BTreeSet<String>);

impl Names {
    pub(super) fn of_cameras<'a>(app: &App, cameras: impl IntoIterator<Item = &'a Camera>) -> Self {
        let streams = cameras.into_iter().flat_map(|camera| &camera.streams);
        Self::of(app, streams.map(|stream| stream.uri.as_str()))
    }

    pub(super) fn of<'a>(app: &App, uris: impl IntoIterator<Item = &'a str>) -> Self {
        let name = |uri| match app.parts.policy.check(uri) {
            Ok(Target::Name(name)) => Some(name),
            _ => None,
        };
        Self(uris.into_iter().filter_map(name).collect())
    }

    pub(super) async fn resolve(self) -> Resolved {
        let Self(names) = self;
        let mut known = BTreeMap::new();
        let mut running = JoinSet::new();
        let deadline = tokio::time::Instant::now() + RESOLUTION * 3;
        for name in names {
            if running.len() == AT_ONCE
                && let Some(Ok((name, addresses))) = running.join_next().await
            {
                known.insert(name, addresses);
            }
            if tokio::time::Instant::now() >= deadline {
                break;
            }
            running.spawn(async move {
                let asked = name.clone();
                let resolving = tokio::task::spawn_blocking(move || resolve(&asked).unwrap_or_default());
                let addresses = tokio::time::timeout(RESOLUTION, resolving).await;
                (name, addresses.ok().and_then(Result::ok).unwrap_or_default())
            });
        }
        while let Some(found) = running.join_next().await {
            if let Ok((name, addresses)) = found {
                known.insert(name, addresses);
            }
        }
        Resolved(known)
    }
}

/// The addresses that names stand for, asked for once.
pub(super) struct Resolved(BTreeMap<String, Vec<IpAddr>>);

impl Resolved {
    /// Whether a uri may be connected to.
    pub(super) fn check(&self, app: &App, uri: &str) -> Result<(), Forbidden> {
        match app.parts.policy.check(uri)? {
            Target::Name(name) => {
                let addresses = self.0.get(&name).map(Vec::as_slice).unwrap_or_default();
                app.parts.policy.check_addresses(&name, addresses)
            }
            // Nobody plays an object as a camera.
            Target::Object(_) => Err(Forbidden {
                reason: "objects of a bucket are no cameras".to_owned(),
                next_step: "add it as a job, by sightline job add or POST /v1/jobs".to_owned(),
            }),
            Target::Address(_) | Target::File(_) | Target::Test => Ok(()),
        }
    }
}

/// All that can't be used about a camera beside its own rules.
pub(super) fn check(app: &App, camera: &Camera, resolved: &Resolved) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, stream) in camera.streams.iter().enumerate() {
        if let Err(Forbidden { reason, next_step }) = resolved.check(app, &stream.uri) {
            errors.push(FieldError::new(format!("streams[{i}].uri"), reason, next_step));
        }
    }
    app.view().read(|state| errors.extend(classes(state, camera)));
    errors
}

/// Asks for the slots of a camera's pool, so that the desk knows them. Kafka being away is no fault of the camera.
pub(super) async fn learn_pools(app: &App, pools: BTreeSet<String>) -> Result<(), Problem> {
    let known = app.work()?.pools.clone();
    let asked =
        tokio::task::spawn_blocking(move || pools.iter().try_for_each(|pool| known.learn(pool).map(|_| ())));
    match asked.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(Problem::unavailable(format!("nothing was written: {fault}; try again"))),
        Err(_) => Err(Problem::unavailable("the registry is stopping; try again")),
    }
}

/// Class names that no live pod of the camera's pool knows. Where none lives, nobody can say.
fn classes(state: &State, camera: &Camera) -> Vec<FieldError> {
    let known_camera = state.camera(&camera.id);
    // A camera that was moved to another pool runs there, whatever its settings name.
    let moved = known_camera
        .filter(|known| known.camera.as_ref().is_some_and(|before| before.value.pool == camera.pool));
    let pool = moved.and_then(|known| known.pool()).unwrap_or(&camera.pool);
    let mut known = BTreeSet::new();
    let mut pods = 0;
    for pod in state.live_pods(Instant::now()).filter(|pod| pod.pool == pool) {
        known.extend(pod.model.classes.iter().map(String::as_str));
        pods += 1;
    }
    if pods == 0 {
        return Vec::new();
    }
    let fields = named_classes(camera);
    let unknown = fields.into_iter().filter(|(_, class)| !known.contains(class.as_str()));
    unknown
        .map(|(field, class)| {
            let near = near(&class, &known);
            let next_step = if near.is_empty() {
                format!("the model has {}", some(&known))
            } else {
                format!("did you mean {}?", near.join(" or "))
            };
            let reason = format!("{class:?} is no class of the model in pool {pool:?}");
            FieldError::new(field, reason, next_step)
        })
        .collect()
}

/// Every place that names a class.
fn named_classes(camera: &Camera) -> Vec<(String, String)> {
    let list = |field: String, names: &[String]| -> Vec<(String, String)> {
        names.iter().enumerate().map(|(i, name)| (format!("{field}[{i}]"), name.clone())).collect()
    };
    let mut all = list("detect.classes".to_owned(), &camera.detect.classes);
    let confidences = camera.detect.class_confidence.keys();
    all.extend(confidences.map(|class| (format!("detect.class_confidence.{class}"), class.clone())));
    for (i, zone) in camera.zones.iter().enumerate() {
        all.extend(list(format!("zones[{i}].classes"), &zone.classes));
    }
    for (i, line) in camera.lines.iter().enumerate() {
        all.extend(list(format!("lines[{i}].classes"), &line.classes));
    }
    all
}

/// Up to three names that look like it.
fn near(class: &str, known: &BTreeSet<&str>) -> Vec<String> {
    let class = class.to_lowercase();
    let mut near: Vec<_> = known
        .iter()
        .map(|name| (strsim::jaro_winkler(&class, &name.to_lowercase()), *name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, name)| format!("{name:?}")).collect()
}

fn some(known: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<_> = known.iter().take(SHOWN).copied().collect();
    if known.len() > SHOWN {
        names.push("…");
    }
    names.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::loads::tests::pod;

    #[test]
    fn a_class_that_no_model_knows_is_named_with_those_that_look_like_it() {
        let mut state = State::default();
        let mut camera = Camera::new("gate", "x");
        camera.detect.classes = vec!["person".into(), "preson".into()];
        camera.detect.class_confidence.insert("zebra".into(), 0.5);
        assert!(classes(&state, &camera).is_empty(), "nobody can say");
        state.pods.insert("a".into(), pod("a", 1.0, &[0]));
        let errors = classes(&state, &camera);
        let told: Vec<_> =
            errors.iter().map(|error| (error.field.as_str(), error.next_step.as_str())).collect();
        assert_eq!(
            told,
            [
                ("detect.classes[1]", "did you mean \"person\"?"),
                ("detect.class_confidence.zebra", "the model has car, person"),
            ]
        );
        camera.pool = "gpu".into();
        assert!(classes(&state, &camera).is_empty());
    }
}
