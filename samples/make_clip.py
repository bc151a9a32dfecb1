"""Makes the sample clip, samples/junction.mp4, and its ground truth, samples/junction.truth.json.

    python make_clip.py [--out DIR]
"""

import argparse
import json
import os
from pathlib import Path

import cv2

import events
from scene import Scene
from traffic import CLASSES, FPS, HEIGHT, WIDTH
from video import Writer

SEED = 10  # train.py uses seeds from 1000 up
SECONDS = 30


def normalised(row):
    id, class_id, x0, y0, x1, y1, visible = row
    return [id, class_id, round(x0 / WIDTH, 5), round(y0 / HEIGHT, 5), round(x1 / WIDTH, 5), round(y1 / HEIGHT, 5), round(visible, 2)]


def dump(truth, path):
    """JSON with one frame, crossing or visit per line, so that a change can be read."""
    def rows(items):
        return "[\n" + ",\n".join(json.dumps(i, separators=(",", ":")) for i in items) + "\n]"

    parts = [f'"{k}":' + (rows(v) if isinstance(v, list) and k != "classes" else json.dumps(v)) for k, v in truth.items()]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    # Written aside and renamed, so that nobody reads half a clip.
    clip, truth_file = args.out / "junction.mp4", args.out / "junction.truth.json"
    aside = args.out / "junction.part.mp4"
    scene, writer, frames = Scene(args.seed), Writer(aside), []
    for _ in range(SECONDS * FPS):
        picture, truth = scene.step()
        writer.write(picture)
        frames.append([normalised(row) for row in truth])
    writer.close()
    # Identities in order of first sight, from 1.
    order = {id: i + 1 for i, id in enumerate(dict.fromkeys(row[0] for frame in frames for row in frame))}
    frames = [sorted([order[row[0]], *row[1:]] for row in frame) for frame in frames]
    crossings, visits = events.happened(frames)
    truth = {"clip": clip.name, "width": WIDTH, "height": HEIGHT, "fps": FPS, "frame_count": len(frames), "classes": CLASSES,
             "anchor": "bottom_center", "zones": events.ZONES, "lines": events.LINES,
             "row": "id, class_id, x_min, y_min, x_max, y_max, visible",
             "crossings": crossings, "visits": visits, "frames": frames}
    dump(truth, args.out / "junction.truth.part.json")
    os.replace(args.out / "junction.truth.part.json", truth_file)
    os.replace(aside, clip)
    print(f"{clip}: {clip.stat().st_size / 1e6:.2f} MB; {truth_file}: {truth_file.stat().st_size / 1e6:.2f} MB; "
          f"{len(order)} objects, {len(crossings)} crossings, {len(visits)} visits")
    for problem in events.unsteady(frames):
        print("unsteady:", problem)


if __name__ == "__main__":
    main()
