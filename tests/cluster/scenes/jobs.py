"""A burst of jobs takes workers from none to as many and back to none, with every row right."""

import shutil
import time

from stage import DATABASE, JOBS, ROOT, STATE, Api, all_done, check, judge, lag, places, replicas, say, wait_until

COUNT = 4
START = "2026-03-01T12:00:00.000Z"
WORKERS = "sightline-worker-default"


def play():
    wait_until("no worker, as long as there is no job", lambda: replicas(WORKERS) == (0, 0))
    folder = STATE / "live/volumes/samples"
    names = [f"recording-{n}.mp4" for n in range(COUNT)]
    for name in names:
        shutil.copy(ROOT / "samples/junction.mp4", folder / name)
    uris = [f"/samples/{name}" for name in names]
    spec = places()
    # Of recordings entering, leaving and crossing are compared.
    for zone in spec["zones"]:
        zone.pop("dwell_s", None)
    added = Api.ask("POST", "/v1/jobs", {"uris": uris, "start": START, "spec": spec})
    check(added["added"] == COUNT, f"not all were added: {added}")
    ids = [item["id"] for item in added["items"]]
    begun = time.monotonic()
    say(f"{COUNT} jobs are added")

    peak = most_ready = 0
    while True:
        wanted, ready = replicas(WORKERS)
        if wanted > peak or ready > most_ready:
            peak, most_ready = max(wanted, peak), max(ready, most_ready)
            say(f"  {time.monotonic() - begun:5.1f} s: {wanted} workers wanted, {ready} ready, lag {lag(JOBS)}")
        if lag(JOBS) == 0:
            break
        check(time.monotonic() - begun < 1800, f"not worked off: {Api.ask('GET', '/v1/jobs')}")
        time.sleep(1)
    say(f"worked off after {time.monotonic() - begun:.1f} s by {most_ready} workers at most")
    check(peak == COUNT, f"{COUNT} jobs wanted {COUNT} workers, and got {peak}")
    _, took = wait_until("no worker", lambda: replicas(WORKERS) == (0, 0))
    say(f"no worker {took:.1f} s later")
    states = {one: Api.ask("GET", f"/v1/jobs/{one}")["status"]["state"] for one in ids}
    check(set(states.values()) == {"done"}, f"not all are done: {states}")
    all_done()
    judge("recordings", DATABASE, START, *ids)
