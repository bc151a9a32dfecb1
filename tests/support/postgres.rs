//! A real PostgreSQL for tests: a server of its own on a free port, with its data in a temporary folder.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

pub const USER: &str = "sightline";
pub const PASSWORD: &str = "correct-horse-battery";

/// A running server; dropping it kills it and deletes its data.
pub struct Postgres {
    port: u16,
    dir: PathBuf,
    server: Option<Child>,
    _guard: tempfile::TempDir,
}

impl Postgres {
    /// A server with an empty database `video` of the user `sightline`, who is no superuser.
    pub fn start() -> Self {
        let guard = tempfile::Builder::new().prefix("sightline-postgres-").tempdir().unwrap();
        // The server refuses to run as root: it runs as the user that its package made.
        fs::set_permissions(guard.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = guard.path().join("data");
        fs::create_dir(&dir).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&dir));
        }
        let initdb =
            ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync", "--pwfile"];
        let password = guard.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        run(as_postgres("initdb").args(initdb).arg(&password).arg("-D").arg(&dir));
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut postgres = Self { port, dir, server: None, _guard: guard };
        postgres.start_again();
        postgres.superuser(&format!("CREATE USER {USER} PASSWORD '{PASSWORD}'"));
        postgres.superuser(&format!("CREATE DATABASE video OWNER {USER}"));
        postgres
    }

    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let log = fs::File::options().create(true).append(true).open(self.dir.with_extension("log")).unwrap();
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(&self.dir).args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        // What is lost when the machine loses power is lost with the test.
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB"]);
        self.server = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + DEADLINE;
        while self.try_psql("postgres", "postgres", "SELECT 1").is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, connections and all; what was committed is there when it starts again.
    pub fn stop_at_once(&mut self) {
        let mut server = self.server.take().expect("a running server");
        signal(server.id(), "-QUIT");
        server.wait().unwrap();
    }

    /// It holds its connections and answers nothing, until `resume`.
    pub fn pause(&self) {
        run(as_postgres("pkill").args(["-STOP", "-P", &self.server.as_ref().unwrap().id().to_string()]));
        signal(self.server.as_ref().unwrap().id(), "-STOP");
    }

    pub fn resume(&self) {
        signal(self.server.as_ref().unwrap().id(), "-CONT");
        run(as_postgres("pkill").args(["-CONT", "-P", &self.server.as_ref().unwrap().id().to_string()]));
    }

    /// What `--database` takes.
    pub fn url(&self) -> String {
        format!("postgresql://{USER}:{PASSWORD}@127.0.0.1:{}/video", self.port)
    }

    /// Without the password.
    pub fn url_without_password(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/video", self.port)
    }

    /// What a statement gives in `video`: a row a line, columns by `|`.
    pub fn query(&self, statement: &str) -> String {
        self.try_psql(USER, "video", statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// What it gives, or what was said against it.
    pub fn try_query(&self, statement: &str) -> Result<String, String> {
        self.try_psql(USER, "video", statement)
    }

    pub fn superuser(&self, statement: &str) -> String {
        self.try_psql("postgres", "postgres", statement)
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// In `video`.
    pub fn superuser_in_video(&self, statement: &str) -> String {
        self.try_psql("postgres", "video", statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// Puts a table of `video` into this directory.
    pub fn move_table(&self, table: &str, to: &Path) {
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(to));
        }
        self.superuser(&format!("CREATE TABLESPACE elsewhere LOCATION '{}'", to.display()));
        self.superuser_in_video(&format!("ALTER TABLE {table} SET TABLESPACE elsewhere"));
    }

    fn try_psql(&self, user: &str, database: &str, statement: &str) -> Result<String, String> {
        let mut psql = Command::new("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
        ]);
        psql.args(["-U", user, "-d", database, "-c", statement]);
        psql.env("PGPASSWORD", PASSWORD).env("PGTZ", "UTC").env("PGCONNECT_TIMEOUT", "10");
        let output = psql.output().expect("psql runs");
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal(server.id(), "-CONT");
            signal(server.id(), "-QUIT");
            let _ = server.wait();
        }
    }
}

/// A program of PostgreSQL, as its user where this is root. It dies with the thread that started it.
fn as_postgres(program: &str) -> Command {
    let path = newest(program).unwrap_or_else(|| PathBuf::from(program));
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(path);
    command
}

/// Debian keeps servers of several versions beside each other, outside the search path.
fn newest(program: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.flatten().map(|entry| entry.path()).max_by_key(|path| version(path))?;
    Some(newest.join("bin").join(program)).filter(|path| path.is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}

fn signal(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
