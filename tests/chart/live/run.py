"""Runs what the chart renders, with no cluster: each container's command and variables, its mounts in a temporary folder, as a
process of its own under its pod's name; on a real Kafka on which each component has the user and the rights that its KafkaUser
says and no others, with a real PostgreSQL. A camera and a job have to become events, rows, files and an alert.

    run.py SIGHTLINE            the program; Kafka in .deps/kafka (scripts/kafka.sh), PostgreSQL by Debian's package; as root
"""

import base64
import http.server
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import chart  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
KAFKA = chart.ROOT / ".deps/kafka"
JAVA = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={KAFKA}/log4j2.properties"]
DATABASE_PASSWORD = "correct-horse-battery"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(what, seconds, condition, why=str):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.3)
    raise SystemExit(f"FAILED: {what}: not within {seconds} s {why()}")


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


class Everything:
    """All processes, ended in the reverse order of their start."""

    def __init__(self, folder, program):
        self.folder, self.program, self.running = pathlib.Path(folder), program, []

    def start(self, name, command, **more):
        log = open(self.folder / f"{name}.log", "wb")
        self.running.append((name, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)))

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(self):
        """The programs first, while there is a Kafka that takes what they have to say."""
        codes = {}
        for ours in (True, False):
            ending = [(name, process) for name, process in self.running if name.startswith("sightline-") is ours]
            for _, process in ending:
                process.send_signal(signal.SIGTERM)
            for name, process in ending:
                try:
                    codes[name] = process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    codes[name] = "killed"
        return codes


