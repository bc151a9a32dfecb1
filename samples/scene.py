"""Draws the sample road junction and tells what is in the picture.

The view is from above with a slight lean: the ground keeps its shape, height shifts things up the picture.

A truth box spans the whole of an object, wheels to roof, hidden parts included, cut at the picture's edges;
its shadow is not part of it. `visible` is the share of the object's whole outline that can be seen: what is
outside the picture, under a tree, under the gantry or behind somebody else counts as not visible. Use it to
leave out what no detector can be asked for.
"""

import cv2
import numpy as np

import ground
import sprites
from traffic import CYCLE, FPS, GREEN, HEIGHT, WIDTH, Traffic


class Scene:
    """A clip of the junction, frame by frame. The same seed gives the same frames."""

    def __init__(self, seed, start=28.8):
        self.traffic = Traffic(seed, start)
        self.rng = np.random.default_rng([seed, 1])
        self.frame = 0
        self.sprites = {}
        self.sun = np.array([self.rng.uniform(0.35, 0.75), self.rng.uniform(0.15, 0.5)])  # shadow per unit of height
        self.strength = self.rng.uniform(0.38, 0.55)
        self.light = self.rng.uniform(0, 2 * np.pi, 3)
        self.ground = ground.paint_ground(self.rng)
        colour, alpha, casts = ground.paint_overhead(self.rng)
        self.over = alpha > 0.5
        self.over_colour = (colour * alpha[..., None]).astype(np.uint8)
        self.over_rest = cv2.merge([((1 - alpha) * 255).astype(np.uint8)] * 3)
        self.still_shadow = self._still_shadow(casts)
        self.clouds = cv2.GaussianBlur(self.rng.normal(0, 1, (90, 400)).astype(np.float32), (0, 0), 14)
        self.clouds /= np.abs(self.clouds).max()
        self.noise = [self.rng.normal(0, 2.0, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.int8) for _ in range(3)]

    def _still_shadow(self, casts):
        total = np.zeros((HEIGHT, WIDTH), np.uint8)
        for height, mask in casts:
            shift = np.float32([[1, 0, self.sun[0] * height], [0, 1, self.sun[1] * height]])
            total = np.maximum(total, cv2.warpAffine(mask, shift, (WIDTH, HEIGHT)))
        dx, dy = self.sun * ground.WALL / ground.LEAN
        for (x0, y0, x1, y1), _, _ in ground.HOUSES:
            y1 += ground.WALL
            ground.fill(total, [(x0, y0), (x1, y0), (x1 + dx, y0 + dy), (x1 + dx, y1 + dy), (x0 + dx, y1 + dy), (x0, y1)], 255)
        for (x0, y0, x1, y1), _, _ in ground.HOUSES:
            ground.rectangle(total, x0 - 3, y0, x1 + 3, y1 + ground.WALL, 0)
        return cv2.GaussianBlur(total, (0, 0), 3)

    def step(self, draw=True):
        """Returns the picture (BGR) and the truth: (id, class_id, x_min, y_min, x_max, y_max in pixels, visible)."""
        self.traffic.step()
        movers = sorted(self.traffic.movers, key=lambda m: m.y)
        placed = [(m, self._place(m)) for m in movers]
        truth = self._truth(placed)
        picture = self._draw(placed) if draw else None
        self.frame += 1
        return picture, truth

    def _place(self, mover):
        """The mover's outlines on the picture, with their height and colour."""
        if mover.class_id >= 2:  # cars and buses do not change their shape
            if mover.id not in self.sprites:
                self.sprites[mover.id] = sprites.build(mover)
            parts = self.sprites[mover.id]
        else:
            parts = sprites.build(mover)
        c, s = np.cos(mover.heading), np.sin(mover.heading)
        turn = np.array([[c, s], [-s, c]])
        lengths = [len(p[1]) for p in parts]
        flat = np.concatenate([p[1] for p in parts]) @ turn + (mover.x, mover.y)
        heights = np.repeat([p[0] for p in parts], lengths)
        shadow = flat + heights[:, None] * self.sun
        flat[:, 1] -= heights * ground.LEAN
        cuts = np.cumsum(lengths)[:-1]
        return flat, np.split(np.round(flat * 16).astype(np.int32), cuts), [p[2] for p in parts], shadow

    def _truth(self, placed):
        ids = np.zeros((HEIGHT, WIDTH), np.uint16)
        whole = {}
        for mover, (flat, outlines, _, _) in placed:
            x0, y0 = np.floor(flat.min(0)).astype(int) - 1
            x1, y1 = np.ceil(flat.max(0)).astype(int) + 2
            mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
            for outline in outlines:
                cv2.fillConvexPoly(mask, outline - np.array([x0 * 16, y0 * 16], np.int32), 1, cv2.LINE_8, 4)
            whole[mover.id] = int(mask.sum())
            cx0, cy0, cx1, cy1 = max(0, x0), max(0, y0), min(WIDTH, x1), min(HEIGHT, y1)
            if cx0 < cx1 and cy0 < cy1:
                ids[cy0:cy1, cx0:cx1][mask[cy0 - y0:cy1 - y0, cx0 - x0:cx1 - x0] > 0] = mover.id
        self.occupied = ids > 0
        seen = np.where(self.over, 0, ids)
        truth = []
        for mover, (flat, _, _, _) in placed:
            (x0, y0), (x1, y1) = flat.min(0) + 0.5, flat.max(0) + 0.5
            x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(WIDTH, x1), min(HEIGHT, y1)
            if x1 - x0 < 2 or y1 - y0 < 2:
                continue
            area = seen[int(y0):int(y1) + 1, int(x0):int(x1) + 1]
            visible = int((area == mover.id).sum()) / whole[mover.id]
            truth.append((mover.id, mover.class_id, float(x0), float(y0), float(x1), float(y1), min(1.0, visible)))
        return truth

    def _draw(self, placed):
        picture = self.ground.copy()
        shadow = np.zeros((HEIGHT, WIDTH), np.uint8)
        for _, (_, _, _, cast) in placed:
            hull = cv2.convexHull(np.round(cast * 16).astype(np.int32))
            cv2.fillConvexPoly(shadow, hull, 255, cv2.LINE_AA, 4)
        self._signals(picture)
        shadow = cv2.blur(shadow, (7, 7))
        np.maximum(shadow, self.still_shadow, out=shadow)
        for _, (_, outlines, colours, _) in placed:
            for outline, colour in zip(outlines, colours):
                cv2.fillConvexPoly(picture, outline, colour, cv2.LINE_AA, 4)
        # What moves is darkened by what stands still, not by its own shadow on the ground.
        cv2.copyTo(self.still_shadow, self.occupied.astype(np.uint8), shadow)
        seconds = self.frame / FPS
        left = int(seconds * 4) % 240
        cloud = cv2.resize(np.roll(self.clouds, -left, 1)[:, :160], (WIDTH, HEIGHT))
        sunny = 0.5 + 0.5 * np.sin(self.light[0] + seconds * 0.21)  # a thin cloud softens the shadows now and then
        bright = 1.0 + 0.06 * np.sin(self.light[1] + seconds * 0.33)
        shade = (250 * bright + 10 * cloud) * (1 - shadow * (self.strength * (0.55 + 0.45 * sunny) / 255))
        shade = cv2.convertScaleAbs(shade)
        warm = 0.03 * np.sin(self.light[2] + seconds * 0.11)
        picture = cv2.multiply(picture, cv2.merge([shade] * 3), scale=1 / 250)
        over = cv2.add(cv2.multiply(picture, self.over_rest, scale=1 / 255), cv2.convertScaleAbs(self.over_colour, alpha=bright))
        tinted = cv2.multiply(over, (1 - warm, 1.0, 1 + warm, 0))
        dx, dy = self.rng.integers(0, 64, 2)
        noise = self.noise[self.rng.integers(len(self.noise))][dy:dy + HEIGHT, dx:dx + WIDTH]
        return cv2.add(tinted, noise, dtype=cv2.CV_8U)

    def _signals(self, picture):
        now = self.traffic.time % CYCLE
        for phase, x, y in ground.SIGNALS:
            begin, end = GREEN[phase]
            go = begin <= now < end
            soon = end <= now < end + 1.5
            ground.rectangle(picture, x - 4, y - 11, x + 5, y + 12, (40, 42, 44))
            for on, dy, colour in ((not go and not soon, -7, (50, 50, 235)), (soon, 0, (40, 180, 240)), (go, 7, (90, 220, 80))):
                cv2.circle(picture, (x, y + dy), 3, colour if on else (60, 62, 64), -1, cv2.LINE_AA)
