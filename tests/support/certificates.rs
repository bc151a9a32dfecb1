//! Certificates made for a test: an authority of its own, and what it signs.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Lives in the test's folder.
pub struct Authority {
    dir: PathBuf,
}

/// Files in PEM.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path) -> Self {
        let authority = Self { dir: dir.to_owned() };
        let subject = ["-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem"];
        authority.openssl(
            &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"][..], &subject].concat(),
        );
        authority
    }

    /// What a client has to trust.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A certificate for this name, as in `IP:127.0.0.1` or `DNS:camera.example`.
    pub fn sign(&self, name: &str) -> Certificate {
        self.sign_for(name, 2)
    }

    /// One that was valid, and is no more.
    pub fn expired(&self, name: &str) -> Certificate {
        let certificate = self.sign_for(name, 0);
        let file = certificate.certificate.to_str().unwrap();
        let begun = Instant::now();
        while openssl(&self.dir, &["x509", "-noout", "-checkend", "0", "-in", file]).status.success() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not expire");
            std::thread::sleep(Duration::from_millis(50));
        }
        certificate
    }

    fn sign_for(&self, name: &str, days: u32) -> Certificate {
        let days = days.to_string();
        let stem: String = format!("{name}{days}").chars().filter(char::is_ascii_alphanumeric).collect();
        let [request, key, pem, extensions] = ["csr", "key", "pem", "ext"].map(|end| format!("{stem}.{end}"));
        std::fs::write(self.dir.join(&extensions), format!("subjectAltName={name}\n")).unwrap();
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=camera",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-days",
            &days,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-in",
            &request,
            "-extfile",
            &extensions,
            "-out",
            &pem,
        ]);
        Certificate { certificate: self.dir.join(pem), key: self.dir.join(key) }
    }

    fn openssl(&self, args: &[&str]) {
        let done = openssl(&self.dir, args);
        assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

fn openssl(dir: &Path, args: &[&str]) -> Output {
    let done = Command::new("openssl").args(args).current_dir(dir).output();
    done.expect("openssl runs: apt-get install openssl")
}

impl Certificate {
    /// As the test camera takes it.
    pub fn options(&self) -> [String; 3] {
        let [certificate, key] =
            [&self.certificate, &self.key].map(|path| path.to_string_lossy().into_owned());
        ["--tls".to_owned(), certificate, key]
    }
}
