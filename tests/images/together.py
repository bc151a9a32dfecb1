"""together.py PROJECT KAFKA SERVICES CPU: runs what docker/compose.yaml runs of Sightline, out of its images, on a real Kafka.

PROJECT: the file as Compose reads it, in JSON. KAFKA: a folder with Kafka's jars. SERVICES and CPU: each ROOT,CONFIG,SHARE of an
image, as `inside` takes them. Services start in the order that the file asks for, with its arguments and its environment, the
addresses put in. Ends well when the sample's cameras run and an event of theirs went by. PostgreSQL, and so the service `store`,
Prometheus and Grafana are left out.
"""

import contextlib
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

INSIDE = pathlib.Path(__file__).with_name("inside")
LEFT_OUT = {"postgres", "store", "prometheus", "grafana", "kafka"}
DEADLINE_S = 300
# As `restart: on-failure` does.
AGAIN = 'until "$@"; do sleep 1; done'


def main() -> None:
    services = json.loads(pathlib.Path(sys.argv[1]).read_text())["services"]
    images = {"sightline-services": sys.argv[3].split(","), "sightline-pipeline": sys.argv[4].split(",")}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = start_kafka(stack, folder, pathlib.Path(sys.argv[2]))
        addresses = {"kafka:9092": kafka, "registry:8700": f"127.0.0.1:{free_port()}"}
        addresses["0.0.0.0:8700"] = addresses["registry:8700"]

        def run(name: str, arguments: list[str], **more: str) -> list[str]:
            """The command line of a service, with other arguments where they are given."""
            service = services[name]
            settings = {key: value for key, value in service["environment"].items()} | more
            # There is no database, and no folder of the image's can be written.
            settings.pop("SIGHTLINE_DATABASE", None)
            settings.update({key: "/tmp/spool" for key in settings if key == "SIGHTLINE_SPOOL"})
            if "SIGHTLINE_HTTP" in settings:
                settings["SIGHTLINE_HTTP"] = f"127.0.0.1:{free_port()}"
            for stands, meant in addresses.items():
                settings = {key: value.replace(stands, meant) for key, value in settings.items()}
            image = images[service["image"].split(":")[0]]
            return [str(INSIDE), *image, *(f"{key}={value}" for key, value in settings.items()), "--", *arguments]

        def healthy() -> bool:
            # CMD, the program, and what is asked of it; the registry's address is the default there.
            asked = services["registry"]["healthcheck"]["test"][2:]
            shown = subprocess.run(run("registry", asked, SIGHTLINE_REGISTRY="http://registry:8700"), capture_output=True, check=False)
            (folder / "health").write_bytes(shown.stdout + shown.stderr)
            return shown.returncode == 0

        began = time.monotonic()
        for name in in_order(services):
            command = run(name, services[name]["command"])
            if any(on["condition"] == "service_completed_successfully" for other in services.values()
                   for on in [(other.get("depends_on") or {}).get(name)] if on):
                once(name, command)
            elif name == "cameras":
                # As its `restart: on-failure` does, and its wait for the registry's health.
                until("the registry's health", healthy, folder)
                once(name, command)
            else:
                start(stack, folder / name, command)
        listing = run("cameras", ["camera", "list", "--output", "json"])

        def running() -> bool:
            shown = subprocess.run(listing, capture_output=True, text=True)
            return shown.returncode == 0 and shown.stdout.count('"running"') == 2

        until("two cameras that run", running, folder)
        tail = run("events", ["tail", "events"], SIGHTLINE_HTTP="127.0.0.1:0")
        first = subprocess.Popen(tail, stdout=subprocess.PIPE, text=True, start_new_session=True)
        stack.callback(stop, first)
        line = first.stdout.readline().strip()
        if not line:
            sys.exit("no event went by")
        print(f"docker/compose.yaml's own services on a real Kafka: cameras run, and after {time.monotonic() - began:.0f} s: {line}")


def in_order(services: dict) -> list[str]:
    """Our services, each behind those that it depends on."""
    order: list[str] = []

    def place(name: str) -> None:
        for on in services[name].get("depends_on") or {}:
            place(on)
        if name not in order and name not in LEFT_OUT:
            order.append(name)

    for name in services:
        place(name)
    return order


def once(name: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}")


def start(stack: contextlib.ExitStack, log: pathlib.Path, command: list[str]) -> subprocess.Popen:
    process = subprocess.Popen(["bash", "-c", AGAIN, "again", *command], stdout=log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True)

    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen) -> None:
    """Its whole session: bash and `inside` wait before the program."""
    subprocess.run(["pkill", "-TERM", "-s", str(process.pid)], check=False)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)


def until(what: str, condition, folder: pathlib.Path | None = None) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            for log in sorted(folder.iterdir()) if folder else []:
                if log.is_file():
                    print(f"-- {log.name}\n{log.read_text(errors='replace')[-1500:]}", file=sys.stderr)
            sys.exit(f"waited {DEADLINE_S} s for {what}")
        time.sleep(0.5)


def start_kafka(stack: contextlib.ExitStack, folder: pathlib.Path, jars: pathlib.Path) -> str:
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/kafka-data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
""")
    java = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={jars}/log4j2.properties",
            "-cp", f"{jars}/libs/*"]
    if not shutil.which("java"):
        sys.exit("no java here, and Kafka wants it")
    once("kafka's storage", [*java, "kafka.tools.StorageTool", "format", "-t", "A" * 22, "--standalone", "-c", str(properties)])
    log = folder / "kafka"
    start(stack, log, [*java, "kafka.Kafka", str(properties)])
    until("Kafka", lambda: "Kafka Server started" in log.read_text(errors="replace"), folder)
    return f"127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# Processes that were started end with it, however it ends.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

if __name__ == "__main__":
    main()
