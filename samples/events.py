"""The zones and lines of the sample junction, and what truly happened at them.

The rules are those of the service: a box is where the middle of its lower edge is, a line is crossed by a step
that cuts it, a visit lasts from the first frame inside to the first frame outside.
"""

from traffic import CLASSES, FPS, HEIGHT, WIDTH


def corner(x, y):
    return [round(x / WIDTH, 5), round(y / HEIGHT, 5)]


# Placed where everybody passes at speed and in full view: no queue ends on a border, no lane runs along one.
ZONES = [
    {"id": "junction", "name": "Junction", "polygon": [corner(690, 291), corner(830, 291), corner(830, 533), corner(690, 533)]},
    {"id": "west-crossing", "name": "West crossing", "classes": ["person"],
     "polygon": [corner(612, 297), corner(690, 297), corner(690, 512), corner(612, 512)]},
]
LINES = [
    {"id": "main-west", "name": "Main road, leaving west", "from": corner(300, 291), "to": corner(300, 400)},
    {"id": "main-east", "name": "Main road, leaving east", "from": corner(1010, 533), "to": corner(1010, 402)},
    {"id": "side-south", "name": "Side road, south", "from": corner(830, 640), "to": corner(690, 640)},
    {"id": "north-walk", "name": "North footpath", "classes": ["person"], "from": corner(456, 212), "to": corner(456, 290)},
]


def anchor(box):
    return (box[0] + box[2]) / 2, box[3]


def side(line, p):
    (ax, ay), (bx, by) = line["from"], line["to"]
    cross = (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax)
    return (cross > 0) - (cross < 0)


def cuts(line, p, q):
    step = {"from": p, "to": q}
    return side(line, p) != side(line, q) and side(step, line["from"]) != side(step, line["to"])


def inside(polygon, p):
    odd = False
    for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1]):
        if (ay > p[1]) != (by > p[1]) and p[0] < ax + (p[1] - ay) * (bx - ax) / (by - ay):
            odd = not odd
    return odd


def counts(thing, class_id):
    return "classes" not in thing or CLASSES[class_id] in thing["classes"]


def happened(frames, shift=(0.0, 0.0)):
    """Crossings and visits in a list of frames, each a list of (id, class_id, x_min, y_min, x_max, y_max, visible)
    with boxes as fractions of the picture. `shift` moves every anchor, to see how much depends on a pixel."""
    before, open_visits, crossings, visits = {}, {}, [], []
    for n, boxes in enumerate(frames):
        now = {}
        for id, class_id, *box, _ in boxes:
            x, y = anchor(box)
            now[id] = (x + shift[0], y + shift[1]), class_id
        for id, (p, class_id) in now.items():
            for line in LINES:
                if id in before and counts(line, class_id) and cuts(line, before[id][0], p):
                    direction = "forward" if side(line, p) > 0 else "backward"
                    crossings.append({"frame": n, "pts": round(n / FPS, 2), "id": id, "label": CLASSES[class_id], "line": line["id"],
                                      "direction": direction})
            for zone in ZONES:
                key = (id, zone["id"])
                if counts(zone, class_id) and inside(zone["polygon"], p):
                    open_visits.setdefault(key, (n, class_id, id not in before))
                elif key in open_visits:
                    visits.append(visit(key, open_visits.pop(key), n, False))
        for key in [k for k in open_visits if k[0] not in now]:
            visits.append(visit(key, open_visits.pop(key), n - 1, True))
        before = now
    for key, opened in open_visits.items():
        visits.append(visit(key, opened, len(frames) - 1, True))
    return crossings, sorted(visits, key=lambda v: (v["enter"], v["id"]))


def visit(key, opened, leave, vanished):
    enter, class_id, appeared = opened
    made = {"enter": enter, "leave": leave, "id": key[0], "label": CLASSES[class_id], "zone": key[1]}
    return made | ({"appeared": True} if appeared else {}) | ({"vanished": True} if vanished else {})


def unsteady(frames, pixels=4, seconds=0.2):
    """What a detector that is off by some pixels would see otherwise or at another time; empty for a clean clip."""
    def key(e):
        return (e["id"], e.get("line"), e.get("direction"), e.get("zone"))

    crossings, visits = happened(frames)
    truth = sorted(crossings + visits, key=lambda e: (key(e)[0], str(key(e))))
    problems = []
    for dx in (-pixels, 0, pixels):
        for dy in (-pixels, 0, pixels):
            c, v = happened(frames, (dx / WIDTH, dy / HEIGHT))
            seen = sorted(c + v, key=lambda e: (key(e)[0], str(key(e))))
            if [key(e) for e in seen] != [key(e) for e in truth]:
                problems.append(f"shift {dx},{dy}: " + str(sorted(set(map(key, seen)) ^ set(map(key, truth)), key=str)[:3]))
                continue
            for a, b in zip(seen, truth):
                if any(abs(a[f] - b[f]) > seconds * FPS for f in ("frame", "enter", "leave") if f in a):
                    problems.append(f"shift {dx},{dy}: {b} at {a}")
    return problems
