//! One token that tells all threads to end, and why.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The work is done, or failed: the exit code is the command's own.
    Finished,
}

impl Cause {
    /// 128 + the signal's number, as shells say it; none when no signal came.
    pub fn exit_code(self) -> Option<u8> {
        match self {
            Cause::Interrupt => Some(130),
            Cause::Terminate => Some(143),
            Cause::Finished => None,
        }
    }
}

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    is_set: AtomicBool,
    cause: Mutex<Option<Cause>>,
    changed: Condvar,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// One load: cheap enough to ask per frame.
    pub fn is_set(&self) -> bool {
        self.inner.is_set.load(Ordering::Acquire)
    }

    /// Tells everybody to end. The first cause stays.
    pub fn set(&self, cause: Cause) {
        let mut current = self.inner.cause.lock().unwrap_or_else(PoisonError::into_inner);
        current.get_or_insert(cause);
        self.inner.is_set.store(true, Ordering::Release);
        self.inner.changed.notify_all();
    }

    /// The first cause, once set.
    pub fn cause(&self) -> Option<Cause> {
        *self.inner.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until set, or for `timeout`. True when set: `while !shutdown.wait_timeout(period) { … }`.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut cause = self.inner.cause.lock().unwrap_or_else(PoisonError::into_inner);
        while cause.is_none() {
            // A timeout beyond what an `Instant` can say is for ever; waiting an hour at a time comes to the same.
            let left = deadline.map_or(Duration::from_secs(3600), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            cause = self.inner.changed.wait_timeout(cause, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Blocks until set.
    pub fn wait(&self) -> Cause {
        let mut cause = self.inner.cause.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(cause) = *cause {
                return cause;
            }
            cause = self.inner.changed.wait(cause).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// SIGINT and SIGTERM set the token; a second signal, of either kind, ends the process at once with 130 or 143.
    /// Called once, at start.
    pub fn install_signals(&self) -> io::Result<()> {
        // The handlers run in the order of registration: end if one came before, then remember that one came.
        let came = Arc::new(AtomicBool::new(false));
        for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
            flag::register_conditional_shutdown(signal, code, Arc::clone(&came))?;
            flag::register(signal, Arc::clone(&came))?;
        }
        if let Some(starting) = STARTING.get() {
            starting.store(false, Ordering::SeqCst);
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let shutdown = self.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                shutdown.set(if signal == SIGINT { Cause::Interrupt } else { Cause::Terminate });
            }
        })?;
        Ok(())
    }
}

/// Set while a signal ends the process at once.
static STARTING: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// SIGINT and SIGTERM end the process at once, with 130 or 143, until `install_signals`. Without it they do, too, but not the
/// first process of a container: that ignores what it doesn't handle, and a pod that is told to go while it reads its
/// model would stay for all of its grace period.
pub fn end_at_once_while_starting() -> io::Result<()> {
    let starting = STARTING.get_or_init(|| Arc::new(AtomicBool::new(true)));
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
        flag::register_conditional_shutdown(signal, code, Arc::clone(starting))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn everybody_who_waits_is_woken_and_the_first_cause_stays() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_set() && !shutdown.wait_timeout(Duration::from_millis(1)));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let shutdown = shutdown.clone();
                thread::spawn(move || shutdown.wait_timeout(Duration::from_secs(60)))
            })
            .collect();
        shutdown.set(Cause::Terminate);
        shutdown.set(Cause::Finished);
        assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap()));
        assert_eq!(shutdown.wait(), Cause::Terminate);
        assert_eq!(shutdown.cause().and_then(Cause::exit_code), Some(143));
        assert!(shutdown.wait_timeout(Duration::MAX));
    }

    const CHILD: &str = "SIGHTLINE_TEST_SHUTDOWN_CHILD";

    /// Not a test by itself: what the processes of the tests below run.
    #[test]
    fn child() {
        let Ok(way) = std::env::var(CHILD) else { return };
        let shutdown = Shutdown::new();
        shutdown.install_signals().unwrap();
        println!("installed");
        let cause = shutdown.wait();
        println!("woken");
        if way == "stubborn" {
            thread::sleep(Duration::from_secs(60));
        }
        std::process::exit(i32::from(cause.exit_code().unwrap()));
    }

    fn start(way: &str) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "shutdown::tests::child", "--nocapture"])
            .env(CHILD, way)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Reads up to a line that holds `word`.
    fn await_line(out: &mut impl std::io::BufRead, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the child ended before it said {word:?}");
        }
    }

    fn signal(child: &Child, name: &str) {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    }

    #[test]
    fn a_signal_ends_the_process_with_its_code() {
        for (name, code) in [("-INT", 130), ("-TERM", 143)] {
            let mut child = start("willing");
            let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
            await_line(&mut out, "installed");
            signal(&child, name);
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    }

    #[test]
    fn a_second_signal_ends_it_at_once() {
        for (first, second, code) in [("-INT", "-INT", 130), ("-TERM", "-INT", 130), ("-INT", "-TERM", 143)] {
            let mut child = start("stubborn");
            let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
            await_line(&mut out, "installed");
            let sent = Instant::now();
            signal(&child, first);
            await_line(&mut out, "woken");
            signal(&child, second);
            assert_eq!(child.wait().unwrap().code(), Some(code));
            assert!(sent.elapsed() < Duration::from_secs(30));
        }
    }
}
