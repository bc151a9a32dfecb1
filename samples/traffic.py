"""The simulated traffic of the sample junction: routes, signals and how everybody moves.

Lengths are pixels of the 1280x720 picture measured on the ground, times are seconds. x goes right, y goes
down, and a heading is an angle in radians from +x towards +y. Nothing here draws.
"""

import math
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, FPS = 1280, 720, 25
CLASSES = ["person", "bicycle", "car", "bus"]
PERSON, BICYCLE, CAR, BUS = range(4)

# Ground plan. Traffic keeps right; the main road runs left to right, the side road top to bottom.
MAIN = (276, 524)  # y of the kerbs
SIDE = (680, 840)  # x of the kerbs
WALK = 56  # width of a footpath, outside each kerb
LANE_Y = {"west": 356, "east": 444}
LANE_X = {"south": 722, "north": 798}
BIKE_Y = {"west": 293, "east": 507}

# The signal cycle is as long as the sample clip. Phases: main road, side road, everybody on foot.
CYCLE = 30.0
GREEN = {"main": (0.0, 10.0), "side": (12.5, 18.5), "walk": (20.8, 22.6)}


@dataclass
class Route:
    """A smooth path, as points one pixel apart, with where its traffic waits."""

    points: np.ndarray
    headings: np.ndarray
    classes: dict  # class -> arrivals per second
    phase: str = ""
    stops: tuple = ()  # distances along the path at which to wait for the phase
    turn: tuple = None  # stretch to be driven slowly


def make_route(corners, radius, classes, phase="", stops=()):
    """Joins the corners by straight lines and rounds each inner corner with an arc."""
    corners = [np.array(c, float) for c in corners]
    points, turn = [corners[0]], None
    for before, corner, after in zip(corners, corners[1:], corners[2:]):
        a = corner + (before - corner) / np.linalg.norm(before - corner) * radius
        b = corner + (after - corner) / np.linalg.norm(after - corner) * radius
        centre = a + b - corner
        for t in np.linspace(0, math.pi / 2, 24):
            points.append(centre + (b - centre) * math.sin(t) + (a - centre) * math.cos(t))
        turn = (corner, radius)
    points = np.array(points + [corners[-1]])
    steps = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    at = np.arange(0, steps[-1])
    points = np.stack([np.interp(at, steps, points[:, i]) for i in (0, 1)], 1)
    ahead = np.roll(points, -8, 0) - np.roll(points, 8, 0)
    ahead[:8], ahead[-8:] = ahead[8], ahead[-9]
    if turn:
        near = np.nonzero(np.linalg.norm(points - turn[0], axis=1) < turn[1])[0]
        turn = (near[0], near[-1])
    along = tuple(int(np.argmin(np.linalg.norm(points - np.array(s), axis=1))) for s in stops)
    return Route(points, np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])), classes, phase, along, turn)


def routes():
    out = 150  # how far outside the picture everybody starts and ends
    w, e, n, s = -out, WIDTH + out, -out, HEIGHT + out
    cars = {CAR: 0.14, BUS: 0.030}
    stop_e, stop_w, stop_s, stop_n = (606, 0), (914, 0), (0, 206), (0, 594)
    made = [
        make_route([(w, LANE_Y["east"]), (e, LANE_Y["east"])], 0, cars, "main", [(stop_e[0], LANE_Y["east"])]),
        make_route([(e, LANE_Y["west"]), (w, LANE_Y["west"])], 0, cars, "main", [(stop_w[0], LANE_Y["west"])]),
        make_route([(w, BIKE_Y["east"]), (e, BIKE_Y["east"])], 0, {BICYCLE: 0.10}, "main", [(stop_e[0], BIKE_Y["east"])]),
        make_route([(e, BIKE_Y["west"]), (w, BIKE_Y["west"])], 0, {BICYCLE: 0.10}, "main", [(stop_w[0], BIKE_Y["west"])]),
        make_route([(LANE_X["south"], n), (LANE_X["south"], s)], 0, {CAR: 0.07, BICYCLE: 0.03}, "side",
                   [(LANE_X["south"], stop_s[1])]),
        make_route([(LANE_X["north"], s), (LANE_X["north"], n)], 0, {CAR: 0.07, BICYCLE: 0.03}, "side",
                   [(LANE_X["north"], stop_n[1])]),
        make_route([(LANE_X["south"], n), (LANE_X["south"], LANE_Y["west"]), (w, LANE_Y["west"])], 62, {CAR: 0.05},
                   "side", [(LANE_X["south"], stop_s[1])]),
        make_route([(LANE_X["north"], s), (LANE_X["north"], LANE_Y["east"]), (e, LANE_Y["east"])], 62, {CAR: 0.05},
                   "side", [(LANE_X["north"], stop_n[1])]),
    ]
    # Footpaths: each has a lane per direction, so that people who meet pass beside one another.
    up, low, left, right = MAIN[0] - 28, MAIN[1] + 28, SIDE[0] - 28, SIDE[1] + 28
    half = 17
    walk = {PERSON: 0.050}
    # Who waits stands short of the footpath to be crossed, out of the way of those who walk along it.
    wait_x, wait_y = (SIDE[0] - WALK + 4, SIDE[1] + WALK - 4), (MAIN[0] - WALK - 10, MAIN[1] + WALK + 34)
    for y in (up, low):
        made.append(make_route([(w, y + half), (e, y + half)], 0, walk, "walk", [(wait_x[0], y + half)]))
        made.append(make_route([(e, y - half), (w, y - half)], 0, walk, "walk", [(wait_x[1], y - half)]))
    for x, walk in ((left, {PERSON: 0.080}), (right, walk)):
        made.append(make_route([(x + half, s), (x + half, n)], 0, walk, "walk", [(x + half, wait_y[1])]))
        made.append(make_route([(x - half, n), (x - half, s)], 0, walk, "walk", [(x - half, wait_y[0])]))
    turners = {PERSON: 0.018}
    made.append(make_route([(w, up + half), (left + half, up + half), (left + half, n)], 22, turners))
    made.append(make_route([(left - half, n), (left - half, up - half), (w, up - half)], 22, turners))
    made.append(make_route([(e, low - half), (right - half, low - half), (right - half, s)], 22, turners))
    made.append(make_route([(right + half, s), (right + half, low + half), (e, low + half)], 22, turners))
    return made


