"""The event rules of docs/EVENTS.md, written a second time: plainly, one section of it after the other.

Reads JSON lines on stdin, as `consumers/examples/replay-events.rs` does: {"from_the_beginning": …} begins a run, then
{"timestamp_ms": …, "record": {…}} each, {"end": true} ends it. Writes the events as JSON lines and, after a run,
{"end": true} with how many records were passed over, by why. {"restart": true} means nothing here: all is remembered.
"""

import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

from geometry import UNIT, Line, Zone, anchor, middle, overlap, rounded, units
from noted import note

OVER_MS = 2_000
DOWN_MS = 10_000
SETTLED_MS = 1_000
EARLY_MS = 12_000
FORGOTTEN_MS = 7 * 24 * 3_600_000
THERE_BEFORE_MS = 100
LINKED = 0.3
PATH = 8
MEMORY_MS = 500
# Of what coordinates are in: 1/10,000 of the frame a second is a ten-millionth in a millisecond.
TEN_MILLIONTHS = 100

# As they are written, so that a `diff` of two runs shows what differs.
FIELDS = (
    "schema id type camera epoch seq generation at track_key class_id label confidence line direction zone duration_s appeared "
    "vanished box first_seen last_seen path best error model labels"
).split()

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def millis(text):
    """Times are in milliseconds; what is finer is cut off."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


def written(at):
    return (EPOCH + timedelta(milliseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03}Z"


class Spec:
    def __init__(self, record):
        self.generation = record["generation"]
        self.labels = record.get("labels", {})
        self.anchor = record.get("anchor", "bottom_center")
        self.zones = [Zone(zone) for zone in record.get("zones", [])]
        self.lines = [Line(line) for line in record.get("lines", [])]

    def zone(self, id):
        return next((zone for zone in self.zones if zone.id == id), None)

    def line(self, id):
        return next((line for line in self.lines if line.id == id), None)


class Sight:
    """A detection with a confirmed track, in its frame."""

    def __init__(self, frame, detection):
        self.epoch, self.seq, self.at = frame["epoch"], frame["seq"], millis(frame["captured_at"])
        self.aspect = frame["width"] / frame["height"]
        self.track = detection["track"]["id"]
        self.age_ms = rounded(detection["track"]["age_s"] * 1000)
        self.class_id, self.label = detection["class_id"], detection["label"]
        self.confidence = rounded(detection["confidence"] * 10_000)
        self.box = tuple(units(value) for value in detection["box"])

    def fine_box(self):
        return [value * TEN_MILLIONTHS for value in self.box]

    def written_box(self):
        return [value / UNIT for value in self.box]


class Visit:
    """Of a track to a zone."""

    def __init__(self):
        # The sight of entering, where it is settled inside.
        self.entered = None
        # The sight at which a change began that is not settled.
        self.pending = None
        self.dwelled = False

    def is_inside(self):
        return self.entered is not None


class Track:
    def __init__(self, sight, is_quiet):
        self.key = (sight.epoch, sight.track)
        self.is_quiet = is_quiet
        self.first_seen = sight.at
        self.last = sight
        self.best = sight
        self.velocity = (0, 0)
        self.points = []
        self.visits = {}
        # By line: the direction and the sight of a pending crossing.
        self.crossings = {}

    def see(self, sight):
        """Not for the first time. v + (moved ÷ dt − v) · dt ÷ (dt + 0.5 s) is one division, and rounded once."""
        dt = sight.at - self.last.at
        moved = [now - was for now, was in zip(middle(sight.box), middle(self.last.box))]
        self.velocity = tuple(
            rounded_fraction(MEMORY_MS * v + int(d * TEN_MILLIONTHS), dt + MEMORY_MS)
            for v, d in zip(self.velocity, moved)
        )
        if sight.confidence > self.best.confidence:
            self.best = sight
        self.last = sight

    def expected(self, at):
        """Its box, moved on: whole ten-millionths of the frame."""
        x, y = (v * (at - self.last.at) for v in self.velocity)
        x_min, y_min, x_max, y_max = self.last.fine_box()
        return (x_min + x, y_min + y, x_max + x, y_max + y)

    def path(self):
        """Every sight's point, or every second one's, every fourth one's… so that they are not too many."""
        stride = 1
        while len(self.points[::stride]) > PATH:
            stride *= 2
        return [[rounded(x / 10) / 10_000, rounded(y / 10) / 10_000] for x, y in self.points[::stride]]


def rounded_fraction(over, under):
    """Half away from zero, in whole numbers."""
    return (2 * abs(over) + under) // (2 * under) * (1 if over >= 0 else -1)


