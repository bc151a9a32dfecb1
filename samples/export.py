"""Writes a trained detector as ONNX, with the output layout and the metadata keys that YOLO exports have."""

import os
from datetime import date

import numpy as np
import onnx
import onnxruntime
import torch

from model import STRIDES, Exported
from traffic import CLASSES

SIZE = [384, 640]


def export(model, path):
    model = Exported(model.to(memory_format=torch.contiguous_format)).eval()
    part = str(path) + ".part"
    torch.onnx.export(model, torch.zeros(1, 3, *SIZE), part, opset_version=17, dynamo=False, input_names=["images"], output_names=["output0"],
                      dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 2: "anchors"}})
    graph = onnx.load(part)
    for key, value in {
        "description": "Sightline sample detector for the drawn road junction", "author": "Sightline", "date": date.today().isoformat(),
        "version": "1", "license": "Apache-2.0", "docs": "samples/README.md", "stride": str(max(STRIDES)), "task": "detect", "batch": "1",
        "imgsz": str(SIZE), "names": str(dict(enumerate(CLASSES))), "args": str({"batch": 1, "dynamic": True, "nms": False}), "channels": "3",
        "end2end": "False",
    }.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4 + len(CLASSES)  # the exporter lost it
    onnx.checker.check_model(graph)
    onnx.save(graph, part)
    check(model, part)
    os.replace(part, path)
    print(f"{path}: {os.path.getsize(path) / 1e6:.2f} MB")


def check(model, path):
    """The exported graph says what the trained network says, at several shapes."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 384, 640), (2, 3, 640, 640), (3, 3, 352, 640), (1, 3, 320, 416)):
        images = torch.rand(shape)
        with torch.no_grad():
            want = model(images).numpy()
        got = session.run(None, {"images": images.numpy()})[0]
        if got.shape != want.shape or not np.allclose(got, want, rtol=1e-3, atol=1e-3):
            raise RuntimeError(f"the exported model differs at {shape}: by up to {np.abs(got - want).max()}")
