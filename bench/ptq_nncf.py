"""Quantizes a model by NNCF, in an environment of its own: `python bench/ptq_nncf.py MODEL DATA OUT [LEFT]`.

MODEL is a `.pdmodel` or `.onnx`, DATA an .npz whose arrays are called `NUMBER FEED`, OUT the `.xml` to
write. All options of NNCF are its defaults, but that with LEFT, what no layer comes behind stays float: the
arithmetic that makes boxes of a detector's outputs. Prints what the call took, as JSON.
"""

from __future__ import annotations

import json
import sys

import nncf
import numpy as np
import openvino
from taken import measured

LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


def behind_layers(model: openvino.Model) -> list[str]:
    """The names of the ops that are no layers, and that no layer reads from, however far behind."""
    before: set[str] = set()
    for op in reversed(model.get_ordered_ops()):
        if op.get_type_name() in LAYERS or op.get_friendly_name() in before:
            before |= {source.get_node().get_friendly_name() for source in op.input_values()}
            before.add(op.get_friendly_name())
    return [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_friendly_name() not in before]


def main() -> None:
    path, data, out, *left = sys.argv[1:]
    batches: dict[int, dict[str, np.ndarray]] = {}
    for key, array in np.load(data).items():
        number, _, feed = key.partition(" ")
        batches.setdefault(int(number), {})[feed] = array
    model = openvino.Core().read_model(path)
    scope = nncf.IgnoredScope(names=behind_layers(model), validate=False) if left else None
    images = nncf.Dataset([batches[number] for number in sorted(batches)])
    with measured() as taken:
        quantized = nncf.quantize(model, images, ignored_scope=scope)
    openvino.save_model(quantized, out)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
