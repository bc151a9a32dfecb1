//! A real S3 server for tests: versitygw over a temporary folder, killed and started at will.
//!
//! The server lies in `.deps/versitygw`; `scripts/setup.sh test` builds it.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const KEY: &str = "archivist";
pub const SECRET: &str = "correct-horse-battery-staple";

pub struct S3 {
    dir: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
    /// Certificate and key.
    tls: Option<(PathBuf, PathBuf)>,
}

impl S3 {
    /// With the bucket `archive`.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same by HTTPS.
    pub fn start_tls(certificate: PathBuf, key: PathBuf) -> Self {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(PathBuf, PathBuf)>) -> Self {
        let dir = tempfile::Builder::new().prefix("sightline-s3-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("archive")).unwrap();
        // Below the range that the kernel hands out by itself.
        let port = (0..2000)
            .map(|n| 18_000 + ((std::process::id() + n) % 2000) as u16)
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .expect("a free port");
        let mut s3 = Self { dir, port, server: None, tls };
        s3.start_again();
        s3
    }

    pub fn start_again(&mut self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/versitygw/versitygw");
        assert!(program.exists(), "this test needs an S3 server: run scripts/setup.sh test (make test does)");
        let log = std::fs::File::create(self.dir.path().with_extension("log")).unwrap();
        let mut server = Command::new(program);
        server.args(["--port", &format!("127.0.0.1:{}", self.port), "--access", KEY, "--secret", SECRET]);
        if let Some((certificate, key)) = &self.tls {
            server.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        server.arg("posix");
        server.arg(self.dir.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(server.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "the S3 server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn kill9(&mut self) {
        let mut server = self.server.take().expect("a running server");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Tells a command where it is, and who it is itself.
    pub fn environment(&self, command: &mut Command, secret: &str) {
        command
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", secret);
    }

    /// A link that anybody may read this path by, for so many seconds: AWS's signature version 4 in the query.
    pub fn signed(&self, path: &str, seconds: u32) -> String {
        const SIGN: &str = r#"
import datetime, hashlib, hmac, sys, urllib.parse
host, path, key, secret, seconds = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc)
stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
scope = f"{day}/us-east-1/s3/aws4_request"
query = urllib.parse.urlencode({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{key}/{scope}",
    "X-Amz-Date": stamp, "X-Amz-Expires": seconds, "X-Amz-SignedHeaders": "host"})
asked = f"GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
sign = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
made = ("AWS4" + secret).encode()
for part in scope.split("/"):
    made = sign(made, part)
print(f"{path}?{query}&X-Amz-Signature={sign(made, text).hex()}")
"#;
        let host = format!("127.0.0.1:{}", self.port);
        let seconds = seconds.to_string();
        let made =
            Command::new("python3").args(["-c", SIGN, &host, path, KEY, SECRET, &seconds]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}{}", String::from_utf8(made.stdout).unwrap().trim())
    }

    /// A bucket's objects, as files.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Whether an upload in parts is under way, or was left.
    pub fn has_parts(&self) -> bool {
        let parts = self.dir.path().join("archive/.sgwtmp/multipart");
        walk(&parts).iter().any(|file| std::fs::metadata(file).is_ok_and(|meta| meta.len() >= 1 << 20))
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_file(self.dir.path().with_extension("log"));
    }
}
