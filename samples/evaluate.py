"""Measures the sample model on the sample clip.

    python evaluate.py [--dir samples] [--visible 0.5]

Objects less visible than --visible are left out, and so are detections that lie on them.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

import video
from detect import Detector, iou, letterbox
from tracking import Mota, Tracker


def match(found, truth, least):
    """For each detection, best first: 1 right, 0 wrong, -1 left out; and which true objects were hit."""
    verdict, hit = np.zeros(len(found), int), np.zeros(len(truth), bool)
    if not len(truth) or not len(found):
        return verdict, hit
    overlap = iou(found, truth[:, 2:6])
    for i, row in enumerate(overlap):
        right = (truth[:, 1] == found[i, 5]) & (truth[:, 6] >= least) & ~hit & (row >= 0.5)
        if right.any():
            hit[np.where(right, row, -1).argmax()] = True
            verdict[i] = 1
        elif (row[truth[:, 6] < least] >= 0.3).any():
            verdict[i] = -1
    return verdict, hit


def average_precision(scores, right, objects):
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--visible", type=float, default=0.5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    truth = json.loads((args.dir / "junction.truth.json").read_text())
    detector = Detector(args.model or args.dir / "junction.onnx")
    to_pixels = np.array([1, 1] + [truth["width"], truth["height"]] * 2 + [1])
    rows, objects, spent = [], np.zeros(len(truth["classes"])), []
    tracker, mota, seen, low = Tracker(), Mota(args.visible), {}, 0
    for n, (picture, boxes) in enumerate(zip(video.read(args.dir / truth["clip"]), truth["frames"], strict=True)):
        boxes = np.array(boxes, float).reshape(-1, 7) * to_pixels
        found = detector.run(picture)
        verdict, hit = match(found, boxes, args.visible)
        rows += [(score, c, v, n) for (*_, score, c), v in zip(found, verdict) if v >= 0]
        at25, at60 = (match(found[found[:, 4] >= t], boxes, args.visible)[1] for t in (0.25, 0.6))
        for i, box in enumerate(boxes):
            if box[6] >= args.visible:
                objects[int(box[1])] += 1
                seen.setdefault(int(box[0]), []).append((n, at25[i], at60[i]))
        low += int(((found[:, 4] >= 0.1) & (verdict == 0)).sum())
        mota.add(boxes, tracker.step(found))
    rows = np.array(rows)
    values = []
    for c, name in enumerate(truth["classes"]):
        mine = rows[:, 1] == c
        values.append(average_precision(rows[mine, 0], rows[mine, 2], objects[c]))
        print(f"{name:8} AP50 {values[-1]:.4f}  objects {int(objects[c])}")
    strong = rows[rows[:, 0] >= 0.25]
    total = objects.sum()
    print(f"mAP50 {np.mean(values):.4f}")
    print(f"at 0.25: recall {strong[:, 2].sum() / total:.4f}  precision {strong[:, 2].mean():.4f}")
    print(f"at 0.60: recall {rows[rows[:, 0] >= 0.6][:, 2].sum() / total:.4f}; false detections of 0.1 or more: {low} in {n + 1} frames")
    gaps = [(id, a, b) for id, s in seen.items() for a, b in missed_runs(s)]
    print(f"identities {len(seen)}; missed for more than 0.4 s: {gaps or 'none'}")
    print(f"tracked: MOTA {mota.value():.4f}  switches {mota.switches}  missed {mota.missed}  false {mota.false}")
    tensor = letterbox(picture, detector.width, detector.height)[0][..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    for _ in range(60):
        begun = time.perf_counter()
        detector.session.run(None, {"images": tensor})
        spent.append((time.perf_counter() - begun) * 1000)
    print(f"network, one thread, {detector.height}x{detector.width}: median {np.median(spent):.1f} ms, least {min(spent):.1f} ms")


def missed_runs(frames, longest=10):
    """(first, last) frame of each stretch that is missed at 0.25 for longer than `longest` frames."""
    runs, begun = [], None
    for n, at25, _ in [*frames, (frames[-1][0] + 1, True, True)]:
        if at25 and begun is not None:
            if n - begun > longest:
                runs.append((begun, n - 1))
            begun = None
        elif not at25 and begun is None:
            begun = n
    return runs


if __name__ == "__main__":
    main()
