"""What docs/sizing.py counts with and no other bench measures.

- What results take on Kafka: the sample's clip as eight cameras at five frames a second, published by one pipeline, with many
  objects and with few; then the segments of `detections` are looked at. The cameras are in step and show the same, which is of
  no account as long as a batch holds one record: it is printed.
- How many series a camera is to Prometheus, and a pipeline beside its cameras.
- The registry's memory with 10,000 cameras, and how long it takes to start among them.

    bench_sizing.py SIGHTLINE            the program; Kafka in .deps/kafka (scripts/kafka.sh)
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
KAFKA = ROOT / ".deps/kafka"
JAVA = [
    "java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={KAFKA}/log4j2.properties",
    f"-XX:SharedArchiveFile={KAFKA}/kafka.jsa", "-cp", f"{KAFKA}/libs/*",
]
CAMERAS, FPS, PARTITIONS, SECONDS = 8, 5, 48, int(os.environ.get("SIZING_SECONDS", "40"))
REGISTERED = 10_000
#: What is detected: all, which is a crowd; cars alone; buses alone, which are next to never there.
SCENES = {"all": [], "cars": ["car"], "buses": ["bus"]}


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def start_kafka(folder):
    port, controller = free_port(), free_port()
    settings = folder / "server.properties"
    settings.write_text(
        f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller}\n"
        f"controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
        f"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={folder}/data\n"
        "offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
        "auto.create.topics.enable=false\n"
    )
    form = ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "--standalone", "-c", settings]
    subprocess.run([*JAVA, *form], check=True, stdout=subprocess.DEVNULL)
    log = folder / "kafka.log"
    broker = subprocess.Popen([*JAVA, "kafka.Kafka", settings], stdout=log.open("wb"), stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 90
    while "Kafka Server started" not in log.read_text(errors="replace"):
        if broker.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Kafka did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
    return broker, f"127.0.0.1:{port}"


def page(address, timeout=2):
    """None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=timeout) as answer:
            return answer.read().decode()
    except OSError:
        return None


def wait_for(what, ask, seconds=120):
    deadline = time.monotonic() + seconds
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return answer


def apply_topics(program, bootstrap, prefix):
    topics = ["topics", "apply", "--kafka", bootstrap, "--topic-prefix", prefix, "--partitions", str(PARTITIONS)]
    subprocess.run([program, *topics], check=True, stdout=subprocess.DEVNULL)


def end(process, log):
    process.send_signal(signal.SIGTERM)
    if process.wait(60):
        sys.exit(f"it did not end well: {log.read_text(errors='replace')[-2000:]}")


def publish(program, folder, bootstrap, prefix, classes):
    """So long of the cameras, ended well: all is acknowledged. Gives its metrics."""
    apply_topics(program, bootstrap, prefix)
    clip = str(ROOT / "samples/junction.mp4")
    cameras = [
        {
            "id": f"gate-{number}",
            "source": {"uri": clip, "play": "loop"},
            "sampling": {"mode": "fps", "fps": FPS},
            "detect": {"classes": classes} if classes else {},
        }
        for number in range(CAMERAS)
    ]
    file = folder / "cameras.yaml"
    file.write_text(json.dumps({"cameras": cameras}))
    log, http = folder / f"{prefix}log", f"127.0.0.1:{free_port()}"
    command = ["pipeline", "--kafka", bootstrap, "--topic-prefix", prefix, "--cameras", file, "--device", "cpu", "--http", http]
    running = subprocess.Popen([program, *command, "--model", ROOT / "samples/junction.onnx"], stderr=log.open("wb"))
    try:
        wait_for("the pipeline to be ready", lambda: page(f"{http}/readyz"))
        time.sleep(SECONDS)
        metrics = page(f"{http}/metrics")
        end(running, log)
    finally:
        running.kill()
    return metrics


