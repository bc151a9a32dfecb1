//! Files of this machine, below the folders that are allowed.

use std::path::{Path, PathBuf};

use sightline_service::percent;

use super::folder::walk;
use super::{File, Glob, Listing, Looked, Looking, Refused, wanted};

/// A folder, and what in it is meant.
pub(super) struct Folder {
    path: PathBuf,
    /// Of whole paths.
    glob: Option<Glob>,
}

fn uri_of(path: &Path) -> Option<String> {
    Some(format!("file://{}", percent::encoded(path.to_str()?)))
}

/// What lies at an address that is allowed; `path` is without its `..`.
pub(super) fn look(looking: &Looking, uri: &str, path: &Path) -> Result<Looked, Refused> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => {
            // The name itself may have brackets in it, so a pattern is what is not there.
            let is_uri = uri.split_once("://");
            let text = is_uri.map_or(uri, |(_, rest)| rest);
            let Some(glob) = Glob::parse(text, is_uri.is_some()) else {
                return Err(cannot("look at", path, &error));
            };
            let folder = PathBuf::from(format!("{}/", glob.folder()));
            let folder: PathBuf = folder.components().collect();
            looking.policy.check(&folder.to_string_lossy())?;
            return Ok(Looked::Folder(Folder { path: folder, glob: Some(glob) }));
        }
    };
    looking.policy.check_found(path)?;
    if meta.is_dir() {
        return Ok(Looked::Folder(Folder { path: path.to_owned(), glob: None }));
    }
    if !meta.is_file() {
        return Err(Refused::new("is neither a file nor a folder", "give a file or a folder"));
    }
    let uri = uri_of(path).ok_or_else(|| Refused::new("is no UTF-8", "give the file another name"))?;
    Ok(Looked::File(File { uri, modified: meta.modified().ok() }))
}

impl Folder {
    /// `Ok(true)`: to its end.
    pub(super) fn list(&self, looking: &Looking, listing: &mut Listing) -> Result<bool, Refused> {
        looking.policy.check_found(&self.path)?;
        let after = listing.after.clone();
        let glob = self.glob.as_ref();
        let mut each = |listed: super::folder::Listed| {
            let whole = listed.path.to_string_lossy();
            let is_wanted = wanted(glob, &whole);
            listing.take(&listed.name, is_wanted, || {
                looking.policy.check(&whole)?;
                looking.policy.check_found(&listed.path)?;
                let uri = uri_of(&listed.path)
                    .ok_or_else(|| Refused::new("is no UTF-8", "give the file another name"))?;
                Ok(File { uri, modified: Some(listed.modified) })
            })
        };
        walk(&self.path, &after, &mut each).map_err(|error| cannot("list", &self.path, &error))
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Refused {
    let next_step = match error.kind() {
        std::io::ErrorKind::NotFound => "correct the path; it is one of the machine that runs the registry",
        std::io::ErrorKind::PermissionDenied => "let the registry's user read it",
        _ => "try again",
    };
    Refused::new(format!("cannot {what} {}: {error}", path.display()), next_step)
}
