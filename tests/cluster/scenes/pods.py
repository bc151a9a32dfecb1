"""More cameras, more pods, each running its share; and a rolling update of three pods with twelve cameras."""

import collections
import time

import stage
from stage import STATE, Camera, check, claims, kubectl, register, replicas, run, runners, say, wait_until

PIPELINE = "sightline-pipeline-many"
FPS = 2
CAMERAS = 12
# The pool's pods state 10 frames a second, of which 0.8 are used: four cameras each.
EACH = 4


def loads(ids):
    found = runners(ids)
    return found and collections.Counter(found.values())


def carry(ids, count):
    """As many pods, each with its share."""

    def look():
        found = loads(ids)
        return found and len(found) == count and set(found.values()) == {EACH} and found

    found, took = wait_until(f"{count} pods to carry {EACH} cameras each", look)
    say(f"{len(ids)} cameras on {count} pods after {took:.1f} s: {dict(found)}")


def play():
    clip = STATE / "live/small.mp4"
    run(
        "ffmpeg", "-v", "error", "-y", "-i", stage.ROOT / "samples/junction.mp4", "-vf", "scale=320:180", "-r", "10",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-an", clip,
    )
    camera = Camera(clip)
    ids = [f"many-{n}" for n in range(CAMERAS)]
    for camera_id in ids[:EACH]:
        register(camera_id, camera, "many", FPS)
    carry(ids[:EACH], 1)
    for camera_id in ids[EACH:]:
        register(camera_id, camera, "many", FPS)
    _, took = wait_until("three pods to be wanted", lambda: replicas(PIPELINE)[0] == 3)
    say(f"three pods are wanted {took:.1f} s after {CAMERAS} cameras are registered")
    wait_until("three pods", lambda: replicas(PIPELINE) == (3, 3))
    carry(ids, 3)
    roll(ids)

    for camera_id in ids:
        stage.Api.ask("DELETE", f"/v1/cameras/{camera_id}")
    _, took = wait_until("one pod", lambda: replicas(PIPELINE) == (1, 1))
    say(f"one pod {took:.1f} s after the cameras were deleted")
    camera.end()


def roll(ids):
    """At most 1.5 claims a camera on average, none over 3."""
    # Evening-out begins when all stood still for ten seconds.
    time.sleep(20)
    before, begun = claims(ids), time.monotonic()
    old = {pod["metadata"]["name"] for pod in stage.pods("pipeline", "many")}
    kubectl("-n", stage.NAMESPACE, "rollout", "restart", f"deployment/{PIPELINE}")
    kubectl("-n", stage.NAMESPACE, "rollout", "status", f"deployment/{PIPELINE}", "--timeout=15m")
    rolled = time.monotonic() - begun
    stage.wait_until_all_run(ids, but_not_on=old)
    say(f"rolled after {rolled:.1f} s; all {len(ids)} cameras run on new pods after {time.monotonic() - begun:.1f} s")
    at_once = {one: len(found - before[one]) for one, found in claims(ids).items()}
    # Evening-out is a part of it.
    carry(ids, 3)
    time.sleep(20)
    counts = {one: len(found - before[one]) for one, found in claims(ids).items()}
    mean = sum(counts.values()) / len(counts)
    say(f"claims a camera: {mean:.2f} on average, {max(counts.values())} at most ({sum(at_once.values())} in all until all ran, "
        f"{sum(counts.values())} with evening-out)")
    check(mean <= 1.5, f"{mean:.2f} claims a camera, and it may be 1.5: {counts}")
    check(max(counts.values()) <= 3, f"more than 3 claims of one camera: {counts}")
