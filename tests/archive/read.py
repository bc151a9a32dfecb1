"""Reads an archive back by DuckDB and by pandas, and compares it with what was produced, record by record.

read.py ROOT TOPIC EXPECTED: EXPECTED has a JSON object a line: partition, offset, timestamp, key, value (base64, or null),
schema. Prints what was found as JSON; ends with 1 where anything differs.
"""

import base64
import datetime
import glob
import json
import math
import os
import sys

import duckdb
import pandas

root, topic, expected_file = sys.argv[1:4]
pattern = os.path.join(root, topic, "day=*", "cameras=*", "*.parquet")
files = glob.glob(pattern)
wrong = []


def micros(text):
    if text is None:
        return None
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    delta = time - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return (isinstance(a, (int, float)) and isinstance(b, (int, float))
                and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-7))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def present(**fields):
    return {name: value for name, value in fields.items() if value is not None}


def box(row):
    sides = [row[side] for side in ("x_min", "y_min", "x_max", "y_max")]
    return None if sides[0] is None else sides


def frame(row):
    made = {name: row[name] for name in ("schema", "camera", "epoch", "seq", "pts_us", "width", "height")}
    made["captured_at"] = row["captured_at"]
    if row["skipped"] is not None:
        made["skipped"] = {name: count for name, count in row["skipped"].items() if count}
    made["detections"] = []
    for one in row["detections"]:
        detection = {name: one[name] for name in ("class_id", "label", "confidence")}
        detection["box"] = box(one)
        if one["track_id"] is not None:
            detection["track"] = {"id": one["track_id"], "state": one["track_state"], "age_s": one["age_s"]}
        made["detections"].append(detection)
    return made


def event(row):
    names = ("schema", "camera", "epoch", "at", "id", "type", "track_key", "label", "line", "direction", "zone", "error",
             "snapshot", "seq", "generation", "class_id", "confidence", "duration_s", "first_seen", "last_seen", "labels")
    made = present(**{name: row[name] for name in names}, box=box(row))
    if row["model"] is not None:
        made["model"] = {"name": row["model"], "sha256": row["model_sha256"]}
    made |= {name: True for name in ("appeared", "vanished") if row[name]}
    if row["path"] is not None:
        made["path"] = [[point["x"], point["y"]] for point in row["path"]]
    if row["best"] is not None:
        best = row["best"]
        made["best"] = {name: best[name] for name in ("epoch", "seq", "confidence")} | {"box": box(best), "at": best["at"]}
    return made


TIMES = ("captured_at", "at", "first_seen", "last_seen")


def with_times(value):
    """As produced, with times in microseconds where the archive has a column for them."""
    value = dict(value)
    for name in TIMES:
        if name in value:
            value[name] = micros(value[name])
    if isinstance(value.get("best"), dict):
        value["best"] = value["best"] | {"at": micros(value["best"]["at"])}
    return value


def compare(row, want):
    value = None if want["value"] is None else base64.b64decode(want["value"])
    key = None if want["key"] is None else base64.b64decode(want["key"])
    have = row["key"] if row["key"] is not None else (row["camera"] or "").encode()
    if (key or b"") != have:
        return f"key {have!r}, not {key!r}"
    if row["timestamp"] != want["timestamp"]:
        return f"timestamp {row['timestamp']}, not {want['timestamp']}"
    if row["raw"] is not None:
        try:
            json.loads(value, parse_constant=lambda name: 1 / 0)
            is_json = True
        except (ValueError, ZeroDivisionError):
            is_json = False
        may_be = not is_json or "wrong" in row["raw"].decode(errors="replace")
        return None if row["raw"] == value and may_be else f"raw is not what was produced, or need not be raw: {value[:200]!r}"
    if value is None:
        empty = all(row[name] is None for name in ("camera", "rest", "epoch"))
        return None if empty else "a tombstone with something in it"
    produced = json.loads(value)
    rest = json.loads(row["rest"]) if row["rest"] is not None else {}
    if row["schema"] in ("frame/1", "event/1"):
        made = frame(row) if row["schema"] == "frame/1" else event(row)
        produced = with_times(produced)
        # What has something unknown within is in both: there the text counts.
        made |= with_times(rest)
    else:
        made = rest | present(schema=row["schema"], camera=row["camera"], epoch=row["epoch"])
    if produced.get("skipped") in ({}, None):
        produced.pop("skipped", None)
    if made.get("skipped") == {}:
        made.pop("skipped")
    return None if same(produced, made) else f"{made}\n not {produced}"


expected = {}
with open(expected_file) as lines:
    for line in lines:
        one = json.loads(line)
        expected[one["partition"], one["offset"]] = one

rows = {}
if files:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    is_events = "event" in topic
    times = ("at", "first_seen", "last_seen") if is_events else ("captured_at",)
    replace = ", ".join(f'epoch_us("{name}") AS "{name}"' for name in times)
    more = (", CASE WHEN best IS NULL THEN NULL ELSE struct_insert(struct_pack(epoch := best.epoch, seq := best.seq, "
            "confidence := best.confidence, x_min := best.x_min, y_min := best.y_min, x_max := best.x_max, "
            "y_max := best.y_max), \"at\" := epoch_us(best.\"at\")) END AS best" if is_events else "")
    found = db.execute(
        f"SELECT * REPLACE (epoch_ms(timestamp) AS timestamp, {replace}{more}) "
        f"FROM read_parquet('{pattern}', hive_partitioning = true)")
    names = [column[0] for column in found.description]
    count = 0
    for values in found.fetchall():
        row = dict(zip(names, values))
        count += 1
        place = row["partition"], row["offset"]
        if place in rows:
            wrong.append(f"{place} is there twice")
        rows[place] = row
        if row["topic"] != topic:
            wrong.append(f"{place}: topic {row['topic']}")
        if row["schema"] in ("frame/1", "event/1"):
            at = row["at" if is_events else "captured_at"]
            day = datetime.datetime.fromtimestamp(at // 1_000_000, datetime.timezone.utc).date() if at is not None else row["day"]
            if str(day) != str(row["day"]):
                wrong.append(f"{place}: day {row['day']}, and it was at {day}")
    lost = sorted(expected.keys() - rows.keys())
    if lost:
        wrong.append(f"{len(lost)} of {len(expected)} are not there: {lost[:5]}")
    extra = sorted(rows.keys() - expected.keys())
    if extra:
        wrong.append(f"{len(extra)} were never produced: {extra[:5]}")
    for place in expected.keys() & rows.keys():
        differs = compare(rows[place], expected[place])
        if differs:
            wrong.append(f"{place}: {differs}")
    by_pandas = pandas.concat(pandas.read_parquet(file, columns=["partition", "offset", "rest"]) for file in files)
    pairs = set(zip(by_pandas["partition"].tolist(), by_pandas["offset"].tolist()))
    if len(by_pandas) != count or pairs != rows.keys():
        wrong.append(f"pandas sees {len(by_pandas)} rows, DuckDB {count}")
    whole = pandas.read_parquet(glob.glob(os.path.join(root, topic, "**/*.parquet"), recursive=True))
    if len(whole) != count:
        wrong.append(f"pandas sees {len(whole)} rows in all files, DuckDB {count}")
elif expected:
    wrong.append("no files")

raws = sum(row["raw"] is not None for row in rows.values())
bytes_ = sum(os.path.getsize(file) for file in files)
print(json.dumps({"files": len(files), "bytes": bytes_, "rows": len(rows), "raw": raws}))
if wrong:
    print(f"{len(wrong)} differences", *wrong[:10], sep="\n", file=sys.stderr)
    sys.exit(1)
