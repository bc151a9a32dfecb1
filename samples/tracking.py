"""A small two-stage tracker in the manner of ByteTrack (Zhang et al. 2022), and MOTA.

It stands in for the service's own tracker: boxes go on at their smoothed speed instead of through a Kalman filter.
"""

import numpy as np

from detect import iou

HIGH, LOW, NEW, MATCH, MEMORY = 0.5, 0.1, 0.6, 0.2, 25  # MATCH: least IoU; MEMORY: frames


def pair(overlap, least):
    """Greedy pairs (i, j), best overlap first."""
    pairs, overlap = [], overlap.copy()
    while overlap.size and overlap.max() >= least:
        i, j = np.unravel_index(overlap.argmax(), overlap.shape)
        pairs.append((i, j))
        overlap[i], overlap[:, j] = -1, -1
    return pairs


class Tracker:
    def __init__(self):
        self.tracks, self.next_id = [], 1

    def step(self, detections):
        """Takes rows of x0, y0, x1, y1, score, class; returns rows of x0, y0, x1, y1, id, class."""
        for t in self.tracks:
            t["guess"] = t["box"] + t["speed"] * (t["missed"] + 1)
        left = list(self.tracks)
        strong, weak = detections[detections[:, 4] >= HIGH], detections[(detections[:, 4] >= LOW) & (detections[:, 4] < HIGH)]
        fresh = np.ones(len(strong), bool)
        for boxes, is_strong in ((strong, True), (weak, False)):
            able = left if is_strong else [t for t in left if t["missed"] == 0 and t["seen"] > 1]
            if not able or not len(boxes):
                continue
            overlap = iou(np.array([t["guess"] for t in able]), boxes) * (np.array([t["class"] for t in able])[:, None] == boxes[:, 5])
            for i, j in pair(overlap, MATCH):
                t, box = able[i], boxes[j, :4]
                t["speed"] = 0.7 * t["speed"] + 0.3 * (box - t["box"]) / (t["missed"] + 1) if t["seen"] > 1 else box - t["box"]
                t.update(box=box, missed=-1, seen=t["seen"] + 1)
                left = [u for u in left if u is not t]
                if is_strong:
                    fresh[j] = False
        for t in self.tracks:
            t["missed"] += 1
        self.tracks = [t for t in self.tracks if t["missed"] <= (MEMORY if t["seen"] > 1 else 0)]
        for box in strong[fresh]:
            if box[4] >= NEW:
                self.tracks.append({"id": self.next_id, "box": box[:4], "speed": np.zeros(4), "class": box[5], "missed": 0, "seen": 1})
                self.next_id += 1
        return np.array([[*t["box"], t["id"], t["class"]] for t in self.tracks if t["missed"] == 0 and t["seen"] > 1]).reshape(-1, 6)


class Mota:
    """Counts after Bernardin and Stiefelhagen (2008), at IoU 0.5. Objects that are too little visible are left
    out, and so are the tracks that lie on them."""

    def __init__(self, least_visible):
        self.least, self.last = least_visible, {}
        self.objects = self.missed = self.false = self.switches = 0

    def add(self, truth, tracks):
        """`truth`: rows of id, class, x0, y0, x1, y1, visible in the tracks' units."""
        overlap = iou(truth[:, 2:6], tracks) if len(truth) and len(tracks) else np.zeros((len(truth), len(tracks)))
        bonus = np.array([[self.last.get(g[0]) == t[4] for t in tracks] for g in truth]).reshape(overlap.shape)
        pairs = pair(np.where(overlap >= 0.5, overlap + bonus, 0), 0.5)
        matched = {i: j for i, j in pairs}
        for i, g in enumerate(truth):
            if g[6] < self.least:
                continue
            self.objects += 1
            if i not in matched:
                self.missed += 1
                continue
            track = tracks[matched[i], 4]
            self.switches += self.last.get(g[0], track) != track
            self.last[g[0]] = track
        self.false += len(tracks) - len(pairs)

    def value(self):
        return 1 - (self.missed + self.false + self.switches) / self.objects