SIZES = {PERSON: (34, 28), BICYCLE: (74, 26), CAR: (98, 46), BUS: (206, 62)}  # length, width
SPEEDS = {PERSON: (52, 72), BICYCLE: (95, 120), CAR: (150, 190), BUS: (125, 150)}
ACCELERATIONS = {PERSON: 90, BICYCLE: 80, CAR: 110, BUS: 75}


@dataclass
class Mover:
    id: int
    class_id: int
    route: Route
    speed_wanted: float
    look: int  # seed of colours and other details
    s: float = 0.0
    speed: float = 0.0
    stride: float = 0.0  # distance covered, drives legs and wheels
    length: float = 0.0
    width: float = 0.0
    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0

    def place(self):
        i = min(int(self.s), len(self.route.points) - 2)
        t = self.s - i
        self.x, self.y = self.route.points[i] * (1 - t) + self.route.points[i + 1] * t
        self.heading = self.route.headings[i] * (1 - t) + self.route.headings[i + 1] * t


class Traffic:
    """Moves everybody in steps of one frame. The same seed gives the same traffic."""

    def __init__(self, seed, start=28.8, warm_up=60.0):
        """`start` is the place in the signal cycle of the first frame; the default leaves the junction empty
        at the first and the last frame of a clip that lasts one cycle."""
        self.rng = np.random.default_rng(seed)
        self.routes = routes()
        self.movers, self.next_id = [], 1
        self.time = start - warm_up
        for _ in range(int(warm_up * FPS)):
            self.step()

    def step(self):
        self._arrive()
        if self.movers:
            positions = np.array([(m.x, m.y) for m in self.movers])
            for mover in self.movers:
                self._drive(mover, positions)
        self.time += 1 / FPS
        self.movers = [m for m in self.movers if m.s < len(m.route.points) - 2]

    def _arrive(self):
        for route in self.routes:
            for class_id, rate in route.classes.items():
                if self.rng.random() >= rate / FPS:
                    continue
                length, width = SIZES[class_id]
                clear = all(np.hypot(*(m.x - route.points[0][0], m.y - route.points[0][1])) > (m.length + length) / 2 + 30
                            for m in self.movers)
                if clear:
                    speed = self.rng.uniform(*SPEEDS[class_id])
                    mover = Mover(self.next_id, class_id, route, speed, int(self.rng.integers(1 << 30)), 0.0, speed * 0.8,
                                  self.rng.uniform(0, 40), length, width)
                    mover.place()
                    self.movers.append(mover)
                    self.next_id += 1

    def _drive(self, m, positions):
        wanted = m.speed_wanted
        if m.route.turn and m.class_id != PERSON and m.route.turn[0] - 60 < m.s < m.route.turn[1]:
            wanted = min(wanted, 95)
        gap, leader_speed = self._gap_ahead(m, positions)
        stop = self._gap_to_signal(m)
        if stop < gap:
            gap, leader_speed = stop, 0.0
        a, b = ACCELERATIONS[m.class_id], 1.4 * ACCELERATIONS[m.class_id]
        headway = 0.35 if m.class_id == PERSON else 0.6
        # Intelligent driver model (Treiber, Hennecke, Helbing 2000).
        safe = 8 + max(0.0, m.speed * headway + m.speed * (m.speed - leader_speed) / (2 * math.sqrt(a * b)))
        change = a * (1 - (m.speed / wanted) ** 4 - (safe / max(gap, 1.0)) ** 2)
        m.speed = max(0.0, m.speed + max(change, -4 * b) / FPS)
        m.s += m.speed / FPS
        m.stride += m.speed / FPS
        m.place()

    def _gap_ahead(self, m, positions):
        i = int(m.s)
        path = m.route.points[i:i + 260:6]
        near = np.nonzero(np.abs(positions - path[0]).max(1) < 300)[0]
        best, speed = 1e9, 0.0
        for j in near:
            other = self.movers[j]
            if other is m or (other.class_id == PERSON) != (m.class_id == PERSON):
                continue
            aligned = math.cos(other.heading - m.heading)
            if m.class_id == PERSON and aligned < 0.7:
                continue
            distances = np.hypot(path[:, 0] - other.x, path[:, 1] - other.y)
            k = int(distances.argmin())
            across = (m.width + (other.width if abs(aligned) > 0.7 else other.length)) / 2
            if k == 0 or distances[k] > (across + 4 if m.class_id != PERSON else 22):
                continue
            gap = k * 6 - (m.length + other.length) / 2
            if gap < best:
                best, speed = gap, other.speed * max(0.0, aligned)
        return best, speed

    def _gap_to_signal(self, m):
        for stop in m.route.stops:
            gap = stop - m.length / 2 - m.s
            if gap < -8:
                continue
            begin, end = GREEN[m.route.phase]
            now = self.time % CYCLE
            braking = m.speed ** 2 / (2 * 1.6 * ACCELERATIONS[m.class_id])
            if not begin <= now < end and gap > braking - 10:
                return gap + 8
        return 1e9