class Camera:
    def __init__(self, id):
        self.id = id
        self.epoch = None
        self.spec = None
        # The model of each epoch whose spec was read.
        self.models = {}
        # The sort of stream/1 it was taken up at, its time, and whether an epoch before may have gone unread.
        self.taken_up = None
        # Whether frames were passed over before that.
        self.has_missed = False
        # The last frame taken: epoch, seq, time.
        self.last = None
        # The time of the first frame taken.
        self.first_frame = None
        self.is_down = False
        # When it is down, by the partition's time, unless a newer epoch comes.
        self.down_at = None
        self.tracks = []
        self.events = []
        # The partition's time at its last record that was not late.
        self.heard = None

    def is_job(self):
        return self.id.startswith("job-")

    # What counts as seen

    def take(self, record, timestamp, is_early):
        """Gives why the record was passed over, if it was."""
        epoch = record["epoch"]
        if self.epoch is not None and epoch < self.epoch:
            return "late"
        if self.epoch is None or epoch > self.epoch:
            if self.is_job() and self.epoch is not None:
                note("job: begun anew" + (", with tracks" if self.tracks else ""))
                self.__init__(self.id)
            self.epoch, self.down_at = epoch, None
        return getattr(self, "take_" + record["schema"].split("/")[0])(record, timestamp, is_early)

    def take_frame(self, record, *_):
        if self.taken_up is None:
            self.has_missed = True
            return "not_taken_up"
        at = millis(record["captured_at"])
        if self.last and self.last[0] == record["epoch"] and record["seq"] <= self.last[1]:
            return "repeat"
        if self.last and at <= self.last[2]:
            return "backwards"
        self.tell(at)
        self.last = (record["epoch"], record["seq"], at)
        if self.is_down:
            self.is_down = False
            self.give("camera_up", self.last)
        if self.first_frame is None:
            self.first_frame = at
        sights = [
            Sight(record, detection)
            for detection in record["detections"]
            if detection.get("track", {}).get("state") == "confirmed"
        ]
        links = self.links(sights, at)
        for sight in sights:
            self.see(sight, links.get(sight.track))

    def tell(self, at, is_the_end=False):
        """The time of a record: who was not seen for long is over; all are at the end of a video."""
        self.end([track for track in self.tracks if is_the_end or at - track.last.at > OVER_MS])

    def was_there_before(self, sight):
        if self.taken_up["state"] == "running":
            is_old = sight.at - sight.age_ms - THERE_BEFORE_MS <= self.taken_up["at"]
        else:
            is_old = self.taken_up["is_early"] and sight.at - self.first_frame <= OVER_MS
        if is_old:
            note("there before: " + self.taken_up["state"])
        return is_old

    # Crossings and zones, a sight at a time

    def see(self, sight, linked):
        track = linked or self.find(sight)
        if track is None:
            track = Track(sight, self.was_there_before(sight))
            self.tracks.append(track)
            self.give_of(track, "track_started", sight)
            was = None
        else:
            was = track.last
            track.see(sight)
            if linked:
                note("linked: there before" if linked.is_quiet else "linked")
        p = anchor(sight.box, self.spec.anchor)
        track.points.append(p)
        for line in self.spec.lines:
            if was is not None:
                self.step(track, line, anchor(was.box, self.spec.anchor), p, sight)
            self.settle_crossing(track, line, p, sight)
        for zone in self.spec.zones:
            self.visit(track, zone, p, sight)

    def find(self, sight):
        return next((t for t in self.tracks if (t.last.epoch, t.last.track) == (sight.epoch, sight.track)), None)

    def step(self, track, line, was, now, sight):
        direction = line.cut_by(was, now)
        if direction is None:
            return
        pending = track.crossings.pop(line.id, None)
        if pending and pending[0] != direction:
            note("crossing: taken back", track)
            return
        if pending:
            note("crossing: counts by a second one", track)
            self.give_crossed(track, line, *pending)
        if line.counts_for(sight.label):
            track.crossings[line.id] = (direction, sight)
        else:
            note("crossing: not for the label", track)

    def settle_crossing(self, track, line, p, sight):
        pending = track.crossings.get(line.id)
        if pending and self.is_settled(track, pending[1], line, p, "crossing"):
            del track.crossings[line.id]
            self.give_crossed(track, line, *pending)

    def is_settled(self, track, began, place, p, what):
        """Whether a change that began then counts at the last sight."""
        sight = track.last
        is_far, is_old = place.is_clear_of(p, sight.aspect), sight.at - began.at >= SETTLED_MS
        if is_far or is_old:
            how = "time" if not is_far else "distance at once" if began is sight else "distance later"
            note(f"{what}: counts by {how}", track)
        return is_far or is_old

    def give_crossed(self, track, line, direction, sight):
        self.give_of(track, "line_crossed", sight, line=line.id, direction=direction)

    def visit(self, track, zone, p, sight):
        counts, is_inside = zone.counts_for(sight.label), zone.holds(p)
        visit = track.visits.get(zone.id)
        was_inside = visit is not None and visit.is_inside()
        if visit is None:
            # It never saw the zone.
            if not counts:
                return
            visit = track.visits[zone.id] = Visit()
            if is_inside:
                visit.entered = sight
                note("zone: appeared " + ("at first sight" if sight.at == track.first_seen else "later"), track)
                self.give_of(track, "zone_entered", sight, zone=zone.id, appeared=True)
        elif is_inside == visit.is_inside():
            if visit.pending:
                note("zone: taken back " + ("leaving" if is_inside else "entering"), track)
            visit.pending = None
        else:
            if visit.pending is None and (counts or not is_inside):
                visit.pending = sight
            what = "zone left" if visit.is_inside() else "zone entered"
            if visit.pending and self.is_settled(track, visit.pending, zone, p, what):
                self.settle(track, zone, visit)
                if not counts:
                    note(what + ": under a label that does not count", track)
        entered = visit.entered
        if entered and is_inside and not visit.dwelled and zone.dwell_ms is not None:
            if sight.at - entered.at >= zone.dwell_ms:
                visit.dwelled = True
                if not was_inside:
                    note("dwelled: at once", track)
                self.give_of(track, "dwelled", sight, zone=zone.id, duration_s=(sight.at - entered.at) / 1000)
        if not visit.is_inside() and visit.pending is None and not counts:
            note("zone: as if never seen", track)
            del track.visits[zone.id]

    def settle(self, track, zone, visit):
        began, visit.pending = visit.pending, None
        if not visit.is_inside():
            visit.entered = began
            self.give_of(track, "zone_entered", began, zone=zone.id)
        else:
            duration = (began.at - visit.entered.at) / 1000
            visit.entered, visit.dwelled = None, False
            self.give_of(track, "zone_left", began, zone=zone.id, duration_s=duration)

    # Tracks

    def end(self, over):
        for track in over:
            for zone in self.spec.zones:
                self.vanish(track, zone, "over")
            for _ in track.crossings:
                note("crossing: forgotten with its track", track)
            self.give_ended(track)
        self.tracks = [track for track in self.tracks if track not in over]

    def vanish(self, track, zone, why):
        visit = track.visits.pop(zone.id, None)
        if visit and visit.pending:
            note("zone: forgotten " + ("leaving" if visit.is_inside() else "entering"), track)
        if visit and visit.is_inside():
            note("zone: vanished, " + why, track)
            duration = (track.last.at - visit.entered.at) / 1000
            self.give_of(track, "zone_left", track.last, zone=zone.id, duration_s=duration, vanished=True)

    def give_ended(self, track):
        best = track.best
        self.give_of(
            track,
            "track_ended",
            track.last,
            first_seen=written(track.first_seen),
            last_seen=written(track.last.at),
            path=track.path(),
            best={
                "epoch": best.epoch,
                "seq": best.seq,
                "at": written(best.at),
                "confidence": best.confidence / 10_000,
                "box": best.written_box(),
            },
        )

    def links(self, sights, at):
        """Which old track goes on as which one of this frame, by its id."""
        fresh = [sight for sight in sights if self.find(sight) is None]
        old = [track for track in self.tracks if track.last.epoch < self.epoch]
        pairs = []
        for track in old:
            expected = track.expected(at)
            for sight in fresh:
                if track.last.label == sight.label:
                    iou = overlap(expected, sight.fine_box())
                    if iou >= LINKED:
                        pairs.append((-iou, track.last.track, sight.track, track))
        links = {}
        for _, _, new, track in sorted(pairs, key=lambda pair: pair[:3]):
            if new not in links and track not in links.values():
                links[new] = track
            else:
                note("linked: a better pair was taken")
        if len({pair[0] for pair in pairs}) < len(pairs):
            note("linked: equals by their ids")
        return links

    # Cameras

    def go_down(self, why, **error):
        self.down_at = None
        if self.last and not self.is_down and not self.is_job():
            note("down: " + why)
            self.end(self.tracks)
            self.is_down = True
            self.give("camera_down", self.last, **error)

    def take_tick(self, record, *_):
        at = millis(record["at"])
        self.tell(at)
        if record["state"] != "running" and self.last and at - self.last[2] >= DOWN_MS:
            self.go_down("tick", **({"error": record["error"]} if "error" in record else {}))

    def take_gap(self, record, *_):
        if "before" in record:
            before = millis(record["before"]["captured_at"])
            self.tell(before)
            if self.last and before - self.last[2] > DOWN_MS:
                self.go_down("gap")

    def take_stream(self, record, timestamp, is_early):
        at = millis(record["at"])
        is_whole = record["state"] == "ended" and record.get("complete", False)
        is_the_end = record["state"] == "ended" and self.is_job()
        self.tell(at, is_whole or is_the_end)
        if is_whole and self.is_job() and self.last:
            self.give("job_done", self.last)
        if record["state"] == "ended":
            if self.down_at is None and not self.is_job():
                self.down_at = timestamp + DOWN_MS
        elif self.taken_up is None and self.spec is not None:
            is_early = (is_early and not self.is_job()) or self.has_missed
            self.taken_up = {"state": record["state"], "at": at, "is_early": is_early}
            note("taken up: " + record["state"])

    # Spec

    def take_spec(self, record, *_):
        was, self.spec = self.spec, Spec(record)
        self.models[record["epoch"]] = {name: record["model"][name] for name in ("name", "sha256")}
        if was is None:
            return
        lines = [line for line in was.lines if not is_where_it_was(line, self.spec.line(line.id))]
        for track in self.tracks:
            for line in lines:
                if track.crossings.pop(line.id, None):
                    note("crossing: forgotten with its line", track)
            for zone in was.zones:
                new = self.spec.zone(zone.id)
                if new is None:
                    self.vanish(track, zone, "gone from the spec")

    # Identity

    def give_of(self, track, type, sight, **more):
        if not track.is_quiet:
            of = {
                "track_key": f"{self.id}/{track.key[0]}/{track.key[1]}",
                "class_id": sight.class_id,
                "label": sight.label,
                "confidence": sight.confidence / 10_000,
                "box": sight.written_box(),
            }
            self.give(type, (sight.epoch, sight.seq, sight.at), sight.track, **of, **more)

    def give(self, type, frame, track=None, **more):
        epoch, seq, at = frame
        about = more.get("zone", more.get("line"))
        parts = [self.id, epoch, seq, track, type, about]
        event = {
            "schema": "event/1",
            "id": "/".join(str(part) for part in parts if part is not None),
            "type": type,
            "camera": self.id,
            "epoch": epoch,
            "seq": seq,
            "generation": self.spec.generation,
            "at": written(at),
            **more,
        }
        since = max((known for known in self.models if known <= epoch), default=None)
        if since is not None:
            event["model"] = self.models[since]
            note("model: " + ("its epoch's" if since == self.epoch else "an earlier one's"))
        if self.spec.labels:
            event["labels"] = dict(sorted(self.spec.labels.items()))
        self.events.append({field: event[field] for field in FIELDS if field in event})