def registry(program, folder, bootstrap):
    """Bytes resident alone, and with all cameras behind a start; seconds of that start."""
    apply_topics(program, bootstrap, "registry.")
    log, api, http = folder / "registry.log", f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = ["registry", "--kafka", bootstrap, "--topic-prefix", "registry.", "--insecure-no-auth", "--listen", api, "--http", http]

    def start():
        begun = time.monotonic()
        process = subprocess.Popen([program, *command], stdout=subprocess.DEVNULL, stderr=log.open("ab"))
        wait_for("the registry to be ready", lambda: page(f"{http}/readyz"))
        return process, time.monotonic() - begun

    def resident(process):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    process, _ = start()
    try:
        alone = resident(process)
        zone = {"id": "dock", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 0.9], [0.1, 0.9]], "classes": ["person"]}
        cameras = [
            {
                "id": f"camera-{n:05}",
                "source": f"rtsp://10.{n // 256}.{n % 256}.5/stream2",
                "sampling": {"mode": "fps", "fps": FPS},
                "zones": [zone],
                "labels": {"site": f"site-{n % 20}"},
            }
            for n in range(REGISTERED)
        ]
        body, headers = json.dumps(cameras).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"http://{api}/v1/cameras:import", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["created"] == REGISTERED
        after_import = resident(process)
        end(process, log)
        process, took = start()
        return alone, after_import, resident(process), took
    finally:
        process.kill()


def look(folder, prefix):
    """Of all frames in the segments: objects a frame, bytes of JSON, records in a batch, bytes a record in the segment."""
    segments = ",".join(str(it) for it in (folder / "data").glob(f"{prefix}detections-*/*.log") if it.stat().st_size)
    dump = ["org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files", segments]
    ran = subprocess.run([*JAVA, *dump], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(ran.stdout[-2000:] + ran.stderr)
    said = ran.stdout
    batches = [(int(a), int(b)) for a, b in re.findall(r"^baseOffset: .* count: (\d+) .* size: (\d+) ", said, re.M)]
    texts = re.findall(r" payload: (\{.*\})$", said, re.M)
    frames = [text for text in texts if '"schema":"frame/1"' in text]
    records = sum(count for count, _ in batches)
    if not frames or records != len(texts):
        log = (folder / f"{prefix}log").read_text(errors="replace")
        sys.exit(f"{records} records in {len(batches)} batches, {len(texts)} of them read, {len(frames)} frames: {log[-3000:]}")
    objects = sum(len(json.loads(text).get("detections", [])) for text in frames) / len(frames)
    length = sum(len(text.encode()) for text in frames) / len(frames)
    return records, objects, length, records / len(batches), sum(size for _, size in batches) / records


def main(program):
    with tempfile.TemporaryDirectory(prefix="sightline-sizing-", dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        broker, bootstrap = start_kafka(folder)
        try:
            print("detected  records  objects a frame  bytes of JSON  records a batch  bytes a record on Kafka")
            for scene, classes in SCENES.items():
                metrics = publish(program, folder, bootstrap, f"{scene}.", classes)
                records, objects, length, batch, size = look(folder, f"{scene}.")
                print(f"{scene:8}  {records:7}  {objects:15.1f}  {length:13.0f}  {batch:15.1f}  {size:23.0f}", flush=True)
            series = [line for line in metrics.splitlines() if line and not line.startswith("#")]
            of_cameras = sum('camera="' in line for line in series)
            print(f"series: {of_cameras / CAMERAS:.1f} a camera, {len(series) - of_cameras} of a pipeline beside them")
            alone, after, again, took = (it / 1024**2 if it > 1000 else it for it in registry(program, folder, bootstrap))
            print(
                f"registry: {alone:.0f} MiB alone, {after:.0f} MiB behind the import of {REGISTERED:,} cameras, "
                f"{again:.0f} MiB when it was started among them, ready after {took:.1f} s"
            )
        finally:
            broker.terminate()
            broker.wait(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
