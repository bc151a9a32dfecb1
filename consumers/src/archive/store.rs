//! Where files go: a directory, or an object store. A file is there whole or not at all.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, RetryConfig,
    WriteMultipart,
};
use url::Url;

use super::batch::Sealed;

/// A larger file goes up in parts: each is tried again by itself.
const ONE_PUT: usize = 16 << 20;
const PART: usize = 8 << 20;
/// Parts that are under way at a time.
const PARTS: usize = 4;
/// One request, a part of 8 MiB included.
const REQUEST: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// The client's own attempts at a request; then it is told, and the file is tried again as a whole.
const ATTEMPTS: Duration = Duration::from_secs(10);
/// A temporary file this old is of a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Why the store did not do what was asked. Also the metric label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The credentials are wrong, or may not.
    Refused,
    /// No such bucket, container or directory.
    Missing,
    /// No room.
    Full,
    /// No answer, or one that says to come again.
    Away,
    Other,
}

impl Reason {
    pub(super) const ALL: [Self; 5] = [Self::Refused, Self::Missing, Self::Full, Self::Away, Self::Other];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Full => "full",
            Self::Away => "away",
            Self::Other => "other",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Refused => {
                "check its credentials in the environment, and that they may write, read, list and delete there"
            }
            Self::Missing => "make the bucket, or correct --to",
            Self::Full => "make room, or keep less by --keep-days or --keep-bytes",
            Self::Away => "it is tried again",
            Self::Other => "it is tried again; look at the store's own log",
        }
    }
}

/// A sentence without a secret in it: of what the store answered only its status and its code are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreFault {
    pub(super) reason: Reason,
    sentence: String,
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.sentence, self.reason.advice())
    }
}

/// A place that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlaceError(String);

/// Where the archive lies. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    /// As it was given, without what could be secret in it.
    shown: String,
    /// Of a directory.
    dir: Option<PathBuf>,
}

/// What lies there.
pub(super) struct Found {
    /// Below the root.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) written: SystemTime,
}

impl Store {
    /// A directory, or `s3://`, `gs://`, `az://`, `file://` with what the environment says of it (`AWS_…`, `GOOGLE_…`,
    /// `AZURE_…`). Nothing is asked yet, but that a directory is made.
    pub fn open(to: &str) -> Result<Self, PlaceError> {
        // Another may have been installed by the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match Url::parse(to) {
            Ok(url) if url.scheme() == "file" => {
                let dir =
                    url.to_file_path().map_err(|()| PlaceError(format!("{to} names no directory here")))?;
                Self::directory(&dir)
            }
            // One letter is a drive.
            Ok(url) if url.scheme().len() > 1 && to.contains("://") => Self::remote(&url),
            _ => Self::directory(FilePath::new(to)),
        }
    }

    fn directory(dir: &FilePath) -> Result<Self, PlaceError> {
        let shown = dir.display().to_string();
        let cannot = |error: &dyn fmt::Display| {
            PlaceError(format!("{shown} can't be the archive's directory: {error}"))
        };
        std::fs::create_dir_all(dir).map_err(|error| cannot(&error))?;
        let dir = dir.canonicalize().map_err(|error| cannot(&error))?;
        let files = LocalFileSystem::new_with_prefix(&dir).map_err(|error| cannot(&error))?;
        let objects = Arc::new(files.with_fsync(true));
        Ok(Self { objects, root: Path::default(), shown, dir: Some(dir) })
    }

    fn remote(url: &Url) -> Result<Self, PlaceError> {
        let shown = bare(url);
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(PlaceError(format!(
                "--to {shown} has more than a place in it; credentials belong into the environment (AWS_…, GOOGLE_…, AZURE_…)"
            )));
        }
        let cannot = |error: object_store::Error| {
            PlaceError(format!("--to {shown} can't be used: {}", first_line(&error.to_string())))
        };
        let (scheme, root) = ObjectStoreScheme::parse(url).map_err(|_| {
            PlaceError(format!("--to {shown}: give a directory, s3://BUCKET/PREFIX, gs:// or az://"))
        })?;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: 4,
            retry_timeout: ATTEMPTS,
        };
        let objects: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::AmazonS3 => Arc::new(
                AmazonS3Builder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_client_options(options("AWS_ALLOW_HTTP"))
                    .build()
                    .map_err(cannot)?,
            ),
            ObjectStoreScheme::GoogleCloudStorage => Arc::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_client_options(options("GOOGLE_ALLOW_HTTP"))
                    .build()
                    .map_err(cannot)?,
            ),
            ObjectStoreScheme::MicrosoftAzure => Arc::new(
                MicrosoftAzureBuilder::from_env()
                    .with_url(url.as_str())
                    .with_retry(retry)
                    .with_client_options(options("AZURE_ALLOW_HTTP"))
                    .build()
                    .map_err(cannot)?,
            ),
            _ => {
                return Err(PlaceError(format!(
                    "--to {shown}: give a directory, s3://BUCKET/PREFIX, gs:// or az://"
                )));
            }
        };
        Ok(Self { objects, root, shown, dir: None })
    }

    /// As it is said to people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    fn at(&self, path: &str) -> Path {
        let parts = path.split('/').map(object_store::path::PathPart::from);
        Path::from_iter(self.root.parts().chain(parts))
    }

    /// Writes a file whole, over one of the same name. Done is durable.
    pub(super) async fn write(&self, file: &Sealed) -> Result<(), StoreFault> {
        let at = self.at(&file.path);
        let fault = |error| self.fault("write", &file.path, &error);
        if self.dir.is_some() || file.bytes.len() <= ONE_PUT {
            return self.objects.put(&at, file.bytes.clone().into()).await.map(drop).map_err(fault);
        }
        let parts = self.objects.put_multipart(&at).await.map_err(fault)?;
        let mut writing = WriteMultipart::new_with_chunk_size(parts, PART);
        let mut rest = file.bytes.clone();
        while !rest.is_empty() {
            writing.wait_for_capacity(PARTS).await.map_err(fault)?;
            writing.put(rest.split_to(PART.min(rest.len())));
        }
        // It is given up by itself where it can't be finished; what stays is invisible.
        writing.finish().await.map(drop).map_err(fault)
    }

    /// Whether a file of this name is there, and so is whole.
    pub(super) async fn has(&self, path: &str) -> Result<bool, StoreFault> {
        match self.objects.head(&self.at(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.fault("look for", path, &error)),
        }
    }

    /// All below a folder of the root.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Found>, StoreFault> {
        let at = self.at(folder);
        let below = if self.root.as_ref().is_empty() { 0 } else { self.root.as_ref().len() + 1 };
        let found = self.objects.list(Some(&at)).map_ok(|meta| Found {
            path: meta.location.as_ref().get(below..).unwrap_or_default().to_owned(),
            bytes: meta.size,
            written: meta.last_modified.into(),
        });
        found.try_collect().await.map_err(|error| self.fault("list", folder, &error))
    }

    /// Takes files away; one that is gone already is no fault. Says how many.
    pub(super) async fn delete(&self, paths: Vec<String>) -> (u64, Option<StoreFault>) {
        let locations: Vec<_> = paths.iter().map(|path| Ok(self.at(path))).collect();
        let mut deleting = self.objects.delete_stream(futures_util::stream::iter(locations).boxed());
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
        let Some(dir) = &self.dir else { return };
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
        let (reason, why) = why(error);
        let at = if path.is_empty() { self.shown.clone() } else { format!("{path} in {}", self.shown) };
        StoreFault { reason, sentence: format!("cannot {what} {at}: {why}") }
    }
}

