"""Paints what does not move: the road, the footpaths, the roofs, and what stands over the traffic."""

import cv2
import numpy as np

from traffic import BIKE_Y, HEIGHT, LANE_X, LANE_Y, MAIN, SIDE, WALK, WIDTH

LEAN = 0.6  # pixels that one pixel of height shifts a thing up the picture
GANTRY = (1100, 1130)  # x of the sign gantry over the main road; it leaves the footpaths free

# Trees overhang the footpaths and the cycle lanes enough to hide half a person: x, y, radius.
TREES = [(110, 606, 46), (268, 612, 50), (430, 604, 44), (560, 640, 46), (938, 606, 46), (1060, 624, 48), (1215, 604, 44),
         (120, 170, 42), (330, 166, 46), (520, 172, 40), (578, 70, 44), (944, 90, 46), (1010, 168, 44), (1230, 170, 42),
         (580, 706, 42), (60, 690, 50), (200, 700, 52), (380, 690, 54), (940, 704, 42)]

# Houses: the roof's edges, its colour, the wall's colour. A wall shows for WALL pixels below its roof.
WALL = 40
HOUSES = [((-10, -20, 190, 104), (92, 98, 150), (150, 176, 196)), ((206, -20, 420, 116), (120, 116, 112), (170, 172, 178)),
          ((436, -20, 548, 92), (80, 92, 120), (160, 188, 206)), ((960, -20, 1120, 100), (112, 118, 126), (152, 166, 196)),
          ((1136, -20, 1290, 112), (86, 92, 142), (176, 186, 190)), ((960, 676, 1290, 730), (124, 120, 116), (160, 160, 160))]

SIGNALS = [("main", 616, 548), ("main", 904, 262), ("side", 668, 196), ("side", 852, 618)]  # phase, x, y of the lamp


