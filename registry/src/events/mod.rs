//! What happened: live from the topic, and from the database where there is one.

use std::sync::Arc;

use sightline_service::database::DatabaseSettings;

mod cursor;
mod feed;
mod filter;
mod happened;
mod history;
mod outbox;
mod recent;
mod row;
mod watch;

pub(crate) use cursor::{Behind, positions};
pub(crate) use feed::Feed;
pub(crate) use filter::Filter;
pub(crate) use history::History;
pub(crate) use outbox::{End, Told};
pub(crate) use watch::{Place, Watching};

use crate::metrics::Metrics;

/// Both, as far as they are there.
pub(crate) struct Events {
    pub(crate) feed: Arc<Feed>,
    pub(crate) history: Option<History>,
}

impl Events {
    pub(crate) fn new(database: Option<DatabaseSettings>, metrics: &Metrics) -> Self {
        let history = database.map(|database| History::new(database, metrics.clone()));
        Self { feed: Feed::new(metrics.clone()), history }
    }
}
