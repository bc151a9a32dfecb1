"""What the scenes have in common: the cluster, the registry's API, cameras beside the cluster, and how long things took."""

import atexit
import base64
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STATE = pathlib.Path(os.environ.get("SIGHTLINE_CLUSTER", ROOT / ".deps/cluster"))
BUILT = pathlib.Path(os.environ.get("SIGHTLINE_BUILT", ROOT / "target/release"))
HELM = os.environ.get("HELM", str(ROOT / ".deps/chart-tools/bin/helm"))

NODE_IP = "10.244.0.1"
BOOTSTRAP = f"{NODE_IP}:29092"
PASSWORD = "correct-horse-battery"
DATABASE = f"postgresql://sightline:{PASSWORD}@{NODE_IP}:5432/video"
REGISTRY = "http://10.96.0.70:8700"
NAMESPACE = RELEASE = "sightline"
# Group, topic.
EVENTS = ("sightline.sightline-events", "sightline.detections")
ROLLUPS = ("sightline.sightline-store-rollups", "sightline.detections")
ROWS = ("sightline.sightline-store-events", "sightline.events")
JOBS = ("sightline.sightline-jobs-default", "sightline.jobs.default")
# Whatever takes longer hangs. Limits that are promised are said where they are checked.
PATIENCE = 900

ENV = os.environ | {
    "KUBECONFIG": str(STATE / "live/conf/admin.conf"),
    "PATH": f"{STATE}/bin:{os.environ['PATH']}",
    "BROKERS": BOOTSTRAP,
    "HELM_CACHE_HOME": str(STATE / "live/helm"),
    "HELM_CONFIG_HOME": str(STATE / "live/helm"),
    "HELM_DATA_HOME": str(STATE / "live/helm"),
}
BEGUN = time.monotonic()


class Wrong(Exception):
    """What was found is not what was promised."""


def say(what):
    print(f"{time.monotonic() - BEGUN:7.1f} s  {what}", flush=True)


def check(is_so, what):
    if not is_so:
        raise Wrong(what)


