//! `--out`: written aside, renamed when complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sightline_schema::FrameResult;
use tempfile::NamedTempFile;

use crate::exit::{Code, Failure};

enum Target {
    None,
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<OutFile>),
}

/// A file that appears under its name when it is whole. A device or a pipe is written to as it is.
pub(crate) enum OutFile {
    Aside(NamedTempFile, PathBuf),
    Device(File),
}

impl OutFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(facts) if facts.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            // Renaming something over it would take it away from everybody.
            Ok(facts) if !facts.is_file() => {
                return OpenOptions::new().write(true).open(path).map(Self::Device);
            }
            _ => {}
        }
        // A link keeps being one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Told before the name aside comes into it, which says nothing to whoever gave another.
        directory.metadata()?;
        let aside =
            tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".part").tempfile_in(directory)?;
        Ok(Self::Aside(aside, path))
    }

    pub(crate) fn commit(self) -> io::Result<()> {
        match self {
            Self::Device(mut device) => device.flush(),
            Self::Aside(file, path) => {
                file.as_file().sync_all()?;
                readable_as_usual(&file)?;
                file.persist(path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

impl Write for OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Aside(file, _) => file.as_file_mut().write(bytes),
            Self::Device(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Aside(file, _) => file.as_file_mut().flush(),
            Self::Device(file) => file.flush(),
        }
    }
}

/// Writes lines, from whatever thread has the next.
#[derive(Clone)]
pub(crate) struct LineWriter {
    target: Arc<Mutex<Target>>,
    failed: Arc<AtomicBool>,
    error: Arc<Mutex<Option<std::io::Error>>>,
}

/// Where the results go.
pub(crate) struct ResultsFile {
    path: Option<PathBuf>,
    writer: LineWriter,
}

impl ResultsFile {
    /// Opens the target, so that a path that can't be written is told before anything is detected.
    pub(crate) fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let target = match path {
            None => Target::None,
            Some(path) if path == Path::new("-") => Target::Stdout(BufWriter::new(std::io::stdout())),
            Some(path) => {
                let file = OutFile::create(path).map_err(|error| cannot_write(Some(path), &error))?;
                Target::File(BufWriter::new(file))
            }
        };
        let writer = LineWriter {
            target: Arc::new(Mutex::new(target)),
            failed: Arc::default(),
            error: Arc::default(),
        };
        Ok(Self { path: path.map(Path::to_owned), writer })
    }

    pub(crate) fn writer(&self) -> LineWriter {
        self.writer.clone()
    }

    pub(crate) fn is_stdout(&self) -> bool {
        self.path.as_deref() == Some(Path::new("-"))
    }

    pub(crate) fn failed(&self) -> bool {
        self.writer.failed.load(Ordering::Relaxed)
    }

    /// Fails where a line could not be written.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.writer.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(cannot_write(self.path.as_deref(), &error)),
            None => Ok(()),
        }
    }

    /// Makes the file appear, whole.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        self.check()?;
        let told = |error: &std::io::Error| cannot_write(self.path.as_deref(), error);
        match self.take() {
            Target::None => Ok(()),
            Target::Stdout(mut stdout) => stdout.flush().map_err(|error| told(&error)),
            Target::File(file) => {
                let file = file.into_inner().map_err(|error| told(error.error()))?;
                file.commit().map_err(|error| told(&error))
            }
        }
    }

    /// Leaves nothing behind.
    pub(crate) fn discard(self) {}

    fn take(&self) -> Target {
        let mut target = self.writer.target.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *target, Target::None)
    }
}

impl Drop for ResultsFile {
    /// What was not committed goes, even where a worker still holds a writer: it may outlive a failed command's end.
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl LineWriter {
    pub(crate) fn write(&self, result: &FrameResult) {
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *target {
            Target::None => Ok(()),
            Target::Stdout(stdout) => line(stdout, result).and_then(|()| stdout.flush()),
            Target::File(file) => line(file, result),
        };
        if let Err(error) = written {
            self.failed.store(true, Ordering::Relaxed);
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

fn line(to: &mut impl Write, result: &FrameResult) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, result)?;
    to.write_all(b"\n")
}

/// A temporary file is for its owner alone; the result is for whom the umask says.
fn readable_as_usual(file: &NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let probe = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(file.path().parent().unwrap_or(Path::new(".")))?;
    let mode = probe.as_file().metadata()?.permissions();
    file.as_file().set_permissions(mode)
}

fn cannot_write(path: Option<&Path>, error: &std::io::Error) -> Failure {
    let path = path.map_or_else(|| "the output".to_owned(), |path| path.display().to_string());
    Failure::new(Code::CannotWrite, format!("{path}: can't be written: {error}; nothing was left behind"))
}
