//! One watcher, from its place on: by a reader of its own where it has to, and then with all others.

use std::sync::Arc;
use std::time::Duration;

use sightline_service::kafka::{Follower, Start};
use sightline_service::shutdown::Shutdown;

use super::cursor;
use super::feed::{ANSWER, Feed, Seat};
use super::filter::Filter;
use super::happened::Happened;
use super::outbox::{End, Outbox, Told};
use super::recent::{Joined, Watcher};
use crate::problem::Problem;

/// One wait for records.
const LOOK: Duration = Duration::from_millis(50);
/// How long a watcher may take nothing while it is read for.
const PATIENCE: Duration = Duration::from_secs(30);

/// From where on it is told.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Now,
    /// What was written at this time or later; milliseconds since 1970.
    Since(i64),
    Positions(Vec<i64>),
}

/// A watcher that is told, as long as this is kept.
pub(crate) struct Watching {
    pub(crate) feed: Arc<Feed>,
    pub(crate) outbox: Arc<Outbox>,
    _seat: Seat,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.outbox.leave();
    }
}

impl Watching {
    pub(crate) async fn begin(feed: &Arc<Feed>, filter: Filter, place: Place) -> Result<Self, Problem> {
        let seat = feed.seat()?;
        let outbox = Outbox::new(feed.metrics.event_watchers_slow.clone());
        let watcher = Watcher { filter: Arc::new(filter), outbox: outbox.clone() };
        let watching = Self { feed: feed.clone(), outbox, _seat: seat };
        let known = match &place {
            Place::Now => None,
            Place::Since(_) => Some(&[][..]),
            Place::Positions(positions) => Some(positions.as_slice()),
        };
        loop {
            feed.opened().await?;
            match feed.join(known, &watcher) {
                Joined::Yes => return Ok(watching),
                Joined::Closed => tokio::time::sleep(LOOK).await,
                // What seems to be ahead may be a place in another topic of the same name.
                Joined::Behind | Joined::Ahead => break,
            }
        }
        let start = match place {
            Place::Now => Start::End,
            Place::Since(time) => Start::Time(time),
            Place::Positions(positions) => Start::Offsets(positions),
        };
        let feed = feed.clone();
        tokio::spawn(async move {
            let Ok(turn) = feed.readers.clone().acquire_owned().await else { return };
            if watcher.outbox.is_closed() {
                return;
            }
            tokio::task::spawn_blocking(move || {
                read(&feed, &start, &watcher);
                drop(turn);
            });
        });
        Ok(watching)
    }
}

/// Reads until the others' reader has what comes next, or nobody takes it any more.
fn read(feed: &Feed, start: &Start, watcher: &Watcher) {
    let Some(on) = feed.on.get() else { return };
    let Watcher { filter, outbox } = watcher;
    let mut follower = match Follower::open(&on.settings, &on.topic, start, ANSWER) {
        Ok(follower) => follower,
        Err(fault) => return outbox.end(End::Unavailable(fault.to_string())),
    };
    if follower.is_cut() {
        // It has room: it is the first.
        let _ = outbox.put_first(Told::Cut);
    }
    while !on.shutdown.is_set() && !outbox.is_closed() {
        // Those that stay with the others' reader find room.
        if outbox.wait_for_half(PATIENCE).is_err() {
            return;
        }
        match feed.join(Some(follower.positions()), watcher) {
            Joined::Yes => return,
            Joined::Ahead => drop(on.shutdown.wait_timeout(LOOK / 5)),
            // It waits for Kafka, maybe: somebody watches.
            Joined::Closed => drop(on.shutdown.wait_timeout(LOOK)),
            Joined::Behind => read_on(&mut follower, filter, outbox, &on.shutdown),
        }
    }
}

fn read_on(follower: &mut Follower, filter: &Filter, outbox: &Outbox, shutdown: &Shutdown) {
    let mut at = follower.positions().to_vec();
    follower.poll(LOOK, |record| {
        if shutdown.is_set() || outbox.is_closed() {
            return;
        }
        let Some(happened) = Happened::read(&record) else { return };
        if let Some(position) = at.get_mut(happened.partition) {
            *position = happened.offset + 1;
        }
        if filter.fits(&happened.event) {
            let cursor = cursor::of_positions(&at).into();
            let told = Told::Happened { happened: Arc::new(happened), cursor };
            // Closed is closed: it is looked at above.
            let _ = outbox.put_waiting(told, PATIENCE);
        }
    });
}
