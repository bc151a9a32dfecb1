"""The shapes of people, bicycles, cars and buses: stacks of flat outlines at rising heights.

A shape is a list of (height, outline, colour) from the ground up. Outlines are in the mover's own axes, x
forward and y to the right, in pixels; colours are blue, green, red. `scene` turns, shifts and paints them.
"""

import math

import numpy as np

from traffic import BICYCLE, BUS, CAR, PERSON

CAR_COLOURS = [(60, 60, 200), (190, 120, 50), (225, 225, 225), (70, 70, 74), (160, 160, 165), (60, 140, 60),
               (40, 170, 220), (150, 60, 90), (205, 190, 150), (30, 30, 32)]
BUS_COLOURS = [(40, 150, 235), (60, 60, 190), (170, 110, 40), (90, 160, 90)]
CLOTHES = [(60, 60, 190), (180, 110, 50), (70, 150, 70), (60, 180, 220), (210, 210, 210), (60, 60, 66), (140, 70, 130),
           (90, 130, 190), (170, 170, 60), (120, 90, 60)]
SKIN = [(150, 180, 225), (110, 145, 195), (70, 100, 150), (50, 75, 115)]
HAIR = [(30, 35, 45), (40, 70, 110), (90, 150, 190), (150, 150, 150), (20, 20, 25)]


def ellipse(x, y, rx, ry, n=14):
    t = np.arange(n) * (2 * math.pi / n)
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def block(x0, x1, half_width, corner):
    """A rectangle with cut corners, lengthwise from x0 to x1."""
    w, c = half_width, corner
    return np.array([(x0 + c, -w), (x1 - c, -w), (x1, -w + c), (x1, w - c), (x1 - c, w), (x0 + c, w), (x0, w - c), (x0, -w + c)],
                    float)


def shade(colour, factor):
    return tuple(int(min(255, c * factor)) for c in colour)


def build(mover):
    rng = np.random.default_rng(mover.look)
    return {PERSON: person, BICYCLE: bicycle, CAR: car, BUS: bus}[mover.class_id](mover, rng)


def person(mover, rng):
    coat, legs = CLOTHES[rng.integers(len(CLOTHES))], CLOTHES[rng.integers(len(CLOTHES))]
    skin, hair = SKIN[rng.integers(len(SKIN))], HAIR[rng.integers(len(HAIR))]
    bag = rng.random() < 0.4
    # Somebody who waits stands with the feet together: the swing grows with the speed.
    swing = math.sin(mover.stride / 9.0) * min(1.0, mover.speed / 30)
    parts = []
    for side in (-1, 1):
        step = 9 * swing * side
        parts += [(0, ellipse(step, side * 6, 8, 5), shade(legs, 0.5))]
        parts += [(z, ellipse(step * (1 - z / 26), side * 6, 6, 5.5), shade(legs, 0.75 + z / 90)) for z in range(3, 22, 3)]
    for side in (-1, 1):
        parts += [(z, ellipse(-8 * swing * side * (40 - z) / 18, side * 13, 5, 4.5), shade(coat, 0.8)) for z in range(22, 40, 3)]
    parts += [(z, ellipse(0, 0, 9.5, 14 - (z - 20) * 0.08), shade(coat, 0.8 + (z - 20) / 80)) for z in range(20, 43, 2)]
    if bag:
        parts += [(z, ellipse(-9, 0, 5, 9), shade(legs, 0.9 + (z - 26) / 60)) for z in range(26, 42, 3)]
    parts += [(z, ellipse(1, 0, 7, 7), skin) for z in (45, 47, 49)]
    parts += [(z, ellipse(-0.8, 0, 7.5 - (z - 50) * 0.25, 7.5 - (z - 50) * 0.25), hair) for z in (50, 52, 54)]
    return sorted(parts, key=lambda p: p[0])


