"""Where an object is (docs/EVENTS.md, "Where an object is"), by shapely.

Points are in units: a hundred-thousandth of the frame, which is what five decimals hold. A middle may be half a unit. So
all of them are exact in floating point, and so are the products that tell a side: a tie is a tie. Distances are the only
thing that is rounded.
"""

import math

import shapely

from noted import note

UNIT = 100_000
# 0.005 of the frame's height, but for what rounding may take from it.
CLEAR = 500 - 0.0001


def rounded(value):
    """To a whole number, half away from zero."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def units(value):
    """A coordinate of a record."""
    return rounded(value * UNIT)


def anchor(box, setting):
    x_min, y_min, x_max, y_max = box
    return ((x_min + x_max) / 2, (y_min + y_max) / 2 if setting == "center" else y_max)


def middle(box):
    return anchor(box, "center")


def side(start, to, p):
    """The sign of the rule book, where 0 counts as −1."""
    return 1 if (to[0] - start[0]) * (p[1] - start[1]) - (to[1] - start[1]) * (p[0] - start[0]) > 0 else -1


def stretched(points, aspect):
    """As the picture is seen."""
    return [(x * aspect, y) for x, y in points]


class Line:
    def __init__(self, record):
        self.id = record["id"]
        self.start, self.to = ((units(x), units(y)) for x, y in (record["from"], record["to"]))
        self.classes = record.get("classes", [])
        self.shape = shapely.LineString([self.start, self.to])
        shapely.prepare(self.shape)
        self.endless = {}

    def counts_for(self, label):
        return not self.classes or label in self.classes

    def cut_by(self, was, now):
        """The direction in which a step cuts it, if it does."""
        if was == now:
            return None
        step = shapely.LineString([was, now])
        if not self.shape.intersects(step):
            return None
        # Where an end of one lies on the other, shapely knows no half-open rule: the sides say what is a cut.
        if not self.shape.crosses(step):
            if side(self.start, self.to, was) == side(self.start, self.to, now):
                return None
            if side(was, now, self.start) == side(was, now, self.to):
                return None
            note("tie: a step that ends on a line, or the other way round")
        return "forward" if side(self.start, self.to, now) > 0 else "backward"

    def is_clear_of(self, p, aspect):
        """Measured from the straight line through both ends: shapely has none without ends, so far ones are given."""
        if aspect not in self.endless:
            (ax, ay), (bx, by) = stretched([self.start, self.to], aspect)
            length = math.hypot(bx - ax, by - ay)
            far = 10 * UNIT * max(aspect, 1) / length
            dx, dy = (bx - ax) * far, (by - ay) * far
            self.endless[aspect] = shapely.LineString([(ax - dx, ay - dy), (bx + dx, by + dy)])
            shapely.prepare(self.endless[aspect])
        return self.endless[aspect].distance(shapely.Point(p[0] * aspect, p[1])) >= CLEAR


class Zone:
    def __init__(self, record):
        self.id = record["id"]
        self.corners = [(units(x), units(y)) for x, y in record["polygon"]]
        self.classes = record.get("classes", [])
        dwell = record.get("dwell_s")
        self.dwell_ms = None if dwell is None else rounded(dwell * 1000)
        self.shape = shapely.Polygon(self.corners)
        shapely.prepare(self.shape)
        self.border = self.shape.exterior
        shapely.prepare(self.border)
        self.borders = {}

    def counts_for(self, label):
        return not self.classes or label in self.classes

    def holds(self, p):
        point = shapely.Point(p)
        if self.shape.contains(point):
            return True
        if not self.border.intersects(point):
            return False
        is_inside = self.holds_its_border(p)
        note("tie: on a border, " + ("inside" if is_inside else "outside"))
        return is_inside

    def holds_its_border(self, p):
        """Upper and left edges belong to it: for shapely a border belongs to nobody, so this is written out. By the even-odd
        rule, a ray to the right from a point of the border, which counts as one a touch further to the right, and down by
        still less."""
        x, y = p
        inside = False
        for (ax, ay), (bx, by) in zip(self.corners, self.corners[1:] + self.corners[:1]):
            if (ay > y) == (by > y):
                continue
            # Where the edge is at this height, is it right of x? Multiplied out, so that nothing is rounded.
            right = (y - ay) * (bx - ax) - (x - ax) * (by - ay)
            inside ^= right > 0 if by > ay else right < 0
        return inside

    def is_clear_of(self, p, aspect):
        """Far enough from its border."""
        if aspect not in self.borders:
            self.borders[aspect] = shapely.LinearRing(stretched(self.corners, aspect))
            shapely.prepare(self.borders[aspect])
        return self.borders[aspect].distance(shapely.Point(p[0] * aspect, p[1])) >= CLEAR


def overlap(a, b):
    """Intersection over union of two boxes."""
    a, b = shapely.box(*a), shapely.box(*b)
    common = a.intersection(b).area
    union = a.area + b.area - common
    return common / union if union > 0 else 0.0
