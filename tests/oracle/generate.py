"""Records of one partition as nobody has seen them: `generate.py SEED` prints what `events.py` and `replay-events` read.

A world is made up camera by camera: objects that hug borders and lines, streams that fail, epochs that overlap, settings
that change. All of it is allowed, little of it is usual. The same seed gives the same records, on any Python from 3.11.
"""

import json
import sys
from random import Random

from world import UNIT, Objects, features, settings, edited

BEGIN_MS = 1_780_000_000_000
ERRORS = ["unreachable", "timeout", "stalled", "auth_failed"]
REASONS = ["pod_lost", "disconnected", "moved", "overload", "spool_full", "corrupt", "refused"]
DOWN_STATES = ["retrying", "connecting", "claimed", "stopped"]
SIZES = [(1920, 1080), (1280, 960), (640, 640), (1080, 1920), (720, 576)]


def time(ms):
    ms += BEGIN_MS
    day, ms_of_day = divmod(ms, 86_400_000)
    assert day == BEGIN_MS // 86_400_000, "a run stays within a day"
    s, ms = divmod(ms_of_day, 1000)
    return f"2026-05-28T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}.{ms:03}Z"


class CameraRun:
    """All records of a camera, in order, each with the moment at which it was ready."""

    def __init__(self, rng, id, begin, frames):
        self.rng, self.id = rng, id
        self.frames_left = frames
        self.records = []
        self.epoch = rng.randrange(1, 50)
        self.seq = -1
        self.late_by = rng.choice([0, 0, 150, 400])
        self.skew = rng.choice([0, 0, 0, -2_500, 1_300])
        # On the camera's clock, which may be another than the partition's.
        self.now = self.begin = begin - self.skew - self.late_by
        self.step = rng.choice([100, 200, 200, 333, 500, 1000])
        self.size = rng.choice(SIZES)
        self.settings = settings(rng)
        self.objects = Objects(rng, features(self.settings))
        self.last_frame, self.last_at = None, self.now

    def chance(self, of_one):
        return self.rng.random() < of_one

    # Records

    def add(self, schema, epoch=None, **fields):
        record = {"schema": schema, "camera": self.id, "epoch": self.epoch if epoch is None else epoch, **fields}
        self.records.append((self.now + self.skew + self.late_by, record))
        return record

    def spec(self):
        # Runs of one camera have one model or another: three in turn, of which two are called alike.
        model = {"name": ["m", "m", "n"][self.epoch % 3], "sha256": ["", "1f", "2e"][self.epoch % 3], "head": "end2end", "input": [384, 640], "classes": ["person", "car", "bicycle"]}
        self.add("spec/1", **self.settings, model=model)

    def stream(self, state, **more):
        at = self.now - self.rng.choice([0, 0, 100, 900])
        self.add("stream/1", state=state, clock="file" if self.id.startswith("job-") else "ntp", at=time(at), **more)

    def tick(self, is_running):
        state = "running" if is_running else self.rng.choice(DOWN_STATES)
        error = {} if is_running or self.chance(0.3) else {"error": self.rng.choice(ERRORS)}
        self.add("tick/1", at=time(self.now), state=state, **error)

    def gap(self, before=None):
        """Says when it is over, mostly; by the clock of the camera, `before` milliseconds from now."""
        fields = {"after": self.last_frame} if self.last_frame and self.chance(0.8) else {}
        if before is not None:
            fields["before"] = {"seq": self.seq + 1, "captured_at": time(self.now + before)}
        self.add("gap/1", **fields, frames=self.rng.choice([None, 3]), reason=self.rng.choice(REASONS))

    def frame(self, at=None, epoch=None, seq=None):
        if seq is None:
            self.seq += 1 if self.chance(0.8) else self.rng.randrange(2, 6)
            seq = self.seq
        at = self.now if at is None else at
        epoch = self.epoch if epoch is None else epoch
        width, height = self.size
        frame = self.add(
            "frame/1",
            epoch=epoch,
            seq=seq,
            captured_at=time(at),
            pts_us=at * 1000,
            width=width,
            height=height,
            detections=self.objects.detections(at, epoch),
        )
        self.last_at = max(at, self.last_at)
        self.last_frame = {"epoch": epoch, "seq": seq, "captured_at": frame["captured_at"]}
        return frame

    # What happens

    def run(self):
        self.begin_in_confusion()
        self.spec()
        self.stream(self.rng.choice(["started", "started", "running"]))
        while self.frames_left > 0:
            self.frames_left -= 1
            self.advance()
            self.happen()
        self.finish()
        return self.records

    def advance(self):
        dt = self.step if self.chance(0.9) else self.rng.choice([self.step // 2, 2 * self.step, 3 * self.step + 7])
        self.now += dt
        self.objects.move(self.now, dt)

    def happen(self):
        rare = self.rng.random()
        if rare < 0.025:
            self.edit()
        elif rare < 0.05:
            self.new_epoch()
        elif rare < 0.057:
            self.outage()
        elif rare < 0.07:
            self.repeat_something()
        elif rare < 0.08:
            self.frame(at=self.now - self.rng.choice([self.step, self.step + 1, 3 * self.step]))
        elif rare < 0.085:
            self.gap(self.rng.choice([0, 0, None, 1_500, 2_001]))
        elif rare < 0.09:
            self.tick(is_running=True)
        elif rare < 0.1:
            if self.chance(0.5):
                self.spec()
            self.stream("running")
        elif rare < 0.103:
            self.size = self.rng.choice(SIZES)
        elif rare < 0.11:
            self.pause()
        else:
            self.frame()

    def begin_in_confusion(self):
        """What reading may begin with: the rest of an epoch whose beginning is gone."""
        if self.chance(0.5):
            return
        for _ in range(self.rng.randrange(1, 7)):
            self.advance()
            what = self.rng.choice(["frame", "frame", "tick", "stream", "gap"])
            if what == "stream":
                self.stream(self.rng.choice(["started", "running", "ended"]))
            elif what == "frame":
                self.frame()
            elif what == "tick":
                self.tick(is_running=self.chance(0.5))
            else:
                self.gap(0)
        if self.chance(0.5):
            self.begin_epoch()

    def edit(self):
        for _ in range(self.rng.choice([1, 1, 1, 2])):
            self.settings = edited(self.rng, self.settings)
            self.objects.features = features(self.settings)
            self.spec()

    def begin_epoch(self):
        self.epoch += self.rng.choice([1, 1, 3])
        self.seq = -1
        self.objects.begin_epoch()

    def new_epoch(self):
        """Of the same camera by another pod: after a gap, in between, or while the one before still writes."""
        before, seq = self.epoch, self.seq
        if self.chance(0.4):
            self.stream("ended", complete=False)
        if self.id.startswith("job-") and self.chance(0.7):
            # An attempt at a recording begins where the one before it began.
            self.begin_again()
        else:
            self.pass_time(self.rng.choice([0, 0, 100, 200, 200, 500, 900, 1_500, 2_400, 11_000]))
        self.begin_epoch()
        if self.chance(0.2):
            self.settings = edited(self.rng, self.settings)
            self.objects.features = features(self.settings)
        self.spec()
        self.stream("started")
        if self.chance(0.4):
            self.gap(0)
        for _ in range(self.rng.choice([0, 0, 1, 4])):
            # The one before still writes.
            self.advance()
            if self.chance(0.6):
                seq += 1
                self.frame(epoch=before, seq=seq)
            elif self.chance(0.3):
                self.add("stream/1", epoch=before, state="ended", clock="ntp", at=time(self.now), complete=False)
            else:
                self.frame()

    def begin_again(self):
        back = self.rng.choice([self.now - self.begin, self.now - self.begin, self.step, 700])
        self.now -= back
        self.last_at = self.now
        # When a result is ready goes on.
        self.skew += back

    def pass_time(self, ms):
        self.now += ms
        self.objects.move(self.now, ms)

    def pass_time_since_frame(self, ms):
        """So much after the last frame, or after now where that is behind."""
        self.pass_time(ms - (self.now - self.last_at if self.now - self.last_at < ms else 0))

    def outage(self):
        """No frames for a while, ticks instead; in the end it goes on, in this epoch or the next."""
        if self.chance(0.3):
            self.stream("ended", complete=False)
        for _ in range(self.rng.randrange(1, 5)):
            self.pass_time_since_frame(self.rng.choice([1_500, 5_000, 9_999, 10_000, 10_001]))
            self.tick(is_running=self.chance(0.2))
        if self.chance(0.5):
            self.new_epoch()
        elif self.chance(0.6):
            self.stream("running")

    def pause(self):
        """Nothing at all, and perhaps a word on it afterwards."""
        self.pass_time_since_frame(self.rng.choice([1_900, 2_000, 2_001, 4_000, 10_000, 10_001, 12_000]))
        if self.chance(0.5):
            self.gap(self.rng.choice([0, 0, 0, None]))

    def repeat_something(self):
        _, record = self.rng.choice(self.records[-6:])
        self.records.append((self.now + self.skew + self.late_by, record))

    def finish(self):
        end = self.rng.random()
        if end < 0.4:
            self.pass_time(self.step)
            self.stream("ended", complete=self.id.startswith("job-") or self.chance(0.3))
        elif end < 0.6:
            self.pass_time(self.rng.choice([2_500, 10_500]))
            self.tick(is_running=False)


def generate(seed):
    """The lines of a run, as objects."""
    rng = Random(seed)
    count = rng.choice([1, 1, 2, 2, 3, 4])
    jobs = rng.random() < 0.3
    ids = [f"job-{i}" if jobs and i % 2 == 0 else f"gate-{i}" for i in range(count)]
    # One may be taken up just when reading has gone on for long enough.
    begins = [60_000] + [60_000 + rng.choice([rng.randrange(30_000), 11_999, 12_000]) for _ in ids[1:]]
    runs = [CameraRun(rng, id, begin, rng.randrange(60, 360) // count).run() for id, begin in zip(ids, begins)]
    yield {"from_the_beginning": rng.random() < 0.5}
    begin = rng.choice([0, 0, 1_000_000])
    newest = {}
    for at, record in with_a_week(seed, list(merged(runs))):
        is_late = record["epoch"] < newest.setdefault(record["camera"], 0)
        newest[record["camera"]] = max(record["epoch"], newest[record["camera"]])
        # The clocks of those who write differ.
        off = rng.randrange(-4_000, 4_000) if rng.random() < (0.3 if is_late else 0.06) else 0
        # What a record changes that is passed over is easily left out of a checkpoint.
        is_alone = is_late and rng.random() < 0.4
        if is_alone:
            yield {"restart": True}
        yield {"timestamp_ms": BEGIN_MS + begin + at + off, "record": record}
        if is_alone or rng.random() < 0.04:
            yield {"restart": True}
    yield {"end": True}


def merged(runs):
    """As they came to the partition: each camera's in order."""
    ordered = []
    for number, records in enumerate(runs):
        newest = 0
        for at, record in records:
            newest = max(newest, at)
            ordered.append((newest, number, record))
    return [(at, record) for at, _, record in sorted(ordered, key=lambda entry: entry[:2])]


def with_a_week(seed, records):
    """In some runs nothing is written for a week, or a little less."""
    # One of its own, so that a seed means what it meant before there were weeks.
    rng = Random(f"{seed}: a week")
    if rng.random() < 0.6:
        return records
    from_here = rng.randrange(len(records))
    # Since the record before, most of the time: each camera's own silence is longer.
    before = records[max(from_here - 1, 0)][0]
    silence = 7 * 24 * 3_600_000 + rng.choice([-5_000, -1, 0, 1, 1_500, 5_000, 60_000])
    shift = silence - (records[from_here][0] - before)
    return [(at + (shift if n >= from_here else 0), record) for n, (at, record) in enumerate(records)]


def main():
    for seed in sys.argv[1:]:
        for line in generate(int(seed)):
            print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main()
