"""Trains the sample model on other clips of the generator and writes samples/junction.onnx.

    python train.py [--cache DIR] [--steps N] [--start WEIGHTS]

Pictures are made first and kept in --cache, and so are the weights (junction.pt), from which --start goes on.
The sample clip's seed is not among the pictures.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import data
from export import export
from model import Detector, loss
from traffic import CLASSES

SEEDS = range(1000, 1040)
WIDTH, HEIGHT, PAD = 640, 384, 12  # a 1280x720 frame, halved, with 12 grey rows above and below
LEARN_VISIBLE = 0.3  # what is less visible is neither taught nor held against


class Pictures:
    def __init__(self, files):
        loaded = [np.load(f) for f in files]
        self.pictures = np.concatenate([f["pictures"] for f in loaded])
        self.boxes = []
        for f in loaded:
            boxes = f["boxes"]
            self.boxes += [boxes[boxes[:, 0] == n, 1:] for n in range(len(f["pictures"]))]

    def sample(self, i, rng):
        """An input picture (RGB, HEIGHT x WIDTH) and rows of (class, x0, y0, x1, y1, visible) in its pixels."""
        picture, boxes = self.pictures[i], self.boxes[i].copy()
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
            boxes[:, [1, 3]] = WIDTH - boxes[:, [3, 1]]
        if rng.random() < 0.4:
            scale = math.exp(rng.uniform(-0.3, 0.3))
            dx, dy = rng.uniform(-0.15, 0.15, 2) * (WIDTH, HEIGHT) + (1 - scale) * np.array((WIDTH, HEIGHT)) / 2
            picture = cv2.warpAffine(np.ascontiguousarray(picture), np.float32([[scale, 0, dx], [0, scale, dy]]), (WIDTH, HEIGHT),
                                     borderValue=(114, 114, 114))
            full = np.prod(boxes[:, 3:5] - boxes[:, 1:3], 1) * scale ** 2
            boxes[:, 1:5] = boxes[:, 1:5] * scale + (dx, dy, dx, dy)
            boxes[:, [1, 3]], boxes[:, [2, 4]] = boxes[:, [1, 3]].clip(0, WIDTH), boxes[:, [2, 4]].clip(0, HEIGHT)
            boxes[:, 5] *= np.prod(boxes[:, 3:5] - boxes[:, 1:3], 1) / full
            boxes = boxes[(boxes[:, 3] - boxes[:, 1] > 1) & (boxes[:, 4] - boxes[:, 2] > 1)]
        else:
            picture = cv2.copyMakeBorder(picture, PAD, PAD, 0, 0, cv2.BORDER_CONSTANT, value=(114, 114, 114))
            boxes[:, [2, 4]] += PAD
        if rng.random() < 0.1:
            picture = cv2.GaussianBlur(picture, (3, 3), 0)
        picture = np.ascontiguousarray(picture[..., ::-1])
        if rng.random() < 0.6:
            gains = rng.uniform(0.75, 1.25) * rng.uniform(0.95, 1.05, 3)
            levels = np.arange(256)[:, None] * gains + rng.uniform(-10, 10)
            picture = cv2.LUT(picture, np.clip(levels, 0, 255).astype(np.uint8)[None])
        if rng.random() < 0.2:
            noise = np.empty(picture.shape, np.int8)
            cv2.setRNGSeed(int(rng.integers(1 << 30)))
            cv2.randn(noise, 0, rng.uniform(0, 5))
            picture = cv2.add(picture, noise, dtype=cv2.CV_8U)
        return picture, boxes

    def batch(self, indices, rng):
        samples = [self.sample(i, rng) for i in indices]
        # Pictures lie channels last, which is also the layout that convolutions on a CPU like best.
        images = torch.from_numpy(np.stack([s[0] for s in samples])).permute(0, 3, 1, 2).float() / 255
        boxes = [torch.from_numpy(s[1].astype(np.float32)) for s in samples]
        return images, [b[b[:, 5] >= LEARN_VISIBLE, :5] for b in boxes], [b[b[:, 5] < LEARN_VISIBLE, :5] for b in boxes]


def train(pictures, steps, model, size=8, rate=2e-3, seed=0):
    """Trains for so many steps of `size` pictures and returns the running average of the weights."""
    rng = np.random.default_rng(seed)
    model = model.to(memory_format=torch.channels_last).train()
    average, count = copy.deepcopy(model), 0
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 1e-3}, {"params": plain, "weight_decay": 0.0}], lr=rate)
    begun, shown, order = time.time(), [], []
    while count < steps:
        if len(order) < size:
            order = list(rng.permutation(len(pictures.pictures)))
        images, truths, ignored = pictures.batch([order.pop() for _ in range(size)], rng)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (count + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * count / steps)) / 2)
        with torch.autocast("cpu", torch.bfloat16):
            points, strides, raw = model(images)
        scores, boxes = loss(points, strides, raw.float(), truths, ignored)
        optimizer.zero_grad()
        (scores + 2 * boxes).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        count += 1
        keep = min(0.998, (1 + count) / (20 + count))
        with torch.no_grad():
            for a, m in zip(average.state_dict().values(), model.state_dict().values()):
                a.lerp_(m, 1 - keep) if a.dtype.is_floating_point else a.copy_(m)
        shown.append((scores.item(), boxes.item()))
        if count % 50 == 0:
            s, b = np.mean(shown[-50:], 0)
            print(f"{(time.time() - begun) / 60:5.1f} min  step {count}  scores {s:.3f}  boxes {b:.3f}", flush=True)
    return average.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/sightline-samples"))
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="another one for each go, so that other pictures come together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "junction.onnx")
    args = parser.parse_args()
    files = data.make_all(list(SEEDS), args.cache, args.threads)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    pictures = Pictures(files)
    print(len(pictures.pictures), "pictures,", sum(map(len, pictures.boxes)), "objects", flush=True)
    torch.manual_seed(args.seed)
    start = Detector(len(CLASSES))
    if args.start:
        start.load_state_dict(torch.load(args.start))
    model = train(pictures, args.steps, start, seed=args.seed)
    torch.save(model.state_dict(), args.cache / "junction.pt")
    export(model, args.out)


if __name__ == "__main__":
    main()
