//! What happened: pages of the history, and as it happens by server-sent events.

use std::convert::Infallible;
use std::time::Instant;

use axum::http::StatusCode;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, Sse};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::watch::{LOOK, SIGN_OF_LIFE};
use super::{Answer, App, Asked, json};
use crate::events::{Behind, End, Filter, Place, Told, Watching, positions};
use crate::problem::Problem;

/// Where a client says what it got last.
const LAST_EVENT_ID: &str = "last-event-id";
/// An event may be dated by a clock that is ahead of the one that dates its record.
const CLOCKS_MS: i64 = 15_000;

/// A page; or, to who accepts a stream of events, one.
pub(super) async fn list(app: &App, asked: Asked) -> Answer {
    let accepted = asked.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/event-stream")) {
        return watch(app, asked).await;
    }
    asked.query.only(&[&Filter::NAMES[..], &["until", "limit", "cursor"]].concat())?;
    let filter = Filter::read(&asked.query)?;
    let limit = asked.query.limit()?;
    let unknown = || Problem::parameter("cursor", "is none", "give `next` of the page before");
    let behind = asked.query.one("cursor")?;
    let behind = behind.map(|text| Behind::read(text).ok_or_else(unknown)).transpose()?;
    let history = app.parts.events.history.as_ref().ok_or_else(Problem::no_history)?;
    let page = history.page(&filter, behind, limit).await;
    json(StatusCode::OK, &page.map_err(|fault| Problem::unavailable(fault.to_string()))?)
}

/// Events under their type, from `since`, from behind the last that the client got, or from now on; `ready` where what comes
/// is what happens, and `ended` as the last word of a stream that can't go on.
pub(super) async fn watch(app: &App, asked: Asked) -> Answer {
    app.work()?;
    asked.query.only(&Filter::NAMES)?;
    let filter = Filter::read(&asked.query)?;
    let place = match asked.headers.get(LAST_EVENT_ID) {
        Some(last) => {
            let place = last.to_str().ok().and_then(positions);
            Place::Positions(place.ok_or_else(|| {
                let next_step = "give the id of an event of such a stream, or leave it out";
                Problem::parameter("Last-Event-ID", "is no place in the events", next_step)
            })?)
        }
        None => filter.since.map_or(Place::Now, |since| {
            Place::Since(since.as_micros().div_euclid(1000).saturating_sub(CLOCKS_MS))
        }),
    };
    let watching = Watching::begin(&app.parts.events.feed, filter, place).await?;
    let authorization =
        asked.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // One at a time: what waits, waits where it is counted.
    let (out, told) = mpsc::channel(1);
    tokio::spawn(tell(app.clone(), watching, authorization, out));
    Ok(Sse::new(ReceiverStream::new(told).map(Ok::<_, Infallible>)).into_response())
}

/// Until the watcher leaves, its token is none any more, the process stops, or nothing more can come.
async fn tell(app: App, watching: Watching, authorization: Option<String>, out: mpsc::Sender<Event>) {
    let sent = &app.parts.metrics.events_sent;
    let mut looks = interval_at((Instant::now() + LOOK).into(), LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = watching.feed.stopped();
    tokio::pin!(stopped);
    // The first line says that somebody is there.
    let mut next = Some(Event::default().comment("sightline"));
    let (mut said, mut is_last) = (Instant::now(), false);
    loop {
        tokio::select! {
            biased;
            () = out.closed() => return,
            () = &mut stopped => return,
            _ = looks.tick() => {
                // Whoever may not ask any more is not told any more.
                if app.parts.auth.caller(authorization.as_deref()).is_none() {
                    return;
                }
                if next.is_none() && said.elapsed() >= SIGN_OF_LIFE {
                    next = Some(sign_of_life(&watching));
                }
            }
            room = out.reserve(), if next.is_some() => {
                let (Ok(room), Some(event)) = (room, next.take()) else { return };
                room.send(event);
                said = Instant::now();
                if is_last {
                    return;
                }
            }
            told = watching.outbox.next(), if next.is_none() => {
                is_last = told.is_err();
                if matches!(told, Ok(Told::Happened { .. })) {
                    sent.inc();
                }
                next = Some(event(told));
            }
        }
    }
}

/// Proxies see that the stream lives, and a client that found nothing meant for it for long need not go on from long ago.
fn sign_of_life(watching: &Watching) -> Event {
    let event = Event::default().comment("");
    match watching.feed.place(&watching.outbox) {
        Some(place) => event.id(place),
        None => event,
    }
}

fn event(told: Result<Told, End>) -> Event {
    let of = |name: &str, data: serde_json::Value| Event::default().event(name).data(data.to_string());
    match told {
        Ok(Told::Happened { happened, cursor }) => {
            Event::default().id(&*cursor).event(happened.kind()).data(&happened.data)
        }
        Ok(Told::Live { cursor }) => of("ready", json!({})).id(&*cursor),
        Ok(Told::Cut) => of(
            "lost",
            json!({"detail": "what came right behind the last event is not in the topic any more; the history may have it"}),
        ),
        Err(End::Slow) => of(
            "ended",
            json!({"reason": "slow", "detail": "events came faster than they were read; send the last id as Last-Event-ID to go \
                on from there, or ask for less"}),
        ),
        Err(End::Unavailable(why)) => of(
            "ended",
            json!({"reason": "unavailable", "detail": format!("events can't be read: {why}; try again")}),
        ),
    }
}
