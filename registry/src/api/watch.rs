//! Changes as they happen, by server-sent events.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Serialize;
use tokio::time::interval_at;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, IntervalStream};
use tokio_stream::{Stream, StreamExt as _};

use super::cameras::holder;
use super::query::Filter;
use super::{Answer, App, Asked};
use crate::loads::Loads;
use crate::problem::Problem;
use crate::state;

/// What proxies should see of a stream on which nothing happens.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Whether the token still counts is looked at this often: its file is read again when it changes.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// The statuses as they are, an event `ready`, and from then on what changes: `status`, `camera` (its settings), and
/// `deleted`. `lost` says how many a slow reader missed.
pub(super) fn watch(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&[&Filter::NAMES[..], &["camera", "initial"]].concat())?;
    let filter = Filter::read(&asked.query)?;
    let camera = asked.query.one("camera")?.map(str::to_owned);
    let initial = match asked.query.one("initial")? {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => {
            return Err(Problem::parameter("initial", "is neither true nor false", "give one of them"));
        }
    };
    // Before the look at what is: nothing falls between, though something may come twice.
    let changes = BroadcastStream::new(app.view().watch());
    let is_meant = {
        let (app, camera) = (app.clone(), camera.clone());
        move |id: &str| {
            let named = camera.as_ref().is_none_or(|camera| camera == id);
            named
                && app.view().read(|state| {
                    let runs_on = |known| holder(&Loads::of_pods(state, Instant::now()), known);
                    state.camera(id).is_some_and(|known| filter.fits(known, || runs_on(known)))
                })
        }
    };
    let mut first = Vec::new();
    if initial {
        let statuses = app.view().read(|state| {
            let all = state.registered();
            all.filter_map(|(_, known)| Some(known.status.as_ref()?.status.clone())).collect::<Vec<_>>()
        });
        let meant = statuses.iter().filter(|status| is_meant(&status.camera));
        first.extend(meant.map(|status| event("status", &**status)));
        first.push(event("ready", &serde_json::json!({})));
    }
    let later = changes.filter_map(move |change| told(change, &is_meant, camera.as_deref()));
    let all = tokio_stream::iter(first).chain(later).map(Some);
    // Whoever may not ask any more is not told any more.
    let authorization =
        asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let looks = IntervalStream::new(interval_at(Instant::now().into(), LOOK)).map(|_| None);
    let app = app.clone();
    let may = move |told: &Option<Event>| {
        told.is_some() || app.parts.auth.caller(authorization.as_deref()).is_some()
    };
    let all = all.merge(looks).take_while(may).filter_map(|told| told.map(Ok::<_, Infallible>));
    Ok(sse(all))
}

pub(super) fn sse(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> axum::response::Response {
    Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)).into_response()
}

fn told(
    change: Result<state::Event, BroadcastStreamRecvError>,
    is_meant: &impl Fn(&str) -> bool,
    camera: Option<&str>,
) -> Option<Event> {
    match change {
        Ok(state::Event::Status(status)) => is_meant(&status.camera).then(|| event("status", &*status)),
        Ok(state::Event::Camera(spec)) => is_meant(&spec.id).then(|| event("camera", &*spec)),
        // Nobody can say any more whether a filter would have let it through.
        Ok(state::Event::Deleted(id)) => camera
            .is_none_or(|camera| camera == id)
            .then(|| event("deleted", &serde_json::json!({ "camera": id }))),
        Err(BroadcastStreamRecvError::Lagged(missed)) => {
            Some(event("lost", &serde_json::json!({ "events": missed })))
        }
    }
}

pub(super) fn event(name: &str, data: &impl Serialize) -> Event {
    // JSON holds no line breaks, which an event's data could not have.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
