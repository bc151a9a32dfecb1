//! How jobs fare, as it happens, by server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Instant;

use axum::http::header::AUTHORIZATION;
use sightline_schema::JobState;
use tokio::time::interval_at;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, IntervalStream};

use super::job_types::JobView;
use super::jobs::JobFilter;
use super::watch::{LOOK, event, sse};
use super::{Answer, App, Asked};

/// How many are in which state, then those in work or waiting, and `ready`; from then on `job` for each change, and `summary`
/// when the numbers changed. `lost` says how many changes a slow reader missed.
pub(super) fn watch(app: &App, asked: &Asked) -> Answer {
    app.parts.jobs.desk()?;
    asked.query.only(&[&JobFilter::NAMES[..], &["job"]].concat())?;
    let filter = JobFilter::read(&asked.query)?;
    // Before the look at what is: nothing falls between, though something may come twice.
    let changes = BroadcastStream::new(app.parts.jobs.view.watch());
    let mut summary = summary(app, &filter);
    let mut first = vec![event("summary", &summary)];
    app.parts.jobs.view.read(|state| {
        let open = |state: JobState| state.is_in_work() || state == JobState::Waiting;
        let shown = state.all().filter(|(_, _, status)| open(status.state) && filter.fits(status));
        first.extend(
            shown.filter_map(|(_, known, _)| Some(event("job", &JobView::of(known, &asked.caller)?))),
        );
    });
    first.push(event("ready", &serde_json::json!({})));
    let later = {
        let (app, filter, caller) = (app.clone(), filter.clone(), asked.caller.clone());
        changes.filter_map(move |change| match change {
            Ok(id) => {
                let view = app.parts.jobs.view.read(|state| JobView::of(state.jobs.get(&id)?, &caller));
                view.filter(|view| filter.fits(&view.status)).map(|view| event("job", &view))
            }
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                Some(event("lost", &serde_json::json!({ "changes": missed })))
            }
        })
    };
    // Whoever may not ask any more, or may see less by now, is not told any more.
    let authorization =
        asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (looking, role) = (app.clone(), asked.caller.role);
    let looks = IntervalStream::new(interval_at(Instant::now().into(), LOOK)).map(move |_| {
        looking.parts.auth.caller(authorization.as_deref()).filter(|now| now.role >= role)?;
        let now = self::summary(&looking, &filter);
        let news = (now != summary).then(|| event("summary", &now));
        summary = now;
        Some(news)
    });
    let told = tokio_stream::iter(first).chain(later).map(|event| Some(Some(event)));
    let all = told.merge(looks).take_while(Option::is_some);
    Ok(sse(all.filter_map(|told| told.flatten().map(Ok::<_, Infallible>))))
}

/// How many are in which state.
fn summary(app: &App, filter: &JobFilter) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = JobState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
    app.parts.jobs.view.read(|state| {
        for (_, _, status) in state.all().filter(|(_, _, status)| filter.fits(status)) {
            *counts.entry(status.state.as_str()).or_default() += 1;
        }
    });
    counts
}
