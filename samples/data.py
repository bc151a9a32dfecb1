"""Frames to train on: other clips of the same scene, encoded and decoded as the sample clip is.

Each clip gives a folder entry `<seed>.npz` with `pictures` (n, 360, 640, 3, BGR, half the clip's size) and
`boxes`, rows of (picture, class_id, x_min, y_min, x_max, y_max, visible) in pixels of the half-size picture.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

import video
from scene import Scene
from traffic import CYCLE, FPS

SECONDS = 10  # of each clip
EVERY = 4  # frames apart that are kept


def make(seed, cache):
    done = Path(cache) / f"{seed}.npz"
    if done.exists():
        return done
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 2])
    scene = Scene(seed, start=rng.uniform(0, CYCLE))
    clip = done.with_suffix(".mp4")
    writer, rows = video.Writer(clip, crf=int(rng.integers(23, 30)), preset="veryfast"), []
    for n in range(SECONDS * FPS):
        picture, truth = scene.step()
        writer.write(picture)
        if n % EVERY == 0:
            rows += [(n // EVERY, class_id, x0 / 2, y0 / 2, x1 / 2, y1 / 2, visible) for _, class_id, x0, y0, x1, y1, visible in truth]
    writer.close()
    pictures = [cv2.resize(p, (640, 360), interpolation=cv2.INTER_LINEAR) for n, p in enumerate(video.read(clip)) if n % EVERY == 0]
    clip.unlink()
    part = done.with_suffix(".part.npz")
    np.savez(part, pictures=np.array(pictures), boxes=np.array(rows, np.float32))
    os.replace(part, done)
    return done


def make_all(seeds, cache, workers):
    Path(cache).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(make, seeds, [cache] * len(seeds)))
