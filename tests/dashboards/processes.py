"""Real processes on this machine: a broker, a database, Prometheus, `sightline` itself. All end with us."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KAFKA = ROOT / ".deps/kafka"
# Two busy cores.
DEADLINE_S = 90.0
PASSWORD = "correct-horse-battery"


class Failed(Exception):
    """Something that a person has to look at, as a sentence."""


def wait_for(what: str, look: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not look():
        if time.monotonic() > end:
            raise Failed(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def binary(name: str) -> Path:
    """SIGHTLINE_BIN names `sightline`; else the one of this tree that was built last. The others lie beside it."""
    given = os.environ.get("SIGHTLINE_BIN")
    built = [Path(given)] if given else [ROOT / "target" / profile / "sightline" for profile in ("debug", "release")]
    there = sorted((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime)
    if not there:
        raise Failed(
            f"no sightline at {' or '.join(map(str, built))}: build it (cargo build --examples --bins), or set SIGHTLINE_BIN"
        )
    beside = there[-1] if name == "sightline" else there[-1].parent / "examples" / name
    if not beside.exists():
        raise Failed(f"{beside} is missing: cargo build --examples")
    return beside


def _dies_with_us(gently: bool) -> None:
    libc = ctypes.CDLL(None)
    pr_set_pdeathsig = 1
    libc.prctl(pr_set_pdeathsig, signal.SIGQUIT if gently else signal.SIGKILL)


class Process:
    """A long-running program, its output in a file of its name."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, *, gently: bool = False) -> None:
        self.name, self.command, self.gently = name, [str(word) for word in command], gently
        self.log = folder / f"{name}.log"
        # None of the caller's own settings.
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SIGHTLINE_")}
        self.environment = kept
        self.child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command,
                # The test camera ends when nobody can tell it anything any more.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                # SIGKILL leaves PostgreSQL's shared memory behind.
                preexec_fn=lambda: _dies_with_us(self.gently),
            )

    def wait_for_line(self, text: str) -> str:
        found: list[str] = []

        def look() -> bool:
            said = self.log.read_text(errors="replace")
            found.extend(line for line in said.splitlines() if text in line)
            if not found and self.child and self.child.poll() is not None:
                raise Failed(f"{self.name} ended ({self.child.returncode}) without {text!r}:\n{said[-3000:]}")
            return bool(found)

        wait_for(f"{text!r} of {self.name}, in {self.log}", look)
        return found[0]

    def send(self, number: signal.Signals) -> None:
        assert self.child
        self.child.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.child and self.child.poll() is None:
            self.child.send_signal(number)
            self.child.wait(timeout=60)


def run(command: Sequence[str | Path], **more: str) -> str:
    """A command to its end; what it printed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | more)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} failed ({done.returncode}): {done.stdout}{done.stderr}")
    return done.stdout


def kafka(folder: Path) -> tuple[Process, str]:
    """One KRaft node, as tests/support/kafka.rs starts it; and its address."""
    if not (KAFKA / "kafka.jsa").exists():
        raise Failed("no Kafka in .deps/kafka: run scripts/kafka.sh")
    client, controller = free_port(), free_port()
    settings = folder / "server.properties"
    settings.write_text(f"""
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{client}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/kafka
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
log.cleaner.dedupe.buffer.size=8388608
""")
    java: list[str | Path] = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    java += [f"-XX:SharedArchiveFile={KAFKA}/kafka.jsa", f"-Dlog4j2.configurationFile={KAFKA}/log4j2.properties"]
    classes: list[str | Path] = ["-cp", f"{KAFKA}/libs/*"]
    format_it: list[str | Path] = [
        "kafka.tools.StorageTool",
        "format",
        "-t",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "--standalone",
        "-c",
        settings,
    ]
    run([*java, *classes, *format_it])
    broker = Process("kafka", [*java, *classes, "kafka.Kafka", settings], folder)
    broker.wait_for_line("Kafka Server started")
    return broker, f"127.0.0.1:{client}"


class Postgres:
    """A server with an empty database `video` of the user `sightline`."""

    def __init__(self, folder: Path) -> None:
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
        if not versions:
            raise Failed("no PostgreSQL in /usr/lib/postgresql: run scripts/setup.sh test")
        programs, data, self.port = versions[-1].parent, folder / "postgres", free_port()
        data.mkdir()
        password = folder / "password"
        password.write_text(PASSWORD)
        # It refuses to run as root.
        other_user: list[str | Path] = []
        if os.getuid() == 0:
            run(["chown", "postgres", data])
            other_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--pdeathsig", "QUIT", "--"]
        initdb = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync"]
        run([*other_user, programs / "initdb", *initdb, "--pwfile", password, "-D", data])
        # What is lost when the machine loses power is lost with the test.
        quick = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB"]
        command = [*other_user, programs / "postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", "", *quick]
        self.server = Process("postgres", command, folder, gently=True)
        self.wait()
        self.psql("postgres", f"CREATE USER sightline PASSWORD '{PASSWORD}'", user="postgres")
        self.psql("postgres", "CREATE DATABASE video OWNER sightline", user="postgres")
        self.url = f"postgresql://sightline:{PASSWORD}@127.0.0.1:{self.port}/video"

    def wait(self) -> None:
        def answers() -> bool:
            try:
                self.psql("postgres", "SELECT 1", user="postgres")
            except Failed:
                return False
            return True

        wait_for("PostgreSQL to answer", answers)

    def psql(self, database: str, statement: str, user: str = "sightline", *options: str) -> str:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database]
        command: list[str | Path] = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *where, *options, "-c", statement]
        return run(command, PGPASSWORD=PASSWORD, PGTZ="UTC", PGCONNECT_TIMEOUT="10")


def prometheus(folder: Path, targets: dict[str, int], rules: Path, interval_s: int) -> tuple[Process, str]:
    """Scrapes these, whose names stand as their instances; and its address."""
    port = free_port()
    scraped = "\n".join(
        f'      - targets: ["127.0.0.1:{at}"]\n        labels: {{instance: {name}}}' for name, at in targets.items()
    )
    configuration = folder / "prometheus.yml"
    configuration.write_text(f"""
global: {{scrape_interval: {interval_s}s, evaluation_interval: {interval_s}s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: sightline
    static_configs:
{scraped}
""")
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder}/prometheus"]
    server = Process("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], folder)
    server.wait_for_line("Server is ready to receive web requests")
    return server, f"http://127.0.0.1:{port}"
