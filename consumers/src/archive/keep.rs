//! How long files are kept: by age and by size, the oldest first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sightline_service::objects::Meta;
use sightline_service::shutdown::Shutdown;

use super::metrics::Archived;
use super::names::is_ours;
use super::rows::Kind;
use super::store::{Store, StoreFault};

/// Looked at this often.
const EVERY: Duration = Duration::from_secs(600);
/// Whether partition 0 came is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What is kept of one topic. Ages are those of the files: footage of old recordings has old days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub age: Option<Duration>,
    pub bytes: Option<u64>,
}

impl Keep {
    const fn is_all(&self) -> bool {
        self.age.is_none() && self.bytes.is_none()
    }

    /// Which of these go.
    fn too_many(&self, mut found: Vec<Meta>, now: SystemTime) -> Vec<Meta> {
        found.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        let mut bytes: u64 = found.iter().map(|file| file.bytes).sum();
        let goes = |file: &Meta| {
            let age = now.duration_since(file.modified).unwrap_or_default();
            let goes = self.age.is_some_and(|most| age > most) || self.bytes.is_some_and(|most| bytes > most);
            bytes -= if goes { file.bytes } else { 0 };
            goes
        };
        let mut goes = goes;
        found.retain(|file| goes(file));
        found
    }
}

/// Looks after the files of one topic, on a thread of its own, while `is_ours_to_do`.
pub struct Keeper {
    pub kind: Kind,
    pub topic: String,
    pub store: Store,
    pub keep: Keep,
    /// This process holds partition 0: one of all does it. And the place is its group's.
    pub on_duty: Arc<AtomicBool>,
    pub counted: Arc<Archived>,
    pub shutdown: Shutdown,
}

impl Keeper {
    pub fn run(&self) {
        let mut next = None;
        while !self.shutdown.wait_timeout(LOOK) {
            let now = SystemTime::now();
            if !self.on_duty.load(Ordering::SeqCst) || next.is_some_and(|next| now < next) {
                continue;
            }
            next = now.checked_add(EVERY);
            self.store.sweep(&self.topic, now);
            if self.keep.is_all() {
                continue;
            }
            if let Err(fault) = self.store.block_on(self.once(now)) {
                self.counted.failed(fault.reason());
                tracing::warn!(
                    reason = fault.reason().as_str(),
                    "files that are too old stay for now: {fault}"
                );
            }
        }
    }

    async fn once(&self, now: SystemTime) -> Result<(), StoreFault> {
        let mut found = self.store.list(&self.topic).await?;
        found.retain(|file| is_ours(&file.path, &self.topic));
        let goes = self.keep.too_many(found, now);
        if goes.is_empty() {
            return Ok(());
        }
        let bytes: u64 = goes.iter().map(|file| file.bytes).sum();
        let (removed, fault) = self.store.delete(goes.into_iter().map(|file| file.path).collect()).await;
        self.counted.removed(self.kind, removed);
        tracing::info!(topic = self.topic, files = removed, bytes, "removed what was kept long enough");
        fault.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn found() -> Vec<Meta> {
        let at = |days: u32| SystemTime::UNIX_EPOCH + DAY * days;
        [("c", 3), ("a", 1), ("d", 4), ("b", 2)]
            .map(|(path, day)| Meta { path: path.to_owned(), bytes: 100, modified: at(day), etag: None })
            .into()
    }

    fn goes(keep: Keep) -> Vec<String> {
        let now = SystemTime::UNIX_EPOCH + DAY * 5;
        keep.too_many(found(), now).into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn the_oldest_go_first() {
        let days = |days: u32| Some(DAY * days);
        assert_eq!(goes(Keep::default()), Vec::<String>::new());
        assert_eq!(goes(Keep { age: days(2), bytes: None }), ["a", "b"]);
        assert_eq!(goes(Keep { age: None, bytes: Some(399) }), ["a"]);
        assert_eq!(goes(Keep { age: None, bytes: Some(400) }), Vec::<String>::new());
        assert_eq!(goes(Keep { age: days(3), bytes: Some(250) }), ["a", "b"]);
        assert_eq!(goes(Keep { age: None, bytes: Some(0) }), ["a", "b", "c", "d"]);
        // A clock that went back makes nothing old.
        let keep = Keep { age: days(1), bytes: None };
        assert!(keep.too_many(found(), SystemTime::UNIX_EPOCH).is_empty());
    }
}
