//! RTSP servers that are none of ours: aio-rtsp-toolkit (TCP) and VLC (UDP). On a free port, killed at the end.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;

pub struct Foreign {
    child: Child,
    port: u16,
    path: &'static str,
    /// The clip, and what the server writes.
    _dir: tempfile::TempDir,
}

impl Foreign {
    /// Plays the clip from its start for each client, sound too, over TCP; says goodbye and closes at its end.
    pub fn aio(clip: &Path) -> Self {
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/aio-rtsp-toolkit");
        assert!(server.is_dir(), "{} is missing: run scripts/setup.sh test", server.display());
        let dir = home_of(clip);
        let (port, control) = (free_port(), free_port());
        let mut command = Command::new("python3");
        command.arg(server.join("bin/rtsp-server")).env("PYTHONPATH", &server);
        command.arg("-d").arg(dir.path()).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.args(["-cp", &control.to_string()]);
        Self::start(command, port, "clip.mp4", dir)
    }

    /// Plays the clip for ever, to all clients at once, over UDP alone.
    pub fn vlc(clip: &Path, login: Option<(&str, &str)>) -> Self {
        let dir = home_of(clip);
        let port = free_port();
        // VLC does not run as root.
        let is_root = std::fs::metadata("/proc/self").expect("a process").uid() == 0;
        let mut command = if is_root {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).expect("root may do that");
            let id = NOBODY.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "vlc"]);
            command
        } else {
            Command::new("vlc")
        };
        command.env("HOME", dir.path()).args(["-I", "dummy", "--rtsp-host=127.0.0.1"]);
        command.arg(dir.path().join("clip.mp4")).args(["--loop", "--sout-keep", "--sout"]);
        command.arg(format!("#rtp{{sdp=rtsp://127.0.0.1:{port}/cam}}"));
        if let Some((user, password)) = login {
            command.args([format!("--sout-rtsp-user={user}"), format!("--sout-rtsp-pwd={password}")]);
        }
        Self::start(command, port, "cam", dir)
    }

    fn start(mut command: Command, port: u16, path: &'static str, dir: tempfile::TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, port, path, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !matches!(server.describe(), Some(200 | 401)) {
            let ended = server.child.try_wait().expect("its state");
            assert!(ended.is_none() && Instant::now() < deadline, "{command:?} does not serve: {ended:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        server
    }

    /// Its address, with what stands before the `@` where something does.
    pub fn uri(&self, login: &str) -> String {
        let at = if login.is_empty() { "" } else { "@" };
        format!("rtsp://{login}{at}127.0.0.1:{}/{}", self.port, self.path)
    }

    /// The status of its answer, once there is one.
    fn describe(&self) -> Option<u16> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "DESCRIBE {} RTSP/1.0\r\nCSeq: 1\r\n\r\n", self.uri("")).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // Gone already, where it failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that everybody may read, with the clip in it.
fn home_of(clip: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("clip.mp4");
    std::fs::copy(clip, &copy).unwrap();
    std::fs::set_permissions(&copy, Permissions::from_mode(0o644)).unwrap();
    dir
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
