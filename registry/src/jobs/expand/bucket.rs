//! Objects, and what lies below a prefix of a bucket.

use futures_util::StreamExt as _;
use object_store::path::Path;
use sightline_service::bucket_uri::BucketUri;
use sightline_service::objects::{Fault, Place, Reason};

use super::{File, Glob, Listing, Looked, Looking, Refused, wanted};

/// A part of a bucket, and what in it is meant.
pub(super) struct Bucket {
    place: Place,
    /// Any key of it.
    uri: BucketUri,
    folder: Path,
    glob: Option<Glob>,
}

fn refused(fault: &Fault) -> Refused {
    Refused::new(fault.to_string(), fault.reason.reader_advice())
}

fn path(key: &str) -> Result<Path, Refused> {
    let wrong =
        |error| Refused::new(format!("the key can't be used: {error}"), "give the object another name");
    Path::parse(key).map_err(wrong)
}

/// An address without the pattern in it, and the pattern.
pub(super) fn pattern(uri: &str) -> (&str, Option<Glob>) {
    let key = uri.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, key)| key);
    match Glob::parse(key, true) {
        Some(glob) => (uri.strip_suffix(key).unwrap_or(uri), Some(glob)),
        None => (uri, None),
    }
}

/// What lies at an address: an object, or else a folder of them; or what fits a pattern in its bucket.
pub(super) async fn look(looking: &Looking, uri: BucketUri, glob: Option<Glob>) -> Result<Looked, Refused> {
    if let Some(glob) = glob {
        let folder = uri.with_key(glob.folder());
        looking.policy.check(&folder.to_string())?;
        let (place, folder) = (looking.places.open(&uri)?, path(glob.folder())?);
        return Ok(Looked::Bucket(Bucket { place, uri, folder, glob: Some(glob) }));
    }
    looking.policy.check(&uri.to_string())?;
    let place = looking.places.open(&uri)?;
    let key = uri.key().to_owned();
    let folder = path(key.trim_matches('/'))?;
    if !key.is_empty() && !key.ends_with('/') {
        match place.head(&path(&key)?).await {
            Ok(meta) => {
                return Ok(Looked::File(File { uri: uri.to_string(), modified: Some(meta.modified) }));
            }
            Err(fault) if fault.reason == Reason::Missing => {
                let mut below = Box::pin(place.list(&folder));
                match below.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(fault)) => return Err(refused(&fault)),
                    None => {
                        let reason = "there is no object of this name, and none below it";
                        return Err(Refused::new(reason, fault.reason.reader_advice()));
                    }
                }
            }
            Err(fault) => return Err(refused(&fault)),
        }
    }
    Ok(Looked::Bucket(Bucket { place, uri, folder, glob: None }))
}

impl Bucket {
    /// `Ok(true)`: to its end.
    pub(super) async fn list(&self, looking: &Looking, listing: &mut Listing) -> Result<bool, Refused> {
        let mut found = if listing.after.is_empty() {
            self.place.list(&self.folder).boxed()
        } else {
            self.place.list_behind(&self.folder, &path(&listing.after)?).boxed()
        };
        while let Some(meta) = found.next().await {
            let meta = meta.map_err(|fault| refused(&fault))?;
            // A folder that a console made is an object of no bytes.
            if meta.path.ends_with('/') {
                continue;
            }
            let file = || {
                let uri = self.uri.with_key(&meta.path).to_string();
                looking.policy.check(&uri)?;
                Ok(File { uri, modified: Some(meta.modified) })
            };
            if !listing.take(&meta.path, wanted(self.glob.as_ref(), &meta.path), file) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