def texture(rng, size, amount, cell):
    """Soft blotches, for asphalt, grass and leaves."""
    small = rng.normal(0, 1, (size[1] // cell + 2, size[0] // cell + 2)).astype(np.float32)
    return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC) * amount


def fill(image, points, colour):
    cv2.fillPoly(image, [np.round(np.array(points) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def rectangle(image, x0, y0, x1, y1, colour):
    fill(image, [(x0 - 0.5, y0 - 0.5), (x1 - 0.5, y0 - 0.5), (x1 - 0.5, y1 - 0.5), (x0 - 0.5, y1 - 0.5)], colour)


def paint_ground(rng):
    image = np.full((HEIGHT, WIDTH, 3), (96, 128, 104), np.uint8)
    grass = texture(rng, (WIDTH, HEIGHT), 7, 14) + texture(rng, (WIDTH, HEIGHT), 5, 4)
    image = np.clip(image + grass[..., None] * (0.7, 1.0, 0.8), 0, 255).astype(np.uint8)
    _footpaths(image, rng)
    _road(image, rng)
    _markings(image)
    _roofs(image, rng)
    return image


def _footpaths(image, rng):
    paving = (166, 170, 174)
    rectangle(image, 0, MAIN[0] - WALK, WIDTH, MAIN[1] + WALK, paving)
    rectangle(image, SIDE[0] - WALK, 0, SIDE[1] + WALK, HEIGHT, paving)
    seam = (150, 154, 158)
    for x in range(0, WIDTH, 28):
        for y in (MAIN[0] - WALK, MAIN[1]):
            cv2.line(image, (x, y), (x, y + WALK), seam, 1)
    for y in list(range(0, MAIN[0] - WALK, 28)) + list(range(MAIN[1] + WALK, HEIGHT, 28)):
        for x in (SIDE[0] - WALK, SIDE[1]):
            cv2.line(image, (x, y), (x + WALK, y), seam, 1)


def _road(image, rng):
    asphalt = np.full_like(image, (84, 82, 80))
    grain = texture(rng, (WIDTH, HEIGHT), 3.0, 2) + texture(rng, (WIDTH, HEIGHT), 3.0, 9) + texture(rng, (WIDTH, HEIGHT), 4.0, 60)
    asphalt = np.clip(asphalt + grain[..., None], 0, 255).astype(np.uint8)
    for y in LANE_Y.values():  # wheels polish two tracks in each lane
        for side in (-15, 15):
            strip = asphalt[y + side - 5:y + side + 5]
            strip[:] = np.clip(strip * 0.94, 0, 255)
    mask = np.zeros(image.shape[:2], np.uint8)
    rectangle(mask, 0, MAIN[0], WIDTH, MAIN[1], 255)
    rectangle(mask, SIDE[0], 0, SIDE[1], HEIGHT, 255)
    r = 18  # kerbs are rounded at the corners
    for x, dx in ((SIDE[0], -r), (SIDE[1], r)):
        for y, dy in ((MAIN[0], -r), (MAIN[1], r)):
            rectangle(mask, min(x, x + dx), min(y, y + dy), max(x, x + dx), max(y, y + dy), 255)
            cv2.circle(mask, (x + dx, y + dy), r, 0, -1, cv2.LINE_AA)
    lane = np.zeros_like(mask)
    for y in BIKE_Y.values():
        rectangle(lane, 0, y - 15, SIDE[0] - 6, y + 15, 255)
        rectangle(lane, SIDE[1] + 6, y - 15, WIDTH, y + 15, 255)
    tint = (asphalt * 0.75 + np.array((52, 40, 92)) * 0.45).clip(0, 255).astype(np.uint8)
    asphalt = np.where(lane[..., None] > 127, tint, asphalt)
    edge = cv2.dilate(mask, np.ones((7, 7), np.uint8))
    image[edge > 127] = (188, 190, 192)
    blend = mask[..., None] / 255.0
    image[:] = (image * (1 - blend) + asphalt * blend).astype(np.uint8)


def _markings(image):
    white, yellow = (222, 224, 224), (96, 190, 214)
    middle_y, middle_x = sum(MAIN) // 2, sum(SIDE) // 2
    arms_x, arms_y = ((0, 600), (922, WIDTH)), ((0, 200), (600, HEIGHT))
    for x0, x1 in arms_x:
        for y in (middle_y - 3, middle_y + 3):
            rectangle(image, x0, y - 1, x1, y + 1, yellow)
        for y in (BIKE_Y["west"] + 20, BIKE_Y["east"] - 20):
            for x in range(x0, x1 - 24, 44):
                rectangle(image, x, y - 1.5, x + 24, y + 1.5, white)
    for y0, y1 in arms_y:
        for y in range(y0, y1 - 20, 40):
            rectangle(image, middle_x - 1.5, y, middle_x + 1.5, y + 22, white)
    rectangle(image, 602, middle_y + 6, 610, MAIN[1] - 4, white)
    rectangle(image, 910, MAIN[0] + 4, 918, middle_y - 6, white)
    rectangle(image, SIDE[0] + 4, 202, middle_x - 6, 210, white)
    rectangle(image, middle_x + 6, 590, SIDE[1] - 4, 598, white)
    for x0, x1 in ((628, 676), (844, 892)):  # zebras
        for y in range(MAIN[0] + 8, MAIN[1] - 10, 24):
            rectangle(image, x0, y, x1, y + 12, white)
    for y0, y1 in ((224, 272), (528, 576)):
        for x in range(SIDE[0] + 8, SIDE[1] - 10, 24):
            rectangle(image, x, y0, x + 12, y1, white)
    for x, y, step in ((400, LANE_Y["east"], 1), (1050, LANE_Y["west"], -1)):  # arrows
        fill(image, [(x, y - 2), (x + 26 * step, y - 2), (x + 26 * step, y - 8), (x + 44 * step, y), (x + 26 * step, y + 8),
                     (x + 26 * step, y + 2), (x, y + 2)], white)
    for y, x, step in ((110, LANE_X["south"], 1), (660, LANE_X["north"], -1)):
        fill(image, [(x - 2, y), (x - 2, y + 22 * step), (x - 8, y + 22 * step), (x, y + 40 * step), (x + 8, y + 22 * step),
                     (x + 2, y + 22 * step), (x + 2, y)], white)


def _roofs(image, rng):
    """Roofs of houses behind the footpaths; the wall that faces the viewer shows below each roof."""
    for (x0, y0, x1, y1), roof, wall in HOUSES:
        rectangle(image, x0, y0, x1, y1 + WALL, wall)
        for x in range(x0 + 12, x1 - 16, 26):
            rectangle(image, x, y1 + 10, x + 14, y1 + 26, (88, 78, 70))
        rectangle(image, x0 - 3, y0, x1 + 3, y1, roof)
        patch = image[max(0, y0):y1, max(0, x0):x1]
        patch[:] = np.clip(patch + texture(rng, (patch.shape[1], patch.shape[0]), 4, 5)[..., None], 0, 255)
        for y in range(max(6, y0 + 8), y1 - 4, 11):
            cv2.line(image, (x0, y), (x1, y), tuple(int(c * 0.9) for c in roof), 1, cv2.LINE_AA)
        cx, cy = (x0 + x1) // 2, (max(0, y0) + y1) // 2
        rectangle(image, cx - 24, cy - 12, cx + 4, cy + 10, (150, 150, 152))
        rectangle(image, cx - 24, cy + 10, cx + 4, cy + 18, (110, 110, 112))


def paint_overhead(rng):
    """Returns what hides the traffic: colours, opacity 0..1, and its shadow's shape with heights."""
    colour = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    casts = []  # (height, mask of the part of the ground below it)
    x0, x1 = GANTRY
    height, y0, y1 = 70, 322, 546
    lift = height * LEAN
    mask = np.zeros_like(alpha)
    rectangle(mask, x0, y0, x1, y1, 255)
    casts.append((height, mask))
    rectangle(alpha, x0, y0 - lift, x1, y1 - lift + 12, 255)
    rectangle(colour, x0, y0 - lift, x1, y1 - lift + 12, (120, 128, 138))
    for y in np.arange(y0 - lift, y1 - lift, 9):
        cv2.line(colour, (x0, int(y)), (x1, int(y)), (108, 116, 126), 1)
    for x in (x0, x1 - 4):
        rectangle(colour, x, y0 - lift, x + 4, y1 - lift, (176, 182, 186))
    rectangle(colour, x0, y1 - lift, x1, y1 - lift + 12, (78, 84, 92))
    for x, y, radius in TREES:
        x, y, radius = x + rng.uniform(-5, 5), y + rng.uniform(-2, 2), radius * rng.uniform(0.95, 1.04)
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        wobble = sum(rng.normal(0, 0.035) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(3, 9))
        outline = np.stack([x + radius * (1 + wobble) * np.cos(angle), y + radius * (1 + wobble) * np.sin(angle)], 1)
        fill(alpha, outline, 255)
        mask = np.zeros_like(alpha)
        fill(mask, outline, 255)
        casts.append((26, mask))
        green = np.array((52, 104, 66)) + rng.normal(0, 7, 3)
        fill(colour, outline + (0, -1), tuple(int(c) for c in green * 0.7))
        fill(colour, outline + (0, 1), tuple(int(c) for c in green * 0.7))
        for i in range(70):  # tufts, brighter towards the light
            t, d = rng.uniform(0, 6.3), radius * 0.86 * np.sqrt(rng.uniform())
            px, py = x + d * np.cos(t), y + d * np.sin(t)
            bright = 0.85 + 0.35 * (-(px - x) - (py - y)) / (2 * radius) + rng.normal(0, 0.07)
            cv2.circle(colour, (int(px * 16), int(py * 16)), int(rng.uniform(5, 11) * 16), tuple(int(np.clip(c, 0, 255)) for c in green * bright),
                       -1, cv2.LINE_AA, 4)
    return colour, alpha.astype(np.float32) / 255, casts
