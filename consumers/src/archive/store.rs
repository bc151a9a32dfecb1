//! Where files go: a directory, or an object store. A file is there whole or not at all.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart};
use sightline_service::objects::{Fault, Meta, Place, Reason};
use tokio::runtime::Runtime;

use super::batch::Sealed;

/// A larger file goes up in parts: each is tried again by itself.
const ONE_PUT: usize = 16 << 20;
const PART: usize = 8 << 20;
/// Parts that are under way at a time.
const PARTS: usize = 4;
/// A temporary file this old is of a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

const fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::Refused => {
            "check its credentials in the environment, and that they may write, read, list and delete there"
        }
        Reason::Missing => "make the bucket, or correct --to",
        Reason::Full => "make room, or keep less by --keep-days or --keep-bytes",
        Reason::Away => "it is tried again",
        Reason::Changed | Reason::Other => "it is tried again; look at the store's own log",
    }
}

/// A sentence without a secret in it, with what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreFault(Fault);

impl StoreFault {
    pub(super) const fn reason(&self) -> Reason {
        self.0.reason
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.0, advice(self.0.reason))
    }
}

/// A place that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--to: {0}")]
pub struct PlaceError(String);

/// Where the archive lies. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store {
    place: Place,
    /// Of all who work with it: a connection is kept for whoever asks next, and is looked after where it was opened.
    runtime: Arc<Runtime>,
}

impl Store {
    /// A directory, or `s3://`, `gs://`, `az://`, `file://` with what the environment says of it (`AWS_…`, `GOOGLE_…`,
    /// `AZURE_…`). Nothing is asked yet, but that a directory is made.
    pub fn open(to: &str) -> Result<Self, PlaceError> {
        if let Some(dir) = Place::dir_of(to) {
            std::fs::create_dir_all(&dir).map_err(|error| {
                PlaceError(format!("{} can't be the archive's directory: {error}", dir.display()))
            })?;
        }
        let place = Place::open(to).map_err(|error| PlaceError(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("archive-store")
            .enable_all()
            .build()
            .map_err(|error| PlaceError(format!("cannot start a runtime: {error}")))?;
        Ok(Self { place, runtime: Arc::new(runtime) })
    }

    /// Waits for what is asked of it.
    pub(super) fn block_on<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    /// As it is said to people.
    pub fn shown(&self) -> &str {
        self.place.shown()
    }

    /// Writes a file whole, over one of the same name. Done is durable.
    pub(super) async fn write(&self, file: &Sealed) -> Result<(), StoreFault> {
        let at = self.place.at(&file.path);
        let fault = |error| self.fault("write", &file.path, &error);
        if self.place.dir().is_some() || file.bytes.len() <= ONE_PUT {
            return self.place.store().put(&at, file.bytes.clone().into()).await.map(drop).map_err(fault);
        }
        let parts = self.place.store().put_multipart(&at).await.map_err(fault)?;
        let mut writing = WriteMultipart::new_with_chunk_size(parts, PART);
        let mut rest = file.bytes.clone();
        while !rest.is_empty() {
            writing.wait_for_capacity(PARTS).await.map_err(fault)?;
            writing.put(rest.split_to(PART.min(rest.len())));
        }
        // It is given up by itself where it can't be finished; what stays is invisible.
        writing.finish().await.map(drop).map_err(fault)
    }

    /// What lies under this name, once it does: `mark`, where nothing did.
    pub(super) async fn claim(&self, path: &str, mark: &[u8]) -> Result<Bytes, StoreFault> {
        let at = self.place.at(path);
        let store = self.place.store();
        let read = async || match store.get(&at).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(found) = read().await.map_err(|error| self.fault("read", path, &error))? {
            return Ok(found);
        }
        let write = |error| self.fault("write", path, &error);
        let mark = PutPayload::from(mark.to_vec());
        match store.put_opts(&at, mark.clone(), PutMode::Create.into()).await {
            // One that was there first is read below.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            // Not every store has it. Where two begin in the same moment, the later one's is read by both, or both see their own.
            Err(error) if self.place.dir().is_some() || is_not_offered(&error) => {
                store.put(&at, mark).await.map_err(write)?;
            }
            Err(error) => return Err(write(error)),
        }
        let found = read().await.map_err(|error| self.fault("read", path, &error))?;
        found.ok_or_else(|| {
            let gone = object_store::Error::NotFound { path: path.to_owned(), source: "it was there".into() };
            self.fault("read", path, &gone)
        })
    }

    /// Whether a file of this name is there, and so is whole.
    pub(super) async fn has(&self, path: &str) -> Result<bool, StoreFault> {
        match self.place.store().head(&self.place.at(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.fault("look for", path, &error)),
        }
    }

    /// All below a folder of the root.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Meta>, StoreFault> {
        self.place.list(&self.place.at(folder)).try_collect().await.map_err(StoreFault)
    }

    /// Takes files away; one that is gone already is no fault. Says how many.
    pub(super) async fn delete(&self, paths: Vec<String>) -> (u64, Option<StoreFault>) {
        let locations: Vec<_> = paths.iter().map(|path| Ok(self.place.at(path))).collect();
        let mut deleting = self.place.store().delete_stream(futures_util::stream::iter(locations).boxed());
        let (mut count, mut fault) = (0, None);
        while let Some(deleted) = deleting.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => count += 1,
                Err(error) => fault = Some(self.fault("delete from", "", &error)),
            }
        }
        (count, fault)
    }

    /// Takes away what processes that died have left of files half written. Object stores do it by a rule of the bucket.
    pub(super) fn sweep(&self, folder: &str, now: SystemTime) {
        let Some(dir) = self.place.dir() else { return };
        let mut folders = vec![dir.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                let name = entry.file_name();
                let is_part = name
                    .to_str()
                    .and_then(|name| name.rsplit_once(".parquet#"))
                    .is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
                let age = || now.duration_since(entry.metadata().ok()?.modified().ok()?).ok();
                if kind.is_dir() {
                    folders.push(path);
                } else if is_part && age().is_some_and(|age| age > LEFT_BEHIND) {
                    match std::fs::remove_file(&path) {
                        Ok(()) => {
                            tracing::info!(file = %path.display(), "removed what a process that died had begun");
                        }
                        Err(error) => tracing::warn!(file = %path.display(), %error, "can't be removed"),
                    }
                }
            }
        }
    }

    fn fault(&self, what: &str, path: &str, error: &object_store::Error) -> StoreFault {
        StoreFault(self.place.fault(what, path, error))
    }
}

/// A store that does not know "only where nothing is".
fn is_not_offered(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. })
        || error.to_string().contains("status code: 501")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_have_no_place_in_an_address() {
        for to in ["s3://key:secret@bucket/x", "az://container/x?sig=secret"] {
            let error = Store::open(to).err().unwrap().to_string();
            assert!(error.contains("environment") && !error.contains("secret"), "{error}");
        }
        assert!(Store::open("ftp://host/x").err().unwrap().to_string().contains("give a directory"));
    }
}
