//! Files that are read again when they change: tokens, keys, certificates. Mounted secrets are exchanged while a process
//! runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A file is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// Reads a file, or says why it can't be.
type Read<T> = Box<dyn Fn(&Path) -> Result<T, String> + Send>;

/// What was read from a file, and is read again when that has changed.
pub struct Watched<T> {
    path: PathBuf,
    read: Read<T>,
    value: T,
    mark: Option<Mark>,
    looked: Instant,
}

impl<T> Watched<T> {
    /// Reads it for the first time, when what is wrong with it is a refusal.
    pub fn open<E: fmt::Display>(
        path: PathBuf,
        read: impl Fn(&Path) -> Result<T, E> + Send + 'static,
    ) -> Result<Self, E> {
        let mark = mark(&path);
        let value = read(&path)?;
        let read = Box::new(move |path: &Path| read(path).map_err(|error| error.to_string()));
        Ok(Self { path, read, value, mark, looked: Instant::now() })
    }

    /// The newest version that could be read: one that can't is said, and changes nothing.
    pub fn get(&mut self) -> &T {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look();
        }
        &self.value
    }

    fn look(&mut self) {
        let now = mark(&self.path);
        if now == self.mark {
            return;
        }
        self.mark = now;
        match (self.read)(&self.path) {
            Ok(value) => {
                self.value = value;
                tracing::info!(file = %self.path.display(), "read again");
            }
            Err(why) => tracing::error!("{why}; what was read before stays in use"),
        }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Mark { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_and_one_that_can_not_be_read_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|error| error.to_string())
        };
        let mut watched = Watched::open(path.clone(), read).unwrap();
        std::fs::write(&path, "22").unwrap();
        watched.look();
        assert_eq!(*watched.get(), 22);
        std::fs::write(&path, "no number").unwrap();
        watched.look();
        assert_eq!(*watched.get(), 22);
        std::fs::remove_file(&path).unwrap();
        watched.look();
        assert_eq!(*watched.get(), 22);
        assert!(Watched::open(path, read).is_err());
    }
}