def is_where_it_was(line, new):
    return new is not None and (new.start, new.to) == (line.start, line.to)


class Partition:
    def __init__(self, from_the_beginning):
        self.from_the_beginning = from_the_beginning
        # The timestamp of the first record, and the newest one.
        self.since = None
        self.now = None
        self.cameras = {}
        self.passed_over = Counter()

    def take(self, record, timestamp):
        """Gives the events."""
        if self.since is None:
            self.since = self.now = timestamp
        self.now = max(self.now, timestamp)
        is_early = not self.from_the_beginning and self.now - self.since < EARLY_MS
        camera = self.cameras.setdefault(record["camera"], Camera(record["camera"]))
        if camera.heard is not None and self.now - camera.heard > FORGOTTEN_MS:
            self.forget(camera)
        passed_over = camera.take(record, self.now, is_early)
        if passed_over != "late":
            camera.heard = self.now
        if passed_over:
            self.passed_over[passed_over] += 1
        events, camera.events = camera.events, []
        due = [camera for camera in self.cameras.values() if camera.down_at is not None and camera.down_at <= self.now]
        for camera in sorted(due, key=lambda camera: (camera.down_at, camera.id)):
            camera.go_down("ended")
            events += camera.events
            camera.events = []
        return events

    def forget(self, camera):
        note("forgotten" + (", with tracks" if camera.tracks else ""))
        if camera.down_at is not None:
            camera.go_down("ended")
        events = camera.events
        camera.__init__(camera.id)
        camera.events = events


def answers(lines):
    """For each line of any number of runs, what is written."""
    partition = None
    for line in lines:
        answer = []
        if "from_the_beginning" in line:
            partition = Partition(line["from_the_beginning"])
        elif "record" in line:
            answer = partition.take(line["record"], line["timestamp_ms"])
        elif "end" in line:
            answer = [{"end": True, "passed_over": dict(sorted(partition.passed_over.items()))}]
        yield answer


def main():
    for answer in answers(json.loads(line) for line in sys.stdin):
        for value in answer:
            print(json.dumps(value, separators=(",", ":")))


if __name__ == "__main__":
    main()
