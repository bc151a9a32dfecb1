//! Jobs: pages of them, and one.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use sightline_schema::{JobState, JobStatus};

use super::job_types::{JobPage, JobView};
use super::query::Query;
use super::{Answer, App, Asked, body, json};
use crate::auth::Caller;
use crate::jobs::{Known, Wish};
use crate::problem::Problem;

/// Which jobs are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct JobFilter {
    states: Vec<JobState>,
    /// Name, and value where one is asked for. All of them.
    labels: Vec<(String, Option<String>)>,
    pool: Option<String>,
    ids: Vec<String>,
}

impl JobFilter {
    pub(super) const NAMES: [&'static str; 3] = ["state", "label", "pool"];

    pub(super) fn read(query: &Query) -> Result<Self, Problem> {
        let state = |name: &str| {
            let found = JobState::ALL.into_iter().find(|state| state.as_str() == name);
            found.ok_or_else(|| {
                let next_step = format!("give {}", JobState::ALL.map(JobState::as_str).join(", "));
                Problem::parameter("state", format!("{name:?} is no state of a job"), next_step)
            })
        };
        let label = |text: &str| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        Ok(Self {
            states: query
                .all("state")
                .flat_map(|list| list.split(','))
                .map(state)
                .collect::<Result<_, _>>()?,
            labels: query.all("label").map(label).collect(),
            pool: query.one("pool")?.map(str::to_owned),
            ids: query.all("job").flat_map(|list| list.split(',')).map(str::to_owned).collect(),
        })
    }

    pub(super) fn fits(&self, status: &JobStatus) -> bool {
        let labelled = |(name, value): &(String, Option<String>)| {
            let found = status.labels.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        (self.states.is_empty() || self.states.contains(&status.state))
            && self.labels.iter().all(labelled)
            && self.pool.as_ref().is_none_or(|pool| *pool == status.pool)
            && (self.ids.is_empty() || self.ids.contains(&status.job))
    }
}

pub(super) fn list(app: &App, asked: &Asked) -> Answer {
    app.parts.jobs.desk()?;
    asked.query.only(&[&JobFilter::NAMES[..], &["limit", "cursor"]].concat())?;
    let filter = JobFilter::read(&asked.query)?;
    let limit = asked.query.limit()?;
    let after = asked.query.one("cursor")?.unwrap_or_default();
    let page = app.parts.jobs.view.read(|state| {
        let mut page = JobPage::default();
        for (id, known, _) in state.all().filter(|(_, _, status)| filter.fits(status)) {
            page.total += 1;
            if id.as_str() <= after {
                continue;
            }
            if page.items.len() == limit {
                page.next =
                    page.next.or_else(|| page.items.last().map(|last: &JobView| last.status.job.clone()));
            } else {
                page.items.extend(JobView::of(known, &asked.caller));
            }
        }
        page
    });
    json(StatusCode::OK, &page)
}

pub(super) fn get(app: &App, asked: &Asked) -> Answer {
    app.parts.jobs.desk()?;
    asked.query.only(&[])?;
    let found = app.parts.jobs.view.read(|state| JobView::of(state.jobs.get(&asked.id)?, &asked.caller));
    json(StatusCode::OK, &found.ok_or_else(|| Problem::no_job(&asked.id))?)
}

pub(super) async fn cancel(app: &App, asked: Asked) -> Answer {
    change(app, asked, Wish::Cancel).await
}

pub(super) async fn retry(app: &App, asked: Asked) -> Answer {
    change(app, asked, Wish::Retry).await
}

async fn change(app: &App, asked: Asked, wish: impl FnOnce(String) -> Wish) -> Answer {
    asked.query.only(&[])?;
    body::discard(asked.body).await;
    let caller = asked.caller;
    let answered = app.parts.jobs.desk()?.hand_in(wish(asked.id), &caller.name);
    let done = answered
        .await
        .map_err(|_| Problem::unavailable("the registry is stopping; look, and try again"))??;
    told(app, &caller, &done.known, done.followed)
}

/// What a change is answered with: the job as it is now.
fn told(app: &App, caller: &Caller, decided: &Known, followed: bool) -> Answer {
    let id = decided.status.as_ref().map(|status| status.job.clone()).unwrap_or_default();
    // A worker may have said more meanwhile.
    let viewed = app.parts.jobs.view.read(|state| JobView::of(state.jobs.get(&id)?, caller));
    let view =
        if followed { viewed.or_else(|| JobView::of(decided, caller)) } else { JobView::of(decided, caller) };
    let status = if followed { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = json(status, &view.ok_or_else(|| Problem::no_job(&id))?)?;
    if !followed && let Ok(location) = HeaderValue::from_str(&format!("/v1/jobs/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
