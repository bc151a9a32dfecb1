#!/usr/bin/env python3
"""What an installation of so many cameras needs, on paper: the table of KUBERNETES.md, "Sizing".

    sizing.py                                       that table
    sizing.py --figures                             what it counts with, and where each figure comes from
    sizing.py --cameras 300 --fps 2 detect_ms=9     your own cameras, rates and figures
    sizing.py gpu_fps=800                           GPUs instead of cores, once `sightline bench --device cuda` said how much one does

Nothing here runs anything: the arithmetic is below, a line for each row.
"""

import argparse
import math
import sys
from typing import NamedTuple


class Figure(NamedTuple):
    value: float
    meaning: str
    #: The page and the words in it that say so; none: a guess, or what the chart gives.
    page: str = ""
    words: str = ""


FIGURES = {
    # What is watched.
    "camera_fps": Figure(25, "pictures a second that a camera sends, all of which are decoded"),
    "objects": Figure(5, "objects in a frame, on average over the day"),
    "tracks_an_hour": Figure(100, "objects that go by a camera in an hour"),
    "labels_a_minute": Figure(2, "different labels that a camera sees in a minute"),
    # What it costs.
    "decode_ms": Figure(4.32, "CPU of decoding one 1080p H.264 picture", "PERFORMANCE.md", "4.32 ms decoding"),
    "detect_ms": Figure(37.79, "CPU of all else of one frame (42.11 less decoding), YOLO26n at 384x640", "PERFORMANCE.md", "42.11 ms CPU in all"),
    "small": Figure(640 * 360 / (1920 * 1080), "what decoding a sub-stream of 640x360 takes of that", "CAMERAS.md", "decoding costs in proportion to the pixels"),
    "headroom": Figure(0.8, "the part of a pool that cameras may want before it grows", "REGISTRY.md", "wanted frames/s ÷ (0.8 ×"),
    "camera_mib": Figure(21.5, "memory of a camera that a pod runs (720p)", "PERFORMANCE.md", "21.5 MiB for each further camera"),
    "pod_mib": Figure(125, "memory of a pod beside them (168 less two cameras)", "PERFORMANCE.md", "168 MiB with 2"),
    "known_kib": Figure(1.3, "memory of a camera that another pod runs", "PERFORMANCE.md", "| 1.3 KiB |"),
    "record_bytes": Figure(277, "a record without objects on Kafka, alone in its batch", "PERFORMANCE.md", "277 bytes"),
    "object_bytes": Figure(34, "each object in it", "PERFORMANCE.md", "34 for each of a few objects"),
    "archived_bytes": Figure(76, "a record in the archive", "OPERATIONS.md", "76 bytes a record in the archive"),
    "events_a_track": Figure(4536 / 1488, "events for each track", "SOAK.md", "4,536, 1,488 and 168 rows"),
    "events_rate": Figure(47_200, "records that `consume events` does in a CPU-second", "PERFORMANCE.md", "**47,200**"),
    "archive_rate": Figure(81_800, "records that `consume archive` does in a CPU-second", "PERFORMANCE.md", "81,800 records a CPU-second"),
    "registry_mib": Figure(38, "the registry's memory without cameras", "PERFORMANCE.md", "The registry takes 38 MiB"),
    "registered_kib": Figure((128 - 38) * 1024 / 10_000, "and for each that is registered", "PERFORMANCE.md", "128 MiB at the most"),
    "registry_s": Figure(1.0, "seconds until the registry is ready among 10,000 cameras", "PERFORMANCE.md", "restart until ready | 1.0 s"),
    "series_camera": Figure(27, "series of Prometheus for each camera", "PERFORMANCE.md", "A camera is 27 series"),
    "series_pod": Figure(151, "and for each pipeline beside them", "PERFORMANCE.md", "a pipeline 151 beside them"),
    "groups": Figure(5, "consumer groups with two series for each partition: events, store (2), archive (2)", "METRICS.md", "`archive-detections`, `archive-events`"),
    # What the chart gives where nothing is said: helm/sightline/values.yaml.
    "pod_cores": Figure(2, "cores of a pipeline's pod"),
    "max_replicas": Figure(8, "pods of a pool at most"),
    "partitions": Figure(48, "partitions of a topic, and slots of a pool"),
    "roll_seconds": Figure(300, "seconds until an archive's file is written"),
    "gpu_fps": Figure(0, "frames a second of one GPU, of which none was measured; 0: pods have cores alone"),
}
#: To be replaced by what your cameras see.
GUESSES = ("camera_fps", "objects", "tracks_an_hour", "labels_a_minute", "gpu_fps")
#: What is divided by.
DIVISORS = ("detect_ms", "headroom", "events_rate", "archive_rate", "pod_cores", "partitions")
DAY = 86_400
#: Cores of a pod, from which the smallest is taken that makes no more pods than the chart has slots.
POD_SIZES = (2, 4, 8, 16, 32)


