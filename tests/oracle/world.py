"""What the generator's cameras look at: zones, lines, and objects that hug them. Coordinates are hundred-thousandths."""

from math import gcd

import shapely

UNIT = 100_000
LABELS = ["person", "car", "bicycle"]
# A lost track that is found within this is the same to the tracker, mostly.
REMEMBERED_MS = 3_000


def fractions(points):
    return [[x / UNIT, y / UNIT] for x, y in points]


# Settings


def coordinate(rng):
    """Coarse ones make that points lie exactly on borders and lines."""
    return rng.choice([rng.randrange(2, 19) * 5_000, rng.randrange(10, 90) * 1_000, rng.randrange(5_000, 95_000)])


def polygon(rng):
    """Convex or not, but never one that crosses itself."""
    x, y = rng.randrange(2, 12) * 5_000, rng.randrange(2, 12) * 5_000
    w, h = rng.randrange(2, 7) * 5_000, rng.randrange(2, 7) * 5_000
    shape = rng.choice(["box", "box", "l", "notch", "diamond", "any"])
    if shape == "box":
        corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    elif shape == "l":
        corners = [(x, y), (x + w, y), (x + w, y + h // 2), (x + w // 2, y + h // 2), (x + w // 2, y + h), (x, y + h)]
    elif shape == "notch":
        corners = [(x, y), (x + w // 2, y + h // 2), (x + w, y), (x + w, y + h), (x, y + h)]
    elif shape == "diamond":
        corners = [(x + w // 2, y), (x + w, y + h // 2), (x + w // 2, y + h), (x, y + h // 2)]
    else:
        corners = any_polygon(rng)
    if rng.random() < 0.5:
        corners.reverse()
    return fractions(corners)


def any_polygon(rng):
    while True:
        corners = [(coordinate(rng), coordinate(rng)) for _ in range(rng.randrange(3, 7))]
        if shapely.Polygon(corners).is_valid:
            return corners


def classes(rng):
    return rng.choice([[], [], ["person"], ["car"], ["person", "car"]])


def zone(rng, id):
    zone = {"id": id, "name": id, "polygon": polygon(rng), "classes": classes(rng)}
    if rng.random() < 0.6:
        zone["dwell_s"] = rng.choice([0.2, 0.75, 1.0, 3.0, 4.5])
    return zone


def line(rng, id):
    a = (coordinate(rng), coordinate(rng))
    b = rng.choice([(coordinate(rng), a[1]), (a[0], coordinate(rng)), (coordinate(rng), coordinate(rng))])
    if a == b:
        b = (a[0] + 5_000, a[1])
    start, to = fractions([a, b])
    return {"id": id, "name": id, "from": start, "to": to, "classes": classes(rng)}


def settings(rng):
    return {
        "generation": rng.randrange(1, 5),
        "zones": [zone(rng, f"z{i}") for i in range(rng.randrange(4))],
        "lines": [line(rng, f"l{i}") for i in range(rng.randrange(4))],
        "anchor": rng.choice(["bottom_center", "bottom_center", "center"]),
        "labels": rng.choice([{}, {"site": "hq"}]),
    }


def edited(rng, was):
    """The settings after somebody has changed one thing, or nothing."""
    new = {**was, "generation": was["generation"] + 1, "zones": list(was["zones"]), "lines": list(was["lines"])}
    what = rng.choice(["nothing", "zone", "zone", "zone gone", "new zone", "order", "line", "line", "line gone", "new line", "rest"])
    zones, lines = new["zones"], new["lines"]
    if what == "zone" and zones:
        i = rng.randrange(len(zones))
        field = rng.choice(["polygon", "polygon", "classes", "classes", "dwell_s", "name"])
        zones[i] = {**zones[i], field: zone(rng, "z").get(field)}
        if zones[i].get("dwell_s", 0) is None:
            del zones[i]["dwell_s"]
    elif what == "zone gone" and zones:
        del zones[rng.randrange(len(zones))]
    elif what == "new zone" and len(zones) < 3:
        ids = {f"z{i}" for i in range(4)} - {zone["id"] for zone in zones}
        zones.insert(rng.randrange(len(zones) + 1), zone(rng, rng.choice(sorted(ids))))
    elif what == "order":
        zones.reverse()
        lines.reverse()
    elif what == "line" and lines:
        i = rng.randrange(len(lines))
        other = line(rng, lines[i]["id"])
        turned = {"from": lines[i]["to"], "to": lines[i]["from"]}
        lines[i] = rng.choice([other, {**lines[i], **turned}, {**lines[i], "classes": classes(rng)}, {**lines[i], "name": "n"}])
    elif what == "line gone" and lines:
        del lines[rng.randrange(len(lines))]
    elif what == "new line" and len(lines) < 3:
        ids = {f"l{i}" for i in range(4)} - {line["id"] for line in lines}
        lines.append(line(rng, rng.choice(sorted(ids))))
    elif what == "rest":
        new["anchor"] = rng.choice(["bottom_center", "center"])
        new["labels"] = rng.choice([{}, {"site": "hq"}, {"site": "b", "floor": "2"}])
    return new


def features(settings):
    """The straight pieces that objects hug."""
    pieces = [(tuple(line["from"]), tuple(line["to"])) for line in settings["lines"]]
    for zone in settings["zones"]:
        corners = [tuple(corner) for corner in zone["polygon"]]
        pieces += zip(corners, corners[1:] + corners[:1])
    return [tuple((round(x * UNIT), round(y * UNIT)) for x, y in piece) for piece in pieces]


# Objects


class Objects:
    """All that is in front of a camera, and what its tracker makes of it."""

    def __init__(self, rng, features):
        self.rng, self.features = rng, features
        self.next_id = rng.randrange(1, 40)
        self.all = [Object(self) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
        if rng.random() < 0.3:
            self.all.append(Object(self, beside=self.all[0]))

    def move(self, now, dt):
        for i, object in enumerate(self.all):
            object.move(now, dt)
            if self.rng.random() < 0.004 and i:
                self.all[i] = Object(self)

    def begin_epoch(self):
        self.next_id = self.rng.choice([0, self.next_id])
        for object in self.all:
            object.track = None

    def track_id(self):
        self.next_id += 1
        return self.next_id

    def detections(self, at, epoch):
        seen = [object.detection(at) for object in self.all]
        seen = [detection for detection in seen if detection]
        self.rng.shuffle(seen)
        return seen


class Object:
    def __init__(self, world, beside=None):
        self.world, rng = world, world.rng
        # Where it keeps itself, if it does: trackers see one thing as two, or two as one.
        self.beside, self.off = beside, rng.choice([(0, 0), (0, 0), (150, 0), (800, -600)])
        self.x, self.y = rng.randrange(10_000, 90_000), rng.randrange(15_000, 95_000)
        self.half_width, self.height = rng.randrange(1_000, 9_000), rng.randrange(2_000, 14_000)
        self.class_id = rng.randrange(len(LABELS))
        self.goal = (self.x, self.y)
        self.turns = rng.choice([0, 0, 0, 1])
        self.fickle = rng.choice([0.005, 0.005, 0.005, 0.15])
        # Of the frame a second.
        self.speed = rng.choice([500, 2_000, 8_000, 25_000])
        self.hidden_until = 0
        self.track = None

    def move(self, now, dt):
        rng = self.world.rng
        if rng.random() < 0.15 or (self.x, self.y) == self.goal:
            self.goal = self.new_goal()
        far = max(abs(self.goal[0] - self.x), abs(self.goal[1] - self.y))
        part = min(1, self.speed * dt / 1000 / far) if far else 1
        if far < 1_500 or rng.random() < 0.08:
            part = 1
        self.x += round((self.goal[0] - self.x) * part)
        self.y += round((self.goal[1] - self.y) * part)
        if self.beside:
            self.x, self.y = self.beside.x + self.off[0], self.beside.y + self.off[1]
            self.half_width, self.height, self.class_id = self.beside.half_width, self.beside.height, self.beside.class_id
        if rng.random() < 0.02:
            self.hidden_until = now + rng.choice([300, 900, 1_900, 2_000, 2_100, 4_000])
        if rng.random() < self.fickle:
            self.class_id = rng.randrange(len(LABELS))

    def new_goal(self):
        """Near a line or a border, or right on it, or anywhere."""
        rng = self.world.rng
        if not self.world.features or rng.random() < 0.15:
            return (rng.randrange(8_000, 92_000), rng.randrange(12_000, 97_000))
        if self.turns:
            return self.next_turn()
        (ax, ay), (bx, by) = rng.choice(self.world.features)
        dx, dy = bx - ax, by - ay
        # So many points of the piece lie on whole units.
        steps = max(gcd(dx, dy), 1)
        at = rng.choice([0, 0, steps, rng.randrange(steps + 1), rng.randrange(steps + 1), rng.randrange(steps + 1)])
        x, y = ax + dx // steps * at, ay + dy // steps * at
        off = rng.choice([0, 0, 1, 100, 200, 300, 450, 499, 500, 501, 700, 3_000])
        x += rng.choice([-1, 0, 1]) * off
        y += rng.choice([-1, 0, 1]) * off
        return (min(max(x, 0), UNIT), min(max(y, 0), UNIT))

    def next_turn(self):
        """Round and round the end of a line: across it, back around its end, and across it the same way again."""
        (ax, ay), (bx, by) = self.world.features[0]
        length = max(abs(bx - ax), abs(by - ay), 1)
        along, aside = [(300, 200), (300, -200), (-300, -200), (-300, 200)][self.turns % 4]
        self.turns += 1
        dx, dy = (bx - ax) / length, (by - ay) / length
        x, y = ax + round(along * dx - aside * dy), ay + round(along * dy + aside * dx)
        return (min(max(x, 0), UNIT), min(max(y, 0), UNIT))

    def detection(self, at):
        rng = self.world.rng
        if at < self.hidden_until or rng.random() < 0.02:
            return None
        detection = {
            "class_id": self.class_id,
            "label": LABELS[self.class_id],
            "confidence": rng.choice([rng.randrange(3_000, 9_999), rng.randrange(50, 99) * 100]) / 10_000,
            "box": self.box(),
        }
        track = self.tracked(at)
        if track:
            detection["track"] = track
        return detection

    def box(self):
        """The anchor is the middle of the lower edge, or lies half a unit beside."""
        x_min, x_max = self.x - self.half_width, self.x + self.half_width
        if self.world.rng.random() < 0.1:
            x_max += 1
        box = (x_min, self.y - self.height, x_max, self.y)
        return [min(max(value, 0), UNIT) / UNIT for value in box]

    def tracked(self, at):
        rng = self.world.rng
        if self.track and at - self.track["seen"] > REMEMBERED_MS and rng.random() < 0.7:
            self.track = None
        if self.track is None:
            if rng.random() < 0.05:
                return None
            # A pod that overlaps the one before has seen it for a while.
            since = at - rng.choice([0, 0, 0, 400, 1_500, 6_000, 30_000])
            self.track = {"id": self.world.track_id(), "since": since, "seen": at, "needs": rng.choice([0, 1, 2])}
        track = self.track
        track["seen"] = max(at, track["seen"])
        track["needs"] -= 1
        is_sure = track["needs"] < 0 and rng.random() > 0.02
        age = max(at - track["since"], 0)
        return {"id": track["id"], "state": "confirmed" if is_sure else "tentative", "age_s": round(age / 1000, 1)}
