"""A burst of records: lag grows, replicas grow, lag drains, replicas fall to the floor; and every row is right."""

import time

import stage
from stage import EVENTS, all_done, check, lag, replicas, run, say, sql, wait_until

CONSUMER = "sightline-events"
COPIES = 100
# From the lag to more replicas being wanted.
LIMIT = 30
# All but what differs from camera to camera.
ROWS = """
SELECT camera, md5(string_agg(row, E'\\n' ORDER BY row)), count(*) FROM (
  SELECT camera, (to_jsonb(t) - '{id,camera,track_key,written_at}'::text[])::text AS row FROM events AS t
) AS rows WHERE camera = '%s' OR camera LIKE '%s-copy-%%' GROUP BY camera
"""


def play():
    job = sql("SELECT camera FROM events WHERE camera LIKE 'job-%' AND type = 'job_done' ORDER BY camera LIMIT 1")
    check(job, "there is no recording to copy; play the scene `jobs` first")
    wait_until("one consumer", lambda: replicas(CONSUMER) == (1, 1))
    run("lagtool", "copy", EVENTS[1], job, COPIES)
    begun = time.monotonic()
    behind = lag(EVENTS)
    say(f"a burst of {COPIES} recordings: {behind} records behind")
    (peak, _), grew = wait_until("more consumers", lambda: (found := replicas(CONSUMER))[0] > 1 and found, within=120)
    say(f"more consumers are wanted after {grew:.1f} s: {peak}")
    drained = there = None
    while drained is None:
        wanted, ready = replicas(CONSUMER)
        peak = max(peak, wanted)
        if ready > 1 and there is None:
            there = time.monotonic() - begun
            say(f"a second one is ready after {there:.1f} s")
        if lag(EVENTS) == 0:
            drained = time.monotonic() - begun
        check(time.monotonic() - begun < stage.PATIENCE, f"the lag does not drain: {lag(EVENTS)}")
        time.sleep(0.5)
    say(f"the lag is drained after {drained:.1f} s, with {peak} consumers at most")
    _, fell = wait_until("one consumer again", lambda: replicas(CONSUMER) == (1, 1))
    say(f"one consumer again {fell:.1f} s later")
    check(grew <= LIMIT, f"it took {grew:.1f} s until more consumers were wanted, and may take {LIMIT}")
    all_done()
    lines = [line.split("|") for line in sql(ROWS % (job, job)).splitlines()]
    check(len(lines) == COPIES + 1, f"rows of {len(lines)} cameras, not of {COPIES + 1}")
    check(len({(digest, count) for _, digest, count in lines}) == 1, f"not all have the rows of {job}: {lines}")
    say(f"{len(lines)} times the same {lines[0][2]} rows: none lost, none doubled")
