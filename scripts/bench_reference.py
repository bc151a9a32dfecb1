"""What the product is measured against: Ultralytics' own export and predict, same weights, same file.

    bench_reference.py export MODEL.onnx          YOLO26n, random weights, dynamic shapes
    bench_reference.py predict MODEL.onnx VIDEO   frames per second of `predict`
"""

import shutil
import sys
import time

from ultralytics import YOLO


def export(target: str) -> None:
    made = YOLO("yolo26n.yaml").export(format="onnx", dynamic=True, imgsz=640, opset=17, simplify=False)
    shutil.move(made, target)


def predict(model: str, video: str) -> None:
    yolo = YOLO(model, task="detect")
    frames = 0
    begun = None
    # rect=True: the rectangular input that a dynamic model allows, as the product uses it.
    for _ in yolo.predict(video, stream=True, imgsz=640, rect=True, device="cpu", verbose=False):
        # The first frame loads the session.
        if begun is None:
            begun = time.perf_counter()
            continue
        frames += 1
        if frames == 200:
            break
    print(f"ultralytics predict: {frames / (time.perf_counter() - begun):.1f} frames/s")


if __name__ == "__main__":
    {"export": export, "predict": predict}[sys.argv[1]](*sys.argv[2:])
