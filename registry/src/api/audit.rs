//! Who changed what: the newest of it, from memory.

use axum::http::StatusCode;

use super::types::AuditPage;
use super::{Answer, App, Asked, json};
use crate::problem::Problem;

pub(super) fn list(app: &App, asked: &Asked) -> Answer {
    app.work()?;
    asked.query.only(&["camera", "who", "limit", "cursor"])?;
    let (camera, who) = (asked.query.one("camera")?, asked.query.one("who")?);
    let limit = asked.query.limit()?;
    // The place before which the next page begins: partition and offset.
    let place = |text: &str| {
        let (partition, offset) = text.split_once('-')?;
        Some((partition.parse::<i32>().ok()?, offset.parse::<i64>().ok()?))
    };
    let before = match asked.query.one("cursor")? {
        None => None,
        Some(text) => {
            let unknown = || Problem::parameter("cursor", "is none", "give `next` of the page before");
            Some(place(text).ok_or_else(unknown)?)
        }
    };
    let page = app.view().read(|state| {
        let newest = state.audits.newest();
        let mut items = newest
            .skip_while(|entry| before.is_some_and(|before| before != (entry.partition, entry.offset)))
            .skip(usize::from(before.is_some()))
            .filter(|entry| camera.is_none_or(|camera| entry.audit.camera == camera))
            .filter(|entry| who.is_none_or(|who| entry.audit.who == who));
        let page: Vec<_> = items.by_ref().take(limit).collect();
        let next = items.next().and(page.last()).map(|last| format!("{}-{}", last.partition, last.offset));
        AuditPage { items: page.iter().map(|entry| (*entry.audit).clone()).collect(), next }
    });
    json(StatusCode::OK, &page)
}
