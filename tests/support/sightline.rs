//! The command itself, as tests run it: its output kept, its probes asked, killed at the end.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Generous: two busy cores.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// `sightline` with these arguments, and none of the caller's own `SIGHTLINE_…` variables.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_string_lossy().starts_with("SIGHTLINE_");
        if is_ours && name != "SIGHTLINE_ONNXRUNTIME" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn output(args: &[&str]) -> Output {
    command(args).output().expect("sightline starts")
}

/// Real models and clips: `SIGHTLINE_TEST_DATA`, else beside the repository.
pub fn data(path: &str) -> PathBuf {
    let root = std::env::var_os("SIGHTLINE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let file = root.join(path);
    assert!(
        file.exists(),
        "{} is missing: this test needs the test data; set SIGHTLINE_TEST_DATA",
        file.display()
    );
    file
}

/// The quickest real model.
pub fn fast_model() -> String {
    data("models/yolo11n-320-int8dyn.onnx").to_string_lossy().into_owned()
}

/// Asks until the answer is yes.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", DEADLINE.as_secs());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A long-running `sightline`.
pub struct Sightline {
    child: Child,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Sightline {
    pub fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::null());
        Self::piped_as(command)
    }

    /// One whose output is read by [`Self::lines`].
    pub fn piped(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        Self::piped_as(command)
    }

    /// The next lines of its output.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        let out = self.child.stdout.take().expect("its output is piped");
        BufReader::new(out).lines().take(count).map(Result::unwrap).collect()
    }

    fn piped_as(mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("sightline starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (pipe, kept) = (child.stderr.take().expect("a pipe"), stderr.clone());
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { child, stderr, reader: Some(reader) }
    }

    /// Everything on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits for a text on standard error. Ends the test where the process ends first.
    pub fn wait_for_line(&mut self, with: &str) -> String {
        wait_for(&format!("{with:?} on standard error"), || {
            let text = self.stderr();
            if let Some(line) = text.lines().find(|line| line.contains(with)) {
                return Some(line.to_owned());
            }
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended ({ended:?}) without {with:?}:\n{text}");
            None
        })
    }

    /// HOST:PORT of its probes, from `starting http=…` or from the banner.
    pub fn http(&mut self) -> String {
        wait_for("the address of the probes", || {
            let text = self.stderr();
            let from = ["http=", "metrics at http://"].iter().find_map(|sign| text.split_once(sign))?.1;
            let address: String =
                from.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            // The line may still be on its way.
            (from.len() > address.len()).then_some(address)
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// `TERM`, `INT`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Its end, and all it said.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = wait_for("the end of sightline", || self.child.try_wait().expect("its state"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("its output is read");
        }
        (status, self.stderr())
    }
}

impl Drop for Sightline {
    fn drop(&mut self) {
        // Ended already, most of the time.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- sightline said:\n{}", self.stderr());
        }
    }
}

/// Status and body of a GET.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// One sample of `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What `/metrics` says: types by family, and all samples. Panics where a line is no OpenMetrics text.
#[derive(Debug, Default)]
pub struct Metrics {
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Metrics {
    pub fn scrape(address: &str) -> Self {
        let (status, text) = get(address, "/metrics");
        assert_eq!(status, 200);
        Self::parse(&text)
    }

    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line == "# EOF" {
                assert!(lines.peek().is_none(), "something behind # EOF");
                return metrics;
            }
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (kind, family, rest) = (words.next(), words.next(), words.next());
                match (kind, family, rest) {
                    (Some("TYPE"), Some(family), Some(kind)) => {
                        let before = metrics.types.insert(family.to_owned(), kind.to_owned());
                        assert!(before.is_none(), "{family} twice");
                    }
                    (Some("HELP"), Some(_), Some(text)) if !text.trim().is_empty() => {}
                    (Some("UNIT"), Some(family), Some(unit)) => assert!(family.ends_with(unit), "{line}"),
                    _ => panic!("no OpenMetrics comment: {line:?}"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
            let value = match value {
                "+Inf" => f64::INFINITY,
                "NaN" => f64::NAN,
                number => number.parse().unwrap_or_else(|_| panic!("no number: {line:?}")),
            };
            let (name, labels) = match series.split_once('{') {
                None => (series, BTreeMap::new()),
                Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("a closing brace"))),
            };
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(!name.is_empty() && name.chars().all(legal), "no metric name: {line:?}");
            metrics.samples.push(Sample { name: name.to_owned(), labels, value });
        }
        panic!("no # EOF at the end");
    }

    /// The sum of all series of this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(fits).map(|sample| sample.value).sum()
    }
}

/// Type and labels of metrics, by the name that is scraped.
pub type Described = BTreeMap<String, (String, Vec<String>)>;

impl Metrics {
    /// What is scraped and ours: `process_…` is every process's.
    pub fn described(&self) -> Described {
        let ours = self.types.iter().filter(|(family, _)| family.starts_with("sightline_"));
        let types = ours.map(|(family, kind)| {
            let name = if kind == "counter" { format!("{family}_total") } else { family.clone() };
            let of_family = |sample: &&Sample| {
                sample.name == name || kind == "histogram" && sample.name == format!("{family}_count")
            };
            let sample = self.samples.iter().find(of_family).unwrap_or_else(|| panic!("no sample of {name}"));
            (name, (kind.clone(), sample.labels.keys().cloned().collect()))
        });
        types.collect()
    }
}

/// What docs/METRICS.md says of the metrics whose names begin so.
pub fn documented(prefix: &str) -> Described {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let page = std::fs::read_to_string(page).unwrap();
    page.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|line| line.starts_with(prefix))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned());
            let mut labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
            labels.sort();
            (cells[0].trim_end_matches('`').to_owned(), (cells[1].to_owned(), labels))
        })
        .collect()
}

/// `a="x",b="y\"z"`
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {rest:?}"));
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(chars.next().expect("an escaped character").1),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(key.to_owned(), value).is_none(), "{key} twice");
        rest = behind[end..].strip_prefix(',').unwrap_or(&behind[end..]);
    }
    labels
}
