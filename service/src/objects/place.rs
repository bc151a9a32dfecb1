//! A directory or a part of a bucket, opened; and one object.

use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use url::Url;

use super::fault::Fault;
use super::open::{bare, remote};
use crate::bucket_uri::BucketUri;

/// A place that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlaceError(pub(super) String);

/// A directory, or what lies below a prefix of a bucket. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// As it was given, without what could be secret in it.
    shown: String,
    /// Of a directory.
    dir: Option<PathBuf>,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Below the root.
    pub path: String,
    pub bytes: u64,
    pub modified: SystemTime,
    /// Another where the content is another; not every store has one.
    pub etag: Option<String>,
}

impl Place {
    /// A directory that is there, or `s3://`, `gs://`, `az://`, `file://` with what the environment says of it (`AWS_…`,
    /// `GOOGLE_…`, `AZURE_…`). Nothing is asked yet.
    pub fn open(place: &str) -> Result<Self, PlaceError> {
        if let Some(dir) = Self::dir_of(place) {
            return Self::directory(&dir);
        }
        let url = Url::parse(place)
            .map_err(|error| PlaceError(format!("what was given is no address of a place: {error}")))?;
        let (store, root) = remote(&url)?;
        Ok(Self { store, root, shown: bare(&url), dir: None })
    }

    /// The directory that is named, where one is.
    pub fn dir_of(place: &str) -> Option<PathBuf> {
        match place.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
                Some(Url::parse(place).ok().and_then(|url| url.to_file_path().ok()).unwrap_or_default())
            }
            Some(_) => None,
            None => Some(PathBuf::from(place)),
        }
    }

    /// All of the bucket of a uri.
    pub fn bucket(uri: &BucketUri) -> Result<Self, PlaceError> {
        Self::open(&uri.bucket())
    }

    fn directory(dir: &FilePath) -> Result<Self, PlaceError> {
        let shown = dir.display().to_string();
        let cannot = |error: &dyn std::fmt::Display| {
            PlaceError(format!("the directory {shown} can't be used: {error}"))
        };
        let dir = dir.canonicalize().map_err(|error| cannot(&error))?;
        let files = LocalFileSystem::new_with_prefix(&dir).map_err(|error| cannot(&error))?;
        Ok(Self { store: Arc::new(files.with_fsync(true)), root: Path::default(), shown, dir: Some(dir) })
    }

    /// As it is said to people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Of a directory, not of a bucket.
    pub fn dir(&self) -> Option<&FilePath> {
        self.dir.as_deref()
    }

    /// For what is not offered here.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where a file of this name lies; what a name may not hold is written otherwise in it.
    pub fn at(&self, path: &str) -> Path {
        let parts = path.split('/').map(PathPart::from);
        Path::from_iter(self.root.parts().chain(parts))
    }

    pub async fn head(&self, path: &Path) -> Result<Meta, Fault> {
        match self.store.head(path).await {
            Ok(meta) => Ok(self.meta(meta)),
            Err(error) => Err(self.fault("look at", path.as_ref(), &error)),
        }
    }

    /// Some bytes of an object, fewer where it ends before. With an `etag` they are of that content or none.
    pub async fn read(&self, path: &Path, range: Range<u64>, etag: Option<&str>) -> Result<Bytes, Fault> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: etag.map(str::to_owned),
            ..GetOptions::default()
        };
        let fault = |error| self.fault("read", path.as_ref(), &error);
        self.store.get_opts(path, options).await.map_err(fault)?.bytes().await.map_err(fault)
    }

    /// All below a folder of the root, a bucket's by name.
    pub fn list(&self, folder: &Path) -> impl Stream<Item = Result<Meta, Fault>> + Send + 'static {
        let (place, shown) = (self.clone(), folder.to_string());
        let found = self.store.list(Some(folder)).boxed();
        let meta = {
            let place = place.clone();
            move |meta| place.meta(meta)
        };
        found.map_ok(meta).map_err(move |error| place.fault("list", &shown, &error))
    }

    /// The same from behind a name on, in the order of names: of a bucket.
    pub fn list_behind(
        &self,
        folder: &Path,
        after: &Path,
    ) -> impl Stream<Item = Result<Meta, Fault>> + Send + 'static {
        let (place, shown) = (self.clone(), folder.to_string());
        let found = self.store.list_with_offset(Some(folder), after).boxed();
        let meta = {
            let place = place.clone();
            move |meta| place.meta(meta)
        };
        found.map_ok(meta).map_err(move |error| place.fault("list", &shown, &error))
    }

    fn meta(&self, meta: ObjectMeta) -> Meta {
        let below = if self.root.as_ref().is_empty() { 0 } else { self.root.as_ref().len() + 1 };
        Meta {
            path: meta.location.as_ref().get(below..).unwrap_or_default().to_owned(),
            bytes: meta.size,
            modified: meta.last_modified.into(),
            etag: meta.e_tag,
        }
    }

    /// What went wrong here, for people.
    pub fn fault(&self, what: &str, path: &str, error: &object_store::Error) -> Fault {
        let at = if path.is_empty() { self.shown.clone() } else { format!("{path} in {}", self.shown) };
        Fault::new(what, &at, error)
    }
}

/// One object, read by ranges and never as a whole. Cheap to clone.
#[derive(Clone)]
pub struct Object {
    place: Place,
    path: Path,
}

impl Object {
    pub fn open(uri: &BucketUri) -> Result<Self, PlaceError> {
        let path =
            Path::parse(uri.key()).map_err(|error| PlaceError(format!("{uri} names no object: {error}")))?;
        Ok(Self { place: Place::bucket(uri)?, path })
    }

    pub async fn head(&self) -> Result<Meta, Fault> {
        self.place.head(&self.path).await
    }

    /// As [`Place::read`].
    pub async fn read(&self, range: Range<u64>, etag: Option<&str>) -> Result<Bytes, Fault> {
        self.place.read(&self.path, range, etag).await
    }
}
