//! What people add is files, folders, prefixes of buckets and patterns; what a job has is one file. A page at a time, so
//! that a bucket of millions costs no more at once than one of thousands.

mod bucket;
mod cursor;
mod folder;
mod glob;
mod local;
mod web;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sightline_schema::split_credentials;
use sightline_service::bucket_uri::BucketUri;
use sightline_service::objects::{Place, PlaceError};
use sightline_service::uri_policy::{Forbidden, Target, UriPolicy};
use tokio::task::JoinHandle;

pub(crate) use self::cursor::Cursor;
use self::glob::Glob;

/// Names that are looked at for one page, fitting or not.
const LOOKED_AT: usize = 20_000;
/// Files and objects that are looked at ahead, at the same time.
const AHEAD: usize = 16;
const LONGEST: usize = 2048;
/// What is a video by its name: in a folder lie other things, too.
const VIDEOS: [&str; 26] = [
    "mp4", "m4v", "mov", "qt", "mkv", "webm", "avi", "ts", "m2ts", "mts", "mpg", "mpeg", "m2v", "mpe", "wmv",
    "asf", "flv", "f4v", "3gp", "3g2", "ogv", "mxf", "h264", "264", "h265", "hevc",
];

/// One file, by its one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) uri: String,
    pub(crate) modified: Option<SystemTime>,
}

/// Why one of those that were given gives no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) next_step: String,
}

impl Refused {
    fn new(reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { reason: reason.into(), next_step: next_step.into() }
    }
}

impl From<Forbidden> for Refused {
    fn from(Forbidden { reason, next_step }: Forbidden) -> Self {
        Self { reason, next_step }
    }
}

impl From<PlaceError> for Refused {
    fn from(error: PlaceError) -> Self {
        Self::new(error.to_string(), "whoever runs the registry can mend it in its environment")
    }
}

/// What came of one that was given; its place in the list, from 0.
#[derive(Clone, Debug)]
pub(crate) struct Expanded {
    pub(crate) index: usize,
    pub(crate) outcome: Result<File, Refused>,
}

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<Expanded>,
    /// Files that are no videos by their names.
    pub(crate) passed_over: usize,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
}

/// What an address turned out to be.
enum Looked {
    File(File),
    Folder(local::Folder),
    Bucket(bucket::Bucket),
}

/// A page in the making, and where it is in one of those that were given.
struct Listing {
    index: usize,
    page: Page,
    looked_at: usize,
    most: usize,
    after: String,
    gave: bool,
}

impl Listing {
    fn is_full(&self) -> bool {
        self.page.items.len() >= self.most || self.looked_at >= LOOKED_AT
    }

    fn cursor(&self) -> Cursor {
        Cursor { index: self.index, after: self.after.clone(), gave: self.gave }
    }

    /// One name that lies there. `false`: the page is full, and the name is not on it.
    fn take(&mut self, name: &str, wanted: Wanted, file: impl FnOnce() -> Result<File, Refused>) -> bool {
        if self.is_full() {
            return false;
        }
        self.looked_at += 1;
        name.clone_into(&mut self.after);
        match wanted {
            Wanted::No => {}
            Wanted::NoVideo => self.page.passed_over += 1,
            Wanted::Yes => {
                self.gave = true;
                self.page.items.push(Expanded { index: self.index, outcome: file() });
            }
        }
        true
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    Yes,
    No,
    NoVideo,
}

/// What fits a pattern, or else what is a video by its name.
fn wanted(glob: Option<&Glob>, name: &str) -> Wanted {
    match glob {
        Some(glob) if glob.fits(name) => Wanted::Yes,
        Some(_) => Wanted::No,
        None if is_video(name) => Wanted::Yes,
        None => Wanted::NoVideo,
    }
}

fn is_video(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let end = file.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    end.is_some_and(|end| VIDEOS.contains(&end.as_str()))
}

/// Buckets that were opened; their clients keep connections and credentials.
#[derive(Default)]
pub(crate) struct Places(Mutex<BTreeMap<String, Place>>);

impl Places {
    fn open(&self, uri: &BucketUri) -> Result<Place, PlaceError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.get(&uri.bucket()) {
            return Ok(place.clone());
        }
        let place = Place::bucket(uri)?;
        known.insert(uri.bucket(), place.clone());
        Ok(place)
    }
}

/// What looking needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Looking {
    pub(crate) policy: UriPolicy,
    pub(crate) places: std::sync::Arc<Places>,
    /// Ask when a file was made, where only its server knows.
    pub(crate) dates: bool,
}

