"""A small anchor-free detector in the manner of YOLO, and its loss.

In: `images` float32 [N, 3, H, W], RGB 0..1, H and W multiples of 32. Out: `output0` float32 [N, 4 + classes, A],
A = H*W/64 + H*W/256 + H*W/1024 places; rows are cx, cy, w, h in input pixels, then a score 0..1 per class.
"""

import torch
import torch.nn.functional as F
from torch import nn

STRIDES = (8, 16, 32)


def conv(inputs, outputs, size=3, stride=1, pad=None):
    pad = size // 2 if pad is None else pad
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, pad, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True))


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(conv(width, width // 2), conv(width // 2, width))

    def forward(self, x):
        return x + self.body(x)


class Head(nn.Module):
    """Per place: distances from its centre to the box's four sides, in strides, and class scores."""

    def __init__(self, width, classes):
        super().__init__()
        self.mix = conv(width, width)
        self.box, self.score = nn.Conv2d(width, 4, 1), nn.Conv2d(width, classes, 1)
        nn.init.constant_(self.box.bias, 1.5)
        nn.init.constant_(self.score.bias, -5.0)

    def forward(self, x):
        x = self.mix(x)
        return torch.cat([F.softplus(self.box(x)), self.score(x)], 1)


class Detector(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.classes = classes
        self.to4 = conv(3, 24, 6, 4, 1)
        self.to8 = nn.Sequential(conv(24, 40, 3, 2), Residual(40))
        self.to16 = nn.Sequential(conv(40, 80, 3, 2), Residual(80))
        self.to32 = nn.Sequential(conv(80, 128, 3, 2), Residual(128), conv(128, 64, 1))
        self.side16, self.side8 = conv(80, 64, 1), conv(40, 40, 1)
        self.mix16, self.down8, self.mix8 = conv(64, 64), conv(64, 40, 1), conv(40, 40)
        self.heads = nn.ModuleList([Head(40, classes), Head(64, classes), Head(64, classes)])

    def forward(self, images):
        """Returns (points [A, 2], strides [A], raw [N, A, 4 + classes]): distances in strides, scores as logits."""
        c8 = self.to8(self.to4(images))
        c16 = self.to16(c8)
        p32 = self.to32(c16)
        p16 = self.mix16(self.side16(c16) + F.interpolate(p32, scale_factor=2.0, mode="nearest"))
        p8 = self.mix8(self.side8(c8) + F.interpolate(self.down8(p16), scale_factor=2.0, mode="nearest"))
        raw, points, strides = [], [], []
        for head, stride, x in zip(self.heads, STRIDES, (p8, p16, p32)):
            out = head(x)
            # From the running shape, so that an exported model takes any size.
            ys = (torch.arange(out.shape[2], device=x.device).to(x.dtype) + 0.5) * stride
            xs = (torch.arange(out.shape[3], device=x.device).to(x.dtype) + 0.5) * stride
            grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
            points.append(torch.stack([grid_x.flatten(), grid_y.flatten()], 1))
            strides.append(torch.full_like(points[-1][:, 0], stride))
            raw.append(out.flatten(2))
        return torch.cat(points), torch.cat(strides), torch.cat(raw, 2).transpose(1, 2)


def corners(points, strides, raw):
    """Boxes x0, y0, x1, y1 in input pixels, [N, A, 4]."""
    sides = raw[..., :4] * strides[:, None]
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)


class Exported(nn.Module):
    """The detector with its output laid out as other YOLO exports have it."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, images):
        points, strides, raw = self.detector(images)
        box = corners(points, strides, raw)
        centre, size = (box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]
        return torch.cat([centre, size, raw[..., 4:].sigmoid()], -1).transpose(1, 2)


def overlap(a, b):
    """IoU of boxes that broadcast against each other, and the smallest enclosing box's size."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    return both / (area_a + area_b - both + 1e-7), hull


def inside(points, rows):
    """Which points lie in which boxes of rows (class, x0, y0, x1, y1), [points, rows]."""
    return ((points[:, None] > rows[:, 1:3]) & (points[:, None] < rows[:, 3:5])).all(-1)


def assign(points, boxes, scores, truth, top=8):
    """Task-aligned assignment (Feng et al. 2021): each true object takes the places inside it that are best by
    score and IoU together. Returns the taken places, and for each its object, how good it is, 0..1, and which of
    the taken places is its object's best."""
    within = inside(points, truth).T
    places = within.any(0).nonzero()[:, 0]
    if not len(places):
        return places, places, places.float(), places
    within = within[:, places]
    iou, _ = overlap(boxes[places][None], truth[:, None, 1:5])
    metric = scores[places][:, truth[:, 0].long()].T.clamp(min=1e-4).sqrt() * (iou + 1e-3) ** 4 * within
    best = metric.topk(min(top, metric.shape[1]), 1).indices
    chosen = torch.zeros_like(within).scatter_(1, best, True) & within
    value, owner = torch.where(chosen, iou + 1e-6, torch.zeros_like(iou)).max(0)
    metric = metric * (chosen & (torch.arange(len(truth))[:, None] == owner))
    top_value, peak = metric.max(1)
    good = (metric / (top_value[:, None] + 1e-12)).amax(0)
    taken = value > 0
    return places[taken], owner[taken], good[taken], places[peak[owner[taken]]]


def loss(points, strides, raw, truths, ignored):
    """`truths` and `ignored`: per picture a tensor of (class, x0, y0, x1, y1) in input pixels. Places inside an
    ignored box are not told that nothing is there."""
    boxes, logits = corners(points, strides, raw), raw[..., 4:]
    total_score = total_box = total_weight = 0.0
    for box, logit, truth, ignore in zip(boxes, logits, truths, ignored):
        target, care = torch.zeros_like(logit), torch.ones_like(logit[:, 0])
        # Inside an object its one good place is told from its neighbours, the hardest part: it counts twice.
        care[inside(points, truth).any(1)] = 2
        care[inside(points, ignore).any(1)] = 0
        if len(truth):
            with torch.no_grad():
                mine, owner, good, peak = assign(points, box.detach(), logit.detach().sigmoid(), truth)
                # Only places whose box NMS (at 0.7) would surely fold into the best one may score: anything else
                # would stay as a second detection of the same object.
                same = overlap(box[mine], box[peak])[0]
                target[mine, truth[owner, 0].long()] = good * (same >= 0.88)
                care[mine] = 2.0 * ((same >= 0.88) | (same < 0.8))
            want, weight = truth[owner, 1:5], good
            iou, hull = overlap(box[mine], want)
            centre = ((box[mine][:, :2] + box[mine][:, 2:] - want[:, :2] - want[:, 2:]) / 2).square().sum(-1)
            near = ((box[mine] - want).abs() / strides[mine, None]).mean(-1)
            total_box = total_box + ((1 - iou + centre / hull.square().sum(-1) + 0.3 * near) * weight).sum()
            total_weight += weight.sum()
        total_score = total_score + (F.binary_cross_entropy_with_logits(logit, target, reduction="none") * care[:, None]).sum()
    total_weight = total_weight + 1.0
    return total_score / total_weight, total_box / total_weight