def rows(f, cameras, fps):
    """The column of one installation: what each row is called, and its number or text. `f` holds the figures' values."""
    frames = cameras * fps
    yield "frames/s wanted", frames

    def cores(decode_ms):
        busy_ms = f["camera_fps"] * decode_ms + (0 if f["gpu_fps"] else fps * f["detect_ms"])
        return cameras * busy_ms / 1000 / f["headroom"]

    needed = cores(f["decode_ms"])
    yield "cores, all pictures 1080p", math.ceil(needed)
    yield "cores, by sub-streams of 640x360", math.ceil(cores(f["decode_ms"] * f["small"]))
    if f["gpu_fps"]:
        pods = math.ceil(frames / f["gpu_fps"] / f["headroom"])
        yield "GPUs, a pod each", pods
        yield "cores of such a pod, for decoding", math.ceil(needed / pods)
        by_default = pods
    else:
        size = next((it for it in POD_SIZES if needed / it <= f["partitions"]), POD_SIZES[-1])
        pods = math.ceil(needed / size)
        yield "pods × cores", f"{number(pods)} × {size}"
        # What is left for detection where each frame brings its share of decoding with it.
        share_ms = f["detect_ms"] + f["decode_ms"] * f["camera_fps"] / fps
        yield "`capacityFps` of such a pod", math.floor(size * 1000 / share_ms)
        by_default = math.ceil(needed / f["pod_cores"])
    partitions = f["partitions"] * math.ceil(pods / f["partitions"])
    yield "partitions (pods at most)", partitions
    yield "memory of pipelines, GiB", (cameras * f["camera_mib"] + pods * (f["pod_mib"] + cameras * f["known_kib"] / 1024)) / 1024

    # `spec/1` and `stream/1` once a minute.
    records = frames + cameras * 2 / 60
    record = f["record_bytes"] + f["objects"] * f["object_bytes"]
    yield "records/s", records
    yield "MB/s into Kafka, one copy", records * record / 1e6
    yield "GB a day of `detections`, one copy", records * record * DAY / 1e9
    yield "GB a day in the archive", records * f["archived_bytes"] * DAY / 1e9
    tracks = cameras * f["tracks_an_hour"] * 24
    yield "rows a day, thousands", (tracks * (1 + f["events_a_track"]) + cameras * 1440 * f["labels_a_minute"]) / 1000
    yield "cores of `consume events`", records / f["events_rate"]
    yield "cores of `consume archive`", records / f["archive_rate"]
    yield "the archive's `lagThreshold`, above", records * f["roll_seconds"]
    yield "registry's memory, MiB", f["registry_mib"] + cameras * f["registered_kib"] / 1024
    yield "registry's start, s, at most", f["registry_s"]
    yield "series of Prometheus", cameras * f["series_camera"] + pods * f["series_pod"] + f["groups"] * 2 * partitions
    if by_default <= f["max_replicas"]:
        limit = "cores"
    elif by_default <= f["partitions"]:
        limit = f"`maxReplicas` {number(f['max_replicas'])}"
    elif pods <= f["partitions"]:
        limit = f"{number(f['partitions'])} slots: larger pods"
    else:
        limit = f"{number(f['partitions'])} partitions: set at the install"
    yield "first limit", limit


def number(value):
    """Two digits that count, or all of a large one."""
    if isinstance(value, str):
        return value
    if value and abs(value) < 10 and value != int(value):
        return f"{value:.{max(0, 1 - math.floor(math.log10(abs(value))))}f}"
    return f"{round(value):,}"


def table(f, cameras, rates):
    columns = [(count, fps) for count in cameras for fps in rates]
    filled = [list(rows(f, *column)) for column in columns]
    lines = [["cameras"] + [f"{count:,}" for count, _ in columns], ["frames/s of each"] + [number(fps) for _, fps in columns]]
    lines += [[same[0][0]] + [number(value) for _, value in same] for same in zip(*filled)]
    lines.insert(1, ["---"] + ["---:"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(f):
    lines = ["| figure | value | what it is | from |", "|---|---:|---|---|"]
    for name, figure in FIGURES.items():
        value = f"{f[name]:,.0f}" if f[name] >= 1_000 else f"{f[name]:.4g}"
        lines.append(f"| `{name}` | {value} | {figure.meaning} | {figure.page or ('a guess' if name in GUESSES else 'the chart')} |")
    return "\n".join(lines)


def numbers(kind):
    def read(text):
        try:
            given = [kind(part) for part in text.split(",")]
        except ValueError:
            given = [0]
        if min(given) <= 0:
            raise argparse.ArgumentTypeError(f"{text}: give numbers above 0, as in 5,10")
        return given

    return read


def main():
    parser = argparse.ArgumentParser(description="What an installation of so many cameras needs, on paper.")
    parser.add_argument("--cameras", type=numbers(int), default=[10, 100, 1_000, 10_000], metavar="N,…")
    parser.add_argument("--fps", type=numbers(float), default=[5, 10], metavar="FPS,…", help="frames a second that are detected of each")
    parser.add_argument("--figures", action="store_true", help="what it counts with, and from where")
    parser.add_argument("figure", nargs="*", metavar="FIGURE=VALUE", help="your own, as in detect_ms=9")
    args = parser.parse_args()
    f = {name: figure.value for name, figure in FIGURES.items()}
    for given in args.figure:
        name, _, value = given.partition("=")
        if name not in f:
            sys.exit(f"{given}: there is no figure {name}; --figures lists them")
        try:
            f[name] = float(value)
        except ValueError:
            f[name] = math.nan
        if not 0 <= f[name] < math.inf or (f[name] == 0 and name in DIVISORS):
            least = "above 0" if name in DIVISORS else "from 0 up"
            sys.exit(f"{given}: give a number {least}, as in {name}={FIGURES[name].value:g}")
    print(figures(f) if args.figures else table(f, args.cameras, args.fps))


if __name__ == "__main__":
    main()
