//! A registry on a real Kafka, as its users see it: its process, its tokens, its API.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use ureq::http::{Method, Request};

use crate::sightline::{Sightline, command, output, wait_for};

pub const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// Tokens and keys, which outlive a registry.
pub struct Files {
    pub folder: tempfile::TempDir,
    tokens: BTreeMap<&'static str, String>,
}

impl Files {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut tokens, mut lines) = (BTreeMap::new(), String::new());
        for role in ROLES {
            let made = output(&["registry", "token", &format!("the-{role}"), "--role", role]);
            assert!(made.status.success(), "{made:?}");
            tokens.insert(role, String::from_utf8(made.stdout).unwrap().trim().to_owned());
            lines.push_str(String::from_utf8(made.stderr).unwrap().lines().last().unwrap());
            lines.push('\n');
        }
        fs::write(folder.path().join("tokens"), lines).unwrap();
        let key = output(&["registry", "key", "k1"]);
        fs::write(folder.path().join("keys"), key.stdout).unwrap();
        Self { folder, tokens }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn token(&self, role: &str) -> String {
        self.tokens[role].clone()
    }
}

/// A running registry.
pub struct Registry {
    pub process: Sightline,
    /// `http://127.0.0.1:PORT`
    pub api: String,
    pub http: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it is this problem, about these fields.
    pub fn is_problem(&self, status: u16, fields: &[&str]) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["type"].as_str().unwrap().starts_with("urn:sightline:problem:"), "{problem}");
        assert!(
            !problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty()
        );
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(found, fields, "{problem}");
        for error in errors {
            assert!(
                !error["reason"].as_str().unwrap().is_empty()
                    && !error["next_step"].as_str().unwrap().is_empty()
            );
        }
        problem
    }
}

impl Registry {
    /// Starts one with tokens, keys, and this machine's own addresses allowed; without waiting for it.
    pub fn spawn(bootstrap: &str, files: &Files, more: &[&str]) -> Self {
        let (tokens, keys) = (files.path("tokens"), files.path("keys"));
        let mut args =
            vec!["registry", "--kafka", bootstrap, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        args.extend(["--tokens", tokens.to_str().unwrap(), "--seal-keys", keys.to_str().unwrap()]);
        args.extend(more);
        Self::of(command(&args), files)
    }

    /// Starts what is given.
    pub fn of(command: std::process::Command, files: &Files) -> Self {
        let mut process = Sightline::spawn(command);
        let http = process.http();
        let line = process.wait_for_line("api=");
        let api = line.split_once("api=").unwrap().1.trim_matches('"').to_owned();
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
        let token = Some(files.token("admin"));
        Self { process, api, http, token, agent: ureq::Agent::new_with_config(config.build()) }
    }

    pub fn start(bootstrap: &str, files: &Files, more: &[&str]) -> Self {
        let mut registry = Self::spawn(bootstrap, files, more);
        registry.process.wait_for_line("ready cameras=");
        registry
    }

    /// As somebody else, or nobody.
    pub fn asking(&self, token: Option<String>) -> Asking {
        Asking { api: self.api.clone(), token, agent: self.agent.clone() }
    }

    fn us(&self) -> Asking {
        self.asking(self.token.clone())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.us().ask("GET", path, &[], None)
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send_if(method, path, body, &[])
    }

    pub fn send_if(&self, method: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.us().ask(method, path, &headers, Some(body.to_string().into_bytes()))
    }

    pub fn raw(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> Answer {
        self.us().ask(method, path, &[("content-type", media_type)], Some(body.to_vec()))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.us().ask("DELETE", path, &[], None)
    }

    /// `sightline camera …` against this registry.
    pub fn cli(&self, args: &[&str]) -> std::process::Output {
        self.cli_command(args).output().unwrap()
    }

    pub fn cli_command(&self, args: &[&str]) -> std::process::Command {
        let mut command = command(args);
        command.env("SIGHTLINE_REGISTRY", &self.api).env("SIGHTLINE_TOKEN", self.token.as_ref().unwrap());
        command.env("NO_COLOR", "1");
        command
    }
}

/// Somebody who asks.
pub struct Asking {
    api: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Asking {
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.api));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut answered = answered.unwrap_or_else(|error| panic!("{path}: {error}"));
        let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let headers = answered.headers().iter().map(header).collect();
        let text = answered.body_mut().with_config().limit(1 << 28).read_to_string().unwrap();
        Answer { status: answered.status().as_u16(), headers, text }
    }
}

/// Makes the topics with 6 partitions.
pub fn apply_topics(bootstrap: &str) {
    let args = ["topics", "apply", "--kafka", bootstrap, "--partitions", "6", "--pool", "default,gpu"];
    let applied = output(&args);
    assert!(applied.status.success(), "{applied:?}");
}

/// Writes a record as anybody could.
pub fn produce(bootstrap: &str, topic: &str, key: &str, value: &Path) {
    let mut command = std::process::Command::new("kcat");
    command.args(["-P", "-b", bootstrap, "-t", topic, "-k", key, "-X", "partitioner=murmur2_random"]);
    let produced = command.arg(value).output().expect("kcat runs: apt-get install kcat");
    assert!(produced.status.success(), "{produced:?}");
}

/// Waits until the API shows it.
pub fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, || look().then_some(()));
}