def kafka(it, users):
    """A broker on which `users` (name → password) can log in, and nobody but `admin` may anything."""
    client, internal, controller = free_ports(3)
    settings = (HERE / "kafka.properties").read_text()
    for key, value in {"CLIENT": client, "INTERNAL": internal, "CONTROLLER": controller, "DIR": it.folder}.items():
        settings = settings.replace(f"@{key}@", str(value))
    (it.folder / "server.properties").write_text(settings)
    added = [part for name, password in users.items() for part in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")]
    subprocess.run(
        [*JAVA, "-cp", f"{KAFKA}/libs/*", "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "--standalone",
         "-c", it.folder / "server.properties", *added],
        check=True, stdout=subprocess.DEVNULL,
    )
    archive = f"-XX:SharedArchiveFile={KAFKA}/kafka.jsa"
    it.start("kafka", [*JAVA, archive, "-cp", f"{KAFKA}/libs/*", "kafka.Kafka", it.folder / "server.properties"])
    until("Kafka", 90, lambda: "Kafka Server started" in it.log("kafka"))
    return f"127.0.0.1:{client}"


def give_rights(it, bootstrap, password, users):
    (it.folder / "admin.properties").write_text(
        f"bootstrap.servers={bootstrap}\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="admin" password="{password}";\n'
    )
    lines = [
        f"{user['metadata']['name']} {acl['resource']['type']} {acl['resource']['name']} {acl['resource']['patternType']} {operation}"
        for user in users for acl in user["spec"]["authorization"]["acls"] for operation in acl["operations"]
    ]
    subprocess.run(
        [*JAVA, "-cp", f"{KAFKA}/libs/*", HERE / "Rights.java", it.folder / "admin.properties"],
        input="\n".join(lines), text=True, check=True, stdout=subprocess.DEVNULL,
    )


def postgres(it):
    (binaries,) = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    (port,) = free_ports(1)
    data = it.folder / "postgres"
    data.mkdir()
    shutil.chown(data, "postgres")
    (it.folder / "superuser").write_text(DATABASE_PASSWORD)
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    os.chmod(it.folder, 0o755)
    subprocess.run(
        [*as_postgres, binaries / "initdb", "-U", "postgres", "-A", "scram-sha-256", "--pwfile", it.folder / "superuser", "--no-sync",
         "-D", data], check=True, stdout=subprocess.DEVNULL,
    )
    it.start("postgres", [*as_postgres, binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"])

    def psql(user, database, statement):
        env = {**os.environ, "PGPASSWORD": DATABASE_PASSWORD}
        command = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-d", database, "-Atc", statement]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return ran.stdout.strip() if ran.returncode == 0 else None

    until("PostgreSQL", 60, lambda: psql("postgres", "postgres", "SELECT 1"))
    psql("postgres", "postgres", f"CREATE USER sightline PASSWORD '{DATABASE_PASSWORD}'")
    psql("postgres", "postgres", "CREATE DATABASE video OWNER sightline")
    return port, lambda statement: psql("sightline", "video", statement)


def run_pod(it, workload, files):
    """Its container as a process. `files` holds the contents of Secrets: name → key → bytes. Gives its ports."""
    name = workload["metadata"]["name"]
    pod, container = chart.pod(workload), chart.container(workload)
    root = it.folder / name
    made = {(one["kind"], one["metadata"]["name"]): one.get("data") for one in files["objects"]}
    places = {}
    for mount in container["volumeMounts"]:
        place = root / mount["mountPath"].strip("/")
        place.mkdir(parents=True, exist_ok=True)
        places[mount["mountPath"]] = place
        volume = next(one for one in pod["volumes"] if one["name"] == mount["name"])
        if "secret" in volume:
            source, items = volume["secret"]["secretName"], volume["secret"].get("items")
            given = made.get(("Secret", source), {})
            data = {key: base64.b64decode(value) for key, value in given.items()} or files["secrets"][source]
        elif "configMap" in volume:
            items = None
            data = {key: value.encode() for key, value in made["ConfigMap", volume["configMap"]["name"]].items()}
        elif "persistentVolumeClaim" in volume:
            shutil.copytree(files["claims"][volume["persistentVolumeClaim"]["claimName"]], place, dirs_exist_ok=True)
            continue
        else:
            continue
        for item in items or [{"key": key, "path": key} for key in data]:
            (place / item["path"]).write_bytes(data[item["key"]])
    hostname = f"{name}-7d9f8b6c5d-x2x4z"
    env = {"PATH": os.environ["PATH"]}
    ports = {}
    for variable, value in chart.environment(workload).items():
        if isinstance(value, dict):
            value = hostname
        if variable in ("SIGHTLINE_HTTP", "SIGHTLINE_LISTEN"):
            (ports[variable],) = free_ports(1)
            value = f"127.0.0.1:{ports[variable]}"
        for mount, place in places.items():
            if value == mount or value.startswith(f"{mount}/"):
                value = f"{place}{value[len(mount):]}"
        env[variable] = value
    env["SIGHTLINE_ONNXRUNTIME"] = files["onnxruntime"]
    # A pod has its name as the name of its host.
    script = 'hostname "$1"; shift; exec "$@"'
    it.start(name, ["unshare", "--uts", "sh", "-ec", script, "sh", hostname, it.program, *container["args"]], env=env)
    return ports


class Hook(http.server.BaseHTTPRequestHandler):
    received = []

    def do_POST(self):
        self.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def main(program):
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="sightline-chart-", dir="/var/tmp") as folder:
        it = Everything(folder, program)
        try:
            prove(it, hook.server_port)
        finally:
            codes = it.end()
            failed = {name: code for name, code in codes.items() if name.startswith("sightline-") and code != 0}
        if failed:
            for name in failed:
                print(it.log(name)[-3000:])
            raise SystemExit(f"FAILED: these did not end well: {failed}")
    print("ok: a camera and a job became events, rows, files and an alert, each component with its own rights alone")


def prove(it, hook_port):
    clips = it.folder / "clips"
    clips.mkdir()
    shutil.copy(chart.ROOT / "samples/junction.mp4", clips)
    shutil.copy(chart.ROOT / "samples/junction.onnx", clips)
    (it.folder / "archive").mkdir()
    database_port, sql = postgres(it)
    values = {
        "kafka": {"bootstrapServers": "127.0.0.1:1", "partitions": 6, "replication": 1},
        "topics": {"manage": "strimzi"},
        "strimzi": {"cluster": "video", "users": True},
        "keda": {"enabled": "always"},
        "database": {"url": f"postgresql://sightline@127.0.0.1:{database_port}/video", "password": {"secret": "database"}},
        "sources": {"allowFileRoots": [str(it.folder)]},
        "registry": {"history": {"enabled": True}},
        "poolDefaults": {"model": {"claim": "models", "path": "junction.onnx"}},
        "pools": {"default": {"detectWorkers": 1, "pipeline": {"capacityFps": 60, "scaling": {"maxReplicas": 6}}, "worker": {"scaling": {"maxReplicas": 6}}}},
        "consumers": {
            "events": {"scaling": {"maxReplicas": 6}},
            "store": {"enabled": True, "scaling": {"maxReplicas": 6}},
            "alerts": {
                "enabled": True,
                "secrets": ["desk"],
                "rules": {
                    # Where the mount /run/secrets/desk lies here.
                    "targets": {"desk": {"webhook": f"http://127.0.0.1:{hook_port}/hook", "secret_file": f"{it.folder}/sightline-alerts/run/secrets/desk/key"}},
                    "rules": [{"name": "any", "to": ["desk"], "types": ["track_started"]}],
                },
            },
            "archive": {"enabled": True, "to": "/archive/site", "claim": "archive", "rollSeconds": 5, "scaling": {"maxReplicas": 6}},
        },
    }
    users = chart.of_kind(values, "KafkaUser")
    passwords = {user["metadata"]["name"]: secrets.token_hex(16) for user in users} | {"admin": secrets.token_hex(16)}
    bootstrap = kafka(it, passwords)
    values["kafka"]["bootstrapServers"] = bootstrap
    give_rights(it, bootstrap, passwords["admin"], users)

    # The topics, by the hook that another variant would have; its user may more.
    hooked = json.loads(json.dumps(values))
    hooked["topics"] = {"manage": "hook", "hook": {"kafkaUser": {"secret": "admin", "name": "admin"}}}
    files = {
        "objects": chart.objects(values),
        "secrets": {name: {"password": password.encode()} for name, password in passwords.items()} 
        | {"database": {"password": DATABASE_PASSWORD.encode()}, "desk": {"key": secrets.token_hex(32).encode()}},
        "claims": {"models": clips, "archive": it.folder / "archive"},
        "onnxruntime": str(next((chart.ROOT / ".deps/onnxruntime").glob("libonnxruntime.so*"))),
    }
    (job,) = chart.of_kind(hooked, "Job")
    run_pod(it, job, files)
    name, process = it.running.pop()
    if process.wait(120):
        raise SystemExit(f"FAILED: {name}: {it.log(name)}")

    ports = {workload["metadata"]["name"]: run_pod(it, workload, files) for workload in chart.workloads(values)}
    def all_ready(names):
        for name in names:
            readyz = f"http://127.0.0.1:{ports[name]['SIGHTLINE_HTTP']}/readyz"
            process = dict(it.running)[name]
            until(f"{name} is ready", 120, lambda: process.poll() is not None or answers(readyz), lambda: it.log(name)[-3000:])
            if process.poll() is not None:
                raise SystemExit(f"FAILED: {name} ended: {it.log(name)[-3000:]}")
            print(f"ready: {name}", flush=True)

    # The store is not before it has written something.
    all_ready(set(ports) - {"sightline-store"})
    (tokens,) = [one for one in files["objects"] if one["kind"] == "Secret"]
    registry = f"http://127.0.0.1:{ports['sightline-registry']['SIGHTLINE_LISTEN']}"
    env = {"PATH": os.environ["PATH"], "SIGHTLINE_REGISTRY": registry, "SIGHTLINE_TOKEN": base64.b64decode(tokens["data"]["admin-token"]).decode()}
    clip = {name: str(it.folder / f"sightline-{name}/models/junction.mp4") for name in ("pipeline-default", "worker-default")}
    camera = {"id": "junction", "source": {"uri": clip["pipeline-default"], "play": "loop"}, "sampling": {"mode": "fps", "fps": 5}}

    def ask(*args, text=None):
        ran = subprocess.run([it.program, *args], env=env, input=text, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(f"FAILED: sightline {' '.join(args)}: {ran.stderr}{ran.stdout}")
        return ran.stdout

    # KEDA's question, by KEDA's token.
    (scaled,) = [one for one in files["objects"] if one["kind"] == "ScaledObject" and "pipeline" in one["metadata"]["name"]]
    metadata = scaled["spec"]["triggers"][0]["metadata"]
    keda = base64.b64decode(tokens["data"]["keda-token"]).decode()
    url = re.sub(r"^http://[^/]+", registry, metadata["url"])
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {keda}"})
    with urllib.request.urlopen(request) as answer:
        wanted = json.load(answer)[metadata["valueLocation"]]
    assert wanted == 0, wanted

    print(ask("camera", "add", "-f", "-", text=json.dumps(camera)), flush=True)
    print(ask("job", "add", clip["worker-default"]), flush=True)
    until("the job is done", 300, lambda: '"done"' in ask("job", "list", "--output", "json"))
    until("the camera runs", 60, lambda: '"running"' in ask("camera", "list", "--output", "json"))
    with urllib.request.urlopen(request) as answer:
        wanted = json.load(answer)[metadata["valueLocation"]]
    assert wanted > 0, wanted
    until("rows of the camera", 60, lambda: int(sql("SELECT count(*) FROM events WHERE camera = 'junction'") or 0) > 0)
    until("rows of the job", 60, lambda: int(sql("SELECT count(*) FROM events WHERE camera LIKE 'job-%' AND type = 'job_done'") or 0) == 1)
    until("an alert", 60, lambda: Hook.received)
    archived = it.folder / "sightline-archive/archive/site"
    for topic in ("detections", "events"):
        until(f"a file of {topic}", 60, lambda: list(archived.glob(f"sightline.{topic}/**/*.parquet")))
    all_ready({"sightline-store"})
    for name, _ in it.running:
        if name.startswith("sightline-"):
            refused = [line for line in it.log(name).splitlines() if re.search(r"authoriz", line, re.I)]
            if refused:
                raise SystemExit(f"FAILED: {name} was refused something: {refused[0]}")
    denied = set(re.findall(r"Principal = (\S+) is Denied operation = (\S+) .* on resource = (\S+) ", it.log("kafka")))
    if denied:
        raise SystemExit(f"FAILED: Kafka refused: {sorted(denied)}")


if __name__ == "__main__":
    main(sys.argv[1])
