//! A real Kafka for tests: one KRaft node in a process of its own, on free ports, with its data in a temporary folder.
//!
//! Used by the tests of several crates: `#[path = "../../tests/support/kafka.rs"] mod kafka;`. Only std and tempfile.
//! The jars lie in `.deps/kafka`; `scripts/kafka.sh` (called by `make test`) puts them there.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A broker takes 2 s alone; two busy cores and a cold disk make that many times more.
const START_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The SCRAM user of `KafkaKind::ScramTls`.
pub const USER: &str = "app";
pub const PASSWORD: &str = "correct-horse-battery";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaKind {
    /// PLAINTEXT, nobody is asked who they are.
    Plain,
    /// SASL_SSL: SCRAM-SHA-512 as `USER` with `PASSWORD`, a certificate for 127.0.0.1 and localhost by a CA of its own.
    ScramTls,
}

/// What a client of `KafkaKind::ScramTls` needs.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// librdkafka properties: protocol, mechanism, user, CA, and the password by `sasl.password.file`.
    pub properties: PathBuf,
    pub password: PathBuf,
    pub ca: PathBuf,
    /// A CA that signed nothing here.
    pub other_ca: PathBuf,
}

/// A running broker; dropping it kills it and deletes its data.
#[derive(Debug)]
pub struct Kafka {
    /// HOST:PORT; the same after `start_again`.
    pub bootstrap: String,
    /// Data, configuration, `kafka.log`.
    pub dir: PathBuf,
    /// Only of `KafkaKind::ScramTls`.
    pub client: Option<ClientFiles>,
    broker: Option<Child>,
    /// Removes `dir` at the end.
    _guard: tempfile::TempDir,
}

impl Kafka {
    /// Starts a broker without topics and returns when it answers.
    pub fn start(kind: KafkaKind) -> Kafka {
        let mut kafka = Kafka::prepare(kind);
        kafka.start_again();
        kafka
    }

    /// A broker that clients are told to find at another port of 127.0.0.1: who stands there hears all they say.
    pub fn start_behind(front: u16) -> Kafka {
        let mut kafka = Kafka::prepare_behind(KafkaKind::Plain, Some(front));
        kafka.start_again();
        kafka
    }

    /// Everything made, the port chosen, but no broker yet: for tests of a broker that is absent at first.
    pub fn prepare(kind: KafkaKind) -> Kafka {
        Kafka::prepare_behind(kind, None)
    }

    fn prepare_behind(kind: KafkaKind, front: Option<u16>) -> Kafka {
        let guard =
            tempfile::Builder::new().prefix("sightline-kafka-").tempdir().expect("a temporary folder");
        let dir = guard.path().to_owned();
        let ports = free_ports(3);
        let client = (kind == KafkaKind::ScramTls).then(|| make_client_files(&dir));
        fs::write(dir.join("server.properties"), server_properties(kind, &dir, &ports, front))
            .expect("server.properties");
        let kafka =
            Kafka { bootstrap: format!("127.0.0.1:{}", ports[0]), dir, client, broker: None, _guard: guard };
        kafka.format(kind);
        kafka
    }