def run(*command, check_it=True):
    """Standard output of a command."""
    done = subprocess.run([str(part) for part in command], env=ENV, capture_output=True, text=True)
    if check_it and done.returncode != 0:
        raise Wrong(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kubectl(*args, stdin=None):
    done = subprocess.run(["kubectl", *args], env=ENV, capture_output=True, text=True, input=stdin)
    if done.returncode != 0:
        raise Wrong(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def objects(*args):
    """What `kubectl get` gives in our namespace."""
    return json.loads(kubectl("-n", NAMESPACE, "get", *args, "-o", "json"))


def helm(*args):
    return run(HELM, *args, "--namespace", NAMESPACE)


def wait_until(what, look, within=PATIENCE, every=0.5):
    """Gives what `look` gives as soon as that is something, and the seconds that it took. What can't be asked is asked again."""
    begun = time.monotonic()
    last = None
    while True:
        try:
            found = look()
            if found:
                return found, time.monotonic() - begun
            last = None
        except (Wrong, OSError, KeyError, json.JSONDecodeError) as error:
            last = error
        if time.monotonic() - begun > within:
            raise Wrong(f"not within {within} s: {what}" + (f" ({last})" if last else ""))
        time.sleep(every)


def replicas(name, kind="deployment"):
    """Wanted by its scaler, and ready. Pods that have ended stay for a moment, so they are not counted."""
    found = objects(kind, name)
    return found["spec"]["replicas"], found["status"].get("readyReplicas", 0)


def pods(component, pool=None):
    """Those that are not about to go."""
    selector = f"app.kubernetes.io/component={component}" + (f",sightline/pool={pool}" if pool else "")
    found = objects("pods", "-l", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def lag(of):
    """How many records a group has not done. (group, topic)"""
    group, topic = of
    return int(run("lagtool", "lag", topic, group))


def sql(statement):
    """A row a line, columns by `|`."""
    return run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, "-c", statement).strip()


def judge(*args):
    """Prints what the judge says; it has to find all right."""
    done = subprocess.run([BUILT / "sightline-cluster-judge", *args], env=ENV, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        say(f"  {line}")
    check(done.returncode == 0, f"the judge of {args[0]} says no: {done.stderr.strip()}")


def places():
    """The zones and lines of the sample, as the judge wants them."""
    return json.loads(run(BUILT / "sightline-cluster-judge", "places"))


def all_done():
    """Waits until all that was detected is events and rows."""
    for of in (EVENTS, ROWS, ROLLUPS):
        wait_until(f"{of[0]} to have done all", lambda of=of: lag(of) == 0)


class Api:
    """The registry, from beside the cluster."""

    _token = None

    @classmethod
    def ask(cls, method, path, body=None):
        if cls._token is None:
            secret = objects("secret", f"{RELEASE}-registry-tokens")["data"]["admin-token"]
            cls._token = base64.b64decode(secret).decode()
        request = urllib.request.Request(REGISTRY + path, method=method)
        request.add_header("Authorization", f"Bearer {cls._token}")
        request.add_header("Content-Type", "application/merge-patch+json" if method == "PATCH" else "application/json")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Wrong(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
        return json.loads(text) if text else None


class Camera:
    """The tests' own RTSP camera, on the bridge's address: it listens on loopback, and socat passes on what pods say to it."""

    def __init__(self, clip, *options):
        program = BUILT / "examples/test-camera"
        self.process = subprocess.Popen(
            [program, clip, "--transport", "tcp", "--loops", "forever", "--report-interval", "1", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        port = self._wait_for("port ")
        self.began = int(self._wait_for("began ")) if "--on-air" in options else None
        self.forward = subprocess.Popen(
            ["socat", f"TCP-LISTEN:{port},bind={NODE_IP},reuseaddr,fork", f"TCP:127.0.0.1:{port}"]
        )
        self.uri = f"rtsp://{NODE_IP}:{port}/cam"
        atexit.register(self.end)

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))

    def _wait_for(self, beginning):
        def look():
            return next((line[len(beginning) :] for line in self.said if line.startswith(beginning)), None)

        return wait_until(f"the camera to say {beginning!r}", look, within=120, every=0.1)[0]

    def end(self):
        atexit.unregister(self.end)
        # socat forks one for each connection; they end with the camera.
        self.forward.terminate()
        self.process.kill()
        self.forward.wait()
        self.process.wait()


def register(camera_id, camera, pool, fps, **more):
    Api.ask(
        "POST",
        "/v1/cameras",
        {"id": camera_id, "source": {"uri": camera.uri, "transport": "tcp"}, "pool": pool,
         "sampling": {"mode": "fps", "fps": fps}} | more,
    )


def runners(ids):
    """Who runs each of these; None as long as not all run."""
    found = {}
    for camera_id in ids:
        status = Api.ask("GET", f"/v1/cameras/{camera_id}").get("status") or {}
        if status.get("state") != "running":
            return None
        found[camera_id] = status["pod"]
    return found


def wait_until_all_run(ids, but_not_on=()):
    """Gives who runs each, and the seconds that it took."""

    def look():
        found = runners(ids)
        return found if found and not set(found.values()) & set(but_not_on) else None

    return wait_until(f"{', '.join(ids)} to run", look, every=0.3)


def claims(ids):
    """Partition and offset of each claim of these cameras, by camera."""
    lines = run("kcat", "-C", "-q", "-e", "-J", "-o", "beginning", "-b", BOOTSTRAP, "-t", "sightline.camera-status")
    found = {camera_id: set() for camera_id in ids}
    for line in lines.splitlines():
        record = json.loads(line)
        if record["key"] in found and record["payload"] and json.loads(record["payload"]).get("state") == "claimed":
            found[record["key"]].add((record["partition"], record["offset"]))
    return found


class Watched:
    """Sampled cameras of the pool `default` that play the sample, until `judged` says what became of them."""

    FPS = 10

    def __init__(self, name, count):
        where = places()
        # Each at another place of the clip.
        options = [("--on-air", "--from", str(n * 8 % 30)) for n in range(count)]
        self.cameras = [Camera(ROOT / "samples/junction.mp4", *given) for given in options]
        self.ids = [f"{name}-{n}" for n in range(count)]
        for camera_id, camera in zip(self.ids, self.cameras):
            register(camera_id, camera, "default", self.FPS, **where)
        _, took = wait_until_all_run(self.ids)
        say(f"{count} cameras, registered by the API, run after {took:.1f} s")

    def judged(self):
        """Their rows are what truly happened, but for what nobody saw."""
        for camera_id in self.ids:
            Api.ask("PATCH", f"/v1/cameras/{camera_id}", {"enabled": False})
        wait_until("the cameras to be disabled", self._are_off)
        all_done()
        began = [f"{camera_id}={camera.began}" for camera_id, camera in zip(self.ids, self.cameras)]
        judge("live", BOOTSTRAP, DATABASE, *began)

    def _are_off(self):
        states = [(Api.ask("GET", f"/v1/cameras/{one}").get("status") or {}).get("state") for one in self.ids]
        return all(state in ("disabled", "stopped") for state in states)

    def end(self):
        for camera in self.cameras:
            camera.end()
        for camera_id in self.ids:
            Api.ask("DELETE", f"/v1/cameras/{camera_id}")
