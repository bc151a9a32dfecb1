"""Pods are killed, nodes drained, versions changed and changed back: no event is lost or doubled but for what nobody saw."""

import json
import time

import stage
from stage import NAMESPACE, RELEASE, Watched, check, helm, kubectl, objects, say, wait_until, wait_until_all_run

# So that something happens before and behind each.
STILL = 20
CAMERAS = 3


def settled():
    """All pods are ready, and none is about to go."""

    def look():
        found = objects("pods")["items"]
        ready = [
            condition["status"] == "True"
            for pod in found
            if pod["status"]["phase"] != "Succeeded"
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready"
        ]
        return ready and all(ready) and not any("deletionTimestamp" in pod["metadata"] for pod in found)

    return wait_until("all pods to be ready", look)[1]


def kill(watched):
    where, _ = wait_until_all_run(watched.ids)
    pod = where[watched.ids[0]]
    carried = [one for one, on in where.items() if on == pod]
    before = stage.claims(carried)
    say(f"{pod}, which runs {len(carried)} of {len(where)} cameras, is deleted by force")
    begun = time.monotonic()
    kubectl("-n", NAMESPACE, "delete", "pod", pod, "--force", "--grace-period=0")
    # Its successor may have its name, so a new claim says that somebody took over.
    wait_until("its cameras to be claimed", lambda: all(stage.claims([one])[one] - before[one] for one in carried))
    wait_until_all_run(watched.ids)
    say(f"its cameras run again after {time.monotonic() - begun:.1f} s")
    consumer = stage.pods("events")[0]["metadata"]["name"]
    kubectl("-n", NAMESPACE, "delete", "pod", consumer, "--force", "--grace-period=0")
    store = stage.pods("store")[0]["metadata"]["name"]
    kubectl("-n", NAMESPACE, "delete", "pod", store, "--force", "--grace-period=0")
    say(f"{consumer} and {store}, too; all pods are ready after {settled():.1f} s")


def drain(watched):
    nodes = sorted({pod["spec"]["nodeName"] for pod in stage.pods("pipeline", "default")})
    node = nodes[0]
    there = [pod["metadata"]["name"] for pod in objects("pods")["items"] if pod["spec"].get("nodeName") == node]
    say(f"{node} is drained of {len(there)} pods: {', '.join(sorted(there))}")
    begun = time.monotonic()
    kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=15m")
    say(f"drained after {time.monotonic() - begun:.1f} s")
    settled()
    wait_until_all_run(watched.ids)
    say(f"all pods are ready and all cameras run after {time.monotonic() - begun:.1f} s")
    left = [pod["metadata"]["name"] for pod in objects("pods")["items"] if pod["spec"].get("nodeName") == node
            and pod["status"]["phase"] == "Running"]
    check(not left, f"still on {node}: {left}")
    kubectl("uncordon", node)


def images():
    """Tags of all that runs."""
    return {pod["spec"]["containers"][0]["image"].rsplit(":", 1)[1] for pod in objects("pods")["items"]
             if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]}


def change(watched, what, *command):
    begun = time.monotonic()
    helm(*command, "--wait", "--timeout", "20m")
    say(f"{what}: {time.monotonic() - begun:.1f} s")
    settled()
    wait_until_all_run(watched.ids)
    say(f"all pods are ready and all cameras run after {time.monotonic() - begun:.1f} s")


def play():
    watched = Watched("tried", CAMERAS)
    time.sleep(STILL)
    kill(watched)
    time.sleep(STILL)
    drain(watched)
    time.sleep(STILL)
    revision = helm("history", RELEASE, "--max", "1", "-o", "json")
    chart = stage.ROOT / "helm/sightline"
    change(
        watched, "helm upgrade to images that are changed", "upgrade", RELEASE, chart,
        "-f", chart / "ci/cluster-values.yaml", "-f", stage.HERE / "values.yaml",
        "--set", "images.services.tag=two,images.pipeline.tag=two",
    )
    check(images() == {"two"}, f"images that run: {images()}")
    time.sleep(STILL)
    change(watched, "helm rollback", "rollback", RELEASE, str(json.loads(revision)[0]["revision"]))
    check(images() == {"one"}, f"images that run: {images()}")
    time.sleep(STILL)
    watched.judged()
    watched.end()
    say("no event is lost or doubled")