    /// Starts it on the same data and port, after `prepare`, `stop` or `kill9`.
    pub fn start_again(&mut self) {
        assert!(self.broker.is_none(), "the broker runs already");
        let log_path = self.log();
        let log = fs::File::options().create(true).append(true).open(&log_path).expect("kafka.log");
        let from = fs::metadata(&log_path).map_or(0, |metadata| metadata.len()) as usize;
        // The shell's standard input is a pipe held by this process: when the test ends, in whatever way, the pipe
        // closes and the shell kills the broker.
        let script = r#"exec 3<&0
            "$@" </dev/null 3<&- & broker=$!
            echo $broker >"$PID_FILE"
            (cat <&3 >/dev/null; kill -9 $broker 2>/dev/null) & watch=$!
            wait $broker
            kill $watch 2>/dev/null"#;
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg("kafka").args(java());
        command.args(["-cp", &class_path(), "kafka.Kafka"]).arg(self.dir.join("server.properties"));
        command.env("PID_FILE", self.pid_file()).stdin(Stdio::piped());
        command.stdout(log.try_clone().expect("kafka.log")).stderr(log);
        let mut broker = command.spawn().expect("sh starts");

        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let log = fs::read(&log_path).unwrap_or_default();
            if String::from_utf8_lossy(&log[from.min(log.len())..]).contains("Kafka Server started") {
                break;
            }
            let ended = broker.try_wait().expect("the broker's state");
            if ended.is_some() || Instant::now() > deadline {
                drop(broker.stdin.take());
                panic!("Kafka did not start ({ended:?}); {}:\n{}", log_path.display(), tail(&log_path));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.broker = Some(broker);
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        self.wait();
    }

    /// Ends it without a chance to say or save anything.
    pub fn kill9(&mut self) {
        self.signal("-KILL");
        self.wait();
    }

    /// SIGSTOP: it holds its connections and answers nothing, until `resume`.
    pub fn pause(&mut self) {
        self.signal("-STOP");
    }

    pub fn resume(&mut self) {
        self.signal("-CONT");
    }

    /// Sets one thing of a topic: `max.message.bytes=500`.
    pub fn set_topic(&self, topic: &str, setting: &str) {
        let mut command = Command::new("java");
        command.args(java().skip(1)).args(["-cp", &class_path(), "kafka.admin.ConfigCommand"]);
        command.args(["--bootstrap-server", &self.bootstrap, "--alter", "--entity-type", "topics"]);
        command.args(["--entity-name", topic, "--add-config", setting]);
        run(&mut command);
    }

    /// Takes topics away, with all that is in them.
    pub fn delete_topics(&self, topics: &[&str]) {
        for topic in topics {
            let delete =
                ["org.apache.kafka.tools.TopicCommand", "--delete", "--bootstrap-server", &self.bootstrap];
            run(Command::new("java")
                .args(java().skip(1))
                .args(["-cp", &class_path()])
                .args(delete)
                .args(["--topic", topic]));
        }
    }

    /// What `kafka-consumer-groups.sh` says with these arguments.
    pub fn groups(&self, args: &[&str]) -> String {
        let mut command = Command::new("java");
        let tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        command.args(java().skip(1)).args([
            "-cp",
            &class_path(),
            tool,
            "--bootstrap-server",
            &self.bootstrap,
        ]);
        let said = command.args(args).output().unwrap();
        assert!(said.status.success(), "{args:?}: {said:?}");
        String::from_utf8(said.stdout).unwrap()
    }

    /// Kafka's own log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    fn format(&self, kind: KafkaKind) {
        let mut command = Command::new("java");
        command.args(java().skip(1)).args(["-cp", &class_path(), "kafka.tools.StorageTool", "format"]);
        command
            .args(["-t", "AAAAAAAAAAAAAAAAAAAAAA", "--standalone", "-c"])
            .arg(self.dir.join("server.properties"));
        if kind == KafkaKind::ScramTls {
            command.args(["--add-scram", &format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")]);
        }
        run(&mut command);
    }

    fn signal(&self, signal: &str) {
        assert!(self.broker.is_some(), "no broker runs");
        let pid = fs::read_to_string(self.pid_file()).expect("the broker's pid");
        run(Command::new("kill").args([signal, pid.trim()]));
    }

    fn wait(&mut self) {
        let mut broker = self.broker.take().expect("a running broker");
        let deadline = Instant::now() + STOP_DEADLINE;
        while broker.try_wait().expect("the broker's state").is_none() {
            if Instant::now() > deadline {
                self.broker = Some(broker);
                panic!("Kafka did not end; {}:\n{}", self.log().display(), tail(&self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            drop(broker.stdin.take());
            let _ = broker.wait();
        }
    }
}

fn deps() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists())
        .expect("the repository root");
    let deps = root.join(".deps/kafka");
    assert!(
        deps.join("kafka.jsa").exists(),
        "this test needs a real Kafka in {}: run scripts/kafka.sh (make test does)",
        deps.display()
    );
    deps
}

fn class_path() -> String {
    format!("{}/*", deps().join("libs").display())
}

/// Java with little memory and a quick start.
fn java() -> impl Iterator<Item = String> {
    let archive = format!("-XX:SharedArchiveFile={}", deps().join("kafka.jsa").display());
    let log = format!("-Dlog4j2.configurationFile={}", deps().join("log4j2.properties").display());
    ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        .map(str::to_owned)
        .into_iter()
        .chain([archive, log])
}

/// Quick where Kafka's defaults are for clusters: after `kill9` a broker is let in again when its old session has ended.
fn server_properties(kind: KafkaKind, dir: &Path, ports: &[u16], front: Option<u16>) -> String {
    let [client, controller, internal] = ports else { unreachable!("three ports") };
    let advertised = front.unwrap_or(*client);
    let dir = dir.display();
    let (protocol, security) = match kind {
        KafkaKind::Plain => ("PLAINTEXT", String::new()),
        KafkaKind::ScramTls => (
            "SASL_SSL",
            format!(
                "listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
                 listener.name.client.scram-sha-512.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
                 listener.name.client.ssl.keystore.type=PEM\n\
                 listener.name.client.ssl.keystore.location={dir}/server.pem\n"
            ),
        ),
    };
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=CLIENT://127.0.0.1:{advertised},INTERNAL://127.0.0.1:{internal}\n\
         inter.broker.listener.name=INTERNAL\n\
         listener.security.protocol.map=CLIENT:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         {security}\
         log.dirs={dir}/data\n\
         broker.session.timeout.ms=1500\n\
         broker.heartbeat.interval.ms=250\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         log.cleaner.backoff.ms=500\n\
         log.cleaner.dedupe.buffer.size=8388608\n"
    )
}

/// Two CAs, the server's certificate by the first, and the client's properties.
fn make_client_files(dir: &Path) -> ClientFiles {
    let authority = |name: &str| {
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", &format!("/CN=Sightline test {name}"), "-keyout", &format!("{name}.key")])
            .args(["-out", &format!("{name}.pem")])
            .current_dir(dir));
    };
    authority("ca");
    authority("other-ca");
    run(Command::new("openssl")
        .args([
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-keyout", "server.key", "-out", "server.csr"])
        .current_dir(dir));
    fs::write(dir.join("server.ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("server.ext");
    run(Command::new("openssl")
        .args(["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"])
        .args(["-days", "2", "-extfile", "server.ext", "-out", "server.crt"])
        .current_dir(dir));
    // Kafka wants PKCS#8 key, certificate and CA in one file; `openssl req` writes PKCS#8.
    let parts = ["server.key", "server.crt", "ca.pem"].map(|name| fs::read(dir.join(name)).expect(name));
    fs::write(dir.join("server.pem"), parts.concat()).expect("server.pem");

    let files = ClientFiles {
        properties: dir.join("client.properties"),
        password: dir.join("password"),
        ca: dir.join("ca.pem"),
        other_ca: dir.join("other-ca.pem"),
    };
    fs::write(&files.password, format!("{PASSWORD}\n")).expect("password");
    let mut properties = fs::File::create(&files.properties).expect("client.properties");
    write!(
        properties,
        "# a client of the tests' own Kafka\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n\
         sasl.username={USER}\nsasl.password.file={}\nssl.ca.location={}\n",
        files.password.display(),
        files.ca.display()
    )
    .expect("client.properties");
    files
}

/// Ports that were free a moment ago, below the range that the kernel hands out by itself: a client that tries a dead
/// broker's port over and over could otherwise get that very port as its own and connect to itself.
fn free_ports(count: usize) -> Vec<u16> {
    let mut held: Vec<TcpListener> = Vec::new();
    let mut seed = Instant::now().elapsed().as_nanos() as u64
        ^ std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64)
        ^ u64::from(std::process::id()) << 32;
    for _ in 0..10_000 {
        if held.len() == count {
            break;
        }
        // xorshift64
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        held.extend(TcpListener::bind(("127.0.0.1", 20_000 + (seed % 12_000) as u16)));
    }
    assert_eq!(held.len(), count, "no free ports on 127.0.0.1");
    held.iter().map(|listener| listener.local_addr().expect("a bound port").port()).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{:?}: {}\n{}{}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