impl Looking {
    /// The files of the next page.
    pub(crate) async fn page(&self, given: &[String], from: Cursor, most: usize) -> Page {
        let mut ahead: VecDeque<JoinHandle<Result<Looked, Refused>>> = VecDeque::new();
        let mut next = from.index;
        let mut listing = Listing {
            index: from.index,
            page: Page::default(),
            looked_at: 0,
            most,
            after: from.after,
            gave: from.gave,
        };
        for (index, uri) in given.iter().enumerate().skip(from.index) {
            while next < given.len() && next < index + AHEAD {
                let (looking, uri) = (self.clone(), given[next].clone());
                ahead.push_back(tokio::spawn(async move { looking.look(&uri).await }));
                next += 1;
            }
            if index > from.index {
                listing = Listing { index, after: String::new(), gave: false, ..listing };
            }
            if listing.is_full() {
                listing.page.next = Some(listing.cursor());
                break;
            }
            let looked = match ahead.pop_front() {
                Some(look) => look.await.unwrap_or_else(|_| Err(stopping())),
                None => Err(stopping()),
            };
            let whole = match looked {
                Err(refused) => Err(refused),
                Ok(Looked::File(file)) => {
                    listing.looked_at += 1;
                    listing.gave = true;
                    listing.page.items.push(Expanded { index, outcome: Ok(file) });
                    Ok(true)
                }
                Ok(Looked::Folder(folder)) => {
                    let looking = self.clone();
                    let list = move || {
                        let whole = folder.list(&looking, &mut listing);
                        (listing, whole)
                    };
                    match tokio::task::spawn_blocking(list).await {
                        Ok((back, whole)) => {
                            listing = back;
                            whole
                        }
                        Err(_) => {
                            let items = vec![Expanded { index, outcome: Err(stopping()) }];
                            return Page { items, ..Page::default() };
                        }
                    }
                }
                Ok(Looked::Bucket(bucket)) => bucket.list(self, &mut listing).await,
            };
            match whole {
                Ok(true) if listing.gave => {}
                Ok(true) => listing.page.items.push(Expanded { index, outcome: Err(nothing(uri)) }),
                Ok(false) => {
                    listing.page.next = Some(listing.cursor());
                    break;
                }
                Err(refused) => listing.page.items.push(Expanded { index, outcome: Err(refused) }),
            }
        }
        ahead.iter().for_each(JoinHandle::abort);
        listing.page
    }

    async fn look(&self, uri: &str) -> Result<Looked, Refused> {
        if uri.trim().is_empty() {
            return Err(Refused::new("is empty", "give a file, a folder, https://, s3://, gs:// or az://"));
        }
        if uri.len() > LONGEST || uri.chars().any(char::is_control) {
            return Err(Refused::new("is no address", "write it on one line, in at most 2048 bytes"));
        }
        let short = uri.strip_prefix("file:").filter(|rest| !rest.starts_with("//"));
        let written = short.map(|path| format!("file://{path}"));
        let uri = written.as_deref().unwrap_or(uri);
        // A question mark is no query there, but a part of a pattern.
        let (bucket, glob) = bucket::pattern(uri);
        if let Some(object) = BucketUri::parse(bucket) {
            let object = object.map_err(|error| Refused::new(error.to_string(), "correct the address"))?;
            return bucket::look(self, object, glob).await;
        }
        if split_credentials(uri).1.is_some() {
            return Err(Refused::new(
                "holds a user or password, which a job would show to everybody",
                "give a link that needs none, or put the file into a bucket or a folder",
            ));
        }
        match self.policy.check(uri)? {
            Target::File(path) => {
                let (looking, uri) = (self.clone(), uri.to_owned());
                let looked = tokio::task::spawn_blocking(move || local::look(&looking, &uri, &path)).await;
                looked.unwrap_or_else(|_| Err(stopping()))
            }
            Target::Test => Ok(Looked::File(File { uri: uri.to_owned(), modified: Some(SystemTime::now()) })),
            Target::Name(_) | Target::Address(_) | Target::Object(_) => {
                web::look(self, uri).await.map(Looked::File)
            }
        }
    }
}

fn stopping() -> Refused {
    Refused::new("was not looked at: the registry is stopping", "try again")
}

fn nothing(uri: &str) -> Refused {
    let what = if uri.contains(['*', '?', '[']) {
        "nothing fits this pattern"
    } else {
        "there is no video below it (by its name, as in .mp4, .mkv, .ts)"
    };
    Refused::new(what, "look at what lies there; a pattern such as **/*.rec takes files by other names")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
