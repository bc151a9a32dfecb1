"""Runs the sample model on pictures, as the service does: letterbox, network, NMS."""

import ast

import cv2
import numpy as np
import onnxruntime


def iou(a, b):
    """IoU of every box in a with every box in b, rows of x0, y0, x1, y1."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    both = np.clip(high - low, 0, None).prod(2)
    area_a, area_b = np.prod(a[:, 2:4] - a[:, :2], 1), np.prod(b[:, 2:4] - b[:, :2], 1)
    return both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-9)


def letterbox(picture, width, height):
    """The picture scaled to fit, centred on grey. Returns it with the scale and the padding left and above."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w, h = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    left, top = (width - w) // 2, (height - h) // 2
    small = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR)
    return cv2.copyMakeBorder(small, top, height - h - top, left, width - w - left, cv2.BORDER_CONSTANT, value=(114, 114, 114)), scale, left, top


class Detector:
    def __init__(self, path, threads=1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        meta = self.session.get_modelmeta().custom_metadata_map
        self.names = ast.literal_eval(meta["names"])
        self.height, self.width = ast.literal_eval(meta["imgsz"])

    def run(self, picture, confidence=0.01, iou_threshold=0.7):
        """Rows of x0, y0, x1, y1 (pixels of the picture), score, class; best first."""
        image, scale, left, top = letterbox(picture, self.width, self.height)
        tensor = image[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        out = self.session.run(None, {"images": tensor})[0][0].T
        scores, classes = out[:, 4:].max(1), out[:, 4:].argmax(1)
        keep = scores >= confidence
        out, scores, classes = out[keep], scores[keep], classes[keep]
        boxes = np.concatenate([out[:, :2] - out[:, 2:4] / 2, out[:, :2] + out[:, 2:4] / 2], 1)
        boxes = (boxes - (left, top, left, top)) / scale
        boxes = boxes.clip(0, (picture.shape[1], picture.shape[0]) * 2)
        found = np.concatenate([boxes, scores[:, None], classes[:, None]], 1)[np.argsort(-scores, kind="stable")]
        kept = []
        while len(found):
            kept.append(found[0])
            same = found[:, 5] == found[0, 5]
            found = found[1:][~(same & (iou(found[:1], found)[0] > iou_threshold))[1:]]
        return np.array(kept).reshape(-1, 6)