fn options(allow_http: &str) -> ClientOptions {
    let allowed = std::env::var(allow_http).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    ClientOptions::new().with_allow_http(allowed).with_timeout(REQUEST).with_connect_timeout(CONNECT)
}

/// Without user, password and query.
fn bare(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// What is behind an error, in words of ours: the client's have addresses with signatures, and what the server wrote, in them.
fn why(error: &object_store::Error) -> (Reason, String) {
    let text = error.to_string();
    let code = code(&text).map(|code| format!(" ({code})")).unwrap_or_default();
    let io = sources(error).find_map(|error| error.downcast_ref::<std::io::Error>());
    if let Some(io) = io.filter(|_| !text.contains("http")) {
        use std::io::ErrorKind as Kind;
        let reason = match io.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Reason::Full,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Reason::Refused,
            Kind::NotFound => Reason::Missing,
            _ => Reason::Other,
        };
        return (reason, first_line(&io.to_string()));
    }
    match error {
        object_store::Error::PermissionDenied { .. } => {
            (Reason::Refused, format!("the store refuses it with 403{code}"))
        }
        object_store::Error::Unauthenticated { .. } => {
            (Reason::Refused, format!("the store refuses it with 401{code}"))
        }
        object_store::Error::NotFound { .. } => (Reason::Missing, format!("there is no such place{code}")),
        _ => {
            if let Some(status) = status(&text) {
                let reason = match status {
                    400 | 401 | 403 => Reason::Refused,
                    404 => Reason::Missing,
                    507 => Reason::Full,
                    408 | 429 | 500..=599 => Reason::Away,
                    _ => Reason::Other,
                };
                return (reason, format!("the store answers with {status}{code}"));
            }
            if text.contains("169.254.") || text.contains("metadata.google") {
                return (Reason::Refused, "no credentials are in the environment".to_owned());
            }
            let deepest = sources(error).last().map(ToString::to_string).unwrap_or_default();
            let said = if deepest.contains("://") { "no answer".to_owned() } else { first_line(&deepest) };
            (Reason::Away, format!("the store does not answer ({said})"))
        }
    }
}

fn sources<'e>(
    error: &'e object_store::Error,
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

/// Of S3's and Azure's answers: `<Code>AccessDenied</Code>`.
fn code(text: &str) -> Option<&str> {
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    let is_plain = code.len() <= 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then_some(code)
}

fn status(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn a_fault_shows_the_code_and_no_signature() {
        let answer = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                      <AWSAccessKeyId>AKIA1</AWSAccessKeyId><StringToSign>abc</StringToSign></Error>";
        let (reason, why) = why(&generic(answer));
        assert_eq!(reason, Reason::Refused);
        assert_eq!(why, "the store answers with 403 (SignatureDoesNotMatch)");
    }

    #[test]
    fn what_is_said_of_an_address_is_not_repeated() {
        let (reason, why) = why(&generic("error sending request for url (https://a.blob/x?sig=SECRET)"));
        assert_eq!(reason, Reason::Away);
        assert!(!why.contains("SECRET"), "{why}");
    }

    #[test]
    fn credentials_have_no_place_in_an_address() {
        for to in ["s3://key:secret@bucket/x", "az://container/x?sig=secret"] {
            let error = Store::open(to).err().unwrap().to_string();
            assert!(error.contains("environment") && !error.contains("secret"), "{error}");
        }
        assert!(Store::open("ftp://host/x").err().unwrap().to_string().contains("give a directory"));
    }
}
