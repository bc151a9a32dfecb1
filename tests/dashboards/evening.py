"""Two minutes in the life of a fleet: cameras that run and one that does not, two pipelines of which one is killed, a worker with jobs,
all consumers, a broker and a database that are away for a while. What the panels are asked about."""

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from processes import ROOT, Postgres, Process, binary, free_port, kafka, prometheus, run, wait_for

SAMPLES = ROOT / "samples"
INTERVAL_S = 2
LASTS_S = 132
# The first of the recordings that are worked off begins so long before the evening, or less.
RECORDED_EARLIER_S = 300
LOOPBACK = ["--allow-network", "127.0.0.0/8"]


class Desk(BaseHTTPRequestHandler):
    """A webhook that is down at first, then takes all; below /strict it refuses all."""

    up_at = float("inf")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        down = time.monotonic() < Desk.up_at
        self.send_response(410 if self.path == "/strict" else 503 if down else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Evening:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sightline = binary("sightline")
        self.targets: dict[str, int] = {}
        self.ours: dict[str, Process] = {}
        self.cameras: dict[str, Process] = {}
        self.stack = ExitStack()

    def __enter__(self) -> "Evening":
        with ExitStack() as stack:
            self._start(stack)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _own(self, stack: ExitStack, process: Process, ends_by: signal.Signals = signal.SIGKILL) -> Process:
        stack.callback(process.end, ends_by)
        return process

    def _run(self, stack: ExitStack, name: str, *arguments: str | Path) -> None:
        port = free_port()
        self.targets[name] = port
        command = [self.sightline, *arguments, "--kafka", self.broker, "--http", f"127.0.0.1:{port}"]
        self.ours[name] = self._own(stack, Process(name, command, self.folder))

    def _camera(self, stack: ExitStack, name: str, *options: str) -> str:
        port = free_port()
        command: list[str | Path] = [
            binary("test-camera"),
            SAMPLES / "junction.mp4",
            "--loops",
            "forever",
            "--port",
            str(port),
            *options,
        ]
        self.cameras[name] = self._own(stack, Process(f"camera-{name}", command, self.folder))
        self.cameras[name].wait_for_line("port ")
        return f"rtsp://127.0.0.1:{port}/cam"

    def _start(self, stack: ExitStack) -> None:
        self.kafka, self.broker = kafka(self.folder)
        self._own(stack, self.kafka)
        self.postgres = Postgres(self.folder)
        self._own(stack, self.postgres.server, signal.SIGQUIT)
        run([self.sightline, "topics", "apply", "--kafka", self.broker, "--partitions", "6"])

        desk = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        stack.callback(desk.shutdown)
        threading.Thread(target=desk.serve_forever, daemon=True).start()
        Desk.up_at = time.monotonic() + 60
        rules = self.folder / "alerts.yaml"
        address = f"http://127.0.0.1:{desk.server_port}"
        (self.folder / "secret").write_text("a-secret-of-more-than-16-bytes\n")
        targets = {
            name: {"webhook": f"{address}/{name}", "secret_file": str(self.folder / "secret"), "parallel": 2}
            for name in ("desk", "strict")
        }
        rules.write_text(
            json.dumps(
                {
                    "targets": targets,
                    "rules": [
                        {"name": "over-the-line", "to": ["desk"], "types": ["line_crossed"]},
                        {"name": "in-the-zone", "to": ["desk", "strict"], "types": ["zone_entered"], "zones": ["west-crossing"]},
                    ],
                }
            )
        )

        model: list[str | Path] = ["--model", SAMPLES / "junction.onnx", "--workers", "1"]
        api = free_port()
        self.api = f"http://127.0.0.1:{api}"
        files = ["--allow-file-root", str(SAMPLES), "--allow-file-root", str(self.folder), *LOOPBACK]
        listen = ["--listen", f"127.0.0.1:{api}", "--insecure-no-auth", "--database", self.postgres.url]
        self._run(stack, "registry", "registry", *listen, *files)
        for pod in ("pipeline-0", "pipeline-1"):
            spool: list[str | Path] = ["--spool", self.folder / f"spool-{pod}", "--capacity-fps", "30"]
            self._run(stack, pod, "pipeline", *model, "--pod", pod, *spool, *LOOPBACK)
        self._run(stack, "worker-0", "worker", *model, "--pod", "worker-0", "--retry-after", "5", *files)
        self._run(stack, "events-0", "consume", "events")
        self._run(stack, "events-1", "consume", "events")
        self._run(stack, "store-0", "consume", "store", "--database", self.postgres.url)
        self._run(stack, "alerts-0", "consume", "alerts", "--rules", rules)
        self.archive = self.folder / "archive"
        self._run(stack, "archive-0", "consume", "archive", "--to", self.archive, "--roll-seconds", "5")
        rules_file = ROOT / "helm/sightline/rules/sightline.yaml"
        server, self.prometheus = prometheus(self.folder, self.targets, rules_file, INTERVAL_S)
        self._own(stack, server)
        self.ours["registry"].wait_for_line("ready cameras=")

        truth = json.loads((SAMPLES / "junction.truth.json").read_text())
        seen = {"zones": truth["zones"], "lines": truth["lines"], "labels": {"site": "junction"}}
        slow = {"sampling": {"mode": "fps", "fps": 5}}
        self._register({"id": "north", "source": self._camera(stack, "north"), **seen, **slow})
        self._register({"id": "south", "source": self._camera(stack, "south"), **seen, "sampling": {"mode": "fps", "fps": 12}})
        lossy = self._camera(stack, "east", "--fault", "garbage")
        self._register({"id": "east", "source": lossy, **seen, **slow})
        self._register({"id": "gone", "source": f"rtsp://127.0.0.1:{free_port()}/cam"})

    def _register(self, camera: dict[str, object]) -> None:
        wait_for(f"{camera['id']} to be registered", lambda: self._ask("/v1/cameras", camera) in (201, 202, 409))

    def _ask(self, path: str, body: object = None, method: str | None = None) -> int:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        request = urllib.request.Request(self.api + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def _visit(self, until: float) -> None:
        """People with a browser."""
        while time.monotonic() < until:
            for path in ("/v1/cameras", "/v1/pods", "/v1/events?limit=20", "/v1/jobs", "/v1/cameras/nobody"):
                self._ask(path)
            time.sleep(1)

    def _watch(self, until: float) -> None:
        with suppress(OSError), urllib.request.urlopen(f"{self.api}/v1/events:watch", timeout=30) as stream:
            while time.monotonic() < until and stream.readline():
                pass

    def _jobs(self) -> None:
        """Three recordings of half a minute, and one that is none."""
        broken = self.folder / "broken.mp4"
        broken.write_text("this is no video")
        truth = json.loads((SAMPLES / "junction.truth.json").read_text())
        spec = {"zones": truth["zones"], "lines": truth["lines"], "sampling": {"mode": "fps", "fps": 5}}
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        for n in range(3):
            start = (minute - timedelta(minutes=4 - n)).isoformat()
            self._ask("/v1/jobs", {"uris": [str(SAMPLES / "junction.mp4")], "start": start, "spec": spec})
        self._ask("/v1/jobs", {"uris": [str(broken)]})

    def _hide_archive(self) -> None:
        self.archive.rename(self.folder / "hidden")
        self.archive.write_text("a file, where a folder should be")

    def _show_archive(self) -> None:
        self.archive.unlink()
        (self.folder / "hidden").rename(self.archive)

    def _wait_for_jobs(self) -> None:
        def ended() -> bool:
            with urllib.request.urlopen(f"{self.api}/v1/jobs", timeout=15) as answer:
                states = [job["status"]["state"] for job in json.load(answer)["items"]]
            return len(states) == 4 and set(states) == {"done", "failed"}

        wait_for("the jobs to end", ended, 240)
        # And a scrape that saw it.
        time.sleep(3 * INTERVAL_S)

    def _junk(self) -> None:
        """Records that nobody can read."""
        for topic in ("detections", "events", "cameras"):
            command = ["kcat", "-P", "-b", self.broker, "-t", f"sightline.{topic}", "-k", "junk", "-H", "sightline-schema=frame/1"]
            (self.folder / "junk").write_text("{ no record")
            run([*command, str(self.folder / "junk")])

    def live(self) -> tuple[float, float]:
        """Lives it through. From when to when it was, in seconds since 1970."""
        began, begun = time.time(), time.monotonic()
        until = begun + LASTS_S
        for target in (self._visit, self._watch):
            threading.Thread(target=target, args=(until,), daemon=True).start()
        programme = [
            (15, "jobs are added", self._jobs),
            (25, "records that nobody can read", self._junk),
            (35, "a pipeline is killed", lambda: self.ours["pipeline-1"].end()),
            (50, "it comes back", lambda: self.ours["pipeline-1"].start()),
            (54, "a camera loses its power", lambda: self.cameras["north"].end()),
            (58, "settings of a camera change", lambda: self._ask("/v1/cameras/south", {"name": "South"}, "PATCH")),
            (70, "the broker answers nobody", lambda: self.kafka.send(signal.SIGSTOP)),
            (77, "the broker answers again", lambda: self.kafka.send(signal.SIGCONT)),
            (80, "the camera has power again", lambda: self.cameras["north"].start()),
            (86, "the database is away", lambda: self.postgres.server.end(signal.SIGQUIT)),
            (94, "the database is back", lambda: self.postgres.server.start()),
            (98, "the archive's folder is in the way", self._hide_archive),
            (110, "the archive's folder is back", self._show_archive),
            (LASTS_S, "jobs come to their ends", self._wait_for_jobs),
        ]
        for at, what, happens in programme:
            time.sleep(max(0.0, begun + at - time.monotonic()))
            print(f"   {at:3} s: {what}", flush=True)
            happens()
        for name, process in self.ours.items():
            assert process.child
            if process.child.poll() is not None:
                print(f"   {name} has ended: {process.log.read_text(errors='replace')[-800:]}", flush=True)
        return began, time.time()
