//! The tests' own RTSP camera as a process: started on a free port, killed at the end.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Serves one clip; see `tests/camera`.
pub struct Camera {
    child: Child,
    stdin: ChildStdin,
    port: u16,
    scheme: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Camera {
    /// `options` as the test camera takes them.
    pub fn serve(clip: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(program())
            .arg(clip)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test camera starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, kept) = (BufReader::new(child.stdout.take().expect("its output")), lines.clone());
        // Ends with the camera.
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let stdin = child.stdin.take().expect("its input");
        let scheme = if options.contains(&"--tls") { "rtsps" } else { "rtsp" };
        let mut camera = Self { child, stdin, port: 0, scheme, lines };
        camera.port = camera.wait_for("port ");
        camera
    }

    /// Its address, with what stands before the `@` where something does.
    pub fn uri(&self, login: &str) -> String {
        let at = if login.is_empty() { "" } else { "@" };
        format!("{}://{login}{at}127.0.0.1:{}/cam", self.scheme, self.port)
    }

    /// Does what this line says; see `tests/camera/camera.rs`. In force when this returns.
    pub fn tell(&mut self, line: &str) {
        // What was answered to the same line before is no answer to this one.
        let (done, refused) = (format!("done {line}"), format!("refused {line}: "));
        let answers = |lines: &[String]| {
            lines.iter().filter(|said| **said == done || said.starts_with(&refused)).count()
        };
        let before = answers(&self.lines.lock().unwrap());
        writeln!(self.stdin, "{line}").expect("the camera is there to be told");
        self.wait_until(&format!("an answer to {line:?}"), |lines| (answers(lines) > before).then_some(()));
        let lines = self.lines.lock().unwrap();
        let refusal = lines.iter().rfind(|said| said.starts_with(&refused) || **said == done);
        assert_eq!(refusal, Some(&done));
    }

    /// Until it has ended by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status;
            }
            assert!(Instant::now() < deadline, "the test camera does not end");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many sessions were played so far.
    pub fn plays(&self) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| *line == "play").count()
    }

    /// How many access units the first session to end was sent.
    pub fn sent(&mut self) -> u64 {
        self.wait_for("sent ")
    }

    /// When the first picture was taken of a clip that is `--on-air`, µs since 1970.
    pub fn began(&mut self) -> i64 {
        self.wait_for("began ")
    }

    /// Goes away in the middle of everything. Its port is free when this returns.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    fn wait_for<T: std::str::FromStr>(&mut self, with: &str) -> T {
        self.wait_until(with, |lines| lines.iter().find_map(|line| line.strip_prefix(with)?.parse().ok()))
    }

    fn wait_until<T>(&mut self, what: &str, look: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = look(&self.lines.lock().unwrap());
            if let Some(found) = found {
                return found;
            }
            let ended = self.child.try_wait().expect("its state");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the test camera said no {what:?}: {ended:?}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // Gone already, where the test wanted that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Built with the tests: `target/PROFILE/examples/test-camera`.
fn program() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_sightline")).with_file_name("examples").join("test-camera");
    assert!(beside.is_file(), "{} is missing: run `cargo build --examples`", beside.display());
    beside
}
