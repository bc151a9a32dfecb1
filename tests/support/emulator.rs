//! Emulators of Google Cloud Storage and Azure Blob Storage for tests: fake-gcs-server and Azurite over a temporary folder,
//! stopped and started at will. Before fake-gcs-server stands a front of ours for uploads: of the XML API, which the archive's client
//! speaks, it has only what reads.
//!
//! They lie in `.deps`; `scripts/test-clouds.sh` (`make test-clouds`) puts them there.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// An emulator behind a front listens at another port.
const BEHIND: u16 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    Google,
    Azure,
}

impl Cloud {
    pub const ALL: [Self; 2] = [Self::Google, Self::Azure];

    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

/// With the bucket (container) `archive`.
pub struct Emulator {
    pub cloud: Cloud,
    dir: tempfile::TempDir,
    port: u16,
    /// What listens at `port` is the last.
    servers: Vec<Child>,
}

impl Emulator {
    pub fn start(cloud: Cloud) -> Self {
        let dir = tempfile::Builder::new().prefix("sightline-cloud-").tempdir().unwrap();
        // Below the range that the kernel hands out by itself.
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let port = (0..1000)
            .map(|n| 16_000 + ((std::process::id() + n) % 1000) as u16)
            .find(|port| is_free(*port) && is_free(port + BEHIND))
            .expect("a free port");
        let mut emulator = Self { cloud, dir, port, servers: Vec::new() };
        emulator.start_again();
        emulator.foreign(&["make"]);
        emulator
    }

    pub fn start_again(&mut self) {
        let (port, behind) = (self.port.to_string(), (self.port + BEHIND).to_string());
        let data = self.dir.path().join("data");
        let data = data.to_str().unwrap();
        match self.cloud {
            Cloud::Google => {
                let mut command = Command::new(dep("fake-gcs-server/fake-gcs-server"));
                let public = format!("127.0.0.1:{port}");
                command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &behind]);
                command.args(["-backend", "filesystem", "-filesystem-root", data, "-public-host", &public]);
                command.args(["-external-url", &format!("http://{public}")]);
                self.run(command, self.port + BEHIND);
                let mut front = Command::new("python3");
                let parts = self.dir.path().join("parts");
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/xml_uploads.py");
                front.arg(script).args([&port, &behind]).arg(parts);
                self.run(front, self.port);
            }
            Cloud::Azure => {
                let mut command = Command::new("node");
                command.arg(dep("azurite/node_modules/azurite/dist/src/blob/main.js"));
                command.args(["--blobHost", "127.0.0.1", "--blobPort", &port, "--location", data]);
                command.args(["--disableTelemetry"]);
                self.run(command, self.port);
            }
        }
    }

    fn run(&mut self, mut command: Command, port: u16) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.servers.push(command.spawn().expect("the emulator starts"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the emulator does not answer: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// In its own time: Azurite writes down every few seconds what is where, and what it acknowledged since then would be
    /// lost with it.
    pub fn stop(&mut self) {
        while let Some(mut server) = self.servers.pop() {
            let asked = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
            assert!(asked.success());
            server.wait().unwrap();
        }
    }

    /// Tells a command where it is, and who it is itself.
    pub fn environment(&self, command: &mut Command) {
        let endpoint = self.endpoint();
        match self.cloud {
            Cloud::Google => {
                let key = json!({"gcs_base_url": endpoint, "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""});
                command.env("GOOGLE_SERVICE_ACCOUNT_KEY", key.to_string()).env("GOOGLE_ALLOW_HTTP", "true");
            }
            Cloud::Azure => {
                command.env("AZURE_STORAGE_USE_EMULATOR", "true").env("AZURITE_BLOB_STORAGE_URL", endpoint);
            }
        }
    }

    pub fn uri(&self, key: &str) -> String {
        format!("{}://archive/{key}", self.cloud.scheme())
    }

    pub fn put(&self, key: &str, file: &Path) {
        self.foreign(&["put", key, file.to_str().unwrap()]);
    }

    /// All objects below this prefix as files, by the cloud's own client, in the prefix's place below the folder.
    pub fn fetch(&self, prefix: &str, folder: &Path) -> PathBuf {
        self.foreign(&["fetch", prefix, folder.to_str().unwrap()]);
        folder.join(prefix)
    }

    /// Bytes of all it holds, parts of what is not whole yet included.
    pub fn holds(&self) -> u64 {
        let (mut bytes, mut folders) = (0, vec![self.dir.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                    Ok(meta) => bytes += meta.len(),
                    // It was taken away meanwhile.
                    Err(_) => {}
                }
            }
        }
        bytes
    }

    /// Its log, since it first started.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn foreign(&self, args: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/objects.py");
        let mut command = Command::new(dep("cloud-clients/bin/python"));
        command.arg(script).args([self.cloud.scheme(), &self.endpoint(), "archive"]).args(args);
        let ended = command.output().unwrap();
        assert!(
            ended.status.success(),
            "{args:?}: {}\n{}",
            String::from_utf8_lossy(&ended.stderr),
            self.said()
        );
    }
}

fn dep(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps").join(path);
    assert!(file.exists(), "{} is missing: run make test-clouds", file.display());
    file
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for mut server in self.servers.drain(..) {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
