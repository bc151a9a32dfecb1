"""Checks what a soak run left: `soak_check.py RECORDS MINUTES`. Fails with a sentence."""

import json
import sys

records, minutes = sys.argv[1:]
last: dict[tuple[str, int], tuple[int, str]] = {}
frames = 0
with open(records) as lines:
    for line in lines:
        record = json.loads(line)
        if record["schema"] != "frame/1":
            continue
        frames += 1
        key = (record["camera"], record["epoch"])
        seq, skipped = record["seq"], sum(record.get("skipped", {}).values())
        if key in last:
            before, captured_at = last[key]
            if seq - before != 1 + skipped:
                sys.exit(f"{key}: seq {before} is followed by {seq} with {skipped} skipped")
            if record["captured_at"] < captured_at:
                sys.exit(f"{key}: captured_at goes back at seq {seq}")
        last[key] = (seq, record["captured_at"])
if len(last) != 8:
    sys.exit(f"records of {len(last)} cameras, not 8")

rows = [[int(word) for word in line.split()] for line in open(minutes)]
# The first minutes fill caches and pools.
settled = rows[min(3, len(rows) - 1) :]
growth = settled[-1][1] - settled[0][1]
if growth > 20 * 1024:
    sys.exit(f"memory grew by {growth} KiB over {len(settled)} minutes")
if settled[-1][2] > settled[0][2]:
    sys.exit(f"threads grew from {settled[0][2]} to {settled[-1][2]}")
print(f"{frames} frames of 8 cameras, every account closed; memory grew by {growth} KiB after the first minutes")