def bicycle(mover, rng):
    frame, coat = CLOTHES[rng.integers(len(CLOTHES))], CLOTHES[rng.integers(len(CLOTHES))]
    legs, skin = CLOTHES[rng.integers(len(CLOTHES))], SKIN[rng.integers(len(SKIN))]
    helmet = CAR_COLOURS[rng.integers(len(CAR_COLOURS))]
    push = math.sin(mover.stride / 8.0)
    parts = []
    for z in range(0, 19, 3):
        reach = math.sqrt(max(0.0, 9.5 ** 2 - (z - 9.5) ** 2)) + 2
        for x in (-24, 24):
            parts.append((z, block(x - reach, x + reach, 2, 0), (25, 25, 28)))
    parts += [(z, block(-22, 20, 2.2, 0), frame) for z in (12, 14)]
    parts += [(z, block(17, 21, 2.2, 0), frame) for z in (18, 20, 22)]
    parts.append((24, block(15, 20, 12, 1), (50, 50, 55)))
    for side in (-1, 1):
        parts += [(z, ellipse(-4 + side * push * 4 * (1 - z / 40), side * 6, 7, 4.5), shade(legs, 0.7 + z / 90)) for z in range(8, 25, 3)]
        parts += [(z, ellipse(9 - (z - 26) * 0.4, side * 10, 8, 3.5), shade(coat, 0.8)) for z in range(26, 38, 3)]
    parts += [(z, ellipse(-8 + (z - 22) * 0.35, 0, 9.5, 11), shade(coat, 0.8 + (z - 22) / 80)) for z in range(22, 43, 2)]
    parts += [(z, ellipse(2, 0, 7, 7), skin) for z in (45, 47)]
    parts += [(z, ellipse(1, 0, 8.5 - (z - 49) * 0.3, 7.5 - (z - 49) * 0.3), helmet) for z in (49, 51, 53)]
    return sorted(parts, key=lambda p: p[0])


def car(mover, rng):
    paint = CAR_COLOURS[rng.integers(len(CAR_COLOURS))]
    estate = rng.random() < 0.4
    back = -47 if estate else -36
    parts = []
    for x in (-30, 30):
        for side in (-1, 1):
            parts += [(z, block(x - 9, x + 9, 4, 2) + (0, side * 19), (22, 22, 24)) for z in (0, 3, 6)]
    parts += [(z, block(-49, 49, 22.5, 6), shade(paint, 0.55 + z / 60)) for z in range(5, 18, 2)]
    parts.append((18, block(-48, 48, 21.5, 7), shade(paint, 0.98)))
    for side in (-1, 1):
        parts.append((18.1, block(42, 47, 4, 1) + (0, side * 15), (215, 245, 250)))
        parts.append((18.1, block(-47.5, -44, 4, 1) + (0, side * 15), (40, 40, 200)))
    parts += [(z, block(back + (z - 19) * 0.5, 22 - (z - 19) * 1.0, 20 - (z - 19) * 0.22, 4), (70, 62, 55)) for z in range(19, 30, 2)]
    parts.append((31, block(back + 7, 9, 17, 4), shade(paint, 1.08)))
    if rng.random() < 0.3:
        parts.append((31.1, block(back + 16, -2, 9, 2), (75, 66, 58)))
    return parts


def bus(mover, rng):
    paint = BUS_COLOURS[rng.integers(len(BUS_COLOURS))]
    parts = []
    for x in (-62, 66):
        for side in (-1, 1):
            parts += [(z, block(x - 11, x + 11, 5, 2) + (0, side * 25), (22, 22, 24)) for z in (0, 3, 6)]
    parts += [(z, block(-103, 103, 31, 5), shade(paint, 0.6 + z / 90)) for z in range(5, 26, 2)]
    parts += [(z, block(-102.5, 102.5, 30.6, 5), (72, 64, 56)) for z in range(27, 43, 2)]
    parts += [(z, block(-103, 103, 31, 6), shade(paint, 0.95)) for z in (43, 45, 47)]
    parts.append((49, block(-102, 102, 30, 7), shade(paint, 1.12)))
    for x in (-60, 10):
        parts += [(z, block(x - 14, x + 14, 12, 3), (175, 175, 178)) for z in (50, 52)]
        parts.append((54, block(x - 14, x + 14, 12, 3), (215, 215, 218)))
    parts.append((49.1, block(60, 84, 9, 2), (190, 190, 190)))
    return parts
