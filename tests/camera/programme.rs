//! The clips one after the other, and which of them is on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clip::Clip;
use crate::feed::Feed;

pub(crate) struct Programme {
    clips: Vec<Arc<Clip>>,
    on: AtomicUsize,
    /// Those of the sessions that are open.
    feeds: Mutex<Vec<Arc<Feed>>>,
}

impl Programme {
    pub(crate) fn new(clips: Vec<Clip>) -> Arc<Self> {
        let clips = clips.into_iter().map(Arc::new).collect();
        Arc::new(Self { clips, on: AtomicUsize::new(0), feeds: Mutex::default() })
    }

    /// Which clip a session gets that begins now.
    pub(crate) fn on(&self) -> usize {
        self.on.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> &Arc<Clip> {
        &self.clips[self.on()]
    }

    pub(crate) fn clip(&self, index: usize) -> Option<&Arc<Clip>> {
        self.clips.get(index)
    }

    /// Goes on to this clip, never back.
    pub(crate) fn advance(&self, to: usize) {
        self.on.fetch_max(to, Ordering::SeqCst);
    }

    pub(crate) fn add(&self, feed: Arc<Feed>) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| feed.is_open());
        feeds.push(feed);
    }

    pub(crate) fn feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
